"""Which samples make up each batch: one order an epoch, cut alike for any number of processes.

Batches follow from the seed and the epoch alone. Each process takes its part of
every batch, so one process or ten see the same samples in the same step, and a
run can go on from any batch.
"""

from collections.abc import Iterator

import numpy as np


def epoch_order(labels: np.ndarray, seed: int, epoch: int, balanced: bool = False) -> np.ndarray:
    """Return the order of one epoch, int64 (N,): each sample once, or drawn so that classes are equally frequent."""
    rng = np.random.default_rng((seed, epoch))
    if not balanced:
        return rng.permutation(len(labels))
    frequency = np.bincount(labels)
    weights = 1 / frequency[labels]
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


def share(batch: np.ndarray, rank: int, world: int) -> np.ndarray:
    """Return the samples of a batch that are one process's: all processes together have each once.

    A process that is left without one gets the first, to have something to
    compute; it must not count it.
    """
    return batch[rank::world] if rank < len(batch) else batch[:1]
