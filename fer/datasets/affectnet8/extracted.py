"""A split as a folder of ``images/`` and ``annotations/``: AffectNet8's with .npy files, AffectNet+'s with JSON.

AffectNet+ has AffectNet's faces with soft labels. Source: Fard et al. 2024,
arXiv:2410.22506. Its layout was taken from public programs that read it, not from the release itself:
``human_annotated/{train_set,validation_set}/`` with ``images/<id>.jpg``, 224x224, and ``annotations/<id>.json``.

A JSON file holds ``human-label`` (0 to 10, AffectNet's codes), which is the label used here, and ``meta-data``
with, among others, ``valence``, ``arousal`` and ``landmark-68`` (136 numbers x0, y0, x1, y1 …).
"""

import json
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from fer.datasets.affectnet8 import npy
from fer.datasets.affectnet8.index import ANNOTATIONS, UNREADABLE, Index, Problem, code, label, pair
from fer.datasets.affectnet8.source import Source, contents, describe, in_threads, listing
from fer.errors import DAMAGE, DataMissing

_WATCHED = 1000  # labels whose size and time are looked at when an index is opened
_KEYS = {"val": "valence", "aro": "arousal", "lnd": "landmark-68"}


class Folder(Source):
    """``images/<id>.jpg`` and ``annotations/<id>_{exp,val,aro,lnd}.npy`` below ``path``."""

    index_name = "affectnet8.index"
    _separator = "_"  # between an id and the rest of an annotation's name
    _kinds: Mapping[str, str] = {f"{kind}.npy": kind for kind in ANNOTATIONS}  # what that rest means

    def __init__(self, path: Path, split: str) -> None:
        super().__init__(path, split, path / self.index_name)

    def times(self) -> dict[str, int]:
        """Return the times of both folders."""
        if not (self.path / "annotations").is_dir():
            raise DataMissing(
                f"{self.path} holds images/ but no annotations/ ({describe(self.path)}): labels would be missing. "
                "Extract the whole archive: python -m fer.datasets.affectnet8 extract TAR DIR"
            )
        return {name: os.stat(self.path / name).st_mtime_ns for name in ("images", "annotations")}

    def watched(self, index: Index) -> list[str]:
        """Return a thousand labels, spread over the set, and the files with problems: to look at all takes seconds."""
        ids = index.ids[np.linspace(0, len(index) - 1, min(len(index), _WATCHED)).astype(int)]
        problems = [problem.file for problem in index.problems[: 20 * _WATCHED]]
        return [self.annotation_file(id_, "exp") for id_ in ids] + problems

    def scan(self) -> Index:
        """List both folders and read every label, with a progress bar."""
        images = {name[:-4] for name in listing(self.path / "images") if name.endswith(".jpg")}
        annotated: set[str] = set()
        labelled: list[str] = []
        separator, kinds = self._separator, self._kinds  # local: the loop runs a million times
        for name in listing(self.path / "annotations"):
            id_, _, end = name.rpartition(separator)
            if end in kinds:
                annotated.add(id_)
                if kinds[end] == "exp":
                    labelled.append(id_)

        labels: dict[str, int | Problem] = {}

        def read(i: int) -> None:
            labels[labelled[i]] = self._label(f"{self.path}/{self.annotation_file(labelled[i], 'exp')}")

        in_threads(read, len(labelled), "reading labels")
        return pair(images, annotated, labels, lambda id_: self.annotation_file(id_, "exp"))

    def _label(self, path: str) -> int | Problem:
        try:
            return label(contents(path))
        except OSError as error:
            return Problem(UNREADABLE, detail=str(error.strerror))

    def values(self, index: Index, i: int, kind: str) -> np.ndarray | None:
        """Return the numbers in the file of one annotation, or None where there is no file."""
        try:
            return npy.numbers(contents(f"{self.path}/{self.annotation_file(index.ids[i], kind)}"))
        except FileNotFoundError:
            return None


class JsonFolder(Folder):
    """``images/<id>.jpg`` and ``annotations/<id>.json`` below ``path``."""

    name, title, index_name = "affectnet-plus", "AffectNet+", "affectnet-plus.index"
    annotation_pattern = "annotations/{}.json"
    _separator, _kinds = ".", {"json": "exp"}

    def _label(self, path: str) -> int | Problem:
        try:
            return code(json.loads(contents(path))["human-label"])
        except (OSError, *DAMAGE) as error:
            return Problem(UNREADABLE, detail=f"{type(error).__name__}: {error}")

    def values(self, index: Index, i: int, kind: str) -> np.ndarray | None:
        """Return the numbers of one annotation in the JSON file; they may be text."""
        path = f"{self.path}/{self.annotation_file(index.ids[i], kind)}"
        try:
            value = (json.loads(contents(path)).get("meta-data") or {}).get(_KEYS[kind])
            return None if value is None or value == [] else np.asarray(value, np.float64).ravel()
        except DAMAGE as error:
            raise ValueError(f"no {_KEYS[kind]} in meta-data as numbers ({error})") from error


def has_json(folder: Path) -> bool:
    """Whether a folder has ``images/`` and, among its first annotations, a JSON file, as AffectNet+ has."""
    if not ((folder / "images").is_dir() and (folder / "annotations").is_dir()):
        return False
    return any(name.endswith(".json") for name in islice(listing(folder / "annotations"), 20))
