"""Temperature and prior, fitted to predictions on a validation split and kept in the card."""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import minimize_scalar

from fer.datasets.finding import CHOSEN_ON, HELD_OUT
from fer.evaluation.predictions import Predictions
from fer.evaluation.scores import check_labels
from fer.probabilities import log_softmax

STRENGTHS = sorted((round(0.05 * step, 2) for step in range(-20, 21)), key=abs)
"""Weakest first. Below 0 is for networks that were trained with rare classes sampled more often than they occur."""
ACCURACY_COST = 0.005
"""How much accuracy may be lost for balanced accuracy."""


def calibrate(card: dict, predictions: Predictions, degraded: Predictions) -> dict:
    """Return the card with what is fitted to these predictions on a validation split.

    ``temperature`` makes confidences match accuracies. With it demos would be too sure: webcams see degraded faces,
    and ambiguous ones, which the labels of the scores leave out. ``temperature_degraded`` makes the confidences on
    such faces match the part of the annotators who agree. ``prior_strength`` is, of all strengths that cost at most
    ``ACCURACY_COST`` of the best accuracy, the one with the best balanced accuracy, the weakest on a tie.
    """
    named = degraded.labels if degraded.votes is None else degraded.votes
    for name, logits, labels in (
        ("temperature", predictions.logits, predictions.labels),
        ("temperature_degraded", degraded.logits, named),
    ):
        card = card | {name: round(fit_temperature(logits, labels), 4)}
    if not card.get("class_shares"):
        return card
    cards = [card | {"prior_strength": strength} for strength in STRENGTHS]
    scores = [predictions.score(candidate, resamples=0) for candidate in cards]
    least = max(candidate.accuracy for candidate in scores) - ACCURACY_COST
    affordable = [i for i, candidate in enumerate(scores) if candidate.accuracy >= least]
    return cards[max(affordable, key=lambda i: scores[i].balanced_accuracy)]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the T for which softmax(logits / T) has the lowest negative log-likelihood (Guo et al. 2017).

    ``labels``: int (N,), or the parts of the annotators who named each class, float (N, C).
    """
    if labels.ndim == 1:
        check_labels(labels, logits.shape[1])
        labels = np.eye(logits.shape[1])[labels]

    def nll(log_t: float) -> float:
        return -(labels * log_softmax(logits / np.exp(log_t))).sum(1).mean()

    return float(np.exp(minimize_scalar(nll, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def calibration_split(card: Mapping) -> str:
    """Return the ``--split`` to ``--calibrate`` a model on: the split that chose its epoch."""
    # Other releases of AffectNet have other names, and no split of their own either.
    return CHOSEN_ON.get(card.get("train_data", ""), HELD_OUT)
