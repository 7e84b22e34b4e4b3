"""What splits are called, and how to cut a data set into parts that stay the same: by class, by seed, by key.

    train, valid, test = (Subset(ds, part) for part in split_indices(ds))
    print(leaks(train, test))  # fer.datasets.leaks

A sample's part follows from its key and the seed alone, not from its place in
a listing: another file system lists in another order, and a test face must not
move to the training part because of it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
from torch.utils import data

from fer.datasets.face_dataset import FaceDataset
from fer.errors import DataInvalid, UsageError

NAMES = {
    "train": ("train", "training", "train_set"),
    "val": ("val", "valid", "validation", "val_set", "validation_set"),
    "test": ("test", "testing"),
}
"""Each split, and the names that mean it, in lower case."""


def canonical(name: str) -> str:
    """Return ``"train"``, ``"val"`` or ``"test"`` for any of their names, in any case; another name as it is."""
    return next((split for split, names in NAMES.items() if name.lower() in names), name)


def own_name(split: str, own: Iterable[str]) -> str | None:
    """Return which of a data set's own names means ``split`` (FER+ has ``"valid"``), or None."""
    return next((name for name in own if canonical(name) == canonical(split)), None)


def of_folder(name: str) -> str:
    """Return the one split that a folder or tar of this name holds: under an unknown name train, or val.

    The same faces must never answer as both.
    """
    split = canonical(name)
    return split if split in NAMES else "val" if "val" in name.lower() else "train"


def requested(split: str, classes: int, limit: int | None) -> str:
    """Check the arguments of AffectNet's loaders; return the canonical name of the split."""
    if classes not in (7, 8):
        raise UsageError(f"classes={classes!r}; expected 8, or 7 to leave out contempt.")
    check_limit(limit)
    return canonical(split)


def check_limit(limit: int | None) -> None:
    """Raise UsageError for a limit that is no number of faces."""
    if limit is not None and not (isinstance(limit, int) and limit >= 1):
        raise UsageError(f"limit={limit!r}; expected a number of faces, or None for all.")


class Subset(data.Subset):
    """The samples of a data set at ``indices`` (or a mask), with their labels and keys; items are the data set's."""

    def __init__(self, dataset: FaceDataset, indices: np.ndarray | Sequence[int]) -> None:
        indices = np.arange(len(dataset))[list(indices)]  # refuses what is no index
        super().__init__(cast(data.Dataset, dataset), indices.tolist())
        self.labels = dataset.labels[indices]
        self.keys = [dataset.keys[i] for i in self.indices]
        self.name, self.split = dataset.name, dataset.split

    def __repr__(self) -> str:
        return f"Subset({len(self):,} of {self.dataset!r})"


def split_indices(
    samples: FaceDataset, fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Cut samples into disjoint parts with the same class frequencies; return the indices of each, ascending.

    Each class is cut by itself, so each part has its fraction of every class,
    give or take one sample. The default is the protocol of the student project.

    Raises:
        DataInvalid: fractions that do not add up to 1, or keys that occur twice.
    """
    if not fractions or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DataInvalid(f"fractions={tuple(fractions)}; expected some that add up to 1, e.g. (.8, .1, .1).")
    ends = np.cumsum(fractions)
    parts: list[list[np.ndarray]] = [[np.empty(0, np.int64)] for _ in fractions]
    for members in _shuffled_classes(samples.labels, samples.keys, seed):
        # Rounded to 9 places first: .8 + .1 + .1 must not end below 1.
        cuts = np.rint(np.round(ends * len(members), 9)).astype(int)[:-1]
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.append(piece)
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def hold_out(samples: FaceDataset) -> tuple[np.ndarray, np.ndarray]:
    """Cut samples into those to learn from and a tenth of each class to choose the epoch with.

    As ``split_indices`` does, but one sample is held out of each class that has two
    or more: a tenth of four faces would be none.
    """
    kept, held_out = split_indices(samples, (0.9, 0.1))
    classes = _shuffled_classes(samples.labels, samples.keys, seed=0)
    without = [members for members in classes if len(members) > 1 and not np.isin(members, held_out).any()]
    moved = np.array([members[-1] for members in without], np.int64)
    return np.setdiff1d(kept, moved), np.union1d(held_out, moved)


def representative(labels: np.ndarray, keys: Sequence[str], n: int | None, seed: int = 0) -> np.ndarray:
    """Return the indices of at most ``n`` samples: one of each class first, then in proportion to the classes.

    The choice for a smaller ``n`` is part of the choice for a larger one; None is all.
    """
    if n is None or n >= len(labels):
        return np.arange(len(labels))
    classes = _shuffled_classes(labels, keys, seed)
    depth = np.concatenate([np.arange(len(members)) / len(members) for members in classes])
    return np.sort(np.concatenate(classes)[np.argsort(depth, kind="stable")[:n]])


def _shuffled_classes(labels: np.ndarray, keys: Sequence[str], seed: int) -> list[np.ndarray]:
    """Return the indices of each class's samples, ordered by a seeded hash of their keys."""
    labels = np.asarray(labels)
    if len(set(keys)) != len(labels):
        raise DataInvalid(
            f"{len(labels):,} labels with {len(set(keys)):,} different keys; expected a unique key for each."
        )
    salt = int(seed).to_bytes(8, "little", signed=True)
    hashes = [
        hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8, key=salt).digest()
        for key in keys
    ]
    order = np.argsort(np.frombuffer(b"".join(hashes), ">u8"), kind="stable")
    return [order[labels[order] == label] for label in np.unique(labels)]
