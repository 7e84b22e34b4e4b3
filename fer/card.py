"""A model's card: how to build the network, prepare its input, name its outputs, and how it was trained.

It lies beside the weights as card.json, and is read without torch.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from fer.errors import DataInvalid, DataMissing, reading
from fer.files import MODELS, replacing
from fer.labels import EMOTIONS
from fer.preprocess import Preprocess

WEIGHTS, CARD = "model.safetensors", "card.json"
AGAIN = "Take the model from its source again."


def read_card(folder: str | Path) -> dict:
    """Return a model's card, its outputs named as here and its numbers in range.

    Raises:
        DataMissing: there is no such folder, or no card in it.
        DataInvalid: the card is damaged, or its classes have another order.
    """
    file = Path(folder) / CARD
    expected = f"expected a model's folder, with {CARD} and {WEIGHTS} or model.onnx"
    if not Path(folder).exists():
        raise DataMissing(
            f"No model at {folder}: {expected}. Those that came with this program are in {MODELS}."
        )
    if not Path(folder).is_dir():
        raise DataInvalid(
            f"{folder} is a file; {expected}. If it is a state_dict, give the network: "
            '--arch baseline in fer.evaluate, or fer.checkpoint.load(..., arch="baseline").'
        )
    if not file.is_file():
        raise DataMissing(f"{file} is missing: {expected}.")
    with reading(file, AGAIN):
        card = dict(json.loads(file.read_text("utf-8")))
        found = list(card["emotions"])
    if missing := {"arch", "preprocess"} - set(card):
        raise DataInvalid(f"{file} lacks {sorted(missing)}. {AGAIN}")
    if len(found) < 2 or found != list(EMOTIONS[: len(found)]):
        raise DataInvalid(
            f"{file} names its outputs {found}; this code expects {list(EMOTIONS)}. "
            "Every face would get a wrong name: retrain, or load a matching checkpoint."
        )
    if "crop_margin" in card:  # of earlier versions
        card["crop_margins"] = [card.pop("crop_margin")]
    for key, (valid, expected) in _RANGES.items():
        if key in card and not valid(value := card[key], len(found)):
            raise DataInvalid(f"{file} is damaged: {key} is {value!r}; expected {expected}. {AGAIN}")
    if card.get("prior_strength") and not card.get("class_shares"):
        raise DataInvalid(f"{file} is damaged: prior_strength without class_shares. {AGAIN}")
    return card


def _number(low: float, high: float) -> tuple[Callable[..., bool], str]:
    def valid(value: object, classes: int = 0) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    return valid, f"a number from {low:g} to {high:g}"


def _are_frequencies(values: object, classes: int) -> bool:
    return isinstance(values, list) and (
        not values
        or (len(values) == classes and all(map(_number(0, 1)[0], values)) and abs(sum(values) - 1) < 0.1)
    )


def _are_margins(values: object) -> bool:
    return isinstance(values, list) and bool(values) and all(map(_number(-0.45, 5)[0], values))


def _is_hash(value: object, classes: int) -> bool:
    return isinstance(value, str) and len(value) == 64


_RANGES: dict[str, tuple[Callable[..., bool], str]] = {
    "temperature": _number(0.001, 1000),
    "temperature_degraded": _number(0.001, 1000),
    "prior_strength": _number(-10, 10),
    "crop_margins": (lambda values, classes: _are_margins(values), "one or more numbers from -0.45 to 5"),
    "flip": (lambda value, classes: isinstance(value, bool), "true or false"),
    "class_shares": (_are_frequencies, "a class frequency from 0 to 1 for each output, 1 in sum"),
    "parameters": _number(1, 1e12),
    "options": (
        lambda value, classes: isinstance(value, dict) and "pretrained" not in value,
        "arguments by name, none that downloads weights",
    ),
    "weights_sha256": (_is_hash, "64 hexadecimal digits"),
    "onnx_sha256": (_is_hash, "64 hexadecimal digits"),
}
"""What scoring and the demos take from a card as it is: a test of value and number of classes, and what it must be."""


def write_card(folder: str | Path, card: Mapping) -> None:
    """Replace the card alone, e.g. when a temperature has been fitted."""
    with replacing(Path(folder) / CARD) as temporary:
        temporary.write_text(json.dumps(card, indent=2) + "\n", "utf-8")


def preprocess_of(folder: str | Path, card: Mapping) -> Preprocess:
    """Return how the card says that input is prepared; raise DataInvalid where no ``Preprocess`` can."""
    with reading(Path(folder) / CARD, AGAIN):
        return Preprocess(**card["preprocess"])


def provenance() -> dict:
    """Return the git commit (``+`` when files were changed since) and versions that a card records."""
    versions, commit = {"python": platform.python_version()}, None
    for name in ("facial-emotion-classifier", "torch", "torchvision", "numpy", "accelerate", "opencv-python"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # e.g. a headless OpenCV
            versions[name] = importlib.metadata.version(name)
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):  # no git, or not a clone
        here = Path(__file__).parent
        commit = subprocess.check_output(command, cwd=here, text=True, stderr=subprocess.DEVNULL).strip()
    return {"git": commit, "versions": versions}


def sha256(path: Path) -> str:
    """Return the hash of a file as a card records it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
