"""Valence and arousal: how pleasant and how excited a face looks, each from -1 to 1. Loss and scores.

Arrays are (N, 2), valence first; NaN stands for a face without a score, which
then neither teaches nor counts. Scores are those of AffectNet (Mollahosseini et
al. 2017, arXiv:1708.03985).
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from fer.errors import DataInvalid
from fer.model import FaceNetwork

NAMES = ("valence", "arousal")
TARGETS = ("expression", "expression,valence-arousal")
"""What --targets offers."""


def known(dataset: Dataset) -> np.ndarray | None:
    """Return what a data set, or a part of one, says of its faces, float32 (N, 2); None where it says nothing."""
    if isinstance(dataset, Subset):
        whole = known(dataset.dataset)
        return None if whole is None else whole[np.asarray(dataset.indices)]
    if not all(hasattr(dataset, name) for name in NAMES):
        return None
    values = np.stack([getattr(dataset, name) for name in NAMES], 1).astype(np.float32)
    return None if np.isnan(values).all() else values


def to_learn(model: FaceNetwork, dataset: Dataset, targets: str) -> Tensor | None:
    """Return the training targets, float32 (N, 2), or None where they are not asked for.

    Raises:
        DataInvalid: the network cannot tell them, or the data set does not.
    """
    if (targets == TARGETS[1]) != model.valence_arousal:
        raise DataInvalid(
            f"targets={targets!r} does not fit this network: fer.model.build(…, valence_arousal=True) makes one "
            f"for {TARGETS[1]!r}, and without that argument one for {TARGETS[0]!r}."
        )
    if targets == TARGETS[0]:
        return None
    values = known(dataset)
    if values is None:
        raise DataInvalid(
            f"{dataset.name} has no valence and arousal: leave out --targets, or use AffectNet8 or the sample."
        )
    return torch.from_numpy(values)


def ccc_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Return 1 - CCC, the mean over valence and arousal; what has fewer than two known faces counts 0.

    Args:
        predicted: float32 (N, 2).
        true: the same, NaN where not known.
    """
    mask = ~true.isnan()
    n = mask.sum(0)
    weight = mask / n.clamp(min=1)
    true = true.where(mask, 0)  # also keeps NaN out of the gradient
    means = (predicted * weight).sum(0), (true * weight).sum(0)
    p, t = predicted - means[0], true - means[1]
    covariance, spread = (p * t * weight).sum(0), ((p**2 + t**2) * weight).sum(0)
    ccc = 2 * covariance / (spread + (means[0] - means[1]) ** 2 + 1e-8)
    counted = n > 1
    return ((1 - ccc) * counted).sum() / counted.sum().clamp(min=1)


@dataclass(frozen=True)
class Agreement:
    """How well one of them is told.

    Attributes:
        n: faces with a known value.
        ccc: concordance correlation coefficient (Lin 1989), -1 to 1; unlike Pearson's it wants the same scale.
        rmse: root of the mean squared error.
        pearson: Pearson's correlation; 0 where either does not vary.
        sagr: share of faces with the right sign.
    """

    n: int
    ccc: float
    rmse: float
    pearson: float
    sagr: float


@dataclass(frozen=True)
class ValenceArousalScores:
    """Scores of both."""

    valence: Agreement
    arousal: Agreement

    def to_dict(self) -> dict:
        """Return JSON-ready values."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{'':18}{'n':>10}{'ccc':>10}{'rmse':>10}{'pearson':>10}{'sagr':>10}"]
        for name, row in self.to_dict().items():
            n, *rest = row.values()
            lines.append(f"{name:18}{n:>10,}" + "".join(f"{value:10.3f}" for value in rest))
        return "\n".join(lines)


def score(predicted: np.ndarray, true: np.ndarray | None) -> ValenceArousalScores | None:
    """Score predictions (N, 2) against what is known, NaN where it is not; None where nothing is known of either.

    Raises:
        DataInvalid: shapes differ, or a prediction is no number.
    """
    if true is None:
        return None
    if predicted.shape != true.shape or predicted.ndim != 2 or predicted.shape[1] != len(NAMES):
        raise DataInvalid(
            f"Found valence and arousal {predicted.shape} and {true.shape}; expected (N, 2) twice."
        )
    if not np.isfinite(predicted).all():
        raise DataInvalid(
            "Predicted valence and arousal are no numbers; train again with a lower --lr or --clip."
        )
    if np.isnan(true).all(0).any():
        return None
    return ValenceArousalScores(*(agreement(predicted[:, k], true[:, k]) for k in range(len(NAMES))))


def agreement(predicted: np.ndarray, true: np.ndarray) -> Agreement:
    """Compare predictions (N,) with values (N,), of which some may be NaN but not all."""
    there = ~np.isnan(true)
    p, t = predicted[there].astype(np.float64), true[there].astype(np.float64)
    covariance = ((p - p.mean()) * (t - t.mean())).mean()
    spread = p.var() + t.var() + (p.mean() - t.mean()) ** 2
    deviations = p.std() * t.std()
    return Agreement(
        n=len(p),
        ccc=float(2 * covariance / spread) if spread else 1.0,  # both the same number throughout
        rmse=float(np.sqrt(((p - t) ** 2).mean())),
        pearson=float(covariance / deviations) if deviations else 0.0,
        sagr=float((np.sign(p) == np.sign(t)).mean()),
    )
