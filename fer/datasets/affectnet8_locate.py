"""Where a user's copy of AffectNet8 is: the forms that people keep it in."""

import os
from pathlib import Path

from fer.datasets.affectnet8_source import Folder, Tar
from fer.errors import DataMissing


class Incomplete(DataMissing):
    """There is a copy, but part of it is missing."""


def locate(root: str | Path, split: str) -> Folder | Tar:
    """Find one split of AffectNet8 from what the user calls its root.

    Raises:
        DataMissing: neither folder nor tar; the message lists the places.
    """
    root, own = Path(root), f"{split}_set"
    other = {"train": "val", "val": "train"}[split]
    foreign = {f"{other}_set", f"extracted_{other}_tar", f"{other}_set.tar"}
    sisters = foreign | {own, f"extracted_{split}_tar", f"{own}.tar"}
    if root.name not in foreign:
        if (root / "images").is_dir():
            return Folder(_whole(root), split)
        if root.is_file() and ".tar" in root.name:  # a .tar.gz too: reading it says what to do
            return Tar(root, split)
    # Given one split's folder or tar, the other one is looked for beside it.
    bases = [root, *([root.absolute().parent] if root.name in sisters else [])]
    folders = [base / name for base in bases for name in (own, f"extracted_{split}_tar/{own}")]
    for folder in folders:
        if (folder / "images").is_dir():
            return Folder(_whole(folder), split)
    tars = [base / f"{own}.tar" for base in bases]
    for tar in tars:
        if tar.is_file():
            return Tar(tar, split)
    raise DataMissing(
        f"AffectNet8's {split} split was not found at {root} ({_contents(root)}). Looked for "
        f"{', '.join(str(place) for place in (root / 'images', *(f / 'images' for f in folders), *tars))}. "
        "dataset/README.md says how to get AffectNet8 and where to put it; "
        '--data sample (fer.datasets.find("dataset") in Python) works without it, on drawn faces.'
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
