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
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from fer.datasets.affectnet8.index import OTHERS, Index, Problem
from fer.datasets.affectnet8.source import Source, listing, subfolders
from fer.datasets.splits import NAMES, of_folder
from fer.faces import crop
from fer.files import PHOTOS, UNREADABLE_PHOTOS
from fer.labels import EMOTIONS
from fer.labels import index as index_of

SIDE = 224
"""Faces of another size or shape are brought to this square, AffectNet8's, so that they fit into one batch."""

STRANGE_FOLDER = "folder of photos that names no class"
_CODES = {name: number for number, name in enumerate(OTHERS, len(EMOTIONS))}


class ClassFolders(Source):
    """``<class>/<any name>.jpg`` below ``path``; an id is both, with the slash."""

    name, title, image_pattern = "affectnet-folders", "AffectNet in class folders", "{}"
    splits = tuple(NAMES)

    def __init__(self, path: Path, split: str) -> None:
        super().__init__(path, split, path / "affectnet-folders.index")

    def times(self) -> dict[str, int]:
        """Return the times of the class folders, and of others that hold photos."""
        folders = subfolders(self.path)
        counted = [name for name in folders if class_of(name) is not None or any(self._photos(name))]
        return {name: os.stat(self.path / name).st_mtime_ns for name in counted}

    def scan(self) -> Index:  # noqa: D102
        ids, labels, problems = [], [], []
        for folder in self.times():
            if (label := class_of(folder)) is None:
                problems.append(Problem(STRANGE_FOLDER, folder))
            else:
                names = sorted(self._photos(folder))
                ids += [f"{folder}/{name}" for name in names]
                labels += [label] * len(names)
        return Index(np.array(ids, np.str_), np.array(labels, np.int8), problems=tuple(problems))

    def _photos(self, folder: str) -> Iterator[str]:
        names = listing(self.path / folder)
        return (n for n in names if os.path.splitext(n)[1].lower() in PHOTOS | UNREADABLE_PHOTOS)

    def face(self, pixels: np.ndarray, index: Index, i: int) -> np.ndarray:
        """Return the image as a square of ``SIDE``, its border repeated where it is no square."""
        return to_side(crop(pixels, (0, 0, pixels.shape[1], pixels.shape[0])))


def find(root: Path) -> dict[str, Source]:
    """Return the splits below ``root``.

    A copy without a val split answers for it with test; a copy without splits is all train.
    """
    folders = _split_folders(root)
    if any(len(_classes(folder)) == len(EMOTIONS) for folder in folders.values()):
        if "test" in folders:
            folders.setdefault("val", folders["test"])
        return {split: ClassFolders(path, split) for split, path in folders.items()}
    split = of_folder(root.absolute().name)
    return {split: ClassFolders(root, split)} if len(_classes(root)) == len(EMOTIONS) else {}


def class_of(folder: str) -> int | None:
    """Return the code of a class folder, 0 to 10, or None where its name is none."""
    number, word = re.findall(r"^(\d*)[\s._-]*(.*)", folder.strip().lower())[0]
    if word in _CODES:
        return _CODES[word]
    try:
        code = index_of(word) if word else int(number)
    except ValueError:
        return None
    return code if code < len(EMOTIONS) + len(OTHERS) else None


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


def _classes(folder: Path) -> set[int]:
    """Return the labels of emotions that have a folder in a folder."""
    return set(range(len(EMOTIONS))).intersection(map(class_of, subfolders(folder)))
