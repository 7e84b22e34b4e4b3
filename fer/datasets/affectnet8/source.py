"""What the faces of one split are read from: see ``extracted``, ``tarball`` and the other releases.

Every source answers the same questions: which faces are there (``scan``), has
anything changed since (``stamp``), and what does one file hold.
"""

import errno
import os
import stat
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from fer.datasets.affectnet8.index import Index, check_places, read, write
from fer.errors import DataInvalid, DataMissing

SPLITS = ("train", "val")

_TICK = 20_000_000  # ns; file systems' clocks move in steps of up to 10 ms
UNREADABLE_FILE = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.EIO, errno.ELOOP}
"""What is wrong with one file; other errors, such as too many open files, concern the next file, too."""
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # that no pipe keeps waiting


class BrokenImage(DataInvalid):
    """An image from which no face can be had; the text says why, without the image's name."""


class Source(ABC):
    """One split of a release: ``path`` is a folder or file, ``name`` and ``title`` what records and people call it."""

    name, title = "affectnet8", "AffectNet8"
    splits: tuple[str, ...] = SPLITS
    places = 0  # of a face, in a tar or table
    image_pattern, annotation_pattern = "images/{}.jpg", "annotations/{}_{}.npy"

    def __init__(self, path: Path, split: str, index_path: Path) -> None:
        self.path, self.split, self.index_path = path, split, index_path

    @abstractmethod
    def times(self) -> dict[str, int]:
        """Return times, in ns, and sizes that change when files are added or removed."""

    @abstractmethod
    def scan(self) -> Index:
        """Look at all files, with a progress bar."""

    def watched(self, index: Index) -> list[str]:
        """Return files, below ``path``, that are looked at when the index is opened."""
        return []

    def open_index(self) -> tuple[Index, float]:
        """Return the index and the seconds it took to build: 0 when it was read from its file."""
        before, stored = self.times(), self._stored()
        if stored is not None and stored.stamp == self._stamp(before, stored):
            check_places(self.index_path, stored, self.places)
            return stored, 0.0
        began = time.perf_counter()
        _settle(before.values())
        index = self.scan()  # a change meanwhile makes the index stale, for the times were taken before
        index = replace(index, stamp=self._stamp(before, index))
        self._store(index)
        return index, time.perf_counter() - began

    def _stamp(self, times: dict[str, int], index: Index) -> dict[str, object]:
        return {"times": times, "watched": [stamp(self.where(file)) for file in self.watched(index)]}

    def amend_index(self, change: Callable[[Index], Index]) -> None:
        """Add to the index's file what was learned since."""
        if stored := self._stored():
            self._store(change(stored))

    def _stored(self) -> Index | None:
        return read(self.index_path) if self.index_path.is_file() else None

    def _store(self, index: Index) -> None:
        try:
            write(self.index_path, index)
        except OSError as error:
            print(f"note: {self.index_path} cannot be written ({error.strerror}): it is made at every start.")

    def image_file(self, id_: str) -> str:
        """Return the name of an image, below ``path``."""
        return self.image_pattern.format(id_)

    def annotation_file(self, id_: str, kind: str) -> str:
        """Return the name of the file that holds one kind of annotation."""
        return self.annotation_pattern.format(id_, kind)

    def where(self, file: str) -> str:
        """Return what to call a file in a message."""
        return os.path.join(self.path, file)

    def image(self, index: Index, i: int) -> bytes:
        """Return the bytes of one image; DataMissing where it is gone, BrokenImage where it cannot be read."""
        path = f"{self.path}/{self.image_file(index.ids[i])}"
        try:
            return contents(path)
        except FileNotFoundError as error:
            if os.path.islink(path):
                raise BrokenImage(f"a link to {os.readlink(path)}, which is not there") from error
            raise DataMissing(
                f"{path} was there when the index was made and is gone. "
                "Open the data set again: a folder that has changed is indexed anew."
            ) from error
        except OSError as error:
            if error.errno not in UNREADABLE_FILE:
                raise
            raise BrokenImage(f"it cannot be read: {error.strerror}") from error

    def face(self, pixels: np.ndarray, index: Index, i: int) -> np.ndarray:
        """Return the face in a decoded image, BGR uint8 (H, W, 3), or raise BrokenImage."""
        return pixels

    def values(self, index: Index, i: int, kind: str) -> np.ndarray | None:
        """Return the numbers of one annotation, float64 (n,), None where it is absent; ValueError where unreadable."""
        return None


def in_threads(work: Callable[[int], None], n: int, label: str) -> None:
    """Call ``work(0)`` to ``work(n - 1)`` in threads, with a progress bar."""

    def part(start: int) -> None:  # a task for each file would cost more than reading it
        for i in range(start, min(start + 256, n)):
            work(i)

    bar = tqdm(total=n, desc=label, unit="face", delay=1, leave=False, disable=None)
    with ThreadPoolExecutor() as pool, bar:
        for _ in pool.map(part, range(0, n, 256)):
            bar.update(min(256, n - bar.n))


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
    return sorted(path.name for path in folder.glob("[!.]*/"))


def stamp(path: str | Path) -> list[int] | None:
    """Return size and times of a file, which change when it does or may be read again; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def contents(path: str) -> bytes:
    """Return a file's bytes, for a small one in half the time of ``Path.read_bytes``; a pipe is an OSError."""
    file = os.open(path, _READ)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EISDIR, "a folder, pipe or device", path)
        data = os.read(file, found.st_size)
        while len(data) < found.st_size and (more := os.read(file, found.st_size)):
            data += more
        return data
    finally:
        os.close(file)
