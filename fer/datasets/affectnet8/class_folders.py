"""AffectNet as people pass it on: a folder for each split, in it a folder for each class.

    train/anger/…  train/contempt/…      by name, in any case, ours or an alias: Happy, happiness
    train/0/…  train/1/…                 by AffectNet's codes: 0 neutral, 1 happiness … 7 contempt
    train/0_neutral/…                    by both; the name counts

The class follows from its folder's name, never from its place among them:
sorted by name, anger comes first, but it is class 6. All eight must exist, be
one empty. Seven emotions would be another data set, and numbers from 1 to 7
RAF-DB, in another order. Such copies have no valence, arousal or landmarks.
"""

import os
import re
from pathlib import Path

import cv2
import numpy as np

from fer.datasets.affectnet8.index import OTHERS, Index, Problem
from fer.datasets.affectnet8.source import Source, listing, subfolders
from fer.datasets.folders import is_synthetic, pack_splits
from fer.datasets.split_names import NAMES, of_folder
from fer.faces import crop
from fer.labels import EMOTIONS
from fer.labels import index as index_of

SIDE = 224
"""Faces of another size or shape are brought to this square, AffectNet8's, so that they fit into one batch."""

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
STRANGE_FOLDER = "folder that names no class"
STRANGE_FILE = "file that is no image"
_ABOVE = ("", "affectnet", "affectnet8", "AffectNet", "AffectNet8")
_CODES = {name: number for number, name in enumerate(OTHERS, len(EMOTIONS))}
_LITTER = {"thumbs.db", "desktop.ini"}


class ClassFolders(Source):
    """``<class>/<any name>.jpg`` below ``path``; an id is both, with the slash."""

    name, title, image_pattern = "affectnet-folders", "AffectNet in class folders", "{}"
    splits = tuple(NAMES)

    def __init__(self, path: Path, split: str) -> None:
        super().__init__(path, split, path / "affectnet-folders.index")

    def times(self) -> dict[str, int]:
        """Return the times of all folders, but those of other sets beside the classes."""
        folders = {name: self.path / name for name in subfolders(self.path)}
        return {
            name: os.stat(path).st_mtime_ns
            for name, path in folders.items()
            if class_of(name) is not None
            or not (name == "ferplus" or is_synthetic(path) or pack_splits(path))
        }

    def scan(self) -> Index:
        """List all class folders."""
        ids, labels, problems = [], [], []
        for folder in self.times():
            label = class_of(folder)
            if label is None:
                problems.append(Problem(STRANGE_FOLDER, folder))
                continue
            for name in sorted(listing(self.path / folder)):
                if os.path.splitext(name)[1].lower() in IMAGES:
                    ids.append(f"{folder}/{name}")
                    labels.append(label)
                elif name.lower() not in _LITTER:
                    problems.append(Problem(STRANGE_FILE, f"{folder}/{name}"))
        return Index(np.array(ids, np.str_), np.array(labels, np.int8), problems=tuple(problems))

    def face(self, pixels: np.ndarray, index: Index, i: int) -> np.ndarray:
        """Return the image as a square of ``SIDE``, its border repeated where it is no square."""
        return to_side(crop(pixels, (0, 0, pixels.shape[1], pixels.shape[0])))


def find(root: Path) -> dict[str, Source]:
    """Return the splits below ``root`` or a folder called affectnet in it.

    A copy without a val split answers for it with test; a copy without splits is all train.
    """
    for base in (root / above for above in _ABOVE):
        folders = _split_folders(base)
        if any(_has_all_classes(folder) for folder in folders.values()):
            found: dict[str, Source] = {split: ClassFolders(path, split) for split, path in folders.items()}
            return {"val": found["test"], **found} if "test" in found else found
        if _has_all_classes(base):
            split = of_folder(base.absolute().name)
            return {split: ClassFolders(base, split)}
    return {}


def lacking(root: Path) -> str:
    """Return which classes the class folders in ``root`` lack, and what to do; empty for fewer than four."""
    bases = [root / above for above in _ABOVE]
    folder = max(
        (folder for base in bases for folder in (base, *_split_folders(base).values())),
        key=lambda folder: len(_classes(folder)),
    )
    found = _classes(folder)
    if not len(EMOTIONS) // 2 <= len(found) < len(EMOTIONS):
        return ""
    missing = [emotion for label, emotion in enumerate(EMOTIONS) if label not in found]
    if all(name.isdecimal() for name in found.values()):
        advice = (
            "Which emotions these numbers mean is not clear (1 is surprise in RAF-DB, 0 is anger in FER2013): "
            "give the folders names such as anger."
        )
    elif missing == [EMOTIONS[-1]]:
        advice = f"To open it without, make an empty folder {folder / missing[0]}, then AffectNet8(root, classes=7)."
    else:
        advice = "Add them, or rename their folders; an empty folder stands for a class without faces."
    names = ", ".join(sorted(found.values()))
    return f"{folder} holds class folders ({names}), but none of {', '.join(missing)}; all eight are expected. {advice}"


def class_of(folder: str) -> int | None:
    """Return the code of a class folder, 0 to 10, or None where its name is none."""
    name = folder.strip().lower()
    word = re.sub(r"^\d*[\s._-]*", "", name)
    if word in _CODES:
        return _CODES[word]
    if word:
        try:
            return index_of(word)
        except ValueError:
            return None
    number = re.match(r"\d+", name)
    return int(number[0]) if number and int(number[0]) < len(EMOTIONS) + len(OTHERS) else None


def to_side(face: np.ndarray) -> np.ndarray:
    """Return a square face, uint8 (S, S, 3), at ``SIDE`` pixels."""
    if face.shape[0] == SIDE:
        return face
    way = cv2.INTER_AREA if face.shape[0] > SIDE else cv2.INTER_LINEAR
    return cv2.resize(face, (SIDE, SIDE), interpolation=way)


def _split_folders(base: Path) -> dict[str, Path]:
    by_name = {name.lower(): base / name for name in subfolders(base)}
    found = {split: next((by_name[n] for n in names if n in by_name), None) for split, names in NAMES.items()}
    return {split: path for split, path in found.items() if path}


def _has_all_classes(folder: Path) -> bool:
    return len(_classes(folder)) == len(EMOTIONS)


def _classes(folder: Path) -> dict[int, str]:
    """Return the folders of emotions in a folder, by label."""
    labels = {name: class_of(name) for name in subfolders(folder)}
    return {label: name for name, label in labels.items() if label is not None and label < len(EMOTIONS)}
