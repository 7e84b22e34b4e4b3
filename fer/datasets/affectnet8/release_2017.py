"""AffectNet as it was released in 2017: whole photos, and a table for each split.

    Manually_Annotated_Images/<number>/<name>.jpg
    training.csv, validation.csv            beside it, or in Manually_Annotated_file_lists/

A row holds ``subDirectory_filePath``, the box of the face (``face_x``,
``face_y``, ``face_width``, ``face_height``), ``facial_landmarks`` (136 numbers
between semicolons, in pixels of the photo), ``expression`` (0 to 10),
``valence`` and ``arousal`` (-2: absent). A table without that first line has
the columns in this order. Source: Mollahosseini et al. 2017, arXiv:1708.03985.
"""

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from fer.datasets.affectnet8.class_folders import SIDE, to_side
from fer.datasets.affectnet8.index import NO_IMAGE, Index, Problem, code
from fer.datasets.affectnet8.source import BrokenImage, Source, listing, subfolders
from fer.errors import DataInvalid
from fer.faces import crop
from fer.labels import EMOTIONS

TABLES = {"train": "training.csv", "val": "validation.csv"}
IMAGES = "Manually_Annotated_Images"
COLUMNS = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
)

NO_BOX = "row without a face box"
SHORT_ROW = "row without all columns"
TWICE = "image listed twice"
_KINDS = {"val": "valence", "aro": "arousal", "lnd": "facial_landmarks"}


class Table(Source):
    """Rows of ``training.csv`` or ``validation.csv``; an id is the path of a photo below ``path``."""

    name, title, image_pattern, places = "affectnet-2017", "AffectNet of 2017", "{}", 1

    def __init__(self, table: Path, columns: list[str], images: Path, split: str) -> None:
        super().__init__(images, split, table.with_name(f"{table.name}.index"))
        self.table, self.columns = table, columns

    def times(self) -> dict[str, int]:  # noqa: D102
        table, folders = self.table.stat(), subfolders(self.path)
        times = {name: os.stat(self.path / name).st_mtime_ns for name in folders}
        return {**times, "/size": table.st_size, "/time": table.st_mtime_ns}

    def scan(self) -> Index:  # noqa: D102
        folders = subfolders(self.path)
        photos = {f"{folder}/{name}" for folder in folders for name in listing(self.path / folder)}
        labels: dict[str, int] = {}
        places: dict[str, tuple[int, int]] = {}
        problems: list[Problem] = []
        for start, size, row in self._rows():
            label, id_ = code(row.get("expression")), row.get(COLUMNS[0], "")
            if len(row) < len(self.columns):
                problems.append(Problem(SHORT_ROW, id_, f"{len(row)} of {len(self.columns)}"))
            elif id_ in labels:
                problems.append(Problem(TWICE, id_))
            elif isinstance(label, Problem):
                problems.append(label._replace(file=id_))
            elif label < len(EMOTIONS) and id_ not in photos:
                problems.append(Problem(NO_IMAGE, id_))
            elif label < len(EMOTIONS) and _box(row) is None:
                problems.append(Problem(NO_BOX, id_))
            else:
                labels[id_], places[id_] = label, (start, size)
        return Index(
            np.array(list(labels), np.str_),
            np.array(list(labels.values()), np.int8),
            places=np.array(list(places.values()), np.int64).reshape(-1, 1, 2),
            problems=tuple(problems),
        )

    def _rows(self) -> Iterator[tuple[int, int, dict[str, str]]]:
        """Yield first byte, number of bytes and cells of each row."""
        start, total = 0, self.table.stat().st_size
        bar = tqdm(total=total, desc="reading table", unit="B", unit_scale=True, delay=1, leave=False)
        with self.table.open("rb") as file, bar:
            for line in file:
                if (cells := _cells(line)) and cells != self.columns:
                    yield start, len(line), dict(zip(self.columns, cells, strict=False))
                start += len(line)
                bar.update(len(line))

    def _row(self, index: Index, i: int) -> dict[str, str]:
        offset, size = index.places[i, 0].tolist()
        with self.table.open("rb", buffering=0) as file:
            file.seek(offset)
            return dict(zip(self.columns, _cells(file.read(size)), strict=False))

    def annotation_file(self, id_: str, kind: str) -> str:
        """Return the table."""
        return str(self.table.absolute())

    def face(self, pixels: np.ndarray, index: Index, i: int) -> np.ndarray:
        """Return the face cut out of its photo, BGR uint8 (SIDE, SIDE, 3)."""
        box, (height, width) = _box(self._row(index, i)) or (0, 0, 0, 0), pixels.shape[:2]
        try:
            return to_side(crop(pixels, box))
        except DataInvalid as error:
            raise BrokenImage(
                f"the face box {box} (left, top, width, height) lies outside the photo of {width}x{height} pixels"
            ) from error

    def values(self, index: Index, i: int, kind: str) -> np.ndarray | None:
        """Return the numbers of one annotation in the row; landmarks in pixels of the face."""
        row = self._row(index, i)
        text, box = row[_KINDS[kind]].strip(), _box(row)
        if text in ("", "NULL"):
            return None
        numbers = np.array([float(number) for number in text.split(";") if number.strip()])
        if kind != "lnd" or numbers.size % 2 or box is None:
            return numbers
        left, top, width, height = box
        side = max(width, height)  # the square that ``crop`` cuts, around the box
        corner = (round(left + (width - side) / 2), round(top + (height - side) / 2))
        return ((numbers.reshape(-1, 2) - corner) * SIDE / side).ravel()


def find(root: Path) -> dict[str, Source]:
    """Return the splits whose table, and ``Manually_Annotated_Images``, is in ``root`` or a folder of the release."""
    images = (root / name for name in (IMAGES, f"Manually_Annotated/{IMAGES}"))
    folder = next((path for path in images if path.is_dir()), None)
    if folder is None:
        return {}
    places = root / "Manually_Annotated_file_lists", root
    tables = ((split, place / name) for split, name in TABLES.items() for place in places)
    return {
        split: Table(path, columns, folder, split) for split, path in tables if (columns := _columns(path))
    }


def _columns(table: Path) -> list[str] | None:
    """Return the names of a table's columns, or None where it is no table of this release."""
    if not table.is_file():
        return None
    with table.open("rb") as file:
        first = _cells(file.readline(1 << 16))
    if set(COLUMNS) <= set(first):
        return first
    return list(COLUMNS) if len(first) == len(COLUMNS) and "/" in first[0] else None


def _cells(line: bytes) -> list[str]:
    try:
        return next(csv.reader(line.decode("utf-8-sig", "replace").splitlines()), [])
    except csv.Error:  # longer than any row
        return []


def _box(row: Mapping[str, str]) -> tuple[int, ...] | None:
    """Return left, top, width and height, or None where a row has none."""
    try:
        box = tuple(round(float(row[name])) for name in COLUMNS[1:5])
    except (KeyError, ValueError, OverflowError):  # inf
        return None
    return box if min(box[2:]) > 0 and max(map(abs, box)) < 100_000 else None
