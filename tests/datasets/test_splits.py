"""Splits that do not depend on a listing's order, and leaks found by contents."""

from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from fer.datasets.leaks import Leak, leaks
from fer.datasets.splits import Subset, hold_out, representative, split_indices
from fer.errors import DataInvalid

COUNTS = (500, 900, 170, 94, 43, 25, 166, 25)  # as uneven as AffectNet8


class Images(Dataset):
    """Images in memory."""

    name, split = "images", "train"

    def __init__(self, images, labels=None, keys=None):
        self.images = [torch.as_tensor(image) for image in images]
        self.labels = np.zeros(len(images), np.int64) if labels is None else labels
        self.keys = [f"train/{i}" for i in range(len(images))] if keys is None else keys

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], int(self.labels[i])


class Listing(NamedTuple):
    """Samples without images."""

    labels: np.ndarray
    keys: list[str]


def listing():
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(8), COUNTS))
    return Listing(labels, [f"train/{3 * i}" for i in range(len(labels))])


# --- splits


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.1), (0.5, 0.5), (0.7, 0.1, 0.1, 0.1), (1.0,)])
def test_each_part_has_its_fraction_of_every_class(fractions):
    labels, keys = listing()
    parts = split_indices(Listing(labels, keys), fractions)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))  # disjoint, and nothing is lost
    for part, fraction in zip(parts, fractions, strict=True):
        assert part.dtype == np.int64 and (np.diff(part) > 0).all()
        assert (np.abs(np.bincount(labels[part], minlength=8) - fraction * np.array(COUNTS)) < 1).all()


def test_the_order_of_the_listing_does_not_matter():
    labels, keys = listing()
    order = np.random.default_rng(2).permutation(len(labels))
    before = split_indices(Listing(labels, keys))
    after = split_indices(Listing(labels[order], [keys[i] for i in order]))
    for one, other in zip(before, after, strict=True):
        assert {keys[i] for i in one} == {keys[order[i]] for i in other}


def test_the_parts_are_the_same_in_every_process_and_version():
    """The values themselves: a change would mix the test part of published results into training."""
    labels, keys = np.arange(12) % 2, [f"train/{i}" for i in range(12)]
    train, test = split_indices(Listing(labels, keys), (0.5, 0.5))
    assert (train.tolist(), test.tolist()) == ([0, 4, 6, 7, 9, 11], [1, 2, 3, 5, 8, 10])


def test_another_seed_gives_other_parts():
    one, other, again = (split_indices(listing(), seed=seed)[1].tolist() for seed in (0, 1, 0))
    assert one == again != other


def test_few_samples_and_none():
    assert [len(part) for part in split_indices(Listing(np.array([3]), ["train/1"]))] == [1, 0, 0]
    assert [len(part) for part in split_indices(Listing(np.array([], np.int64), []))] == [0, 0, 0]


@pytest.mark.parametrize(("n", "held"), [(1, 0), (2, 1), (4, 1), (5, 1), (20, 2)])
def test_of_each_class_at_least_one_is_held_out(n, held):
    """A tenth of four is none; the only face of a class is learned from."""
    faces = Listing(np.repeat([0, 5], n), [str(i) for i in range(2 * n)])
    kept, held_out = hold_out(faces)
    assert np.bincount(faces.labels[held_out], minlength=6).tolist() == [held, 0, 0, 0, 0, held]
    assert sorted([*kept, *held_out]) == list(range(2 * n))
    assert kept.dtype == held_out.dtype == np.int64


def test_large_classes_are_held_out_as_they_are_split():
    for one, other in zip(hold_out(listing()), split_indices(listing(), (0.9, 0.1)), strict=True):
        assert np.array_equal(one, other)


def test_what_a_part_was_learned_from_is_never_held_out_of_the_whole():
    """A model that was trained with --limit may be calibrated on the whole held-out tenth."""
    labels, keys = listing()
    whole = Images(np.zeros((len(labels), 1, 1, 1), np.uint8), labels, keys)
    held_out = {keys[i] for i in hold_out(whole)[1]}
    for limit in (8, 30, 200, 1800):
        part = Subset(whole, representative(labels, keys, limit))
        assert not held_out & {part.keys[i] for i in hold_out(part)[0]}


