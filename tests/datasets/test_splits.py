"""Splits that do not depend on a listing's order, and leaks found by contents."""

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from fer.datasets.leaks import Leak
from fer.datasets.splits import Subset, hold_out, leaks, representative, split_indices, subset
from fer.errors import DataInvalid

COUNTS = (500, 900, 170, 94, 43, 25, 166, 25)  # as uneven as AffectNet8


class Pictures(Dataset):
    """Images in memory."""

    name, split = "pictures", "train"

    def __init__(self, images, labels=None, keys=None):
        self.images = [torch.as_tensor(image) for image in images]
        self.labels = np.zeros(len(images), np.int64) if labels is None else labels
        self.keys = [f"train/{i}" for i in range(len(images))] if keys is None else keys

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], int(self.labels[i])


def listing():
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(8), COUNTS))
    return labels, [f"train/{3 * i}" for i in range(len(labels))]


# --- splits


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.1), (0.5, 0.5), (0.7, 0.1, 0.1, 0.1), (1.0,)])
def test_each_part_has_its_share_of_every_class(fractions):
    labels, keys = listing()
    parts = split_indices((labels, keys), fractions)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))  # disjoint, and nothing is lost
    for part, fraction in zip(parts, fractions, strict=True):
        assert part.dtype == np.int64 and (np.diff(part) > 0).all()
        assert (np.abs(np.bincount(labels[part], minlength=8) - fraction * np.array(COUNTS)) < 1).all()


def test_the_order_of_the_listing_does_not_matter():
    labels, keys = listing()
    order = np.random.default_rng(2).permutation(len(labels))
    before = split_indices((labels, keys))
    after = split_indices((labels[order], [keys[i] for i in order]))
    for one, other in zip(before, after, strict=True):
        assert {keys[i] for i in one} == {keys[order[i]] for i in other}


def test_the_parts_are_the_same_in_every_process_and_version():
    """The values themselves: a change would mix the test part of published results into training."""
    labels, keys = np.arange(12) % 2, [f"train/{i}" for i in range(12)]
    train, test = split_indices((labels, keys), (0.5, 0.5))
    assert (train.tolist(), test.tolist()) == ([0, 4, 6, 7, 9, 11], [1, 2, 3, 5, 8, 10])


def test_another_seed_gives_other_parts():
    one, other, again = (split_indices(listing(), seed=seed)[1].tolist() for seed in (0, 1, 0))
    assert one == again != other


def test_few_samples_and_none():
    assert [len(part) for part in split_indices((np.array([3]), ["train/1"]))] == [1, 0, 0]
    assert [len(part) for part in split_indices((np.array([], np.int64), []))] == [0, 0, 0]


@pytest.mark.parametrize(("n", "held"), [(1, 0), (2, 1), (4, 1), (5, 1), (20, 2)])
def test_of_each_class_at_least_one_is_held_out(n, held):
    """A tenth of four is none; the only face of a class is learned from."""
    pictures = Pictures(np.zeros((2 * n, 3, 1, 1), np.uint8), labels=np.repeat([0, 5], n))
    kept, held_out = hold_out(pictures)
    assert np.bincount(pictures.labels[held_out], minlength=6).tolist() == [held, 0, 0, 0, 0, held]
    assert sorted([*kept, *held_out]) == list(range(2 * n))
    assert kept.dtype == held_out.dtype == np.int64


def test_large_classes_are_held_out_as_they_are_split():
    pictures = Pictures(np.zeros((sum(COUNTS), 1, 1, 1), np.uint8), *listing())
    for one, other in zip(hold_out(pictures), split_indices(pictures, (0.9, 0.1)), strict=True):
        assert np.array_equal(one, other)


def test_what_a_part_was_learned_from_is_never_held_out_of_the_whole():
    """A model that was trained with --limit may be calibrated on the whole held-out tenth."""
    labels, keys = listing()
    whole = Pictures(np.zeros((len(labels), 1, 1, 1), np.uint8), labels, keys)
    held_out = {keys[i] for i in hold_out(whole)[1]}
    for limit in (8, 30, 200, 1800):
        part = subset(whole, representative(labels, keys, limit))
        assert not held_out & {part.keys[i] for i in hold_out(part)[0]}


@pytest.mark.parametrize("fractions", [(0.8, 0.1), (0.8, 0.3), (1.2, -0.2), ()])
def test_fractions_must_be_shares_of_a_whole(fractions):
    with pytest.raises(DataInvalid, match="add up to 1"):
        split_indices(listing(), fractions)


def test_keys_must_be_unique():
    with pytest.raises(DataInvalid, match="2 labels with 1 different keys"):
        split_indices((np.array([0, 1]), ["train/1", "train/1"]))


