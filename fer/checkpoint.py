"""A trained model is a folder: model.safetensors (weights) and card.json (all else that scoring needs).

The card says how to build the network, how to prepare its input, what its
outputs are called, and how it was trained. Nothing is ever unpickled.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from fer.card import AGAIN, CARD, WEIGHTS, preprocess_of, read_card, sha256, write_card
from fer.errors import DAMAGE, DataInvalid, DataMissing, reading
from fer.files import replacing
from fer.labels import EMOTIONS
from fer.model import FaceNetwork, architecture, build, count_parameters
from fer.preprocess import Preprocess

STUDENT = Preprocess(size=224, channels=3, scaling="raw")
"""How the student project of 2022 fed its network; assumed for a bare baseline state_dict."""


def save(folder: str | Path, model: FaceNetwork, card: Mapping, half: bool = False) -> None:
    """Write weights and card into ``folder``, each under a temporary name first.

    Args:
        folder, model: where to, made when missing, and a network of ``fer.model``.
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
        digest = sha256(temporary)
    added = {
        "arch": model.arch,
        "options": model.options,
        "emotions": list(EMOTIONS[:classes]),
        "preprocess": asdict(model.preprocess),
        "parameters": count_parameters(model),
        "weights_sha256": digest,
    }
    kept = {key: value for key, value in card.items() if key != "onnx_sha256"}  # of earlier weights
    write_card(folder, kept | added)


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
    if arch and path.is_file():
        weights = _read_weights(path)
        card = _card_of_bare_weights(path, arch, weights)
    else:
        card, weights = read_card(path), _read_weights(path / WEIGHTS)
    if "weights_sha256" in card and card["weights_sha256"] != sha256(path / WEIGHTS):
        raise DataInvalid(
            f"{path / WEIGHTS} is not that of {CARD} (its sha256 differs). Take both from the same place."
        )
    try:
        preprocess = preprocess_of(path, card)
        with torch.device("meta"):  # takes no memory, however large the card says that it is
            model = build(card["arch"], len(card["emotions"]), preprocess, **card.get("options", {}))
    except DAMAGE as error:  # the network does not know it
        raise DataInvalid(f"{path / CARD} describes no network of this code ({error}). {AGAIN}") from error
    try:
        floats = {
            k: v.to(torch.float32, copy=True) if v.is_floating_point() else v for k, v in weights.items()
        }
        model.load_state_dict(floats, assign=True)
    except RuntimeError as error:
        raise DataInvalid(
            f"{path} does not fit {card['arch']}: {' '.join(str(error).split())[:400]} Load it as trained."
        ) from error
    return model.eval(), card


def _card_of_bare_weights(path: Path, arch: str, weights: Mapping[str, Tensor]) -> dict:
    preprocess = STUDENT if arch == "baseline" else architecture(arch).preprocess
    rows = [len(value) for value in weights.values() if value.ndim == 2] or [len(EMOTIONS)]
    emotions = list(EMOTIONS[: rows[-1]])  # the last linear layer has a row for each class
    return {"arch": arch, "emotions": emotions, "preprocess": asdict(preprocess), "source": path.name}


def read_plain(path: Path) -> object:
    """Return the tensors and plain values that ``torch.save`` wrote; DataInvalid for all else, never unpickled."""
    try:
        with reading(path, AGAIN):
            return torch.load(path, map_location="cpu", weights_only=True)
    except DataInvalid:
        # Without torch's message, not even as the cause: it advises to let the pickle run.
        raise DataInvalid(
            f"{path} holds no plain weights, or is damaged. Expected a state_dict: whole pickled models are never "
            "loaded, because a pickle can run any program."
        ) from None


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataMissing(f"{path} is missing: expected the weights of the model there.")
    if path.suffix == ".safetensors":
        with reading(path, AGAIN):
            try:
                return safetensors.torch.load_file(path)
            except SafetensorError as error:  # has no base of its own
                raise ValueError(str(error)) from error
    state = read_plain(path)
    for key in ("state_dict", "model_state_dict", "model", "net"):  # of a training checkpoint
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataInvalid(f"{path} holds a {type(state).__name__}; expected a state_dict of tensors.")
    wrappers = r"^((module|_orig_mod)\.)+"  # of DataParallel and torch.compile, in any order
    return {re.sub(wrappers, "", str(key)): value for key, value in state.items()}
