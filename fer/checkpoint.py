"""A trained model is a folder: model.safetensors (weights) and card.json (all else that scoring needs).

The card says how to build the network, how to prepare its input, what its
outputs are called, and how it was trained. Nothing is ever unpickled.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import math
import pickle
import platform
import struct
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from fer.errors import DataInvalid, DataMissing
from fer.files import replacing
from fer.labels import EMOTIONS
from fer.model import FaceNetwork, architecture, build, count_parameters
from fer.preprocess import Preprocess

WEIGHTS, CARD = "model.safetensors", "card.json"
AGAIN = "Take the model from its source again."

STUDENT = Preprocess(size=224, channels=3, scaling="raw")
"""How the student project of 2022 fed its network; assumed for a bare baseline state_dict."""


def save(folder: str | Path, model: FaceNetwork, card: Mapping, half: bool = False) -> None:
    """Write weights and card into ``folder``, each under a temporary name first.

    Args:
        folder: made when missing.
        model: a network of ``fer.model``.
        card: anything JSON-ready; how to build the network and the hash of the weights are added.
        half: write convolutions and linear layers, nearly all of the file, as float16.

    Raises:
        DataInvalid: the network has more classes than there are emotions.
    """
    folder, classes = Path(folder), model.num_classes
    if classes > len(EMOTIONS):
        raise DataInvalid(
            f"The network has {classes} outputs; expected {len(EMOTIONS)} at most, for the emotions."
        )
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if half:  # not statistics and biases: they are few, and some are too small for float16
        weights = {name: value.half() if value.ndim > 1 else value for name, value in weights.items()}
    with replacing(folder / WEIGHTS) as temporary:
        # Not save_file: the file it makes can be read by its owner alone.
        temporary.write_bytes(safetensors.torch.save(weights, metadata={"format": "pt"}))
        digest = _sha256(temporary)
    added = {
        "arch": model.arch,
        "options": model.options,
        "emotions": list(EMOTIONS[:classes]),
        "preprocess": asdict(model.preprocess),
        "parameters": count_parameters(model),
        "weights_sha256": digest,
    }
    write_card(folder, {**card, **added})


def write_card(folder: str | Path, card: Mapping) -> None:
    """Replace the card alone, e.g. when a temperature has been fitted."""
    with replacing(Path(folder) / CARD) as temporary:
        temporary.write_text(json.dumps(card, indent=2) + "\n", "utf-8")


def load(path: str | Path, arch: str | None = None) -> tuple[FaceNetwork, dict]:
    """Return the network, in eval mode on the CPU, and its card.

    Args:
        path: a model's folder, or a bare state_dict (``.pt``, ``.pth``, ``.safetensors``).
        arch: of a bare state_dict. A ``"baseline"`` is taken for the student project's: raw 0-255 RGB pixels.

    Raises:
        DataMissing: a file is missing.
        DataInvalid: the classes have another order, the weights do not fit, or a file is damaged or needs unpickling.
    """
    path = Path(path)
    card = read_card(path) if path.is_dir() else _card_of_bare_weights(path, arch)
    weights = _read_weights(path / WEIGHTS if path.is_dir() else path)
    if "weights_sha256" in card and card["weights_sha256"] != _sha256(path / WEIGHTS):
        raise DataInvalid(
            f"{path / WEIGHTS} is not that of {CARD} (its sha256 differs). Take both from the same place."
        )
    try:
        preprocess, options = Preprocess(**card["preprocess"]), card.get("options", {})
        model = build(card["arch"], len(card["emotions"]), preprocess, **options)
    except (TypeError, ValueError, RuntimeError) as error:  # the network or Preprocess does not know it
        raise DataInvalid(f"{path / CARD} describes no network of this code ({error}). {AGAIN}") from error
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise DataInvalid(
            f"{path} does not fit {card['arch']}: {' '.join(str(error).split())[:400]} Load it as trained."
        ) from error
    return model.eval(), card


def _card_of_bare_weights(path: Path, arch: str | None) -> dict:
    if not path.exists():
        raise DataMissing(
            f"No model at {path}: expected a folder with {WEIGHTS} and {CARD}. See models/README.md."
        )
    if arch is None:
        raise DataInvalid(
            f"{path} is a file, not a model's folder. If it is a state_dict, give the network: "
            '--arch baseline in fer.evaluate, or load(..., arch="baseline").'
        )
    preprocess = STUDENT if arch == "baseline" else architecture(arch).preprocess
    return {"arch": arch, "emotions": list(EMOTIONS), "preprocess": asdict(preprocess), "source": path.name}


def read_card(folder: str | Path) -> dict:
    """Return a model's card, its outputs named as here and its numbers in range; errors as ``load``."""
    file = Path(folder) / CARD
    if not file.is_file():
        raise DataMissing(f"{file} is missing: expected a model's folder with {WEIGHTS} and {CARD}.")
    try:
        card = json.loads(file.read_text("utf-8"))
        found = list(card["emotions"])
        missing = {"arch", "preprocess"} - set(card)
    except (ValueError, KeyError, TypeError) as error:
        raise DataInvalid(f"{file} is damaged ({error!r}). {AGAIN}") from error
    if missing:
        raise DataInvalid(f"{file} lacks {sorted(missing)}. {AGAIN}")
    if found != list(EMOTIONS[: len(found)]):
        raise DataInvalid(
            f"{file} names its outputs {found}; this code expects {list(EMOTIONS)}. "
            "Every face would get a wrong name: retrain, or load a matching checkpoint."
        )
    for key, (valid, expected) in _RANGES.items():
        value = card.get(key)
        if value is not None and not valid(value, len(found)):
            raise DataInvalid(f"{file} is damaged: {key} is {value!r}; expected {expected}. {AGAIN}")
    return card


