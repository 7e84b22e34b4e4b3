"""How good predictions are: numbers in, numbers out.

Accuracy is over all samples, never a mean over batches. Balanced accuracy is
the mean recall, macro-F1 the mean F1, both over the classes that have samples.
"""

from dataclasses import asdict, dataclass, field

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

from fer.errors import DataInvalid
from fer.labels import EMOTIONS

BINS = 15
RESAMPLES = 2000


@dataclass(frozen=True)
class Scores:
    """Scores of one set of predictions; all but ``n``, ``nll`` and ``confusion`` are shares from 0 to 1.

    Attributes:
        n: number of samples.
        accuracy: share of samples named rightly.
        balanced_accuracy: mean recall of the classes that have samples.
        macro_f1: mean F1 of the classes that have samples.
        ece: expected calibration error, 15 bins of equal width (Guo et al. 2017).
        nll: mean negative log-likelihood, in nats.
        per_class: by emotion: precision, recall, f1, support.
        confusion: counts, true classes in rows, predicted ones in columns.
        intervals: by score: lower and upper end of the 95 % bootstrap interval (percentiles, seed 0).
    """

    n: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    ece: float
    nll: float
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Return JSON-ready values."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{'n':18}{self.n:>8,}"]
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "ece"):
            low, high = self.intervals.get(name, (np.nan, np.nan))
            lines.append(f"{name:18}{getattr(self, name):8.4f}   95 % {low:.3f}-{high:.3f}")
        lines.append(f"{'nll':18}{self.nll:8.4f}")
        lines.append(f"\n{'':18}{'precision':>10}{'recall':>10}{'f1':>10}{'support':>10}")
        for name, row in self.per_class.items():
            lines.append(
                f"{name:18}{row['precision']:10.3f}{row['recall']:10.3f}{row['f1']:10.3f}{row['support']:10,}"
            )
        return "\n".join(lines)


def score(probabilities: np.ndarray, labels: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> Scores:
    """Score predicted probabilities (N, C) against true labels (N,), indices into EMOTIONS.

    Args:
        probabilities: each row sums to 1.
        labels: int, 0 to C - 1.
        resamples: bootstrap samples for the intervals; 0 leaves them out.
        seed: of the bootstrap.

    Raises:
        DataInvalid: there are no samples, shapes or labels do not fit, or there is a NaN.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise DataInvalid(
            f"Found probabilities {probabilities.shape} and labels {labels.shape}; "
            "expected (N, classes) and (N,) with at least one sample."
        )
    classes, broken = probabilities.shape[1], ~np.isfinite(probabilities).all(1)
    if broken.any():
        raise DataInvalid(
            f"{broken.sum()} of {len(labels)} rows of probabilities are no numbers; the network's weights have "
            "probably overflowed. Train again with a lower --lr or --clip."
        )
    check_labels(labels, classes)

    names = EMOTIONS[:classes]
    predicted = probabilities.argmax(1)
    counts = confusion(labels, predicted, classes)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=range(classes), zero_division=0
    )
    shares = rates(counts[None])
    likelihood = probabilities[np.arange(len(labels)), labels]
    scores = Scores(
        n=len(labels),
        **{name: float(values[0]) for name, values in shares.items()},
        ece=calibration_error(probabilities, labels),
        nll=float(-np.log(likelihood.clip(1e-12)).mean()),
        per_class={
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(names)
        },
        confusion=counts.tolist(),
    )
    if resamples:
        scores.intervals.update(_intervals(probabilities, labels, counts, resamples, seed))
    return scores


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int = len(EMOTIONS)) -> np.ndarray:
    """Return counts, int64 (C, C): true classes in rows, predicted ones in columns."""
    cells = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes)


def calibration_curve(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return per bin of confidence: number of samples, mean confidence, accuracy, each (bins,); empty bins hold 0."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    n = np.bincount(place, minlength=bins)
    return (
        n,
        np.bincount(place, confidence, bins) / n.clip(1),
        np.bincount(place, right, bins) / n.clip(1),
    )


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Return the mean gap between confidence and accuracy over the bins, weighted by samples."""
    n, confidence, accuracy = calibration_curve(probabilities, labels, bins)
    return float((n * np.abs(confidence - accuracy)).sum() / n.sum())


def check_labels(labels: np.ndarray, classes: int) -> None:
    """Raise DataInvalid unless all labels are from 0 to ``classes`` - 1."""
    if labels.min() < 0 or labels.max() >= classes:
        raise DataInvalid(f"Found labels {labels.min()} to {labels.max()}; expected 0 to {classes - 1}.")


def rates(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return accuracy, balanced accuracy and macro-F1, each (B,), of confusion counts (B, C, C)."""
    hits = np.diagonal(counts, axis1=1, axis2=2)
    support, guessed = counts.sum(2), counts.sum(1)
    present = support > 0
    classes = present.sum(1)
    recall = hits / support.clip(1)
    f1 = 2 * hits / (support + guessed).clip(1)
    return {
        "accuracy": hits.sum(1) / support.sum(1),
        "balanced_accuracy": (recall * present).sum(1) / classes,
        "macro_f1": (f1 * present).sum(1) / classes,
    }


def _intervals(
    probabilities: np.ndarray, labels: np.ndarray, counts: np.ndarray, resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    # N samples drawn with replacement fall into the confusion cells as a multinomial: no need to draw samples.
    rng = np.random.default_rng(seed)
    n, classes = len(labels), len(counts)
    cells = rng.multinomial(n, counts.ravel() / n, resamples).reshape(resamples, classes, classes)
    drawn = rates(cells)

    # The gap of a bin is |sum of (confidence - right)| / N: summed over draws of the samples in it.
    confidence = probabilities.max(1)
    gap = confidence - (probabilities.argmax(1) == labels)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    errors = []
    for _ in range(resamples):
        chosen = rng.integers(0, n, n)
        errors.append(np.abs(np.bincount(place[chosen], gap[chosen], BINS)).sum() / n)
    # Drawing again adds noise, and a sum of absolute gaps only grows by it: take that growth off.
    drawn["ece"] = np.maximum(
        np.array(errors) - np.mean(errors) + calibration_error(probabilities, labels), 0
    )
    return {name: tuple(np.percentile(values, (2.5, 97.5)).tolist()) for name, values in drawn.items()}
