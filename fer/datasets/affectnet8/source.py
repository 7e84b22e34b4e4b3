"""Where AffectNet8's files lie: in a folder, or in a tar that is read in place.

Each source answers the same questions: which faces are there (``scan``), has
anything changed since (``stamp``), and what does one file hold. Other releases
of AffectNet are sources, too: ``affectnet_plus``, ``affectnet2017``, ``class_folders``.
"""

import errno
import hashlib
import os
import threading
import time
from array import array
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm.auto import tqdm

from fer.datasets.affectnet8 import npy, tarball
from fer.datasets.affectnet8.index import ANNOTATIONS, COLUMNS, UNREADABLE, Fault, Index, assemble, label
from fer.errors import DataInvalid, DataMissing

_WATCHED = 1000  # labels whose size and time are looked at when an index is opened
_WATCHED_PROBLEMS = 20_000
_TICK = 20_000_000  # ns; file systems' clocks move in steps of up to 10 ms
_KINDS = {f"{kind}.npy": kind for kind in ANNOTATIONS}
_AT_ONCE = 1 << 17  # bytes; a face has some ten thousand
_THREADS, _PART = 8, 250  # that read labels, and how many at a time
_SLOW = 2e-5  # seconds for a label: those in memory take a fifth, where threads are in each other's way
_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_UNREADABLE = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.EIO, errno.ELOOP}
"""What is wrong with one file; other errors, such as too many open ones, would be met with the next file, too."""


class BrokenImage(DataInvalid):
    """An image is there, but no face can be had from it; the text says why, without the image's name."""


class Source:
    """One split of a release; those that derive from it add ``stamp``, ``scan`` and ``image``.

    Attributes:
        name: what records call the data set.
        title: what people call it.
        path: a folder or file.
        split: which part it is.
        index_path: where its index is kept; what ``verify`` found broken is kept beside.
    """

    name, title = "affectnet8", "AffectNet8"

    def __init__(self, path: Path, split: str, index_path: Path) -> None:
        self.path, self.split, self.index_path = path, split, index_path
        self.broken_path = index_path.with_suffix(".broken.json")

    def image_file(self, one: str | int) -> str:
        """Return the name of an image, below ``path``."""
        return f"images/{one}.jpg"

    def annotation_file(self, one: str | int, kind: str) -> str:
        """Return the name of the file that holds one kind of annotation."""
        return f"annotations/{one}_{kind}.npy"

    def where(self, file: str) -> str:
        """Return what to call a file in a message."""
        return os.path.join(self.path, file)

    def image_stamp(self, one: str) -> list[int] | None:
        """Return values that change when an image does or can be read again; None where it is gone."""
        path = os.path.join(self.path, self.image_file(one))
        if not os.access(path, os.R_OK):
            return [] if os.path.lexists(path) else None
        return size_and_time(path)

    def image(self, index: Index, i: int) -> bytes:
        """Return the bytes of one image.

        Raises:
            DataMissing: it is gone since the index was made.
            BrokenImage: it is there but cannot be read, or is a link to nothing.
        """
        path = f"{self.path}/{self.image_file(index.ids[i])}"
        try:
            return _contents(path)
        except FileNotFoundError as error:
            if os.path.islink(path):
                raise BrokenImage(f"a link to {os.readlink(path)}, which is not there") from error
            raise DataMissing(
                f"{error.filename} was there when the index was made and is gone. "
                "Open the data set again: a folder that has changed is indexed anew."
            ) from error
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            raise BrokenImage(f"it cannot be read: {error.strerror}") from error

    def face(self, pixels: np.ndarray, index: Index, i: int) -> np.ndarray:
        """Return the face in a decoded image, BGR uint8 (H, W, 3): all of it, where faces are cut out already.

        Raises:
            BrokenImage: there is none.
        """
        return pixels

    def annotation(self, index: Index, i: int, kind: str) -> bytes | None:
        """Return the bytes of one annotation, or None where there is none."""
        return None

    def values(self, index: Index, i: int, kind: str) -> np.ndarray | None:
        """Return the numbers of one annotation, float64 (n,), or None where there is none.

        Raises:
            ValueError: they cannot be read.
        """
        data = self.annotation(index, i, kind)
        return None if data is None else npy.numbers(data)


