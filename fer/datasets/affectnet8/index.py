"""The index of one split: which faces can be used, their labels, and what is wrong with the others.

Finding that out takes hundreds of thousands of small reads. The result is kept
in one file beside the images, to which valence and arousal are added when they are known.
"""

import hashlib
import io
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fer.datasets.affectnet8 import npy
from fer.errors import DataInvalid, reading
from fer.files import replacing
from fer.labels import EMOTIONS

FORMAT = 5
AGAIN = "Delete it; it is built anew."
PUBLISHED = {
    "train": (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750),
    "val": (500, 500, 500, 500, 500, 500, 500, 499),
}
"""Images of each class in AffectNet8, in the order of ``EMOTIONS``."""

OTHERS = ("none", "uncertain", "non-face")
"""The codes 8 to 10 of the releases with eleven codes: not emotions."""

ANNOTATIONS = ("exp", "val", "aro", "lnd")

NO_LABEL = "image without its label file"
NO_IMAGE = "annotation without its image"
UNREADABLE = "unreadable label file"
OUTSIDE = "label outside 0-7"
BROKEN = "broken image"


class Problem(NamedTuple):
    """A face that cannot be used: the kind of fault, the file below the split's folder, and what was found."""

    kind: str
    file: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.kind}" + f" ({self.detail})" * bool(self.detail)


@dataclass(frozen=True)
class Index:
    """The faces of one split, ordered by id.

    Attributes:
        ids: text (N,).
        labels: int8 (N,), indices into ``EMOTIONS``; those after them stand for ``OTHERS``.
        places: of a tar, int64 (N, 5, 2): where the bytes of the image and of each of ``ANNOTATIONS`` start (-1:
            absent), and how many they are; of a table, int64 (N, 1, 2): the same of the row.
        valence_arousal: float32 (N, 2); NaN where absent, infinite where not read yet.
        problems: what was found on the faces that are left out.
        stamp: values that differ when the files have changed.
    """

    ids: np.ndarray
    labels: np.ndarray
    places: np.ndarray = field(default_factory=lambda: np.empty(0))
    valence_arousal: np.ndarray = field(default_factory=lambda: np.empty(0))
    problems: tuple[Problem, ...] = field(default=(), repr=False)
    stamp: Mapping[str, object] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> "Index":
        """Return the index of some faces only: ``rows`` is a mask or positions."""
        return replace(self, **{name: value[rows] for name, value in self.arrays().items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that have a row for each face, by name."""
        arrays = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return {name: value for name, value in arrays.items() if len(value) == len(self)}


def write(path: Path, index: Index) -> None:
    """Store an index: 32 bytes of SHA-256, then an .npz with the arrays and a JSON text, ``about``."""
    about = {"format": FORMAT, "emotions": EMOTIONS, "stamp": index.stamp, "problems": index.problems}
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, about=text, **index.arrays())
    data = buffer.getbuffer()
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(hashlib.sha256(data).digest())
        file.write(data)


def read(path: Path) -> Index | None:
    """Return a stored index, or None where another version of this code wrote it.

    Raises:
        DataInvalid: the file is not what was written.
    """
    data = memoryview(path.read_bytes())
    with reading(path, AGAIN):
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            raise ValueError("its check sum is wrong")
        with np.load(io.BytesIO(data[32:]), allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            if about["format"] != FORMAT or about["emotions"] != list(EMOTIONS):
                return None
            stored = {name: arrays[name] for name in arrays.files if name != "about"}
        index = Index(
            **stored,
            problems=tuple(Problem(*map(str, row)) for row in about["problems"]),
            stamp=about["stamp"],
        )
        _check(index)
    return index


def check_places(path: Path, index: Index, n: int) -> None:
    """Raise DataInvalid unless an index has ``n`` places a face in the tar or table of ``NAME.index``."""
    end = path.with_suffix("").stat().st_size if n else 0
    whole = index.places.shape == ((len(index), n, 2) if n else (0,))
    if whole and n:
        starts, sizes = index.places.transpose(2, 0, 1)
        known = (starts >= 0) & (starts <= end) & (sizes >= 0) & (sizes <= end - starts)
        whole = known[:, 0].all() and (known | (starts == -1)).all()  # the first is the image's
    if not whole:
        raise DataInvalid(f"{path} is damaged: it has no or other places than {path.stem}. {AGAIN}")


def _check(index: Index) -> None:
    """Raise ValueError for arrays that are none of an index."""
    n, last = len(index), len(EMOTIONS) + len(OTHERS) - 1
    expected = {"ids": ("U", (n,)), "labels": ("i", (n,)), "valence_arousal": ("f", (n, 2))}
    expected |= {"places": ("i", (n, *index.places.shape[1:2], 2))}
    for name, kind_and_shape in expected.items():
        array = vars(index)[name]
        if array.size and (array.dtype.kind, array.shape) != kind_and_shape:
            raise ValueError(f"{name} of {array.dtype} {array.shape}")
    if b"\0" in os.fsencode(" ".join(index.ids.tolist())):  # which also refuses what is no text
        raise ValueError("ids that are no names")
    if len(index.labels) != n or not ((index.labels >= 0) & (index.labels <= last)).all():
        raise ValueError("labels that are none")


@lru_cache(maxsize=4096)  # all faces of a class have the same bytes
def label(data: bytes) -> int | Problem:
    """Return the class index that the bytes of an ``_exp.npy`` hold (3, 3.0, ``'3'``), or what is wrong with them."""
    try:
        values = npy.numbers(data).tolist()
    except ValueError as error:
        return Problem(UNREADABLE, detail=str(error))
    if len(values) != 1 or not values[0].is_integer():
        return Problem(UNREADABLE, detail=f"found {values[:9]}, expected one whole number")
    return code(int(values[0]), len(EMOTIONS))


def code(value: object, codes: int = len(EMOTIONS) + len(OTHERS)) -> int | Problem:
    """Return an expression, a number or text below ``codes``, as an int."""
    try:
        number = float(str(value))
    except ValueError:
        number = -1
    return int(number) if number in range(codes) else Problem(OUTSIDE, detail=f"found {str(value)[:40]}")


def pair(
    images: Set[str],
    annotated: Set[str],
    labels: Mapping[str, int | Problem],
    label_file: Callable[[str], str],
) -> Index:
    """Pair images and labels by id.

    Args:
        images, annotated: ids that have an image, or an annotation of any kind.
        labels, label_file: what the label file holds, of ids that have one, and what it should be called.
    """
    problems = {id_: Problem(NO_IMAGE, f"images/{id_}.jpg") for id_ in annotated - images}
    usable: dict[str, int] = {}
    for id_ in images:
        found = labels.get(id_, Problem(NO_LABEL, f"images/{id_}.jpg"))
        if isinstance(found, Problem):
            problems[id_] = found if found.file else found._replace(file=label_file(id_))
        else:
            usable[id_] = found
    ids = sorted(usable, key=_by_number)
    return Index(
        np.array(ids, np.str_),
        np.array([usable[id_] for id_ in ids], np.int8),
        problems=tuple(problems[id_] for id_ in sorted(problems, key=_by_number)),
    )


def count_by_kind(problems: Iterable[Problem]) -> str:
    """Return for example "2 label outside 0-7, 1 unreadable label file"."""
    return ", ".join(f"{n:,} {kind}" for kind, n in Counter(p.kind for p in problems).most_common())


def _by_number(id_: str) -> tuple[float, str]:
    return (int(id_) if id_.isdecimal() else math.inf, id_)
