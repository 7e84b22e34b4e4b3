"""AffectNet+, AffectNet's faces with soft labels: one JSON file for each image.

    human_annotated/train_set/images/<id>.jpg             224x224
    human_annotated/train_set/annotations/<id>.json
    human_annotated/validation_set/                       the same

A JSON file holds ``human-label`` (0 to 10, AffectNet's codes), which is the label used here, and ``meta-data`` with,
among others, ``valence``, ``arousal`` and ``landmark-68`` (136 numbers x0, y0, x1, y1 ...). Source: Fard et al. 2024,
arXiv:2410.22506. The layout was taken from public programs that read it, not from the release itself.
"""

import json
from itertools import islice
from pathlib import Path

import numpy as np

from fer.datasets.affectnet8.extracted import Folder
from fer.datasets.affectnet8.index import UNREADABLE, Problem, code
from fer.datasets.affectnet8.source import Source, listing
from fer.datasets.splits import of_folder
from fer.errors import DAMAGE

FOLDERS = ("train_set", "validation_set", "val_set")
_KEYS = {"val": "valence", "aro": "arousal", "lnd": "landmark-68"}


class JsonFolder(Folder):
    """``images/<id>.jpg`` and ``annotations/<id>.json`` below ``path``."""

    name, title = "affectnet-plus", "AffectNet+"
    annotation_pattern = "annotations/{}.json"
    separator, ends, label_end = ".", {"json"}, "json"

    def label(self, data: bytes) -> int | Problem:  # noqa: D102
        try:
            return code(json.loads(data)["human-label"])
        except DAMAGE as error:
            return Problem(UNREADABLE, detail=f"{type(error).__name__}: {error}")

    def numbers(self, data: bytes, kind: str) -> np.ndarray | None:
        """Return one kind of annotation, whose numbers may be text; None where it is absent or empty."""
        try:
            value = dict(dict(json.loads(data)).get("meta-data") or {}).get(_KEYS[kind])
            return None if value in (None, []) else np.asarray(value, np.float64).ravel()
        except DAMAGE as error:
            raise ValueError(f"no {_KEYS[kind]} in meta-data as numbers ({error})") from error


def find(root: Path) -> dict[str, Source]:
    """Return the splits in ``root`` or ``root/human_annotated``, or ``root`` itself and the split beside it."""
    bases = [root, root / "human_annotated"]
    bases += [root.absolute().parent] if root.absolute().name in FOLDERS else []
    found: dict[str, Source] = {}
    for folder in filter(has_json, (root, *(base / name for base in bases for name in FOLDERS))):
        split = "val" if of_folder(folder.absolute().name) == "val" else "train"  # there is no test split
        found.setdefault(split, JsonFolder(folder, split))
    return found


def has_json(folder: Path) -> bool:
    """Whether a folder has ``images/``, and a JSON file among its first annotations."""
    if not ((folder / "images").is_dir() and (folder / "annotations").is_dir()):
        return False
    return any(name.endswith(".json") for name in islice(listing(folder / "annotations"), 20))
