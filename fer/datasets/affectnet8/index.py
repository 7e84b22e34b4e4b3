"""AffectNet8's index: which faces can be used, their labels, and what is wrong with the others.

Finding that out takes hundreds of thousands of small reads. It is done once and
kept in a file beside the images, which opens in a fraction of a second.
"""

import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from fer.datasets.affectnet8 import npy
from fer.errors import DataInvalid
from fer.files import replacing
from fer.labels import EMOTIONS

FORMAT = 2
SPLITS = ("train", "val")
PUBLISHED = {
    "train": (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750),
    "val": (500, 500, 500, 500, 500, 500, 500, 499),
}
"""Images of each class, in the order of ``EMOTIONS``."""

OTHERS = ("none", "uncertain", "non-face")
"""The codes 8 to 10 of the releases that hold all faces: not emotions."""

ANNOTATIONS = ("exp", "val", "aro", "lnd")
COLUMNS = ("image", *ANNOTATIONS)

NO_LABEL = "image without its label file"
NO_IMAGE = "annotation without its image"
UNREADABLE = "unreadable label file"
OUTSIDE = "label outside 0-7"
BROKEN = "broken image"


class Problem(NamedTuple):
    """A face that cannot be used: the kind of fault, the file (below the split's folder), and what was found."""

    kind: str
    file: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.kind}" + f" ({self.detail})" * bool(self.detail)