class Folder(Source):
    """``images/<id>.jpg`` and ``annotations/<id>_{exp,val,aro,lnd}.npy`` below ``path``."""

    _separator, _kinds = "_", _KINDS  # between an id and the rest of an annotation's name, and what that says

    def __init__(self, path: Path, split: str, index: str = "affectnet8.index") -> None:
        super().__init__(path, split, path / index)
        self._images, self._annotations = os.path.join(path, "images"), os.path.join(path, "annotations")

    def stamp(self, index: Index | None) -> dict[str, object]:
        """Return when files were added or removed and, given an index, how a sample of them looks.

        Looking at all files of the full set would take longer than opening it
        should. A label that is overwritten in place shows when it is among the
        thousand watched ones, and always in a set that is no larger than that.
        """
        times = {name: os.stat(self.path / name).st_mtime_ns for name in ("images", "annotations")}
        if index is None:
            return times
        watched = index.ids[np.linspace(0, len(index) - 1, min(len(index), _WATCHED)).astype(int)]
        files = [self.annotation_file(one, "exp") for one in watched.tolist()]
        files += [problem.file for problem in index.problems[:_WATCHED_PROBLEMS]]
        seen = repr([size_and_time(os.path.join(self.path, file)) for file in files])
        return {**times, "watched": hashlib.sha256(seen.encode()).hexdigest()}

    def scan(self) -> Index:
        """List both folders and read every ``_exp.npy``, with a progress bar."""
        settle(self.stamp(None).values())
        images = {name[:-4] for name in listing(self._images) if name.endswith(".jpg")}
        labelled, strays = [], {}
        separator, kinds = self._separator, self._kinds
        for name in listing(self._annotations):
            one, _, end = name.rpartition(separator)
            if one in images:
                if kinds.get(end) == "exp":
                    labelled.append(one)
            elif end in kinds:
                strays.setdefault(one, f"annotations/{name}")
        labels = dict(zip(labelled, self._labels(labelled), strict=True))
        return assemble(images, labels, strays, lambda one: self.annotation_file(one, "exp"))

    def _labels(self, ids: list[str]) -> Iterator[int | Fault]:
        """Yield what the label files of these ids hold; read by threads where the files are slow to come."""
        parts = [ids[start : start + _PART] for start in range(0, len(ids), _PART)]
        bar = tqdm(total=len(ids), desc="reading labels", unit="file", delay=1, leave=False, disable=None)
        slow = False
        with ThreadPoolExecutor(_THREADS) as pool, bar:
            for start in range(0, len(parts), 2 * _THREADS):
                some = parts[start : start + 2 * _THREADS]
                began = time.perf_counter()
                for found in pool.map(self._part, some) if slow else map(self._part, some):
                    yield from found
                    bar.update(len(found))
                slow = (time.perf_counter() - began) / sum(map(len, some)) > _SLOW

    def _part(self, ids: list[str]) -> list[int | Fault]:
        return [self._label(f"{self.path}/{self.annotation_file(one, 'exp')}") for one in ids]

    def _label(self, path: str) -> int | Fault:
        try:
            file = os.open(path, os.O_RDONLY | _BINARY)
            try:
                return label(os.read(file, 4096))
            finally:
                os.close(file)
        except OSError as error:
            return Fault(UNREADABLE, error.strerror)

    def annotation(self, index: Index, i: int, kind: str) -> bytes | None:
        """Return the bytes of one annotation, or None where there is none."""
        try:
            with open(f"{self._annotations}/{index.ids[i]}_{kind}.npy", "rb", buffering=0) as file:
                return file.read()
        except FileNotFoundError:
            return None


