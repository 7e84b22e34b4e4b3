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


@pytest.mark.parametrize("exponent", [1.0, 0.5, 0.0])
def test_an_epoch_can_be_repeated(exponent):
    labels = np.arange(50) % 3
    first, again = (epoch_order(labels, 4, 2, exponent) for _ in range(2))
    assert np.array_equal(first, again)


def test_balanced_sampling_makes_classes_alike():
    labels = np.repeat([0, 1, 5], [9000, 900, 100])
    counts = np.bincount(labels[epoch_order(labels, 0, 0, exponent=0.0)], minlength=6)
    assert counts.sum() == 10_000
    assert counts[[2, 3, 4]].sum() == 0
    assert np.abs(counts[[0, 1, 5]] - 3333).max() < 250


def test_square_root_sampling_goes_by_the_root_of_the_frequency():
    labels = np.repeat([0, 1, 5], [8100, 900, 100])  # roots 90, 30, 10
    counts = np.bincount(labels[epoch_order(labels, 0, 0, exponent=0.5)], minlength=6)
    assert np.abs(counts[[0, 1, 5]] / counts.sum() - np.array([90, 30, 10]) / 130).max() < 0.02


@pytest.mark.parametrize("world", [1, 2, 3, 8, 9, 20])
def test_processes_share_a_batch_without_overlap_or_loss(world):
    batch = np.arange(100, 109)
    parts = [part_of(batch, rank, world) for rank in range(world)]
    assert sorted(np.concatenate(parts[: len(batch)])) == list(batch)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all(list(rest) == [100] for rest in parts[len(batch) :])
