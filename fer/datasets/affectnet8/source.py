"""What the faces of one split are read from: see ``extracted``, ``tarball`` and the other releases.

Every source answers the same questions: which faces are there (``scan``), has
anything changed since (``stamp``), and what does one file hold.
"""

import errno
import io
import math
import os
import stat
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from fer.datasets.affectnet8.index import Index, check_places, read, write
from fer.errors import DAMAGE, DataInvalid, DataMissing
from fer.files import MOST_PIXELS

SPLITS = ("train", "val")

_TICK = 20_000_000  # ns; file systems' clocks move in steps of up to 10 ms
UNREADABLE_FILE = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.EIO, errno.ELOOP}
"""What is wrong with one file; other errors, such as too many open files, concern the next file, too."""
_STARTS, _ENDS = (b"\xff\xd8", b"\x89PNG"), (b"\xff\xd9", b"IEND\xaeB`\x82")  # of a JPEG and a PNG
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a JPEG that its height and width follow
# The stored pixels, without turning them as EXIF may ask: landmarks refer to these.
_DECODE = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
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
            raise DataMissing(f"{path} is gone since the index was made: open the data set again.") from error
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


def looks_whole(data: bytes) -> bool:
    """Whether the bytes are those of a JPEG or PNG from its start to its end, of a size that is read."""
    return data.startswith(_STARTS) and data.endswith(_ENDS) and _claimed(data) <= MOST_PIXELS


def _claimed(data: bytes) -> float:
    """Return the number of pixels that the header of an image claims; 0 where it has none."""
    at = 2
    while data[:2] == _STARTS[0] and data[at : at + 1] == b"\xff" and at + 9 <= len(data):
        if data[at + 1] in _FRAMES:  # found in a hundredth of the time that Pillow takes
            return int.from_bytes(data[at + 5 : at + 7]) * int.from_bytes(data[at + 7 : at + 9])
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    try:
        return math.prod(Image.open(io.BytesIO(data)).size)
    except Image.DecompressionBombError:
        return math.inf
    except (OSError, *DAMAGE):
        return 0


def decoded(data: bytes) -> np.ndarray:
    """Return BGR uint8 (H, W, 3), or raise BrokenImage for no complete image (OpenCV 4.14 refuses truncated ones).

    Nor is one whose header claims more than ``MOST_PIXELS``: for a JPEG of 700 bytes OpenCV took 5 GB and a minute.
    """
    pixels = None
    if data and _claimed(data) <= MOST_PIXELS:
        with suppress(cv2.error):  # more than OpenCV reads, in a kind of file that Pillow does not know
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _DECODE)
    if pixels is None:
        raise BrokenImage(f"{len(data):,} bytes, not a complete image" if data else "an empty file")
    return pixels