class Tar(Source):
    """The same files as members of ``train_set.tar`` or ``val_set.tar``, read where they lie."""

    def __init__(self, path: Path, split: str) -> None:
        super().__init__(path, split, path.with_name(f"{path.name}.index"))
        self._here = threading.local()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_here"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._here = threading.local()

    def stamp(self, index: Index | None) -> dict[str, object]:
        """Return the tar's size and time."""
        found = self.path.stat()
        return {"size": found.st_size, "time": found.st_mtime_ns}

    def scan(self) -> Index:
        """Walk the tar once, noting where files lie and reading labels on the way, with a progress bar.

        Raises:
            DataInvalid: as ``tarball.walk``, or the tar has no images of this split.
        """
        found = {column: _Places() for column in COLUMNS}
        labels: dict[str, int | Fault] = {}
        total = self.path.stat().st_size
        bar = tqdm(
            total=total, desc="reading tar", unit="B", unit_scale=True, delay=1, leave=False, disable=None
        )
        with self.path.open("rb", buffering=1 << 16) as file, bar:
            for column, one, member in self._faces(file):
                found[column].add(one, member)
                if column == "exp":
                    file.seek(member.offset)
                    labels[one] = label(file.read(min(member.size, 4096)))
                if member.offset - bar.n > 1 << 24:
                    bar.update(member.offset - bar.n)
        if not found["image"].ids:
            raise DataInvalid(
                f"{self.path} holds no {self.split}_set/images/<id>.jpg: is it AffectNet8's {self.split}_set.tar?"
            )
        images = set(found["image"].ids)
        strays = {
            one: self.annotation_file(one, kind)
            for kind in reversed(ANNOTATIONS)
            for one in found[kind].ids
            if one not in images
        }
        labels = {one: value for one, value in labels.items() if one in images}
        index = assemble(images, labels, strays, lambda one: self.annotation_file(one, "exp"))
        names = list(map(str, index.ids.tolist()))
        places = [found[column].of(names) for column in COLUMNS]
        offsets, sizes = (np.stack([place[k] for place in places], 1) for k in (0, 1))
        return Index(index.ids, index.labels, offsets, sizes, problems=index.problems)

    def _faces(self, file: BinaryIO) -> Iterator[tuple[str, str, tarball.Member]]:
        """Yield column, id and member of each file of this split."""
        foreign = {"train": "val_set", "val": "train_set"}[self.split]
        for member in tarball.walk(file):
            folder, _, name = member.name.rpartition("/")
            above, _, folder = folder.rpartition("/")
            if above.rpartition("/")[2] == foreign:
                continue
            if folder == "images" and name.endswith(".jpg"):
                yield "image", name[:-4], member
            elif folder == "annotations":
                one, _, end = name.rpartition("_")
                if end in _KINDS:
                    yield _KINDS[end], one, member

    def image(self, index: Index, i: int) -> bytes:
        """Return the bytes of one image."""
        return self._read(int(index.offsets[i, 0]), int(index.sizes[i, 0]))

    def annotation(self, index: Index, i: int, kind: str) -> bytes | None:
        """Return the bytes of one annotation, or None where there is none."""
        column = COLUMNS.index(kind)
        offset = int(index.offsets[i, column])
        return None if offset < 0 else self._read(offset, int(index.sizes[i, column]))

    def _read(self, offset: int, size: int) -> bytes:
        # A handle for each thread, and a new one after a fork: its place in the file would be shared.
        if getattr(self._here, "process", None) != os.getpid():
            self._here.file, self._here.process = self.path.open("rb", buffering=0), os.getpid()
        self._here.file.seek(offset)
        return self._here.file.read(size)

    def where(self, file: str) -> str:
        """Return what to call a member in a message."""
        return f"{self.path}:{self.split}_set/{file}"

    def image_stamp(self, one: str) -> list[int] | None:
        """Return values that change when an image may have: the tar's own."""
        return size_and_time(self.path)


class _Places:
    """Where the files of one column lie, by id; compact, for there are a million."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._offsets, self._sizes = array("q"), array("q")

    def add(self, one: str, member: tarball.Member) -> None:
        self.ids.append(one)
        self._offsets.append(member.offset)
        self._sizes.append(member.size)

    def of(self, ids: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return offset and size for each id, -1 where there is none; of two members the later one counts."""
        row = dict(zip(self.ids, range(len(self.ids)), strict=True))
        rows = np.array([row.get(one, -1) for one in ids], np.int64)
        return tuple(
            np.append(np.array(values, np.int64), -1)[rows]  # row -1 is the last one
            for values in (self._offsets, self._sizes)
        )


def settle(times: Iterable[int]) -> None:
    """Wait until a change cannot carry the time, in ns, of the newest one: the clocks of file systems are slow."""
    if 0 < (wait := max(times) + _TICK - time.time_ns()) <= _TICK:
        time.sleep(wait / 1e9)


def _contents(path: str) -> bytes:
    """Return a file's bytes, in half the time that ``open`` takes for a small one."""
    file = os.open(path, os.O_RDONLY | _BINARY)
    try:
        parts = [os.read(file, _AT_ONCE)]
        while len(parts[-1]) == _AT_ONCE:
            parts.append(os.read(file, _AT_ONCE))
        return parts[0] if len(parts) == 1 else b"".join(parts)
    finally:
        os.close(file)


def listing(folder: str | Path) -> Iterator[str]:
    """Yield the names in a folder, without hidden ones (macOS leaves ``._*`` and ``.DS_Store``)."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if (name := entry.name)[0] != ".":
                yield name


def size_and_time(path: str | Path) -> list[int] | None:
    """Return values that change when a file does; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]
