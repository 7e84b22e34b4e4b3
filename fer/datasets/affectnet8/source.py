"""What the faces of one split are read from: see ``extracted``, ``tarball``, ``release_2017`` and ``class_folders``.

Every source answers the same questions: which faces are there (``scan``), has
anything changed since (``stamp``), and what does one file hold.
"""

import errno
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer.datasets.affectnet8.index import Index, read, write
from fer.errors import DataInvalid, DataMissing

SPLITS = ("train", "val")

_TICK = 20_000_000  # ns; file systems' clocks move in steps of up to 10 ms
_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_UNREADABLE = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.EIO, errno.ELOOP}
"""What is wrong with one file; other errors, such as too many open files, concern the next file, too."""


class BrokenImage(DataInvalid):
    """An image from which no face can be had; the text says why, without the image's name."""


class Source(ABC):
    """One split of a release.

    Attributes:
        name, title: what records, and what people, call the data set.
        splits: those that the release may have.
        path: a folder or file.
        index_path: where its index is kept.
    """

    name, title = "affectnet8", "AffectNet8"
    splits: tuple[str, ...] = SPLITS
    image_pattern, annotation_pattern = "images/{}.jpg", "annotations/{}_{}.npy"

    def __init__(self, path: Path, split: str, index_path: Path) -> None:
        self.path, self.split, self.index_path = path, split, index_path

    @abstractmethod
    def times(self) -> dict[str, int]:
        """Return times, in ns, and sizes that change when files are added or removed."""

    def stamp(self, index: Index) -> dict[str, object]:
        """Return what differs when the files of an index have changed."""
        return {"times": self.times()}

    @abstractmethod
    def scan(self) -> Index:
        """Look at all files, with a progress bar."""

    def open_index(self) -> tuple[Index, float]:
        """Return the index and the seconds it took to build: 0 when it was read from its file.

        Raises:
            DataInvalid: the file of the index is damaged.
        """
        stored = self._stored()
        if stored is not None and stored.stamp == self.stamp(stored):
            return stored, 0.0
        began = time.perf_counter()
        before = self.times()  # taken first: a change during the scan makes the index stale
        _settle(before.values())
        index = self.scan()
        stamp = {**self.stamp(index), "times": before}
        index = replace(index, stamp=stamp, broken=stored.broken if stored else {})
        self._store(index, "the index is rebuilt at every start")
        return index, time.perf_counter() - began

    def amend_index(self, change: Callable[[Index], Index], lost: str) -> None:
        """Add to the index's file what was learned since; where it cannot be written, print ``lost``."""
        if (stored := self._stored()) is None:
            print(f"note: {self.index_path} is missing: {lost}.")
        else:
            self._store(change(stored), lost)

    def _stored(self) -> Index | None:
        return read(self.index_path) if self.index_path.is_file() else None

    def _store(self, index: Index, lost: str) -> None:
        try:
            write(self.index_path, index)
        except OSError as error:
            print(f"note: {self.index_path} cannot be written ({error.strerror}): {lost}.")

    def image_file(self, id_: str | int) -> str:
        """Return the name of an image, below ``path``."""
        return self.image_pattern.format(id_)

    def annotation_file(self, id_: str | int, kind: str) -> str:
        """Return the name of the file that holds one kind of annotation."""
        return self.annotation_pattern.format(id_, kind)

    def where(self, file: str) -> str:
        """Return what to call a file in a message."""
        return os.path.join(self.path, file)

    def image_stamp(self, id_: str) -> list[int] | None:
        """Return values that change when an image does or can be read again; None where it is gone."""
        path = os.path.join(self.path, self.image_file(id_))
        if not os.access(path, os.R_OK):
            return [] if os.path.lexists(path) else None
        return size_and_time(path)

    def image(self, index: Index, i: int) -> bytes:
        """Return the bytes of one image.

        Raises:
            DataMissing: it is gone since the index was made.
            BrokenImage: it cannot be read, or is a link to nothing.
        """
        path = f"{self.path}/{self.image_file(index.ids[i])}"
        try:
            return contents(path)
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

    def values(self, index: Index, i: int, kind: str) -> np.ndarray | None:
        """Return the numbers of one annotation, float64 (n,), or None where it is absent.

        Raises:
            ValueError: they cannot be read.
        """
        return None


def describe(folder: Path) -> str:
    """Return what a folder holds, for a message."""
    if not folder.is_dir():
        return "a file" if folder.exists() else "no such folder"
    names = sorted(listing(folder))
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"it holds {', '.join(names[:8])}{more}" if names else "an empty folder"


def _settle(times: Iterable[int]) -> None:
    """Wait until a change cannot carry the time, in ns, of the newest one: the clocks of file systems are slow."""
    if 0 < (wait := max(times, default=0) + _TICK - time.time_ns()) <= _TICK:
        time.sleep(wait / 1e9)


def listing(folder: str | Path) -> Iterator[str]:
    """Yield the names in a folder, without hidden ones (macOS leaves ``._*`` and ``.DS_Store``)."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if (name := entry.name)[0] != ".":
                yield name


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted, without hidden ones; none where there is no folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())


def size_and_time(path: str | Path) -> list[int] | None:
    """Return values that change when a file does; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]


def contents(path: str, at_once: int = 1 << 17) -> bytes:
    """Return a file's bytes, in half the time that ``open`` takes for a small one."""
    file = os.open(path, os.O_RDONLY | _BINARY)
    try:
        parts = [os.read(file, at_once)]
        while len(parts[-1]) == at_once:
            parts.append(os.read(file, at_once))
        return parts[0] if len(parts) == 1 else b"".join(parts)
    finally:
        os.close(file)
