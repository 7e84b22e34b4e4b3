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
import re
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from fer import model as models
from fer.errors import DataInvalid, DataMissing
from fer.files import replacing
from fer.labels import EMOTIONS
from fer.preprocess import Preprocess

WEIGHTS, CARD = "model.safetensors", "card.json"

STUDENT = Preprocess(size=224, channels=3, scaling="raw")
"""How the student project of 2022 fed its network; assumed for a bare baseline state_dict."""


def save(folder: str | Path, model: models.FaceNetwork, card: Mapping, half: bool = False) -> None:
    """Write weights and card into ``folder``, each under a temporary name first.

    Args:
        folder: made when missing.
        model: a network of ``fer.model.build``, with its ``preprocess``.
        card: anything JSON-ready; how to build the network and the hash of the weights are added.
        half: write convolutions and linear layers, which are nearly all of it, as float16.

    Raises:
        DataInvalid: the network has more outputs than there are emotions.
    """
    folder = Path(folder)
    if model.num_classes > len(EMOTIONS):
        raise DataInvalid(
            f"The network has {model.num_classes} outputs; expected at most {len(EMOTIONS)}, one an emotion."
        )
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if half:  # not statistics and biases: they are few, and some are too small for float16
        weights = {name: value.half() if value.ndim > 1 else value for name, value in weights.items()}
    with replacing(folder / WEIGHTS) as temporary:
        # Not save_file: the file it makes can be read by its owner alone.
        temporary.write_bytes(safetensors.torch.save(weights, metadata={"format": "pt"}))
        digest = _sha256(temporary)
    write_card(
        folder,
        {
            **card,
            "arch": model.arch,
            "options": model.options,
            "emotions": list(EMOTIONS[: model.num_classes]),
            "preprocess": model.preprocess.to_dict(),
            "parameters": models.count_parameters(model),
            "weights_sha256": digest,
        },
    )


def write_card(folder: str | Path, card: Mapping) -> None:
    """Replace the card alone, e.g. when a temperature has been fitted."""
    with replacing(Path(folder) / CARD) as temporary:
        temporary.write_text(json.dumps(card, indent=2) + "\n", "utf-8")


def load(path: str | Path, arch: str | None = None, device: str = "cpu") -> tuple[models.FaceNetwork, dict]:
    """Return the network, ready to predict, and its card.

    Args:
        path: a model's folder, or a bare state_dict (``.pt``, ``.pth``, ``.safetensors``).
        arch: needed for a bare state_dict: which network it belongs to. A bare
            ``"baseline"`` is taken for the student project's: raw 0-255 RGB pixels.
        device: where the network goes.

    Raises:
        DataMissing: a file is not there.
        DataInvalid: the classes have another order, a weight is missing, left
            over or of another shape, or a file is damaged or needs unpickling.
    """
    path = Path(path)
    if path.is_dir():
        card = read_card(path)
        weights = _read_weights(path / WEIGHTS)
        if "weights_sha256" in card and card["weights_sha256"] != _sha256(path / WEIGHTS):
            raise DataInvalid(
                f"{path / WEIGHTS} is not the file that {CARD} describes (its sha256 differs). "
                "Take both from the same place."
            )
    elif not path.exists():
        raise DataMissing(
            f"No model at {path}: expected a folder with {WEIGHTS} and {CARD}. See models/README.md."
        )
    elif arch is None:
        raise DataInvalid(
            f"{path} is a file, not a model's folder. If it holds bare weights, say of which network, e.g. "
            '--arch baseline in fer.evaluate, or load(..., arch="baseline").'
        )
    else:
        weights = _read_weights(path)
        usual = (
            STUDENT if arch == "baseline" else models.ARCHITECTURES.get(arch, models.EmotionNet).preprocess
        )
        card = {"arch": arch, "emotions": list(EMOTIONS), "preprocess": usual.to_dict(), "source": path.name}

    try:
        model = models.build(
            card["arch"],
            num_classes=len(card["emotions"]),
            preprocess=Preprocess(**card["preprocess"]),
            **card.get("options", {}),
        )
    except (TypeError, ValueError, RuntimeError) as error:  # the network or Preprocess does not know it
        if not path.is_dir():
            raise
        raise DataInvalid(
            f"{path / CARD} does not describe a network of this code ({error}). Take the model from its "
            "source again, or use the code it was trained with."
        ) from error
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise DataInvalid(
            f"{path} does not fit {card['arch']}: {' '.join(str(error).split())[:400]} "
            "Load it as the architecture it was trained as."
        ) from error
    return model.to(device).eval(), card


