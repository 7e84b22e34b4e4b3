"""Open a data set by name, or whichever a folder holds."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fer.datasets import ferplus
from fer.datasets.affectnet8 import releases
from fer.datasets.affectnet8.dataset import AffectNet8
from fer.datasets.affectnet8.source import SPLITS as AFFECTNET8_SPLITS
from fer.datasets.face_dataset import FaceDataset
from fer.datasets.ferplus import FERPlus
from fer.datasets.packed.dataset import Packed, pack_splits, read_manifest
from fer.datasets.splits import Subset, hold_out, own_name, representative
from fer.datasets.synthetic.dataset import SyntheticFaces, is_synthetic
from fer.errors import DataInvalid, DataMissing, UsageError

OpenedDataset = AffectNet8 | FERPlus | Packed

SPLITS = {"affectnet8": AFFECTNET8_SPLITS, "ferplus": ferplus.SPLITS, "sample": AFFECTNET8_SPLITS}
DATA = tuple(SPLITS)
"""The names of the data sets."""
HELD_OUT = "held-out"
"""The tenth of train that chooses where a data set has no third split."""
CHOSEN_ON = {"affectnet8": HELD_OUT, "ferplus": "valid", "sample": HELD_OUT}
"""The split that epoch, temperature and prior of a data set's models are chosen on."""
_TITLES = {"affectnet8": "AffectNet8", "ferplus": "FER+", "sample": "the synthetic sample"}
_OWN = {"labels": "ferplus", **dict.fromkeys(("classes", "on_error"), "affectnet8")}
_OWN |= dict.fromkeys(("per_class", "seed"), "sample")
"""Options of one data set alone."""


@dataclass(frozen=True)
class _Found:
    """A data set in its place, and what opens one of its splits."""

    data: str
    place: Path
    open: Callable[..., OpenedDataset]
    splits: tuple[str, ...]
    title: str


def find(root: str | Path = "dataset", split: str = "train", **options: Any) -> OpenedDataset:
    """Open AffectNet8 if it is in ``root``, else FER+ if it is, else the sample, rendered now in ``root/synthetic``.

    AffectNet8 stands for every release of AffectNet: see ``fer.datasets.affectnet8.releases``.
    A pack (``fer.datasets.packed``) is opened as the data set that it was made from.
    One printed line names the data set.

    Args:
        root: a folder, or anything that the data sets take as their root.
        split: ``"train"``, ``"val"`` (the same as ``"valid"``), or for FER+ ``"test"``.
        options: ``limit`` and ``transform`` for any set; those of one set (``labels`` of FER+, ``on_error`` and
            ``classes`` of AffectNet8) are used if it is the one found.

    Raises:
        DataMissing, DataInvalid: as the data set found; no other set is opened for a split that it lacks.
    """
    root = Path(root)
    existing = _pack(root) or (_sample(root) if is_synthetic(root) else _affectnet8(root) or _ferplus(root))
    found = existing or _sample(root)
    dataset = _open(found, split, {k: v for k, v in options.items() if _OWN.get(k, found.data) == found.data})
    instead = "" if existing else f" (neither AffectNet8 nor FER+ in {root})"
    print(f"Using {found.title}, {dataset.split}: {len(dataset):,} faces from {found.place}{instead}")
    return dataset


def open_split(
    data: str, root: str | Path, split: str, limit: int | None = None, **options: Any
) -> OpenedDataset | Subset:
    """Open one split of the data set with that name, one of ``DATA``; the sample is made in ``root/synthetic``.

    Args:
        root: where it is, see each of them.
        split: ``"val"`` and ``"valid"`` mean the same everywhere; ``HELD_OUT`` is the second part of ``cut_train``.
        limit: keep up to ``limit`` faces, every emotion among them.
        options: passed to the data set; of ``labels``, which are for FER+, the others refuse only ``"soft"``.

    Raises:
        DataMissing, DataInvalid: it is not there; no such data set, split of it, or labels.
    """
    root = Path(root)
    if data not in DATA:
        raise UsageError(f"No data set {data!r}; expected one of {', '.join(DATA)}.")
    if split == CHOSEN_ON[data] == HELD_OUT:
        part = cut_train(data, root, **options)[1]
        return part if limit is None else Subset(part, representative(part.labels, part.keys, limit))
    if data == "ferplus":
        found = _Found(data, root, partial(FERPlus, root), ferplus.SPLITS, _TITLES[data])
    elif pack := _pack(root):
        found = pack
    else:
        found = _sample(root) if data == "sample" else _release(releases.find(root))
    if found.data != data:
        raise DataInvalid(f"{root} is a pack of {_TITLES[found.data]}: open it with --data {found.data}.")
    return _open(found, split, {"limit": limit, **options})


def data_of(dataset: FaceDataset) -> str:
    """Return the name in ``DATA`` that a data set was opened by: every release of AffectNet is ``"affectnet8"``."""
    return dataset.name if dataset.name in DATA else "affectnet8"


def cut_train(data: str, root: str | Path, **options: Any) -> tuple[Subset, Subset]:
    """Cut the train split into what is learned from and ``HELD_OUT``, always in the same way.

    AffectNet8 and the sample have no third split: a tenth of their train split,
    stratified and seeded, chooses the epoch, the temperature and the prior, and
    their val split stays untouched for the report. Args and errors: as ``open_split``.
    """
    train = open_split(data, root, "train", **options)
    kept, held_out = hold_out(train)
    parts = Subset(train, kept), Subset(train, held_out)
    parts[1].split = f"{train.split}-{HELD_OUT}"
    return parts


def chooses(data: str, split: str | None) -> bool:
    """Whether a split is that of ``CHOSEN_ON``, by any of its names."""
    return split is not None and own_name(split, [CHOSEN_ON[data]]) is not None


def _open(found: _Found, split: str, options: dict[str, Any]) -> OpenedDataset:
    own, title = own_name(split, found.splits), _TITLES[found.data]
    if own is None:
        raise UsageError(f"{title} has no split {split!r}; it has {', '.join(found.splits)}.")
    if found.data != "ferplus" and options.pop("labels", None) == "soft":
        raise DataInvalid(f'labels="soft" needs several votes for a face; {title} has one label.')
    return found.open(own, **options)


def _pack(root: Path) -> _Found | None:
    folders = pack_splits(root)
    if not folders:
        return None
    manifest = read_manifest(folders[0])
    data = "sample" if manifest["name"] == "sample" else "affectnet8"

    def open_(split: str, on_error: str = "", per_class: int = 0, seed: int = 0, **options: Any) -> Packed:
        return Packed(root, split, **options)  # the named options were settled when it was packed

    splits = tuple(dict.fromkeys((*SPLITS[data], *(folder.name for folder in folders))))
    return _Found(data, root, open_, splits, _TITLES[data] if data == "sample" else manifest["title"])


def _sample(root: Path) -> _Found:
    folder = root if is_synthetic(root) or root.name == "synthetic" else root / "synthetic"
    return _Found("sample", folder, partial(SyntheticFaces, folder), SPLITS["sample"], _TITLES["sample"])


def _affectnet8(root: Path) -> _Found | None:
    release = releases.find(root)
    return _release(release) if release.sources else None


def _release(release: releases.Release) -> _Found:
    open_ = partial(AffectNet8, release.root)
    return _Found("affectnet8", release.root, open_, release.splits, release.title)


def _ferplus(root: Path) -> _Found | None:
    try:
        ferplus.locate(root)
    except DataMissing:
        return None
    return _Found("ferplus", root, partial(FERPlus, root), ferplus.SPLITS, _TITLES["ferplus"])
