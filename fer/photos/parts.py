"""A table that several processes write in parts, and that survives being cut off anywhere.

While a run is unfinished there is a folder beside its table:

    OUT.csv.parts/options.json     what was asked for
                  done.csv         the rows of earlier runs that were stopped, in order
                  0.csv, 1.csv …   what each process of this run has written, in order
                  1.ready …        the name of a process that waits for the run to begin
                  run.json         the name of the run, and of the processes that it began with
                  0-RUN.done …     a process has finished its part; the last one joins the parts into the table

Which process works on a file follows from the file's name, so that no file is
lost or doubled, also when files come and go meanwhile. The processes share
nothing but this folder: when one dies, the others finish their parts.
"""

import csv
import heapq
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TextIO, cast

from fer.errors import DataInvalid, DataMissing, UserError
from fer.files import check_same_options, replacing, unique
from fer.photos.listing import File, Listing

PATIENCE_S = 600.0
"""How long the processes of a run wait for each other before it begins."""
_OPTIONS, _DONE, _RUN = "options.json", "done.csv", "run.json"


@dataclass(frozen=True)
class Process:
    """Which process of one command this is, as ``torchrun`` says in the environment.

    Attributes:
        rank: its number, from 0, over all machines.
        world: how many there are, over all machines.
        local: how many there are on this machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 1

    @classmethod
    def from_environment(cls) -> "Process":
        """Return this process; a command started as usual is the only one."""
        rank, world, local = (os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        return cls(int(rank or 0), int(world or 1), int(local or 1))

    @property
    def cores(self) -> int:
        """How many of the machine's cores are this process's."""
        limited = hasattr(os, "sched_getaffinity")  # on Linux: what the process may use, not what there is
        return max(1, (len(os.sched_getaffinity(0)) if limited else os.cpu_count() or 1) // self.local)


class Parts:
    """The parts of one table: ``begin``, then ``open`` one and write the rows of ``todo``, then ``finish``.

    A row belongs to the file that its first column names; the rows of a file
    stand together. The last file of a part that was cut off may lack rows: it
    is done again.

    Args:
        table: what the parts become in the end.
        columns: of the table.
        listing: the files to work on, and their order.
        process: who writes.
    """

    def __init__(self, table: Path, columns: Sequence[str], listing: Listing, process: Process) -> None:
        self.folder = table.with_name(table.name + ".parts")
        self.columns, self._table = list(columns), table
        self._listing, self._process, self._run = listing, process, ""

    def begin(self, options: dict, resume: bool) -> bool:
        """Begin, or go on with a run that was stopped, once every process is here.

        Args:
            options: JSON-ready; rows written with other ones do not fit.
            resume: go on where a run was stopped, if one was.

        Returns:
            False where there is nothing to go on with, because the table is finished.

        Raises:
            DataInvalid: there is an unfinished run, and ``resume`` was not given or its options differ; or
                nothing can be written there.
            DataMissing: a process did not come.
        """
        # Every process looks at the same: nothing is changed before all of them are ready.
        options = {**options, "columns": self.columns}
        file = self.folder / _OPTIONS
        if resume and self._table.is_file() and not file.exists():
            return False
        if file.exists() and not resume:
            raise DataInvalid(
                f"{self.folder} holds an unfinished run. Add --resume to go on with it, or delete the folder."
            )
        if file.exists():
            check_same_options(self.folder, json.loads(file.read_text("utf-8")), options, "--csv")
        with self._explaining(self._table, "Choose another place."):
            if self._process.rank > 0:
                self._join()
                return True
            names = self._wait_for_others()
            self._prepare(options)
            self._run = unique()
            _write_json(self.folder / _RUN, {"run": self._run, "processes": names})
        return True

    def _join(self) -> None:
        """Say that this process is ready, and wait until the first one has begun the run with it."""
        name, ready, run = unique(), self.folder / f"{self._process.rank}.ready", self.folder / _RUN

        def begun() -> bool:
            if not ready.exists():  # the first process removes those of earlier runs, and perhaps this one
                with replacing(ready) as temporary:
                    temporary.write_text(name)
            known = json.loads(run.read_text()) if run.exists() else {"run": "", "processes": []}
            self._run = str(known["run"])
            return name in known["processes"]

        _wait(begun, f"Process 0 of {self._process.world} did not begin the run")

    def _wait_for_others(self) -> list[str]:
        """Return the names of the other processes, once all are ready."""
        for file in self.folder.glob("[0-9]*.ready"):
            file.unlink()
        files = [self.folder / f"{rank}.ready" for rank in range(1, self._process.world)]
        for rank, file in enumerate(files, 1):
            _wait(file.exists, f"Process {rank} of {self._process.world} did not come: there is no {file}")
        return [file.read_text() for file in files]

    def _prepare(self, options: dict) -> None:
        """Make the folder, or gather in it what was done before a stop."""
        parts = [part for part in self.folder.glob("*.csv") if part.stem.isdecimal()]
        if (self.folder / _OPTIONS).exists():
            earlier = [(part, None) for part in [self.folder / _DONE] if part.exists()]
            # A stop between the next two statements only means that rows are found twice.
            self._write(
                self.folder / _DONE, self._merge(earlier + [(part, _complete(part)) for part in parts])
            )
        else:
            _write_json(self.folder / _OPTIONS, options)
        for file in [*parts, *self.folder.glob("*.done")]:
            file.unlink()

    def todo(self) -> Iterator[File]:
        """Yield the files that are this process's to do, in order."""
        done = self._done()
        latest = next(done, None)
        for file in self._listing:
            if zlib.crc32(os.fsencode(file.path)) % self._process.world != self._process.rank:
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
            for key, _ in groupby(self._rows(self.folder / _DONE), itemgetter(0)):
                yield key

    def open(self) -> TextIO:
        """Open this process's part, empty but for its header."""
        table = _open(self.folder / f"{self._process.rank}.csv", "w")
        write_row(table, self.columns)
        return table

    def finish(self, through: Callable[[Iterable[list[str]]], Iterable[list[str]]]) -> bool:
        """Note that this process's part is finished; the last process writes the table and removes the folder.

        Args:
            through: is given the rows of the table, in the order of the listing, and hands them on.

        Returns:
            Whether this process was the last one.

        Raises:
            DataInvalid: the table cannot be written; the folder stays.
        """
        marks = [self.folder / f"{rank}-{self._run}.done" for rank in range(self._process.world)]
        with self._explaining(self.folder):
            marks[self._process.rank].touch()
        # Of two that see all marks the first to make this file joins the parts.
        try:
            if not all(mark.exists() for mark in marks):
                return False
            (self.folder / f"joining-{self._run}.done").touch(exist_ok=False)
        except (FileExistsError, FileNotFoundError):
            return False
        parts = [self.folder / _DONE, *(self.folder / f"{rank}.csv" for rank in range(self._process.world))]
        self._write(self._table, through(self._merge([(part, None) for part in parts if part.exists()])))
        # First out of the way: half of a folder would be taken for a run that was stopped.
        finished = self.folder.rename(self.folder.with_name(f".{self.folder.name}.{unique()}"))
        shutil.rmtree(finished)
        return True

    def _merge(self, parts: Sequence[tuple[Path, int | None]]) -> Iterator[list[str]]:
        """Yield rows in order, up to a number of each part; a file that two parts have comes from the first."""
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
            path, key = None, ()
            for row in islice(csv.reader(table), 1, None if rows is None else rows + 1):
                if row[0] != path:
                    path, key = row[0], self._listing.key(Path(row[0]))
                yield key, row

    def _write(self, path: Path, rows: Iterable[list[str]]) -> None:
        with self._explaining(path), replacing(path) as temporary, _open(temporary, "w") as table:
            for row in chain([self.columns], rows):
                write_row(table, row)

    @contextmanager
    def _explaining(self, path: Path, advice: str = "") -> Iterator[None]:
        """Name the file that cannot be written, and what to do next."""
        try:
            yield
        except UserError:
            raise
        except OSError as error:
            advice = advice or (
                f"{self.folder} holds what was done: when that is repaired, the same command with --resume goes on."
            )
            raise DataInvalid(f"{path} cannot be written: {error.strerror}. {advice}") from error


def _wait(check: Callable[[], bool], problem: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not check():
        if time.monotonic() > end:
            raise DataMissing(
                f"{problem} within {PATIENCE_S:.0f} s. On several machines --csv must name a folder that all of them "
                "share."
            )
        time.sleep(0.05)


def _write_json(path: Path, content: dict) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), "utf-8")


def _open(path: Path, mode: str = "r") -> TextIO:
    """Open a CSV file; names of files in it may be any bytes."""
    return cast(TextIO, path.open(mode, newline="", encoding="utf-8", errors="surrogateescape"))


def write_row(table: TextIO, row: Sequence[object]) -> None:
    """Write a row so that ``csv.reader`` reads the same: Python 3.11 leaves a carriage return in a name unquoted."""
    if any("\r" in str(cell) for cell in row):
        csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(row)
    else:
        csv.writer(table, lineterminator="\n").writerow(row)


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