def read_card(folder: str | Path) -> dict:
    """Return a model's card after checking that its outputs are named as here, and its numbers can be.

    Raises:
        DataMissing, DataInvalid: as ``load``.
    """
    file = Path(folder) / CARD
    if not file.is_file():
        raise DataMissing(f"{file} is missing: expected a model's folder with {WEIGHTS} and {CARD}.")
    try:
        card = json.loads(file.read_text("utf-8"))
        found = list(card["emotions"])
        missing = {"arch", "preprocess"} - set(card)
    except (ValueError, KeyError, TypeError) as error:
        raise DataInvalid(f"{file} is damaged ({error!r}). Take the model from its source again.") from error
    if missing:
        raise DataInvalid(f"{file} lacks {sorted(missing)}. Take the model from its source again.")
    if found != list(EMOTIONS[: len(found)]):
        raise DataInvalid(
            f"{file} names its outputs {found}; this code expects {list(EMOTIONS)}. "
            "Every face would get a wrong name: retrain, or load a matching checkpoint."
        )
    for key, (right, expected) in _NUMBERS.items():
        if card.get(key) is not None and not right(card[key]):
            raise _wrong(file, key, card[key], expected)
    shares = card.get("class_shares")
    if shares and not (
        isinstance(shares, list) and len(shares) == len(found) and all(map(_is_share, shares))
    ):
        raise _wrong(file, "class_shares", shares, f"{len(found)} shares from 0 to 1, one an output")
    return card


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_share(value: object) -> bool:
    return _is_number(value) and 0 <= value <= 1


_NUMBERS = {
    "temperature": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "prior_strength": (_is_number, "a number"),
    "crop_margin": (_is_number, "a number"),
    "flip": (lambda value: isinstance(value, bool), "true or false"),
}
"""What scoring and the demos take from a card as it is, and what it must be."""


def _wrong(file: Path, key: str, value: object, expected: str) -> DataInvalid:
    return DataInvalid(
        f"{file} is damaged: {key} is {value!r}; expected {expected}. Take the model from its source again."
    )


def provenance() -> dict:
    """Return the git commit (``+`` when files were changed since) and versions that a card records."""
    versions = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "numpy", "accelerate", "opencv-python"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # e.g. a headless OpenCV
            versions[name] = importlib.metadata.version(name)
    return {"git": _git_commit(), "versions": versions}


def read_plain(path: Path) -> object:
    """Return what ``torch.save`` wrote, as long as it is tensors and plain values; nothing else is unpickled.

    Raises:
        DataInvalid: the file holds other objects, or is damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        # Nothing else of torch's message, not even as the cause: it advises to let the pickle run.
        other = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        raise DataInvalid(
            f"{path} holds no plain weights, or is damaged ({f'found {other[1]}' if other else 'it cannot be read'}). "
            "Expected a state_dict; whole pickled models are never loaded, because a pickle can run any program."
        ) from None


_UNREADABLE = (
    *(pickle.UnpicklingError, EOFError, RuntimeError, AssertionError),
    *(LookupError, ValueError, TypeError, AttributeError, struct.error),
)
"""What torch.load raises on a damaged file depends on which byte is wrong."""


def _git_commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, or not a clone
    return done.stdout.strip()


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataMissing(f"{path} is missing: expected the weights of the model there.")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except SafetensorError as error:
            raise DataInvalid(
                f"{path} is damaged ({error}). Take the model from its source again."
            ) from error
    state = read_plain(path)
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataInvalid(f"{path} holds a {type(state).__name__}; expected a state_dict of tensors.")
    return dict(state)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