@dataclass(frozen=True)
class Index:
    """The faces of one split, ordered by id.

    Attributes:
        ids: int64 (N,); text where a file's name is no plain number.
        labels: int8 (N,), indices into ``EMOTIONS``; those after them stand for ``OTHERS``.
        offsets: for a tar, int64 (N, 5): where the bytes of each of ``COLUMNS`` start; -1: absent.
            For a table, int64 (N, 1): where the row starts.
        sizes: of the same shape: how many they are.
        boxes: for a table, int32 (N, 4): left, top, width and height of the face in its photo.
        problems: what was found on the faces that are left out.
    """

    ids: np.ndarray
    labels: np.ndarray
    offsets: np.ndarray | None = None
    sizes: np.ndarray | None = None
    boxes: np.ndarray | None = None
    problems: tuple[Problem, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> "Index":
        """Return the index of some faces only: ``rows`` is a mask or positions."""
        arrays = {name: value[rows] for name, value in self.arrays().items()}
        return replace(self, **arrays)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that are there, by name."""
        named = {name: getattr(self, name) for name in ("ids", "labels", "offsets", "sizes", "boxes")}
        return {name: value for name, value in named.items() if value is not None}


class Source(Protocol):
    """What an index needs of a source: see ``fer.datasets.affectnet8.source``."""

    index_path: Path

    def stamp(self, index: Index | None) -> dict[str, object]:
        """Return values that differ when the files have changed."""

    def scan(self) -> Index:
        """Look at all files."""


def open_index(source: Source) -> tuple[Index, float]:
    """Return the index of a source and the seconds it took to build: 0 when it was read from its file.

    Raises:
        DataInvalid: the file of the index is damaged.
    """
    path = source.index_path
    if path.is_file() and (kept := read(path)) is not None:
        index, stamp = kept
        if stamp == source.stamp(index):
            return index, 0.0
    began = time.perf_counter()
    before = source.stamp(None)  # taken first: a change during the scan makes the index stale
    index = source.scan()
    try:
        write(path, index, {**source.stamp(index), **before})
    except OSError as error:
        print(f"note: {path} cannot be written ({error.strerror}): the index is rebuilt at every start.")
    return index, time.perf_counter() - began


def write(path: Path, index: Index, stamp: Mapping[str, object]) -> None:
    """Store an index: 32 bytes of SHA-256, then an .npz with the arrays and a JSON text, ``about``."""
    about = {"format": FORMAT, "emotions": EMOTIONS, "stamp": stamp, "problems": index.problems}
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, about=text, **index.arrays())
    data = buffer.getbuffer()
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(hashlib.sha256(data).digest())
        file.write(data)


def read(path: Path) -> tuple[Index, dict[str, object]] | None:
    """Return a stored index and its stamp, or None where another version of this code wrote it.

    Raises:
        DataInvalid: the file is not what was written.
    """
    data = memoryview(path.read_bytes())
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        raise DataInvalid(
            f"{path} is damaged: its check sum is not that of its contents. "
            "Delete it; it is built anew at the next start (some seconds for the full set)."
        )
    with np.load(io.BytesIO(data[32:]), allow_pickle=False) as arrays:
        about = json.loads(arrays["about"].tobytes())
        if about["format"] != FORMAT or about["emotions"] != list(EMOTIONS):
            return None
        kept = {name: arrays[name] for name in arrays.files if name != "about"}
    return Index(**kept, problems=tuple(Problem(*row) for row in about["problems"])), about["stamp"]


class Fault(NamedTuple):
    """Why an ``_exp.npy`` gives no label."""

    kind: str
    detail: str


@lru_cache(maxsize=4096)  # all faces of a class have the same bytes
def label(data: bytes) -> int | Fault:
    """Return the class index that the bytes of an ``_exp.npy`` hold, or what is wrong with them."""
    try:
        value = npy.whole_number(data)
    except npy.NpyError as error:
        return Fault(UNREADABLE, str(error))
    return value if 0 <= value < len(EMOTIONS) else Fault(OUTSIDE, f"found {value}")


def assemble(
    images: Set[str],
    labels: Mapping[str, int | Fault],
    strays: Mapping[str, str],
    label_file: Callable[[str], str],
) -> Index:
    """Pair images and labels by id.

    Args:
        images: ids that have an image.
        labels: what the label file holds, of those that have one.
        strays: ids that have an annotation of any kind but no image, and the file of one.
        label_file: from an id to the file that should hold its label.
    """
    problems = {one: Problem(NO_IMAGE, file) for one, file in strays.items()}
    problems |= {one: Problem(NO_LABEL, f"images/{one}.jpg") for one in images - labels.keys()}
    good = []
    for one, found in labels.items():
        if isinstance(found, Fault):
            problems[one] = Problem(found.kind, label_file(one), found.detail)
        else:
            good.append(one)
    plain = _are_plain_numbers(good)
    good.sort(key=int if plain else _by_number)
    return Index(
        np.array(list(map(int, good)), np.int64) if plain else np.array(good, np.str_),
        np.array([labels[one] for one in good], np.int8),
        problems=tuple(problems[one] for one in sorted(problems, key=_by_number)),
    )


def code(value: object) -> int | Fault:
    """Return an expression as the releases with eleven codes write it: 0 to 10, as a number or text."""
    try:
        number = float(str(value))
    except ValueError:
        return Fault(OUTSIDE, f"found {str(value)[:40]!r}")
    return int(number) if number in range(len(EMOTIONS) + len(OTHERS)) else Fault(OUTSIDE, f"found {value}")


def count_others(labels: np.ndarray) -> dict[str, int]:
    """Return how many faces have each code that is no emotion, by name, without those that have none."""
    counts = np.bincount(labels, minlength=len(EMOTIONS) + len(OTHERS))[len(EMOTIONS) :]
    return {name: int(n) for name, n in zip(OTHERS, counts, strict=True) if n}


def count_by_kind(problems: Iterable[Problem]) -> str:
    """Return for example "2 label outside 0-7, 1 unreadable label file"."""
    return ", ".join(f"{n:,} {kind}" for kind, n in Counter(p.kind for p in problems).most_common())


def _are_plain_numbers(ids: list[str]) -> bool:
    """Tell whether int64 holds all these ids and gives them back as they were written."""
    try:
        numbers = list(map(int, ids))
    except ValueError:
        return False
    return list(map(str, numbers)) == ids and all(0 <= number < 10**18 for number in numbers)


def _by_number(one: str) -> tuple[int, int, str]:
    return (0, int(one), one) if one.isascii() and one.isdecimal() else (1, 0, one)
