"""Tar files of a million small members: walk one in a single pass, read it in place, extract it safely.

The walker reads headers only and yields where each file's bytes lie. It does
what the AffectNet8 archives need (ustar, GNU and pax headers) eight times
faster than iterating a ``tarfile.TarFile``, which would take minutes for 1.4 million members.
"""

import io
import os
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from fer.datasets.affectnet8 import npy
from fer.datasets.affectnet8.index import ANNOTATIONS, Index, Problem, label, pair
from fer.datasets.affectnet8.source import Source, contents
from fer.errors import DataInvalid, DataMissing
from fer.files import locked

BLOCK = 512
_END = bytes(BLOCK)
_LONGEST = 1 << 20
"""Bytes of an extension header: it holds a name and some remarks."""
_COLUMN_OF = {f"{kind}.npy": column for column, kind in enumerate(ANNOTATIONS, 1)}  # column 0: images


class Member(NamedTuple):
    """A plain file in a tar: its name (relative, ``/`` between folders) and where its bytes lie."""

    name: str
    offset: int
    size: int


def walk(file: BinaryIO) -> Iterator[Member]:
    """Yield the plain files of an open tar, in order; hidden ones (``._*``, ``.DS_Store``) are left out.

    ``file`` may be read and moved between two steps.

    Raises:
        DataInvalid: not a tar, damaged, truncated, or with a member that is
            neither file nor folder or whose name leaves the folder.
    """
    total = file.seek(0, io.SEEK_END)
    place, name = 0, ""  # name: from an extension header, for the next member
    while True:
        file.seek(place)
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            raise _truncated(file, "no end mark", total)
        if block == _END:
            return
        if not _intact(block):
            raise _damaged(file, block, place)
        try:
            length = int(b"0" + block[124:136].strip(b" \0"), 8)
        except ValueError:
            raise _damaged(file, block, place) from None
        kind, start = block[156:157], place + BLOCK
        if start + length > total:
            raise _truncated(file, name or _name(block), total)
        place = start + -(-length // BLOCK) * BLOCK
        if kind in b"xLgK":
            if length > _LONGEST:
                raise _refused(file, f"has an extension header of {length:,} bytes", f"at most {_LONGEST:,}")
            if kind in b"xL":  # the others: remarks on the archive, and the target of a link
                file.seek(start)
                name = _long_name(kind, file.read(length), file) or name
        else:
            path, name = _checked(name or _name(block), kind, file), ""
            if kind != b"5" and not path.endswith("/") and not path.rpartition("/")[2].startswith("."):
                yield Member(path, start, length)


class Tar(Source):
    """``images/<id>.jpg`` and ``annotations/<id>_{exp,val,aro,lnd}.npy`` as members of a tar, read in place."""

    places = 1 + len(ANNOTATIONS)

    def __init__(self, path: Path, split: str) -> None:
        super().__init__(path, split, path.with_name(f"{path.name}.index"))

    def times(self) -> dict[str, int]:  # noqa: D102
        found = self.path.stat()
        return {"size": found.st_size, "time": found.st_mtime_ns}

    def scan(self) -> Index:
        """Walk the tar once, noting where files lie and reading labels on the way, with a progress bar."""
        nowhere = [-1] * 2 * self.places  # offset and size of each file
        places: dict[str, list[int]] = defaultdict(nowhere.copy)
        labels: dict[str, int | Problem] = {}
        total = self.path.stat().st_size
        bar = tqdm(
            total=total, desc="reading tar", unit="B", unit_scale=True, delay=1, leave=False, disable=None
        )
        with self.path.open("rb", buffering=1 << 16) as file, bar:
            for column, id_, member in self._faces(file):
                # Of two members of one name the later one counts.
                places[id_][2 * column : 2 * column + 2] = member.offset, member.size
                if column == 1:
                    file.seek(member.offset)
                    labels[id_] = label(file.read(min(member.size, 4096)))
                if member.offset - bar.n > 1 << 24:
                    bar.update(member.offset - bar.n)
        images = {id_ for id_, place in places.items() if place[0] >= 0}
        if not images:
            raise DataInvalid(
                f"{self.path} holds no {self.split}_set/images/<id>.jpg: is it AffectNet8's {self.split}_set.tar?"
            )
        annotated = {id_ for id_, place in places.items() if max(place[2:]) >= 0}
        index = pair(images, annotated, labels, lambda id_: self.annotation_file(id_, "exp"))
        rows = np.array([places[id_] for id_ in index.ids.tolist()], np.int64)
        return replace(index, places=rows.reshape(-1, self.places, 2))

    def _faces(self, file: BinaryIO) -> Iterator[tuple[int, str, Member]]:
        """Yield column, id and member of each file of this split."""
        foreign = {"train": "val_set", "val": "train_set"}[self.split]
        for member in walk(file):
            folder, _, name = member.name.rpartition("/")
            above, _, folder = folder.rpartition("/")
            if above.rpartition("/")[2] == foreign:
                continue
            if folder == "images" and name.endswith(".jpg"):
                yield 0, name[:-4], member
            elif folder == "annotations":
                id_, _, end = name.rpartition("_")
                if end in _COLUMN_OF:
                    yield _COLUMN_OF[end], id_, member

    def image(self, index: Index, i: int) -> bytes:  # noqa: D102
        return self._read(*index.places[i, 0].tolist())

    def values(self, index: Index, i: int, kind: str) -> np.ndarray | None:  # noqa: D102
        offset, size = index.places[i, _COLUMN_OF[f"{kind}.npy"]].tolist()
        return None if offset < 0 else npy.numbers(self._read(offset, size))

    def _read(self, offset: int, size: int) -> bytes:
        # Opened each time: threads and processes would share the place in an open file.
        with open(self.path, "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(size)

    def where(self, file: str) -> str:  # noqa: D102
        return f"{self.path}:{self.split}_set/{file}"


def extract(
    tar: str | Path, folder: str | Path, allow_unlocked: bool = False
) -> Iterator[tuple[Member, bool]]:
    """Write the plain files of a tar under ``folder``; yield each, and whether it was written now; show a bar.

    A file that exists with the same bytes is left as it is, so a stopped run continues where it
    was. Of two members of one name the later one stays. A member outside ``train_set/`` and ``val_set/`` is refused.
    Each file is written under another name and renamed: half a file never stays. One run at a time may extract a
    tar to a folder; ``allow_unlocked`` as for ``fer.files.locked``.
    """
    tar, folder = Path(tar), Path(folder)
    if not tar.is_file():
        raise DataMissing(f"{tar} is no file; expected train_set.tar or val_set.tar. See dataset/README.md.")
    part = folder / f".extracting.{tar.name}"  # the same name in the next run, which thus clears it away
    total = tar.stat().st_size
    bar = tqdm(total=total, desc=f"extracting {tar.name}", unit="B", unit_scale=True, disable=None)
    with locked(part, allow_unlocked), tar.open("rb") as file, bar:
        try:
            for member in walk(file):
                bar.update(member.offset - bar.n)
                if not {"train_set", "val_set"} & set(member.name.split("/")[:-1]):
                    raise _refused(file, f"holds {member.name!r}", "files in train_set/ and val_set/ alone")
                yield member, _place(file, member, folder, part)
            bar.update(total - bar.n)
        finally:
            part.unlink(missing_ok=True)


def _place(file: BinaryIO, member: Member, folder: Path, part: Path) -> bool:
    """Write one member unless it exists; return whether it was written."""
    path = os.path.join(folder, member.name)
    try:
        file.seek(member.offset)
        data = file.read(member.size)
        if len(data) < member.size:  # the tar became shorter while it was read
            raise _truncated(file, member.name, member.offset)
        if os.path.isfile(path) and contents(path) == data:
            return False
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise DataInvalid(
            f"Could not write {path}: {error.strerror}. Repair that (free space, permissions) and run it again."
        ) from error
    return True


def _intact(block: bytes) -> bool:
    """Whether a header's check sum is right: all bytes added, the sum's own field taken as spaces."""
    try:
        expected = int(block[148:156].strip(b" \0"), 8)
    except ValueError:
        return False
    # The low half of Adler-32 is 1 + the sum of the bytes, modulo 65521: ten times faster than sum().
    adler = zlib.adler32(block[156:], zlib.adler32(b" " * 8, zlib.adler32(block[:148])))
    return (adler & 0xFFFF) == (expected + 1) % 65521


def _name(block: bytes) -> str:
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].split(b"\0", 1)[0] + b"/" + name
    return os.fsdecode(name)


def _long_name(kind: bytes, data: bytes, file: BinaryIO) -> str:
    """Read the next member's name out of a GNU long name or a pax header ("length key=value\\n"), if it is there."""
    if kind == b"L":
        return os.fsdecode(data.split(b"\0", 1)[0])
    name, place = "", 0
    while length := re.match(rb"\d{1,7}(?= )", data[place : place + 8]):
        record = data[place : place + int(length[0])]
        key, _, value = record[length.end() + 1 :].rstrip(b"\n").partition(b"=")
        if key.startswith(b"GNU.sparse."):
            raise _refused(file, "holds sparse files, of which only a part is stored", "plain files")
        if key == b"path":
            name = os.fsdecode(value)
        place += max(int(length[0]), 1)
    return name  # what is left is padding, or a record that makes no sense


def _checked(name: str, kind: bytes, file: BinaryIO) -> str:
    """Return the name without ``./``, or raise if the member could end up outside the folder."""
    if kind not in (b"0", b"\0", b"7", b"5"):
        raise _refused(file, f"holds {name!r}, a link or device (type {kind!r})", "plain files")
    parts = name.split("/")
    if not name or not parts[0] or ".." in parts or "\\" in name or name[1:2] == ":" or "\0" in name:
        raise _refused(
            file, f"holds {name!r}, a name that leaves its folder", "such as 'train_set/images/42.jpg'"
        )
    return name if parts[0] != "." else "/".join(part for part in parts if part != ".")


def _refused(file: BinaryIO, found: str, expected: str) -> DataInvalid:
    return DataInvalid(f"{file.name} {found}; expected {expected}. Get the archive from its source again.")


def _truncated(file: BinaryIO, where: str, total: int) -> DataInvalid:
    return DataInvalid(
        f"{file.name} is truncated ({where}): it ends after {total:,} bytes, before its last member does. "
        "Copy or download it again, and compare its size with the source's."
    )


def _damaged(file: BinaryIO, block: bytes, place: int) -> DataInvalid:
    if place:
        return DataInvalid(f"{file.name} is damaged at byte {place:,}: no tar header there. Copy it again.")
    hint = " It is compressed: decompress it first." if block[:2] in (b"\x1f\x8b", b"BZ", b"\xfd7") else ""
    return DataInvalid(f"{file.name} is not a tar file; expected train_set.tar or val_set.tar.{hint}")
