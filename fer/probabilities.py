"""From preprocessed faces to calibrated probabilities: the same steps for scoring and for the demos."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from fer.errors import DataInvalid
from fer.model import FaceNetwork


@torch.inference_mode()
def outputs_of(
    network: Callable[[Tensor], Tensor], inputs: Tensor, flip: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Return logits (N, C), and valence and arousal (N, 2) of a network that predicts them; float32.

    Args:
        network: of ``fer.model``, or an exported one of ``fer.runtime``, which gives logits alone.
        inputs: preprocessed faces, float32 (N, channels, size, size).
        flip: give the mean of the outputs of each face and of its mirror image.
    """
    x = torch.cat([inputs, inputs.flip(-1)]) if flip else inputs
    x = x.contiguous(memory_format=torch.channels_last)
    logits, valence_arousal = (
        network(x, both=True) if isinstance(network, FaceNetwork) else (network(x), None)
    )

    def mean(outputs: Tensor) -> Tensor:
        return outputs.float().unflatten(0, (2, len(inputs))).mean(0) if flip else outputs.float()

    return mean(logits), None if valence_arousal is None else mean(valence_arousal)


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

    Bayes' rule: the network has learned how common each emotion is in its training
    data. Subtracting the logarithm of those class frequencies leaves what the image
    shows, as if all emotions were equally common; subtracting a part of it lies in between.

    Args:
        card: of the model: ``class_shares``, the class frequencies of its training data, and ``prior_strength``, the
            part chosen by ``fer.evaluation.calibration``, below 0 where rare classes were seen too often.
        prior: ``"training"`` subtracts nothing, ``"uniform"`` all, ``"chosen"`` the part that the card gives.

    Raises:
        DataInvalid: another prior, or the card has no class frequencies.
    """
    part = {"training": 0.0, "uniform": 1.0, "chosen": card.get("prior_strength", 0.0)}.get(prior)
    if part == 0:
        return 0.0
    if part is None or not card.get("class_shares"):
        raise DataInvalid(
            f"prior={prior!r} needs class frequencies, and the model's card has {card.get('class_shares')}. Expected "
            "'training', or a model trained with fer.train."
        )
    frequencies = np.asarray(card["class_shares"], np.float64)
    seen = frequencies > 0
    shift = -part * np.log(np.where(seen, frequencies, 1))
    return np.where(seen, shift, shift[seen].min())  # a class never seen stays as unlikely as learned
