"""AffectNet+: AffectNet's faces with soft labels, one JSON file for each image.

Source: Fard et al. 2024, arXiv:2410.22506. The release was not at hand when
this was written; how it is laid out was taken from public programs that read it:

    human_annotated/train_set/images/<id>.jpg            224x224 crops
    human_annotated/train_set/annotations/<id>.json
    human_annotated/validation_set/…                     the same

A JSON file holds ``human-label`` (0 to 10, AffectNet's codes), ``soft-label``
(eight numbers), ``subset`` (0 easy, 1 challenging, 2 difficult) and
``meta-data`` with, among others, ``valence``, ``arousal`` and ``landmark-68``
(136 numbers x0, y0, x1, y1 …). The label used here is ``human-label``; a file
that does not look like this is counted and named, never guessed at.
``no_human_annotated/`` has no such labels and is not read.
"""

import json
import os
from itertools import islice
from pathlib import Path

import numpy as np

from fer.datasets.affectnet8.index import SPLITS, UNREADABLE, Fault, Index, code
from fer.datasets.affectnet8.source import Folder, listing

__all__ = ["SPLITS", "TITLE", "JsonFolder", "has_json", "locate"]

TITLE = "AffectNet+"
FOLDERS = {"train": ("train_set",), "val": ("validation_set", "val_set")}
_ABOVE = ("", "human_annotated", "AffectNet+", "AffectNet+/human_annotated")
_KEYS = {"val": "valence", "aro": "arousal", "lnd": "landmark-68"}


def locate(root: Path, split: str) -> "JsonFolder | None":
    """Find a split: ``root`` is its folder, one that holds both, or one above."""
    both = {name for names in FOLDERS.values() for name in names}
    bases = [root / above for above in _ABOVE]
    name = root.absolute().name  # of "." too
    bases += [root.absolute().parent] if name in both else []
    # As for AffectNet8: under another name the faces are train, unless it says val; never both.
    mine = name in FOLDERS[split] or (name not in both and ("val" in name.lower()) == (split == "val"))
    folders = [root] if mine else []
    folders += [base / name for base in bases for name in FOLDERS[split]]
    return next((JsonFolder(one, split, "affectnet-plus.index") for one in folders if has_json(one)), None)


def has_json(folder: Path) -> bool:
    """Whether a folder has ``images/`` and, among its first annotations, a JSON file."""
    annotations = folder / "annotations"
    if not (folder / "images").is_dir() or not annotations.is_dir():
        return False
    return any(name.endswith(".json") for name in islice(listing(annotations), 20))


class JsonFolder(Folder):
    """``images/<id>.jpg`` and ``annotations/<id>.json`` below ``path``."""

    name, title = "affectnet-plus", TITLE
    _separator, _kinds = ".", {"json": "exp"}

    def annotation_file(self, one: str | int, kind: str) -> str:
        """Return the name of the one file that holds all annotations."""
        return f"annotations/{one}.json"

    def _label(self, path: str) -> int | Fault:
        try:
            return code(_read(path)["human-label"])
        except (OSError, ValueError, KeyError) as error:
            return Fault(UNREADABLE, f"{type(error).__name__}: {error}")

    def annotation(self, index: Index, i: int, kind: str) -> None:
        """Return None: numbers are read by ``values``."""

    def values(self, index: Index, i: int, kind: str) -> np.ndarray | None:
        """Return the numbers of one annotation, float64 (n,), or None where there is none.

        Raises:
            ValueError: the file, or what it holds there, cannot be read.
        """
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
