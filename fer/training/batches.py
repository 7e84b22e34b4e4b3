"""Which samples make up each batch: it follows from the seed and the epoch, for any number of processes.

Each takes its part of every batch, so one process or ten see the same samples in
the same step, and a run can go on from any batch.
"""

from collections.abc import Iterator

import numpy as np

SAMPLING = {"square_root_sampling": 0.5, "balanced_sampling": 0.0}
"""Exponent of each ``imbalance`` that resamples: see ``epoch_order``."""


def epoch_order(labels: np.ndarray, seed: int, epoch: int, exponent: float = 1.0) -> np.ndarray:
    """Return the order of one epoch, int64 (N,): each sample once, or resampled by class.

    With an ``exponent`` below 1 a class of n samples is sampled in proportion to
    n ** exponent (0.5: Kang et al. 2020, arXiv:1910.09217).
    """
    rng = np.random.default_rng((seed, epoch))
    if exponent == 1:
        return rng.permutation(len(labels))
    weights = np.bincount(labels)[labels] ** (exponent - 1)
    return rng.choice(len(labels), len(labels), p=weights / weights.sum())


def cut(n: int, size: int, smallest: int = 8) -> Iterator[tuple[int, int]]:
    """Yield the spans (from, to) of batches over n samples; a last one below ``smallest`` joins the one before."""
    begin = 0
    while begin < n:
        end = begin + size
        if n - end < min(smallest, size):
            end = n
        yield begin, end
        begin = end


def part_of(batch: np.ndarray, rank: int, world: int) -> np.ndarray:
    """Return one process's samples of a batch; one that has none gets the first, to compute but not to count."""
    return batch[rank::world] if rank < len(batch) else batch[:1]