@pytest.mark.parametrize("fractions", [(0.8, 0.1), (0.8, 0.3), (1.2, -0.2), ()])
def test_fractions_must_add_up_to_1(fractions):
    with pytest.raises(DataInvalid, match="add up to 1"):
        split_indices(listing(), fractions)


def test_keys_must_be_unique():
    with pytest.raises(DataInvalid, match="2 labels with 1 different keys"):
        split_indices(Listing(np.array([0, 1]), ["train/1", "train/1"]))


def test_representative_is_nested_and_has_every_class():
    labels, keys = listing()
    eight, many = representative(labels, keys, 8), representative(labels, keys, 400)
    assert sorted(labels[eight]) == list(range(8))
    assert set(eight) <= set(many) and len(many) == 400
    assert np.abs(np.bincount(labels[many]) - 400 * np.array(COUNTS) / sum(COUNTS)).max() <= 2


def test_a_subset_keeps_what_a_data_set_has():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 1, 2, 2), np.uint8)
    whole = Images(images, np.array([4, 3, 2, 1, 0]))
    part = Subset(whole, np.array([4, 1]))
    assert len(part) == 2
    assert part.labels.tolist() == [0, 3] and part.keys == ["train/4", "train/1"]
    assert (part.name, part.split) == ("images", "train")
    assert [(int(image[0, 0, 0]), label) for image, label in part] == [(4, 0), (1, 3)]
    assert Subset(part, (1,)).keys == ["train/1"] and len(Subset(part, [])) == 0
    assert Subset(whole, np.array([True, False, True, False, False])).keys == ["train/0", "train/2"]
    with pytest.raises(IndexError):
        Subset(whole, [0.0, 1.0])


# --- leaks


def scenes(n, channels=3, seed=0, size=48):
    """Smooth images that differ from each other as photos do."""
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
    found = leaks(Images(a), Images(b))
    assert list(found) == [Leak(2, 7, 0, True), Leak(11, 4, 0, True)]
    assert len(found) == 2 and "2 pairs of equal" in str(found)


def test_near_copies_are_found_within_the_threshold():
    a, b = scenes(30), scenes(20, seed=1)
    b[3] = brighter(a[5])
    small = cv2.resize(a[8].transpose(1, 2, 0), (40, 40), interpolation=cv2.INTER_AREA)
    b[9] = np.ascontiguousarray(small.transpose(2, 0, 1))
    found = leaks(Images(a), Images(b))
    assert [(leak.i, leak.j, leak.exact) for leak in found] == [(5, 3, False), (8, 9, False)]
    assert max(leak.distance for leak in found) <= 6
    assert not leaks(Images(a), Images(b), threshold=-1)
    b[9] = a[8]
    assert [leak.exact for leak in leaks(Images(a), Images(b), threshold=-1)] == [True]


def test_no_leak_is_found_where_there_is_none():
    assert len(leaks(Images(scenes(40)), Images(scenes(40, seed=1)))) == 0
    assert len(leaks(Images([]), Images(scenes(3)))) == 0
    flat = np.arange(64, dtype=np.uint8)  # equal bytes of another shape
    found = leaks(Images([flat.reshape(1, 4, 16)]), Images([flat.reshape(1, 16, 4)]))
    assert not any(leak.exact for leak in found)


def test_a_set_is_compared_with_itself_without_the_diagonal():
    images = scenes(10)
    images[7] = images[1].copy()
    faces = Images(images)
    assert [(leak.i, leak.j) for leak in leaks(faces, faces)] == [(1, 7)]


def test_images_must_be_as_they_were_read():
    with pytest.raises(DataInvalid, match="open without transform"):
        leaks(Images([np.zeros((1, 4, 4), np.float32)]), Images(scenes(1)))
