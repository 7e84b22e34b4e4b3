"""A table that grows in parts, one for each process, and survives being cut off anywhere.

While a run is unfinished there is a folder beside its table:

    OUT.csv.parts/options.json    what was asked for
                  done.csv        what stopped runs before had finished, in order
                  0.csv, 1.csv …  what each process of this run has written, in order

Which process works on a file follows from the file's name, so that nothing is
lost or doubled, also when files come and go meanwhile.
"""

import csv
import heapq
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

from fer.errors import DataInvalid, DataMissing, UserError
from fer.files import check_same_options, replacing
from fer.photos.listing import File, Listing
from fer.training.distributed import Processes

_OPTIONS, _DONE = "options.json", "done.csv"


class Parts:
    """The parts of one table.

    A row belongs to the file that its first column names; the rows of a file
    stand together. The last file of a part that was cut off may lack rows: it
    is done again.

    Args:
        table: what they become in the end.
        columns: of the table.
        listing: what is worked on, and its order.
        processes: who writes.
    """

    def __init__(self, table: Path, columns: Sequence[str], listing: Listing, processes: Processes) -> None:
        self.folder = table.with_name(table.name + ".parts")
        self._table, self._columns = table, list(columns)
        self._listing, self._processes = listing, processes

    def begin(self, options: dict, resume: bool) -> None:
        """Make the folder, or gather in it what was done before a stop; for the first process alone.

        Args:
            options: JSON-ready; rows written with other ones do not fit.
            resume: go on where a run was stopped, if one was.

        Raises:
            DataInvalid: there is an unfinished run, and it was not asked for or was another one; or
                nothing can be written there.
        """
        file = self.folder / _OPTIONS
        if file.exists() and not resume:
            raise DataInvalid(
                f"{self.folder} holds an unfinished run. Add --resume to go on with it, or delete the folder."
            )
        options = {**options, "columns": self._columns}
        if file.exists():
            check_same_options(self.folder, json.loads(file.read_text("utf-8")), options, "--csv")
            self._gather()
            return
        try:
            with replacing(file) as temporary:
                temporary.write_text(json.dumps(options, indent=1), "utf-8")
        except OSError as error:
            raise DataInvalid(
                f"--csv {self._table} cannot be written: {error.strerror}. Choose another place."
            ) from error

    def _gather(self) -> None:
        parts = [part for part in self.folder.glob("*.csv") if part.stem.isdecimal()]
        before = [(self.folder / _DONE, None)] if (self.folder / _DONE).exists() else []
        # A stop between the next two statements only means that rows are found twice.
        self._write(self.folder / _DONE, self._merge(before + [(part, _complete(part)) for part in parts]))
        for part in parts:
            part.unlink()

    def todo(self) -> Iterator[File]:
        """Yield the files that are this process's to do, in order."""
        done = self._done()
        latest = next(done, None)
        for file in self._listing:
            if zlib.crc32(os.fsencode(file.path)) % self._processes.world != self._processes.rank:
                continue
            if latest is not None:
                key = self._listing.key(file.path)
                while latest is not None and latest < key:
                    latest = next(done, None)
                if latest == key:
                    continue
            yield file

    def _done(self) -> Iterator[tuple]:
        """Yield the keys of the files done before, in order."""
        with suppress(FileNotFoundError):
            latest = None
            for key, _ in self._rows(self.folder / _DONE):
                if key != latest:
                    yield key
                latest = key

    def open(self) -> TextIO:
        """Open this process's part, empty but for its header."""
        table = _open(self.folder / f"{self._processes.rank}.csv", "w")
        write_row(table, self._columns)
        return table

    def merged(self) -> Iterator[list[str]]:
        """Yield all rows in the order of the listing, once every process is through.

        Raises:
            DataMissing: the part of a process is not here.
        """
        parts = [self.folder / f"{rank}.csv" for rank in range(self._processes.world)]
        missing = [str(part) for part in parts if not part.exists()]
        if missing:
            raise DataMissing(
                f"{missing[0]} is missing: expected a part of each of the {len(parts)} processes. "
                "On several machines --csv must name a folder that all of them share."
            )
        before = [part for part in [self.folder / _DONE] if part.exists()]
        yield from self._merge([(part, None) for part in before + parts])

    def finish(self, rows: Iterable[list[str]]) -> None:
        """Write the table and remove the folder; for the first process alone, with ``merged()``.

        Raises:
            DataInvalid: the table cannot be written; the folder stays.
        """
        self._write(self._table, rows)
        for file in self.folder.iterdir():
            file.unlink()
        self.folder.rmdir()

    def _merge(self, parts: Sequence[tuple[Path, int | None]]) -> Iterator[list[str]]:
        """Yield the rows of parts, of each the first so many, in order; a file that two have comes from the first."""
        numbered = [
            ((key, number, row) for key, row in self._rows(part, rows))
            for number, (part, rows) in enumerate(parts)
        ]
        latest = None
        for key, number, row in heapq.merge(*numbered, key=lambda item: item[:2]):
            if latest is None or key != latest[0]:
                latest = key, number
            if number == latest[1]:
                yield row

    def _rows(self, part: Path, rows: int | None = None) -> Iterator[tuple[tuple, list[str]]]:
        """Yield the key and the rows of a part."""
        with _open(part) as table:
            path = key = None
            for row in islice(csv.reader(table), 1, None if rows is None else rows + 1):
                if row[0] != path:
                    path, key = row[0], self._listing.key(Path(row[0]))
                yield key, row

    def _write(self, path: Path, rows: Iterable[list[str]]) -> None:
        try:
            with replacing(path) as temporary, _open(temporary, "w") as table:
                for row in chain([self._columns], rows):
                    write_row(table, row)
        except UserError:
            raise
        except OSError as error:
            raise DataInvalid(
                f"{path} cannot be written: {error.strerror}. {self.folder} holds what was done: mend that, then "
                "the same command with --resume goes on from there."
            ) from error


def write_row(table: TextIO, row: Sequence[object]) -> None:
    """Write a row so that ``csv.reader`` reads the same: Python 3.11 leaves a carriage return in a name unquoted."""
    quoting = csv.QUOTE_ALL if any("\r" in str(cell) for cell in row) else csv.QUOTE_MINIMAL
    csv.writer(table, quoting=quoting, lineterminator="\n").writerow(row)


def _open(path: Path, mode: str = "r") -> TextIO:
    # surrogateescape: names of files may be any bytes
    return path.open(mode, newline="", encoding="utf-8", errors="surrogateescape")


def _complete(part: Path) -> int:
    """Return how many rows stand before those of the last file."""
    complete, path = 0, None
    with _open(part) as table, suppress(csv.Error):  # the end may be any bytes
        reader = csv.reader(table)
        width = len(next(reader, ()))
        for number, row in enumerate(reader):
            if len(row) != width:
                break
            if row[0] != path:
                complete, path = number, row[0]
    return complete