def _is_number(value: object, classes: int = 0) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_frequencies(values: object, classes: int) -> bool:
    return isinstance(values, list) and (
        len(values) in (0, classes) and all(_is_number(value) and 0 <= value <= 1 for value in values)
    )


_RANGES: dict[str, tuple[Callable[..., bool], str]] = {
    "temperature": (lambda value, classes: _is_number(value) and value > 0, "a number above 0"),
    "prior_strength": (_is_number, "a number"),
    "crop_margin": (_is_number, "a number"),
    "flip": (lambda value, classes: isinstance(value, bool), "true or false"),
    "class_shares": (_are_frequencies, "a class frequency from 0 to 1 for each output"),
}
"""What scoring and the demos take from a card as it is: a test of value and number of classes, and what it must be."""


def provenance() -> dict:
    """Return the git commit (``+`` when files were changed since) and versions that a card records."""
    versions, commit = {"python": platform.python_version()}, None
    for name in ("torch", "torchvision", "numpy", "accelerate", "opencv-python"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # e.g. a headless OpenCV
            versions[name] = importlib.metadata.version(name)
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):  # no git, or not a clone
        here = Path(__file__).parent
        commit = subprocess.check_output(command, cwd=here, text=True, stderr=subprocess.DEVNULL).strip()
    return {"git": commit, "versions": versions}


def read_plain(path: Path) -> object:
    """Return the tensors and plain values that ``torch.save`` wrote; DataInvalid for all else, never unpickled."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE:
        # Without torch's message, not even as the cause: it advises to let the pickle run.
        raise DataInvalid(
            f"{path} holds no plain weights, or is damaged. Expected a state_dict: whole pickled models are never "
            "loaded, because a pickle can run any program."
        ) from None


_UNREADABLE = (
    *(pickle.UnpicklingError, EOFError, RuntimeError, AssertionError),
    *(LookupError, ValueError, TypeError, AttributeError, struct.error),
)
"""What torch.load raises on a damaged file depends on which byte is wrong."""


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataMissing(f"{path} is missing: expected the weights of the model there.")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except SafetensorError as error:
            raise DataInvalid(f"{path} is damaged ({error}). {AGAIN}") from error
    state = read_plain(path)
    for key in ("state_dict", "model_state_dict", "model"):  # of a training checkpoint
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataInvalid(f"{path} holds a {type(state).__name__}; expected a state_dict of tensors.")
    return dict(state)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
