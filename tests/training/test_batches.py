"""The order of an epoch and how it is cut."""

import numpy as np
import pytest

from fer.training.batches import cut, epoch_order, part_of


@pytest.mark.parametrize("n", [1, 7, 8, 9, 63, 64, 65, 71, 72, 1000])
@pytest.mark.parametrize("size", [1, 4, 8, 64])
def test_batches_cover_each_sample_once(n, size):
    spans = list(cut(n, size))
    assert [i for a, b in spans for i in range(a, b)] == list(range(n))


@pytest.mark.parametrize(
    ("n", "spans"),
    [
        (128, [(0, 64), (64, 128)]),
        (135, [(0, 64), (64, 135)]),  # 7 left: too few for batch statistics
        (136, [(0, 64), (64, 128), (128, 136)]),
        (5, [(0, 5)]),
    ],
)
def test_a_small_rest_joins_the_last_batch(n, spans):
    assert list(cut(n, 64)) == spans


def test_an_epoch_holds_each_sample_once_in_an_order_of_its_own():
    """Seed and epoch are not added: runs with other seeds would repeat each other."""
    labels = np.zeros(100, int)
    orders = [epoch_order(labels, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for order in orders:
        assert sorted(order) == list(range(100))
    assert len({order.tobytes() for order in orders}) == 3


@pytest.mark.parametrize(
    ("exponent", "proportions"),
    [(0.0, [1 / 3, 1 / 3, 1 / 3]), (0.5, [90 / 130, 30 / 130, 10 / 130])],  # by the roots of the frequencies
)
def test_resampling_goes_by_a_power_of_the_frequencies(exponent, proportions):
    labels = np.repeat([0, 1, 5], [8100, 900, 100])
    order, again = (epoch_order(labels, 0, 0, exponent) for _ in range(2))
    assert np.array_equal(order, again)
    counts = np.bincount(labels[order], minlength=6)
    assert counts.sum() == 9100
    assert counts / 9100 == pytest.approx([*proportions[:2], 0, 0, 0, proportions[2]], abs=0.02)


@pytest.mark.parametrize("world", [1, 2, 3, 8, 9, 20])
def test_processes_share_a_batch_without_overlap_or_loss(world):
    batch = np.arange(100, 109)
    parts = [part_of(batch, rank, world) for rank in range(world)]
    assert sorted(np.concatenate(parts[: len(batch)])) == list(batch)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all(list(rest) == [100] for rest in parts[len(batch) :])
