"""From network input to calibrated probabilities: the same steps for scoring and for the demos."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from fer.errors import DataInvalid
from fer.model import FaceNetwork


@torch.inference_mode()
def logits_of(model: Callable[[Tensor], Tensor], inputs: Tensor, flip: bool = False) -> Tensor:
    """Return logits float32 (N, C) of preprocessed faces float32 (N, channels, size, size).

    With ``flip`` each row is the mean of the face's and its mirror image's.
    """
    x = torch.cat([inputs, inputs.flip(-1)]) if flip else inputs
    logits = model(x.contiguous(memory_format=torch.channels_last)).float()
    return logits.view(2, len(inputs), -1).mean(0) if flip else logits


@torch.inference_mode()
def outputs_of(
    model: Callable[[Tensor], Tensor], inputs: Tensor, flip: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Return ``logits_of`` and, of a network that tells them, valence and arousal, float32 (N, 2)."""
    if not (isinstance(model, FaceNetwork) and model.valence_arousal):
        return logits_of(model, inputs, flip), None
    together = logits_of(lambda x: torch.cat(model(x, both=True), 1), inputs, flip)
    return together[:, :-2], together[:, -2:]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities (..., C), safe for large logits."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def to_probabilities(
    logits: np.ndarray, temperature: float = 1.0, shift: np.ndarray | float = 0.0
) -> np.ndarray:
    """Return softmax(logits / temperature + shift), float64 (N, C)."""
    return np.exp(log_softmax(logits.astype(np.float64) / temperature + shift))


def class_shift(card: Mapping, prior: str) -> np.ndarray | float:
    """Return what to add to calibrated log-probabilities, (C,) or 0, for a prior.

    Bayes' rule: the network has learned how common each emotion is in its
    training data; taking the logarithm of those shares away leaves what the
    picture says, as if all emotions were equally common. Taking away a part of
    it lies in between.

    Args:
        card: of the model; ``class_shares`` are the training shares, ``prior_strength``
            is the part chosen on validation faces (see ``fer.evaluation.calibration``), below 0
            where the network saw rare classes more often than they are.
        prior: ``"training"`` leaves things as learned, ``"uniform"`` evens them
            out, ``"chosen"`` does as much of that as the card says.

    Raises:
        DataInvalid: another prior, or the card does not tell the training shares.
    """
    part = {"training": 0.0, "uniform": 1.0, "chosen": card.get("prior_strength", 0.0)}.get(prior)
    if part == 0:
        return 0.0
    shares = card.get("class_shares")
    if part is None or not shares:
        raise DataInvalid(
            f"prior={prior!r} needs the shares of the training classes, and this model's card has "
            f"{shares}. Expected 'training', or a model trained with fer.train."
        )
    shares = np.asarray(shares, np.float64)
    shift = -part * np.log(np.where(shares > 0, shares, 1))
    return np.where(shares > 0, shift, shift[shares > 0].min())  # never shown: stays as unlikely as learned
