"""Valence and arousal: how pleasant and how excited a face looks, each from -1 to 1. Loss and metrics.

Arrays are (N, 2), valence first. NaN stands for a face without an annotation,
which then adds nothing to loss and metrics. The metrics are those of AffectNet
(Mollahosseini et al. 2017, arXiv:1708.03985).
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from fer.datasets.face_dataset import FaceDataset
from fer.errors import DataInvalid
from fer.model import FaceNetwork

NAMES = ("valence", "arousal")


def true_valence_arousal(dataset: FaceDataset | Dataset) -> np.ndarray | None:
    """Return the annotations of a data set or of a part of one, float32 (N, 2); None where it has none."""
    if isinstance(dataset, Subset):
        values = true_valence_arousal(dataset.dataset)
        return None if values is None else values[np.asarray(dataset.indices)]
    if not all(hasattr(dataset, name) for name in NAMES):
        return None
    values = np.stack([getattr(dataset, name) for name in NAMES], 1).astype(np.float32)
    return None if np.isnan(values).all() else values


def training_targets(model: FaceNetwork, dataset: FaceDataset, targets: str) -> Tensor | None:
    """Return the annotations to learn from, float32 (N, 2), or None for the targets ``"expression"``.

    Raises:
        DataInvalid: the network does not predict what is asked for, or the data set lacks the annotations.
    """
    wanted = targets != "expression"
    if wanted != model.valence_arousal:
        raise DataInvalid(
            f"targets={targets!r} does not fit this network: expected one of "
            f"fer.model.build(…, valence_arousal={wanted})."
        )
    if not wanted:
        return None
    values = true_valence_arousal(dataset)
    if values is None:
        raise DataInvalid(
            f"{dataset.name} has no valence and arousal: leave out --targets, or use AffectNet8 or the sample."
        )
    return torch.from_numpy(values)


def ccc_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the mean over valence and arousal of 1 - CCC, 0 for one with fewer than two annotated faces.

    Args:
        predicted: float32 (N, 2).
        true: the same, NaN where not annotated.
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
class RegressionScores:
    """Metrics of predicted numbers.

    Attributes:
        n: annotated faces.
        ccc: concordance correlation coefficient (Lin 1989), -1 to 1; unlike Pearson's it asks for the same scale.
        rmse: root of the mean squared error.
        pearson: Pearson's correlation; 0 where either does not vary.
        sagr: sign agreement, the proportion of faces with the right sign.
    """

    n: int
    ccc: float
    rmse: float
    pearson: float
    sagr: float


@dataclass(frozen=True)
class ValenceArousalScores:
    """Metrics of both; ``print`` shows them as a table."""

    valence: RegressionScores
    arousal: RegressionScores

    def __str__(self) -> str:
        lines = [f"{'':18}{'n':>10}{'ccc':>10}{'rmse':>10}{'pearson':>10}{'sagr':>10}"]
        for name, row in asdict(self).items():
            n, *rest = row.values()
            lines.append(f"{name:18}{n:>10,}" + "".join(f"{value:10.3f}" for value in rest))
        return "\n".join(lines)


def score(predicted: np.ndarray, true: np.ndarray) -> ValenceArousalScores | None:
    """Score predictions (N, 2) against annotations, NaN where there is none; None if one column is all NaN.

    Raises:
        DataInvalid: shapes differ, or a prediction is not finite.
    """
    if predicted.shape != true.shape or predicted.ndim != 2 or predicted.shape[1] != len(NAMES):
        raise DataInvalid(
            f"Found valence and arousal {predicted.shape} and {true.shape}; expected (N, 2) twice."
        )
    if not np.isfinite(predicted).all():
        raise DataInvalid(
            "Predicted valence and arousal are not finite; train again with a lower --lr or --clip."
        )
    if np.isnan(true).all(0).any():
        return None
    valence, arousal = (regression_scores(p, t) for p, t in zip(predicted.T, true.T, strict=True))
    return ValenceArousalScores(valence, arousal)


def regression_scores(predicted: np.ndarray, true: np.ndarray) -> RegressionScores:
    """Score predictions (N,) against annotations (N,), of which some may be NaN but not all."""
    annotated = ~np.isnan(true)
    p, t = predicted[annotated].astype(np.float64), true[annotated].astype(np.float64)
    covariance = ((p - p.mean()) * (t - t.mean())).mean()
    spread = p.var() + t.var() + (p.mean() - t.mean()) ** 2
    deviations = p.std() * t.std()
    return RegressionScores(
        n=len(p),
        ccc=float(2 * covariance / spread) if spread else 1.0,  # both are the same number throughout
        rmse=float(np.sqrt(((p - t) ** 2).mean())),
        pearson=float(covariance / deviations) if deviations else 0.0,
        sagr=float((np.sign(p) == np.sign(t)).mean()),
    )
