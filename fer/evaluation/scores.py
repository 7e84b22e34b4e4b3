"""Metrics of predicted probabilities: arrays in, numbers out.

Accuracy is over all samples, never a mean over batches. Balanced accuracy is
the mean recall, macro-F1 the mean F1, both over the classes that have samples.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from fer.errors import DataInvalid
from fer.labels import EMOTIONS

BINS = 15
RESAMPLES = 2000


@dataclass(frozen=True)
class Scores:
    """Metrics of one set of predictions, JSON-ready with ``dataclasses.asdict``; ``print`` shows a table.

    Attributes:
        n: number of samples.
        accuracy: proportion of samples predicted correctly.
        balanced_accuracy: mean recall of the classes that have samples.
        macro_f1: mean F1 of the classes that have samples.
        ece: expected calibration error, 15 bins of equal width (Guo et al. 2017).
        nll: mean negative log-likelihood, in nats.
        per_class: by emotion: precision, recall, f1, support.
        confusion: counts, true classes in rows, predicted ones in columns.
        intervals: by metric: lower and upper end of the 95 % bootstrap interval (percentiles).
    """

    n: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    ece: float
    nll: float
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]
    intervals: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        lines = [f"{'n':18}{self.n:>8,}"]
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "ece"):
            low, high = self.intervals.get(name, (np.nan, np.nan))
            lines.append(f"{name:18}{getattr(self, name):8.4f}   95 % {low:.3f}-{high:.3f}")
        lines.append(f"{'nll':18}{self.nll:8.4f}")
        lines.append(f"\n{'':18}{'precision':>10}{'recall':>10}{'f1':>10}{'support':>10}")
        for name, row in self.per_class.items():
            *rates, support = row.values()
            lines.append(f"{name:18}" + "".join(f"{rate:10.3f}" for rate in rates) + f"{support:10,}")
        return "\n".join(lines)


def score(probabilities: np.ndarray, labels: np.ndarray, resamples: int = RESAMPLES) -> Scores:
    """Score predicted probabilities (N, C) against true labels (N,), indices into EMOTIONS.

    Args:
        probabilities: each row sums to 1.
        labels: int, 0 to C - 1.
        resamples: bootstrap samples for the intervals; 0 leaves them out.

    Raises:
        DataInvalid: there are no samples, shapes or labels do not fit, or a probability is not finite.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise DataInvalid(
            f"Found probabilities {probabilities.shape}, labels {labels.shape}; expected (N, classes) and (N,), N > 0."
        )
    classes, finite = probabilities.shape[1], np.isfinite(probabilities).all(1)
    if not finite.all():
        raise DataInvalid(
            f"{(~finite).sum()} of {len(labels)} rows of probabilities are not finite; weights have probably "
            "overflowed. Train again with a lower --lr."
        )
    check_labels(labels, classes)

    predicted = probabilities.argmax(1)
    counts = confusion_matrix(labels, predicted, labels=range(classes))
    rates = class_rates(counts[None])
    per_class = precision_recall_fscore_support(labels, predicted, labels=range(classes), zero_division=0)
    likelihood = probabilities[np.arange(len(labels)), labels]
    return Scores(
        n=len(labels),
        **{name: float(value) for name, (value,) in rates.items()},
        ece=calibration_error(probabilities, labels),
        nll=float(-np.log(likelihood.clip(1e-12)).mean()),
        per_class={
            name: {"precision": float(p), "recall": float(r), "f1": float(f1), "support": int(support)}
            for name, p, r, f1, support in zip(EMOTIONS[:classes], *per_class, strict=True)
        },
        confusion=counts.tolist(),
        intervals=_intervals(probabilities, labels, counts, resamples) if resamples else {},
    )


def check_labels(labels: np.ndarray, classes: int) -> None:
    """Raise DataInvalid unless all labels are from 0 to ``classes`` - 1."""
    if labels.min() < 0 or labels.max() >= classes:
        raise DataInvalid(f"Found labels {labels.min()} to {labels.max()}; expected 0 to {classes - 1}.")


def calibration_curve(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return per bin of confidence: number of samples, mean confidence, accuracy, each (bins,); empty bins hold 0."""
    bin_of, confidence, correct = _binned(probabilities, labels, bins)
    n = np.bincount(bin_of, minlength=bins)
    means = (np.bincount(bin_of, values, bins) / n.clip(1) for values in (confidence, correct))
    return (n, *means)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Return the mean gap between confidence and accuracy over the bins, weighted by samples."""
    n, confidence, accuracy = calibration_curve(probabilities, labels, bins)
    return float((n * np.abs(confidence - accuracy)).sum() / n.sum())


def class_rates(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return accuracy, balanced accuracy and macro-F1, each (B,), of B confusion matrices, int (B, C, C)."""
    correct = np.diagonal(counts, axis1=1, axis2=2)
    support, predicted = counts.sum(2), counts.sum(1)
    present = support > 0
    classes = present.sum(1)
    recall = correct / support.clip(1)
    f1 = 2 * correct / (support + predicted).clip(1)
    return {
        "accuracy": correct.sum(1) / support.sum(1),
        "balanced_accuracy": (recall * present).sum(1) / classes,
        "macro_f1": (f1 * present).sum(1) / classes,
    }


def _binned(
    probabilities: np.ndarray, labels: np.ndarray, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return per sample: bin of its confidence, the confidence, whether it is predicted correctly; each (N,)."""
    confidence = probabilities.max(1)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    return bin_of, confidence, probabilities.argmax(1) == labels


def _intervals(
    probabilities: np.ndarray, labels: np.ndarray, counts: np.ndarray, resamples: int
) -> dict[str, tuple[float, float]]:
    # The confusion matrix of N samples resampled with replacement is multinomial: no need to resample them.
    rng = np.random.default_rng(0)
    n = len(labels)
    resampled = class_rates(rng.multinomial(n, counts.ravel() / n, resamples).reshape(-1, *counts.shape))

    # The gap of a bin is |sum of (confidence - correct)| / N, summed over the resampled faces in it.
    bin_of, confidence, correct = _binned(probabilities, labels, BINS)
    gap, errors = confidence - correct, []
    for _ in range(resamples):
        chosen = rng.integers(0, n, n)
        errors.append(np.abs(np.bincount(bin_of[chosen], gap[chosen], BINS)).sum() / n)
    # Resampling adds noise, and a sum of absolute gaps only grows by it: subtract that bias.
    bias = np.mean(errors) - calibration_error(probabilities, labels)
    resampled["ece"] = np.maximum(np.array(errors) - bias, 0)
    return {name: tuple(np.percentile(values, (2.5, 97.5)).tolist()) for name, values in resampled.items()}
