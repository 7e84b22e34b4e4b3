"""Photos and videos below files and folders, however many, in an order that depends on paths alone."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fer.errors import DataMissing
from fer.files import PHOTOS, UNREADABLE_PHOTOS, VIDEOS, fitting

KNOWN = PHOTOS | UNREADABLE_PHOTOS | VIDEOS
THUMBNAILS = ".thumbnails"


def thumbnails(page: Path) -> Path:
    """Return the folder of a gallery's small copies."""
    return page.with_name(fitting(page.stem, len(THUMBNAILS)) + THUMBNAILS)


@dataclass(frozen=True)
class File:
    """A photo or video to work on.

    Attributes:
        path: as the user gave it, or below a folder that the user gave.
        inner: its place below that folder; the bare name of a file given itself.
    """

    path: Path
    inner: Path

    @property
    def is_video(self) -> bool:
        """Whether its ending is that of a video."""
        return self.path.suffix.lower() in VIDEOS


class Listing:
    """The photos and videos of files and folders: iterate for a ``File`` each, none twice.

    In the order given; within a folder its files come first, then its subfolders, by name. One directory at a time is
    in memory, and no file is looked at: its name decides. Links to folders are followed, but not to one that holds
    the link. However a path is spelled, it is the same path, and what lies below several of those given belongs to the
    innermost. Left out are subfolders that begin with a dot or @,
    where programs keep copies, and thumbnails of a gallery. One that cannot be read, or is gone when its turn comes,
    is a ``File`` called ``FOLDER/*``, for whoever reads it to say why.

    Args:
        paths: a file given itself is taken whatever its name, at its own place.
        leave_out: folders not to look into; None is none.

    Raises:
        DataMissing: a path does not exist or is a folder that cannot be read; when iterated: it is no longer.
    """

    def __init__(self, paths: Sequence[Path], leave_out: Sequence[Path | None] = ()) -> None:
        for path in paths:
            if not os.path.exists(path):
                raise DataMissing(f"There is no file or folder {path}. Check the spelling; quote spaces.")
            try:
                if path.is_dir():
                    os.scandir(os.path.join(path, ".")).close()
            except OSError as error:
                raise DataMissing(f"The folder {path} cannot be read: {error.strerror}.") from error
        self._leave_out = {folder.resolve() for folder in leave_out if folder}
        self._given: dict[
            Path, Path
        ] = {}  # by absolute path, which has one spelling: the files bear the given one
        for path in paths:
            self._given.setdefault(_absolute(path), path)
        self._place = {path: number for number, path in enumerate(self._given)}
        self._folders = {path for path in self._given if path.is_dir()}

    def __iter__(self) -> Iterator[File]:
        return (found for found in self._all() if isinstance(found, File))

    def count(self) -> Counter[str]:
        """Count ``"files"``, the photos and videos, and ``"other files"`` and ``"folders"`` that are passed over."""
        return Counter("files" if isinstance(found, File) else found for found in self._all())

    def key(self, path: Path) -> tuple:
        """Return what sorts the paths of this listing into its order; KeyError for one not below those given."""
        path = _absolute(path)
        start = next((around for around in (path, *path.parents) if around in self._place), path)
        inner = path.relative_to(start).parts
        return self._place[start], *((number < len(inner), part) for number, part in enumerate(inner, 1))

    def _all(self) -> Iterator[File | str]:
        """Yield the files, and what else is there, as ``count`` calls it."""
        for path, given in self._given.items():
            if path in self._folders:
                yield from self._below(path, given)
            else:
                yield File(given, Path(path.name))

    def _below(self, root: Path, given: Path) -> Iterator[File | str]:
        gone: list[File] = []

        def note(error: OSError) -> None:
            if error.filename is None or not root.is_dir():  # the disk is gone
                raise DataMissing(f"The folder {root} cannot be read: {error.strerror}.") from error
            inner = Path(error.filename, "*").relative_to(root)
            gone.append(File(given / inner, inner))

        def mine(folder: Path) -> bool:
            elsewhere = folder in self._given or folder.resolve() in self._leave_out
            return not (elsewhere or (os.path.islink(folder) and _around(root, folder)))

        for folder, subfolders, names in os.walk(root, onerror=note, followlinks=True):
            yield from gone
            gone.clear()
            here = Path(folder)
            inside = sorted(name for name in subfolders if mine(here / name))
            subfolders[:] = [n for n in inside if not n.startswith((".", "@")) and not n.endswith(THUMBNAILS)]
            yield from ["folders"] * (len(inside) - len(subfolders))
            for name in sorted(names):
                path = here / name
                if name.startswith(".") or path.suffix.lower() not in KNOWN:
                    yield "other files"
                elif path not in self._given:  # else it has a place of its own
                    inner = path.relative_to(root)
                    yield File(given / inner, inner)
        yield from gone


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # Path.absolute keeps "..", resolve leaves the place that a link has


def _around(root: Path, link: Path) -> bool:
    """Whether a link below ``root`` leads to a folder that the walk came through, or one around it: a loop."""
    target = link.resolve()
    on_the_way = [link.parent, *link.parent.parents]
    return any(
        folder.resolve().is_relative_to(target) for folder in on_the_way if folder.is_relative_to(root)
    )
