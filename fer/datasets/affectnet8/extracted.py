"""A split as a folder of ``images/`` and ``annotations/``: AffectNet8's with .npy files, AffectNet+'s with JSON.

AffectNet+ has AffectNet's faces with soft labels. Source: Fard et al. 2024,
arXiv:2410.22506. Its layout was taken from public programs that read it, not from the release itself:
``human_annotated/{train_set,validation_set}/`` with ``images/<id>.jpg``, 224x224, and ``annotations/<id>.json``.

A JSON file holds ``human-label`` (0 to 10, AffectNet's codes), ``soft-label``
(eight numbers), ``subset`` (0 easy, 1 challenging, 2 difficult) and
``meta-data`` with, among others, ``valence``, ``arousal`` and ``landmark-68``
(136 numbers x0, y0, x1, y1 …). The label used here is ``human-label``; a file
of another form is counted and named. ``no_human_annotated/`` has no such labels and is not read.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from fer.datasets.affectnet8 import npy
from fer.datasets.affectnet8.index import ANNOTATIONS, UNREADABLE, Index, Problem, code, label, pair
from fer.datasets.affectnet8.source import Source, contents, describe, listing, size_and_time
from fer.errors import DataMissing

_WATCHED = 1000  # labels whose size and time are looked at when an index is opened
_WATCHED_PROBLEMS = 20_000
_THREADS, _PART = 8, 250  # that read labels, and how many at a time
_SLOW = 2e-5  # seconds for a label: those in memory take a fifth, where threads are in each other's way
_KEYS = {"val": "valence", "aro": "arousal", "lnd": "landmark-68"}


class Folder(Source):
    """``images/<id>.jpg`` and ``annotations/<id>_{exp,val,aro,lnd}.npy`` below ``path``."""

    index_name = "affectnet8.index"
    _separator = "_"  # between an id and the rest of an annotation's name
    _kinds: Mapping[str, str] = {f"{kind}.npy": kind for kind in ANNOTATIONS}  # what that rest means

    def __init__(self, path: Path, split: str) -> None:
        super().__init__(path, split, path / self.index_name)
        self._images, self._annotations = os.path.join(path, "images"), os.path.join(path, "annotations")

    def times(self) -> dict[str, int]:
        """Return the times of both folders."""
        if not os.path.isdir(self._annotations):
            raise DataMissing(
                f"{self.path} holds images/ but no annotations/ ({describe(self.path)}): labels would be missing. "
                "Extract the whole archive: python -m fer.datasets.affectnet8 extract TAR DIR"
            )
        return {name: os.stat(self.path / name).st_mtime_ns for name in ("images", "annotations")}

    def stamp(self, index: Index) -> dict[str, object]:
        """Return the times of both folders, and how a sample of the files looks.

        Looking at all files of the full set would take longer than opening it
        should. A label that is overwritten in place shows when it is among the
        thousand watched ones, and always in a set that is no larger than that.
        """
        watched = index.ids[np.linspace(0, len(index) - 1, min(len(index), _WATCHED)).astype(int)]
        files = [self.annotation_file(id_, "exp") for id_ in watched.tolist()]
        files += [problem.file for problem in index.problems[:_WATCHED_PROBLEMS]]
        seen = repr([size_and_time(os.path.join(self.path, file)) for file in files])
        return {"times": self.times(), "watched": hashlib.sha256(seen.encode()).hexdigest()}

    def scan(self) -> Index:
        """List both folders and read every label, with a progress bar."""
        images = {name[:-4] for name in listing(self._images) if name.endswith(".jpg")}
        labelled: list[str] = []
        strays: dict[str, str] = {}
        separator, kinds = self._separator, self._kinds  # local: the loop runs a million times
        for name in listing(self._annotations):
            id_, _, end = name.rpartition(separator)
            if id_ in images:
                if kinds.get(end) == "exp":
                    labelled.append(id_)
            elif end in kinds:
                strays.setdefault(id_, f"annotations/{name}")
        labels = dict(zip(labelled, self._labels(labelled), strict=True))
        return pair(images, labels, strays, lambda id_: self.annotation_file(id_, "exp"))

    def _labels(self, ids: list[str]) -> Iterator[int | Problem]:
        """Yield what the label files of these ids hold; read by threads where the files are slow to come."""
        parts = [ids[start : start + _PART] for start in range(0, len(ids), _PART)]
        bar = tqdm(total=len(ids), desc="reading labels", unit="file", delay=1, leave=False, disable=None)
        slow = False
        with ThreadPoolExecutor(_THREADS) as pool, bar:
            for start in range(0, len(parts), 2 * _THREADS):
                batch = parts[start : start + 2 * _THREADS]
                began = time.perf_counter()
                for found in pool.map(self._part, batch) if slow else map(self._part, batch):
                    yield from found
                    bar.update(len(found))
                slow = (time.perf_counter() - began) / sum(map(len, batch)) > _SLOW

    def _part(self, ids: list[str]) -> list[int | Problem]:
        return [self._label(f"{self.path}/{self.annotation_file(id_, 'exp')}") for id_ in ids]

    def _label(self, path: str) -> int | Problem:
        try:
            return label(contents(path, at_once=4096))
        except OSError as error:
            return Problem(UNREADABLE, detail=str(error.strerror))

    def values(self, index: Index, i: int, kind: str) -> np.ndarray | None:
        """Return the numbers in the file of one annotation, or None where there is no file."""
        try:
            return npy.numbers(contents(f"{self._annotations}/{index.ids[i]}_{kind}.npy"))
        except FileNotFoundError:
            return None


class JsonFolder(Folder):
    """``images/<id>.jpg`` and ``annotations/<id>.json`` below ``path``."""

    name, title, index_name = "affectnet-plus", "AffectNet+", "affectnet-plus.index"
    annotation_pattern = "annotations/{}.json"
    _separator, _kinds = ".", {"json": "exp"}

    def _label(self, path: str) -> int | Problem:
        try:
            return code(_read(path)["human-label"])
        except (OSError, ValueError, KeyError) as error:
            return Problem(UNREADABLE, detail=f"{type(error).__name__}: {error}")

    def values(self, index: Index, i: int, kind: str) -> np.ndarray | None:
        """Return the numbers of one annotation in the JSON file; they may be text."""
        data = _read(os.path.join(self.path, self.annotation_file(index.ids[i], kind)))
        about = data.get("meta-data") or {}
        if not isinstance(about, dict):
            raise ValueError(f"meta-data is a {type(about).__name__} where an object is expected")
        value = about.get(_KEYS[kind])
        try:
            return None if value is None or value == [] else np.asarray(value, np.float64).ravel()
        except TypeError as error:
            raise ValueError(f"{_KEYS[kind]} holds no numbers") from error


def _read(path: str) -> dict:
    with open(path, "rb") as file:
        data = json.loads(file.read())
    if not isinstance(data, dict):
        raise ValueError(f"a {type(data).__name__} where an object is expected")
    return data


def has_json(folder: Path) -> bool:
    """Whether a folder has ``images/`` and, among its first annotations, a JSON file, as AffectNet+ has."""
    if not ((folder / "images").is_dir() and (folder / "annotations").is_dir()):
        return False
    return any(name.endswith(".json") for name in islice(listing(folder / "annotations"), 20))
