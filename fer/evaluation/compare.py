"""Which of two models is better on the same faces, and could it be chance?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from fer.errors import DataInvalid
from fer.evaluation.scores import RESAMPLES, class_rates


@dataclass(frozen=True)
class Comparison:
    """Two models, a and b, on the same samples.

    Attributes:
        n: number of samples.
        only_a, only_b: samples that only this model predicts correctly.
        p_value: of McNemar's exact test, that ``only_a`` and ``only_b`` differ by chance.
        differences: by metric (accuracy, balanced_accuracy, macro_f1): b minus a, and its
            95 % interval (paired bootstrap, percentiles).
    """

    n: int
    only_a: int
    only_b: int
    p_value: float
    differences: Mapping[str, tuple[float, tuple[float, float]]]


def compare(a: np.ndarray, b: np.ndarray, labels: np.ndarray) -> Comparison:
    """Compare the probabilities (N, C) of two models for the same samples, with labels (N,) from 0 to C - 1.

    Raises:
        DataInvalid: the shapes do not fit together, or there are no samples.
    """
    a, b, labels = np.asarray(a), np.asarray(b), np.asarray(labels)
    if a.ndim != 2 or a.shape != b.shape or labels.shape != a.shape[:1] or not len(labels):
        raise DataInvalid(
            f"Found probabilities {a.shape} and {b.shape} and labels {labels.shape}; expected (N, classes) twice and "
            "(N,), for the same samples."
        )
    n, classes = a.shape
    predicted_a, predicted_b = a.argmax(1), b.argmax(1)
    only_a = int(((predicted_a == labels) & (predicted_b != labels)).sum())
    only_b = int(((predicted_b == labels) & (predicted_a != labels)).sum())

    # Resampling pairs fills the cells (true, predicted by a, predicted by b) as a multinomial.
    cells = np.zeros((1, classes, classes, classes))
    np.add.at(cells[0], (labels, predicted_a, predicted_b), 1)
    resampled = np.random.default_rng(0).multinomial(n, cells.ravel() / n, RESAMPLES)

    def differences(counts: np.ndarray) -> dict[str, np.ndarray]:
        rates_a, rates_b = class_rates(counts.sum(3)), class_rates(counts.sum(2))
        return {name: rates_b[name] - rates_a[name] for name in rates_a}

    spread = differences(resampled.reshape(-1, *cells.shape[1:]))
    return Comparison(
        n,
        only_a,
        only_b,
        p_value=float(binomtest(only_b, only_a + only_b).pvalue) if only_a + only_b else 1.0,
        differences={
            name: (float(value[0]), tuple(np.percentile(spread[name], (2.5, 97.5)).tolist()))
            for name, value in differences(cells).items()
        },
    )
