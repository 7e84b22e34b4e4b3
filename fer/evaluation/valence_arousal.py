"""Valence and arousal: how pleasant and how excited a face looks, each from -1 to 1.

Arrays are (N, 2), valence first, NaN where a face has no annotation: it does not count. The
metrics are those of AffectNet (Mollahosseini et al. 2017, arXiv:1708.03985).
"""

from dataclasses import asdict, dataclass

import numpy as np
from torch.utils.data import Dataset, Subset

from fer.datasets.face_dataset import FaceDataset
from fer.errors import DataInvalid

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


@dataclass(frozen=True)
class RegressionScores:
    """Metrics of predicted numbers.

    Attributes:
        n: number of annotated faces.
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
    """Score predictions (N, 2), which must be finite, against annotations; None if one column is all NaN."""
    if predicted.shape != true.shape or predicted.ndim != 2 or predicted.shape[1] != len(NAMES):
        raise DataInvalid(
            f"Found valence and arousal {predicted.shape}, {true.shape}; expected (N, 2) twice."
        )
    if not np.isfinite(predicted).all():
        raise DataInvalid("Found valence and arousal that are not finite: train with a lower --lr.")
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
