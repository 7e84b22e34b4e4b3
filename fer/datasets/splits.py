"""Cut a data set into parts that stay the same: by class, by seed, by the name of each sample.

    train, valid, test = (subset(ds, part) for part in split_indices(ds))
    print(leaks(train, test))

A sample's place follows from its key and the seed alone, not from where it
stands in a listing: another file system lists in another order, and a test
face must not move to the training part because of it.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from torch.utils import data

from fer.datasets.split_names import canonical
from fer.errors import DataInvalid

if TYPE_CHECKING:
    from fer.datasets.leaks import Leaks


class Labelled(Protocol):
    """What is needed of a data set: a label and a unique key for each sample."""

    labels: np.ndarray
    keys: Sequence[str]


def requested(split: str, classes: int, limit: int | None) -> str:
    """Check what AffectNet's loaders are asked for; return the split's name: "valid" and "validation" are "val".

    Raises:
        DataInvalid: other classes than 7 or 8, or a limit below 1.
    """
    if classes not in (7, 8):
        raise DataInvalid(f"classes={classes!r}; expected 8, or 7 to leave out contempt.")
    check_limit(limit)
    return canonical(split)


def check_limit(limit: int | None) -> None:
    """Raise DataInvalid for a limit below 1."""
    if limit is not None and limit < 1:
        raise DataInvalid(f"limit={limit}; expected a number of faces, or None for all.")


class Subset(data.Subset):
    """Some samples of a data set, with their labels and keys; items are those of the data set.

    Attributes:
        labels: int64 (n,).
        keys: n names.
        name, split: the data set's.
    """

    def __init__(self, dataset: data.Dataset, indices: np.ndarray | Sequence[int]) -> None:
        indices = np.asarray(indices)
        if indices.size and not np.issubdtype(indices.dtype, np.integer):
            raise DataInvalid(
                f"Found indices of {indices.dtype}; expected whole numbers. Of a mask: np.flatnonzero(mask)."
            )
        indices = indices.astype(np.int64)
        super().__init__(dataset, indices.tolist())
        self.labels = dataset.labels[indices]
        self.keys = [dataset.keys[i] for i in self.indices]
        self.name, self.split = dataset.name, dataset.split

    def __repr__(self) -> str:
        return f"Subset({len(self):,} of {self.dataset!r})"


def subset(dataset: data.Dataset, indices: np.ndarray | Sequence[int]) -> Subset:
    """Return the samples of ``dataset`` at ``indices``."""
    return Subset(dataset, indices)


def leaks(a: data.Dataset, b: data.Dataset, threshold: int = 6) -> "Leaks":
    """Find pictures that ``a`` and ``b`` share, by their contents: see ``fer.datasets.leaks``."""
    from fer.datasets import leaks as module  # ImageHash takes its time to import

    return module.leaks(a, b, threshold)


def split_indices(
    samples: Labelled | tuple[np.ndarray, Sequence[str]],
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> tuple[np.ndarray, ...]:
    """Cut samples into disjoint parts with the same mixture of classes.

    Each class is cut by itself, so each part has its fraction of every class,
    give or take one sample. The default is the protocol of the student project.

    Args:
        samples: a data set with ``labels`` and ``keys``, or these two.
        fractions: the share of each part; together 1.
        seed: another one gives other parts.

    Returns:
        For each fraction the positions of its samples, int64, ascending.

    Raises:
        DataInvalid: fractions that are not shares of a whole, or keys that occur twice.
    """
    labels, keys = samples if isinstance(samples, tuple) else (samples.labels, samples.keys)
    if not fractions or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DataInvalid(
            f"fractions={tuple(fractions)}; expected shares that add up to 1, e.g. (.8, .1, .1)."
        )
    ends = np.cumsum(fractions)
    parts: list[list[np.ndarray]] = [[] for _ in fractions]
    for members in _shuffled_classes(labels, keys, seed):
        # Rounded to 9 places first: .8 + .1 + .1 must not end below 1.
        cuts = np.rint(np.round(ends * len(members), 9)).astype(int)[:-1]
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.append(piece)
    return tuple(np.sort(np.concatenate(part)) if part else np.empty(0, np.int64) for part in parts)


def hold_out(samples: Labelled, share: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cut samples into those to learn from and a ``share`` of each class to choose with.

    As ``split_indices`` does, but one sample is held out of each class that has two
    or more: a tenth of four faces would be none.

    Returns:
        Positions of the two parts, int64, ascending.
    """
    kept, held_out = split_indices(samples, (1 - share, share), seed)
    classes = _shuffled_classes(samples.labels, samples.keys, seed)
    without = [members for members in classes if len(members) > 1 and not np.isin(members, held_out).any()]
    moved = np.array([members[-1] for members in without], np.int64)
    return np.setdiff1d(kept, moved), np.union1d(held_out, moved)


def representative(labels: np.ndarray, keys: Sequence[str], n: int, seed: int = 0) -> np.ndarray:
    """Choose ``n`` samples: one of each class first, then in proportion to the classes.

    The choice for a smaller ``n`` is part of the choice for a larger one.

    Returns:
        Positions, int64, ascending.
    """
    classes = _shuffled_classes(labels, keys, seed)
    if not classes:
        return np.empty(0, np.int64)
    depth = np.concatenate([np.arange(len(members)) / len(members) for members in classes])
    return np.sort(np.concatenate(classes)[np.argsort(depth, kind="stable")[:n]])


def _shuffled_classes(labels: np.ndarray, keys: Sequence[str], seed: int) -> list[np.ndarray]:
    """Return the positions of each class's samples, ordered by a seeded hash of their keys."""
    labels = np.asarray(labels)
    if len(set(keys)) != len(labels):
        raise DataInvalid(
            f"{len(labels):,} labels with {len(set(keys)):,} different keys; expected a key of its own for each."
        )
    salt = int(seed).to_bytes(8, "little", signed=True)
    hashes = [
        hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8, key=salt).digest()
        for key in keys
    ]
    order = np.argsort(np.frombuffer(b"".join(hashes), ">u8"), kind="stable")
    return [order[labels[order] == one] for one in np.unique(labels)]
