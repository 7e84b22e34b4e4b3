"""AffectNet as people pass it on: a folder for each split, in it a folder for each class.

    train/anger/…  train/contempt/…      by name, in any case, ours or an alias: Happy, happiness
    train/0/…  train/1/…                 by AffectNet's codes: 0 neutral, 1 happiness … 7 contempt
    train/0_neutral/…                    by both; the name counts

A class is told by its folder's name, never by its place among them: sorted by
name, anger comes first, but it is class 6. All eight must be there, be
one empty. Seven emotions would be another data set, and numbers from 1 to 7
RAF-DB, in another order. Such copies have no valence, arousal or landmarks.
"""

import os
import re
from pathlib import Path

import cv2
import numpy as np

from fer.datasets.affectnet8.index import OTHERS, Index, Problem
from fer.datasets.affectnet8.source import Source, listing, settle
from fer.datasets.folders import is_pack, is_synthetic
from fer.datasets.split_names import NAMES
from fer.faces import crop
from fer.labels import EMOTIONS
from fer.labels import index as index_of

TITLE = "AffectNet in class folders"
SPLITS = tuple(NAMES)
SIDE = 224
"""Faces of another size or shape are brought to this square, AffectNet8's, so that they fit into one batch."""

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
STRANGE_FOLDER = "folder that names no class"
STRANGE_FILE = "file that is no image"
_ABOVE = ("", "affectnet", "affectnet8", "AffectNet", "AffectNet8")
_CODES = {name: number for number, name in enumerate(OTHERS, len(EMOTIONS))}
_LITTER = {"thumbs.db", "desktop.ini"}


def locate(root: Path, split: str) -> "ClassFolders | None":
    """Find a split: below ``root`` or a folder called affectnet in it.

    A copy without a val split answers for it with test; one without splits is all train.
    """
    for base in (root / above for above in _ABOVE):
        found = {one: _folder(base, one) for one in SPLITS}
        if not any(path and _has_all_classes(path) for path in found.values()):
            name = base.absolute().name.lower()
            own = next((one for one in SPLITS if name in NAMES[one]), "train")
            if split == own and _has_all_classes(base):
                return ClassFolders(base, split)
            continue
        own = split if found[split] or split != "val" else "test"
        return ClassFolders(found[own], own) if found[own] else None
    return None


def lacking(root: Path) -> str:
    """Say which classes the class folders in ``root`` lack, and what to do; empty where there are hardly any."""
    bases = [root / above for above in _ABOVE]
    places = [*bases, *(path for base in bases for split in SPLITS if (path := _folder(base, split)))]
    folder = max(places, key=lambda place: len(_classes(place)))
    found = _classes(folder)
    if not len(EMOTIONS) // 2 <= len(found) < len(EMOTIONS):
        return ""
    missing = [emotion for label, emotion in enumerate(EMOTIONS) if label not in found]
    if all(name.isdecimal() for name in found.values()):
        advice = (
            "Numbers do not tell which emotions these are (1 is surprise in RAF-DB, 0 is anger in FER2013): give "
            "the folders names such as anger."
        )
    elif missing == [EMOTIONS[-1]]:
        advice = f"To open it without, make an empty folder {folder / missing[0]}, then AffectNet8(root, classes=7)."
    else:
        advice = "Add them, or rename the folders that hold them; an empty folder stands for a class without faces."
    return (
        f"{folder} holds class folders ({', '.join(sorted(found.values()))}), but none of {', '.join(missing)}; "
        f"all eight are expected. {advice}"
    )


def class_of(folder: str) -> int | None:
    """Return the code of a class folder, 0 to 10, or None where its name is none."""
    number, word = re.fullmatch(r"(\d*)[\s._-]*(.*)", folder.strip().lower(), re.DOTALL).groups()
    if not word:
        return int(number) if number and int(number) < len(EMOTIONS) + len(OTHERS) else None
    if word in _CODES:
        return _CODES[word]
    try:
        return index_of(word)
    except ValueError:
        return None


class ClassFolders(Source):
    """``<class>/<any name>.jpg`` below ``path``; an id is both, with the slash."""

    name, title = "affectnet-folders", TITLE

    def __init__(self, path: Path, split: str) -> None:
        super().__init__(path, split, path / "affectnet-folders.index")

    def stamp(self, index: Index | None) -> dict[str, object]:
        """Return when files were added or removed in each folder."""
        return {name: os.stat(self.path / name).st_mtime_ns for name in _own_folders(self.path)}

    def scan(self) -> Index:
        """List all class folders."""
        settle(self.stamp(None).values())
        ids, labels, problems = [], [], []
        for folder in _own_folders(self.path):
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

    def image_file(self, one: str | int) -> str:
        """Return the id itself."""
        return str(one)

    def face(self, pixels: np.ndarray, index: Index, i: int) -> np.ndarray:
        """Return the image as a square of ``SIDE``, its border repeated where it is no square."""
        return to_side(crop(pixels, (0, 0, pixels.shape[1], pixels.shape[0])))


def to_side(face: np.ndarray) -> np.ndarray:
    """Return a square face, uint8 (S, S, 3), at ``SIDE`` pixels."""
    if face.shape[0] == SIDE:
        return face
    way = cv2.INTER_AREA if face.shape[0] > SIDE else cv2.INTER_LINEAR
    return cv2.resize(face, (SIDE, SIDE), interpolation=way)


def _folder(base: Path, split: str) -> Path | None:
    names = {name.lower(): name for name in _subfolders(base)}
    return next((base / names[name] for name in NAMES[split] if name in names), None)


def _has_all_classes(folder: Path) -> bool:
    return len(_classes(folder)) == len(EMOTIONS)


def _classes(folder: Path) -> dict[int, str]:
    """Return the folders of emotions in a folder, by label."""
    labels = {class_of(name): name for name in _subfolders(folder)}
    return {label: name for label, name in labels.items() if label in range(len(EMOTIONS))}


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(name for name in listing(folder) if os.path.isdir(os.path.join(folder, name)))


def _own_folders(path: Path) -> list[str]:
    """Return the folders in that of a split, without other sets that dataset/README.md places beside classes."""
    return [
        name for name in _subfolders(path) if class_of(name) is not None or not _is_another_set(path / name)
    ]


def _is_another_set(folder: Path) -> bool:
    return folder.name == "ferplus" or is_synthetic(folder) or is_pack(folder)
