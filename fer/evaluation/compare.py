"""Which of two models is better on the same faces, and could it be chance?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from fer.errors import DataInvalid
from fer.evaluation.scores import RESAMPLES, rates


@dataclass(frozen=True)
class Comparison:
    """Two models, a and b, on the same samples.

    Attributes:
        n: number of samples.
        only_a, only_b: samples that only this one names rightly.
        p_value: of McNemar's exact test: how likely so uneven a division of
            those would be if both were equally accurate.
        differences: by score: b minus a, and its 95 % interval (paired bootstrap,
            percentiles). Scores as in ``fer.evaluation.scores``.
    """

    n: int
    only_a: int
    only_b: int
    p_value: float
    differences: Mapping[str, tuple[float, tuple[float, float]]]


def compare(
    a: np.ndarray, b: np.ndarray, labels: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Compare the probabilities (N, C) of two models for the same samples with labels (N,).

    Args:
        a, b: row i of both is about sample i.
        labels: int, 0 to C - 1.
        resamples: bootstrap samples.
        seed: of the bootstrap.

    Raises:
        DataInvalid: the shapes do not fit together, or there are no samples.
    """
    a, b, labels = np.asarray(a), np.asarray(b), np.asarray(labels)
    if a.ndim != 2 or a.shape != b.shape or labels.shape != a.shape[:1] or not len(labels):
        raise DataInvalid(
            f"Found probabilities {a.shape} and {b.shape} and labels {labels.shape}; expected (N, classes) "
            "twice and (N,): predictions of both models for the same samples."
        )
    n, classes = a.shape
    said_a, said_b = a.argmax(1), b.argmax(1)
    only_a = int(((said_a == labels) & (said_b != labels)).sum())
    only_b = int(((said_b == labels) & (said_a != labels)).sum())

    # Drawing pairs with replacement fills the cells (true, said by a, said by b) as a multinomial.
    cells = np.zeros((classes, classes, classes))
    np.add.at(cells, (labels, said_a, said_b), 1)
    drawn = np.random.default_rng(seed).multinomial(n, cells.ravel() / n, resamples)
    drawn = drawn.reshape(resamples, classes, classes, classes)
    found = rates(cells.sum(1)[None]), rates(cells.sum(2)[None])
    spread = rates(drawn.sum(2)), rates(drawn.sum(3))
    differences = {}
    for name in found[0]:
        low, high = np.percentile(spread[0][name] - spread[1][name], (2.5, 97.5))
        differences[name] = (float((found[0][name] - found[1][name])[0]), (float(low), float(high)))
    p_value = binomtest(only_b, only_a + only_b).pvalue if only_a + only_b else 1.0
    return Comparison(n, only_a, only_b, float(p_value), differences)