def test_representative_is_nested_and_has_every_class():
    labels, keys = listing()
    eight, many = representative(labels, keys, 8), representative(labels, keys, 400)
    assert sorted(labels[eight]) == list(range(8))
    assert set(eight) <= set(many) and len(many) == 400
    assert np.abs(np.bincount(labels[many]) - 400 * np.array(COUNTS) / sum(COUNTS)).max() <= 2


def test_a_subset_keeps_what_a_data_set_has():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 1, 2, 2), np.uint8)
    whole = Pictures(images, np.array([4, 3, 2, 1, 0]))
    part = subset(whole, np.array([4, 1]))
    assert isinstance(part, Subset) and len(part) == 2
    assert part.labels.tolist() == [0, 3] and part.keys == ["train/4", "train/1"]
    assert (part.name, part.split) == ("pictures", "train")
    assert [(int(image[0, 0, 0]), label) for image, label in part] == [(4, 0), (1, 3)]
    assert subset(part, [1]).keys == ["train/1"]


# --- leaks


def scenes(n, channels=3, seed=0, size=48):
    """Smooth pictures that differ from each other as photos do."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (n, 6, 6, channels), np.uint8)
    large = [
        cv2.resize(one, (size, size), interpolation=cv2.INTER_CUBIC).reshape(size, size, channels)
        for one in small
    ]
    return [np.ascontiguousarray(one.transpose(2, 0, 1)) for one in large]


def brighter(image):
    return np.clip(image.astype(int) * 0.9 + 20, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_copies_are_found_by_contents(channels):
    """Other objects, other places, other keys: comparing identities would find nothing."""
    a, b = scenes(30, channels), scenes(20, channels, seed=1)
    b[4], b[7] = a[11].copy(), a[2].copy()
    found = leaks(Pictures(a), Pictures(b))
    assert list(found) == [Leak(2, 7, 0, True), Leak(11, 4, 0, True)]
    assert len(found) == 2 and "2 pairs of equal" in str(found)


def test_near_copies_are_found_within_the_threshold():
    a, b = scenes(30), scenes(20, seed=1)
    b[3] = brighter(a[5])
    small = cv2.resize(a[8].transpose(1, 2, 0), (40, 40), interpolation=cv2.INTER_AREA)
    b[9] = np.ascontiguousarray(small.transpose(2, 0, 1))
    found = leaks(Pictures(a), Pictures(b))
    assert [(leak.i, leak.j, leak.exact) for leak in found] == [(5, 3, False), (8, 9, False)]
    assert found.distance.max() <= 6
    assert not leaks(Pictures(a), Pictures(b), threshold=-1)
    b[9] = a[8]
    assert [leak.exact for leak in leaks(Pictures(a), Pictures(b), threshold=-1)] == [True]


def test_no_leak_is_found_where_there_is_none():
    assert len(leaks(Pictures(scenes(40)), Pictures(scenes(40, seed=1)))) == 0
    assert len(leaks(Pictures([]), Pictures(scenes(3)))) == 0


def test_a_set_is_compared_with_itself_without_the_diagonal():
    images = scenes(10)
    images[7] = images[1].copy()
    whole = Pictures(images)
    assert [(leak.i, leak.j) for leak in leaks(whole, whole)] == [(1, 7)]


def test_equal_bytes_of_another_shape_are_no_copy():
    flat = np.arange(64, dtype=np.uint8)
    a, b = Pictures([flat.reshape(1, 4, 16)]), Pictures([flat.reshape(1, 16, 4)])
    assert not leaks(a, b).exact.any()


def test_a_split_of_one_set_leaks_only_its_own_copies():
    images = scenes(60)
    images[1] = images[0].copy()
    whole = Pictures(images)
    train, test = (subset(whole, part) for part in split_indices(whole, (0.5, 0.5)))
    found = {(train.keys[leak.i], test.keys[leak.j]) for leak in leaks(train, test)}
    assert found <= {("train/0", "train/1"), ("train/1", "train/0")}


def test_images_must_be_as_they_were_read():
    with pytest.raises(DataInvalid, match="open without transform"):
        leaks(Pictures([np.zeros((1, 4, 4), np.float32)]), Pictures(scenes(1)))


@pytest.mark.parametrize("wrong", [np.array([True, False, True]), [0.0, 1.0]])
def test_a_subset_is_told_by_places_not_by_a_mask(wrong):
    """A mask would be read as faces 0 and 1, many times."""
    dataset = TensorDataset(torch.arange(3))
    dataset.labels, dataset.keys, dataset.name, dataset.split = np.arange(3), list("abc"), "letters", "train"
    with pytest.raises(DataInvalid, match=r"np\.flatnonzero"):
        subset(dataset, wrong)
    assert len(subset(dataset, [])) == 0
