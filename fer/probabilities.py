"""From preprocessed faces to calibrated probabilities: the same steps for scoring and for the demos."""

from collections.abc import Callable, Mapping

import numpy as np

from fer.errors import DataInvalid

Network = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
"""From preprocessed faces, float32 (N, channels, size, size), to logits, float32 (N, C), and valence and arousal,
float32 (N, 2), of a network that predicts them: of ``fer.runtime``, or a ``fer.model.TorchNetwork``."""


def outputs_of(
    network: Network, inputs: np.ndarray, flip: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what a network gives, with ``flip`` the mean over each face and its mirror image."""
    if not flip:
        return network(inputs)
    logits, valence_arousal = network(np.concatenate([inputs, inputs[..., ::-1]]))

    def mean(outputs: np.ndarray) -> np.ndarray:
        return outputs.reshape(2, len(inputs), outputs.shape[1]).mean(0)

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
