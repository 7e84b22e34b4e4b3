"""A table that any number of processes write together, each started and stopped whenever it likes.

While it is unfinished there is a folder beside it:

    OUT.csv.parts/options.json    what was asked for, the same for every process
                  3-of-8.ID.csv   rows that one process has written for part 3 of 8, in order
                  3-of-8.done     part 3 of 8 is finished

A part has one process at a time (``Part.place`` is locked meanwhile), and so has the table while they are joined.

The hash of a path says to which part it belongs, so no process waits for
another. Each writes a table of its own, with the files of its part that are in
no table yet when it starts. The last file of a table does not count, as rows
may be missing if the process was killed; one that finishes adds an empty row.
"""

import csv
import glob
import heapq
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import IO

from fer.errors import DataInvalid, UsageError, reading
from fer.files import check_same_options, fitting, locked, naming, replacing, unique
from fer.photos.listing import File, Listing

# Unlike csv.writer, also semicolons, which end a cell in many countries, and every control character.
_QUOTED = re.compile(r'[",;\x00-\x1f\x7f]')
_FORMULA = re.compile("[=+\\-@＝＋－＠\\x00-\\x1f]")


@dataclass(frozen=True)
class Part:
    """Part ``number``, from 1, of ``count``."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str | None) -> "Part":
        """Read ``"K/N"``; None is the part that torchrun gives to this process, or all where it did not start it.

        Raises:
            UsageError: it is no such text, or K is not from 1 to N.
        """
        if text is None:
            return cls(int(os.environ.get("RANK", "0")) + 1, int(os.environ.get("WORLD_SIZE", "1")))
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"--part {text}: expected K/N with K from 1 to N, such as 3/8.")
        return cls(int(match[1]), int(match[2]))

    def number_of(self, file: File) -> int:
        """Return to which of the ``count`` parts a file belongs."""
        return zlib.crc32(os.fsencode(file.path)) % self.count + 1

    def place(self, table: Path) -> Path:
        """Return what to lock while this part of a table is written."""
        return table.with_name(fitting(f"{table.name} part {self.number} of {self.count}"))

    def __str__(self) -> str:
        return f"{self.number}-of-{self.count}"


class Parts:
    """A table, and the part that this process writes: ``begin``, ``write`` the rows of ``todo``, ``finish``.

    A row belongs to the file that its first column names; the rows of a file stand together, in the listing's order.
    """

    def __init__(
        self, table: Path, columns: Sequence[str], listing: Listing, part: Part, allow_unlocked: bool = False
    ) -> None:
        self.folder = table.with_name(fitting(table.name + ".parts", room=32))
        self.columns, self._table, self._listing, self.part = list(columns), table, listing, part
        self._alone = partial(locked, table, allow_unlocked, wait=True)
        self._mine = self.folder / f"{part}.{unique()}.csv"

    def begin(self, options: dict, resume: bool) -> bool:
        """Begin, or with ``resume`` join a run that is unfinished; return False where the table is finished already.

        Raises:
            DataInvalid: there is an unfinished run, and ``resume`` was not given or its (JSON-ready) options differ.
        """
        record, options = self.folder / "options.json", {**options, "columns": self.columns}
        with self._alone():
            if record.exists():
                if not resume:
                    raise DataInvalid(
                        f"{self.folder} holds an unfinished run. Add --resume to go on with it, or delete the folder."
                    )
            elif resume and self._table.is_file():
                return False
            else:
                self.folder.mkdir(exist_ok=True)
                with replacing(record) as temporary:
                    temporary.write_text(json.dumps(options, indent=1), "utf-8")
            with reading(record, f"Delete {self.folder} and begin again."):
                then = dict(json.loads(record.read_text("utf-8")))
            check_same_options(self.folder, then, options, "--csv")
        return True

    def todo(self, all_parts: bool = False) -> Iterator[File]:
        """Yield the files of this part, or of all, that are in no table at this moment, in order."""
        done = (key for key, *_ in self._rows())
        latest = next(done, None)
        for file in self._listing:
            if all_parts or self.part.number_of(file) == self.part.number:
                key = self._listing.key(file.path)
                while latest is not None and latest < key:
                    latest = next(done, None)
                if latest != key:
                    yield file

    def write(self, texts: Iterable[str]) -> None:
        """Write the rows of this part, each text (of whole lines) at once."""
        with naming(self._mine), _open(self._mine, "w") as table:
            for text in chain([line(self.columns)], texts, [line([""] * len(self.columns))]):
                table.write(text)
                table.flush()

    def finish(self, through: Callable[[Iterable[list[str]]], Iterable[list[str]]]) -> str:
        """Note that this part is finished; if it was the last, write the table and remove the folder.

        ``through`` is given the rows of the table and hands them on. Returns why the table was not written, or "".
        """
        with self._alone():
            if not self._mine.exists():  # the folder, if there is one, is that of another run
                return "another process has written the table"
            (self.folder / f"{self.part}.done").touch()
            numbers, names = range(1, self.part.count + 1), os.listdir(self.folder)
            missing = {k for k in numbers if f"{Part(k, self.part.count)}.done" not in names}
            if self.part.count > 1 and not missing:  # but files may have come since a part was finished
                missing = {self.part.number_of(file) for file in self.todo(all_parts=True)}
            if missing:
                return f"of {self.part.count} parts not finished: {', '.join(map(str, sorted(missing)))}"
            with replacing(self._table) as temporary, _open(temporary, "w") as table:
                table.write(line(self.columns))
                table.writelines(line(_harmless(row)) for row in through(row for *_, row in self._rows()))
            # First out of the way: half of a folder would be taken for an unfinished run.
            gone = self.folder.rename(self.folder.with_name(f".{self.folder.name}.{unique()}"))
            shutil.rmtree(gone, ignore_errors=True)
            for lock in self._table.parent.glob(f".{glob.escape(self._table.name)} part *.lock"):
                with suppress(OSError):
                    lock.unlink()  # also those of processes that were killed
            return ""

    def _rows(self) -> Iterator[tuple[tuple, int, list[str]]]:
        """Yield (key of the file, number of the table, row) in order; of the tables with a file the first counts."""
        tables = [self._rows_of(table, k) for k, table in enumerate(sorted(self.folder.glob("*.csv")))]
        for _, rows in groupby(heapq.merge(*tables, key=itemgetter(0, 1)), itemgetter(0)):
            for _, first in islice(groupby(rows, itemgetter(1)), 1):
                yield from first

    def _rows_of(self, path: Path, number: int) -> Iterator[tuple[tuple, int, list[str]]]:
        """Yield the rows of a table up to the first that is damaged: the files from there on are done again."""
        latest: tuple = ()
        with _open(path) as table, suppress(KeyError):  # a path that nobody gave
            for row in islice(csv.reader(table), 1, 1 + _complete(path)):
                if (key := self._listing.key(Path(row[0]))) < latest:
                    return
                yield key, number, row
                latest = key


def line(row: Sequence[object]) -> str:
    """Return a row as CSV that ``csv.reader`` reads as the same: names of files may hold anything."""
    texts = (str(value) for value in row)
    quoted = ('"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text for text in texts)
    return ",".join(quoted) + "\n"


def _harmless(row: list[str]) -> list[str]:
    """Return a row whose path no spreadsheet takes for a formula: ``./=x.jpg`` is the same file as ``=x.jpg``."""
    return [os.path.join(".", row[0]), *row[1:]] if _FORMULA.match(row[0]) else row


def _open(path: Path, mode: str = "r") -> IO[str]:
    """Open a CSV file; names of files in it may be any bytes."""
    return path.open(mode, newline="", encoding="utf-8", errors="surrogateescape")


def _complete(path: Path) -> int:
    """Return how many rows stand before those of the last file."""
    complete, name = 0, None
    with _open(path) as table, suppress(csv.Error):  # the end may be any bytes
        reader = csv.reader(table)
        width = len(next(reader, ()))
        for number, row in enumerate(reader):
            if len(row) != width:
                break
            if row[0] != name:
                complete, name = number, row[0]
    return complete
