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
from typing import Any

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


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _are_numbers(values: object, low: float, high: float) -> bool:
    return isinstance(values, list) and all(_is_number(value, low, high) for value in values)


_RANGES: dict[str, tuple[Callable[[Any, int], bool], str]] = {
    "temperature": (lambda v, n: _is_number(v, 0.001, 1000), "a number from 0.001 to 1000"),
    "temperature_degraded": (lambda v, n: _is_number(v, 0.001, 1000), "a number from 0.001 to 1000"),
    "prior_strength": (lambda v, n: _is_number(v, -10, 10), "a number from -10 to 10"),
    "crop_margins": (
        lambda v, n: v != [] and _are_numbers(v, -0.45, 5),
        "one or more numbers from -0.45 to 5",
    ),
    "flip": (lambda v, n: isinstance(v, bool), "true or false"),
    "class_shares": (
        lambda v, n: v == [] or (_are_numbers(v, 0, 1) and len(v) == n and abs(sum(v) - 1) < 0.1),
        "a class frequency from 0 to 1 for each output, 1 in sum",
    ),
    "parameters": (lambda v, n: _is_number(v, 1, 1e12), "a number from 1 to 1e+12"),
    "options": (
        lambda v, n: isinstance(v, dict) and "pretrained" not in v,
        "arguments by name, none that downloads weights",
    ),
    "weights_sha256": (lambda v, n: isinstance(v, str) and len(v) == 64, "64 hexadecimal digits"),
    "onnx_sha256": (lambda v, n: isinstance(v, str) and len(v) == 64, "64 hexadecimal digits"),
}
"""What scoring and the demos take from a card as it is: a test of value and number of outputs, and what it must be."""


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
