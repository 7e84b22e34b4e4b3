"""Where a user's copy of AffectNet is: which release, and the forms that people keep it in."""

import os
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from fer.datasets.affectnet8 import affectnet_plus, class_folders, release_2017
from fer.datasets.affectnet8.index import SPLITS
from fer.datasets.affectnet8.source import Folder, Source, Tar
from fer.errors import DataMissing


class Incomplete(DataMissing):
    """There is a copy, but part of it is missing."""


OTHER_RELEASES = (affectnet_plus, release_2017, class_folders)
"""Looked for in this order, after AffectNet8 itself. Each has TITLE, SPLITS and ``locate``."""


def locate(root: str | Path, split: str) -> Source:
    """Find one split from what the user calls its root.

    Which release it is follows from the root, not from the split: training and
    validation data never come from two releases.

    Raises:
        DataMissing: no release, or not this split of it; the message lists the places.
    """
    root = Path(root)
    release = _other_release(root)
    if release is None:
        return _affectnet8(root, split) or _not_found(root, split)
    if (found := release.locate(root, split)) is None:
        there = [one for one in release.SPLITS if release.locate(root, one)]
        raise Incomplete(
            f"{root} holds {release.TITLE} without its {split} split; found {', '.join(there)}. "
            "dataset/README.md shows what is expected."
        )
    return found


def splits(root: str | Path) -> tuple[str, ...]:
    """Return the splits that the release in ``root`` may have."""
    return getattr(_other_release(Path(root)), "SPLITS", SPLITS)


def _other_release(root: Path) -> ModuleType | None:
    """Return the release in ``root``, or None for AffectNet8, and where there is none."""
    if any(_affectnet8(root, split) for split in SPLITS):
        return None
    there = (one for one in OTHER_RELEASES if any(one.locate(root, split) for split in one.SPLITS))
    return next(there, None)


def _affectnet8(root: Path, split: str) -> Folder | Tar | None:
    folders, tars = _places(root, split)
    if root in tars and root.is_file():  # what was named comes before what lies beside it
        return Tar(root, split)
    for folder in folders:
        if (folder / "images").is_dir() and not affectnet_plus.has_json(folder):
            return Folder(_whole(folder), split)
    return next((Tar(tar, split) for tar in tars if tar.is_file()), None)


def _places(root: Path, split: str) -> tuple[list[Path], list[Path]]:
    """Return the folders, and the tars, that may hold a split of AffectNet8."""
    own, other = f"{split}_set", {"train": "val", "val": "train"}[split]
    foreign = {f"{other}_set", f"extracted_{other}_tar", f"{other}_set.tar"}
    sisters = foreign | {own, f"extracted_{split}_tar", f"{own}.tar"}
    # Given one split's folder or tar, the other one is looked for beside it.
    name = root.absolute().name  # of "." too
    bases = [root, *([root.absolute().parent] if name in sisters else [])]
    # The same faces must not answer as both splits: under another name they are train, unless it says val.
    itself = (
        [root] if name == own or (name not in foreign and ("val" in name.lower()) == (split == "val")) else []
    )
    folders = [base / name for base in bases for name in (own, f"extracted_{split}_tar/{own}")]
    tars = [one for one in itself if ".tar" in one.name]  # a .tar.gz too: reading it says what to do
    return itself + folders, tars + [base / f"{own}.tar" for base in bases]


def _not_found(root: Path, split: str) -> NoReturn:
    if incomplete := class_folders.lacking(root):
        raise DataMissing(f"AffectNet's {split} split was not found at {root}: {incomplete}")
    folders, tars = _places(root, split)
    raise DataMissing(
        f"AffectNet8's {split} split was not found at {root} ({_contents(root)}). Looked for "
        f"{', '.join(str(place) for place in (*(f / 'images' for f in folders), *tars))}; for AffectNet+, "
        "AffectNet's tables of 2017 and class folders, too. "
        "A folder or tar of another name is taken for train, or for val where its name says val. "
        "dataset/README.md says how to get AffectNet8 and where to put it; "
        '--data sample (fer.datasets.find("dataset") in Python) works without it, on synthetic faces.'
    )


def _whole(folder: Path) -> Path:
    if not (folder / "annotations").is_dir():
        raise Incomplete(
            f"{folder} holds images/ but no annotations/ ({_contents(folder)}): labels would be missing. "
            "Extract the whole archive: python -m fer.datasets.affectnet8 extract TAR DIR"
        )
    return folder


def _contents(folder: Path) -> str:
    if not folder.is_dir():
        return "a file" if folder.exists() else "no such folder"
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"it holds {shown}" if names else "an empty folder"
