"""Open a data set by name, or whichever is there."""

from collections.abc import Callable
from pathlib import Path

from torch.utils.data import Dataset

from fer.datasets import ferplus, packed
from fer.datasets.affectnet8 import index as affectnet8_index
from fer.datasets.affectnet8.dataset import AffectNet8
from fer.datasets.affectnet8.locate import Incomplete, locate, splits
from fer.datasets.ferplus import FERPlus
from fer.datasets.folders import is_pack, is_synthetic
from fer.datasets.split_names import own_name
from fer.datasets.splits import Subset, hold_out, representative, subset
from fer.datasets.synthetic import SyntheticFaces
from fer.errors import DataInvalid, DataMissing

_OPEN: dict[str, Callable[..., Dataset]] = {
    "affectnet8": AffectNet8,
    "ferplus": FERPlus,
    "sample": lambda root, split, **options: SyntheticFaces(_sample_folder(root), split, **options),
}
DATA = tuple(_OPEN)
"""The names of the data sets."""

SPLITS = {
    "affectnet8": affectnet8_index.SPLITS,
    "ferplus": ferplus.SPLITS,
    "sample": affectnet8_index.SPLITS,  # in the same layout
}
HELD_OUT = "held-out"
"""The tenth of train that chooses where a data set has no third split."""
CHOSEN_ON = {"affectnet8": HELD_OUT, "ferplus": "valid", "sample": HELD_OUT}
"""The split that epoch, temperature and prior of a data set's models are chosen on."""
_TITLES = {"affectnet8": "AffectNet8", "ferplus": "FER+", "sample": "the synthetic sample"}
_OWN = {
    "labels": {"ferplus"},
    "classes": {"affectnet8"},
    "on_error": {"affectnet8"},
    "per_class": {"sample"},
    "seed": {"sample"},
}


def find(root: str | Path = "dataset", split: str = "train", **options: object) -> Dataset:
    """Open AffectNet8 if it is in ``root``, else FER+ if it is, else the sample, rendered now in ``root/synthetic``.

    AffectNet8 stands for every release of AffectNet: see ``fer.datasets.affectnet8.locate``.
    A pack (``fer.datasets.packed``) is opened as the data set that it was made from.

    One printed line says which. When a split of AffectNet8 is there but not the
    one asked for, that is an error: training and validation data must not come
    from different sets.

    Args:
        root: a folder, or anything that the data sets take as their root.
        split: ``"train"``, ``"val"`` (the same as ``"valid"``), or for FER+ ``"test"``.
        options: ``limit`` and ``transform`` for any set; those of one set
            (``labels`` of FER+, ``on_error`` and ``classes`` of AffectNet8) are
            used if it is the one found.

    Raises:
        DataMissing, DataInvalid: as the data set found, and for a split that it does not have.
    """
    data = _which(Path(root))
    fitting = {name: value for name, value in options.items() if data in _OWN.get(name, DATA)}
    dataset = open_split(data, root, split, **fitting)
    place = _sample_folder(root) if data == "sample" and not is_pack(root) else root
    missing = f" (neither AffectNet8 nor FER+ in {root})" if data == "sample" and place != Path(root) else ""
    title = dataset.title if data == "affectnet8" else _TITLES[data]  # another release says which
    print(f"Using {title}, {dataset.split}: {len(dataset):,} faces from {place}{missing}")
    return dataset


def open_split(data: str, root: str | Path, split: str, **options: object) -> Dataset:
    """Open one split of the data set with that name.

    Args:
        data: ``"affectnet8"``, ``"ferplus"`` or ``"sample"``.
        root: where it is, see each of them; the sample is made in ``root/synthetic``.
        split: ``"val"`` and ``"valid"`` mean the same everywhere.
        options: passed to the data set. ``labels`` is for FER+; for the others,
            which have one label a face, only ``"soft"`` is refused.

    Raises:
        DataMissing: it is not there.
        DataInvalid: no such data set, no such split of it, or no such labels.
    """
    if data not in _OPEN:
        raise DataInvalid(f"No data set {data!r}; expected one of {', '.join(DATA)}.")
    pack = data != "ferplus" and is_pack(root)
    there = splits(root) if data == "affectnet8" and not pack else SPLITS[data]
    there = tuple(dict.fromkeys((*there, *(packed.splits(root) if pack else ()))))
    own = own_name(split, there)
    if pack and own == "val" and own not in packed.splits(root) and "test" in packed.splits(root):
        own = "test"  # as in the class folders that it was made from
    if own is None:
        raise DataInvalid(f"{_TITLES[data]} has no split {split!r}; it has {', '.join(there)}.")
    if data != "ferplus" and options.pop("labels", None) == "soft":
        raise DataInvalid(f'labels="soft" needs several votes for a face; {_TITLES[data]} has one label.')
    if pack:
        return _open_pack(data, root, own, options)
    return _OPEN[data](root, own, **options)


def data_of(dataset: Dataset) -> str:
    """Return the name in ``DATA`` that a data set was opened by: every release of AffectNet is ``"affectnet8"``."""
    return dataset.name if dataset.name in DATA else "affectnet8"


def cut_train(data: str, root: str | Path, **options: object) -> tuple[Subset, Subset]:
    """Cut the train split into what is learned from and ``HELD_OUT``, always in the same way.

    AffectNet8 and the sample have no third split: a tenth of their train split,
    stratified and seeded, chooses the epoch, the temperature and the prior, and
    their val split stays untouched for the report.

    Args and Raises: as ``open_split``.
    """
    whole = open_split(data, root, "train", **options)
    kept, held_out = hold_out(whole)
    parts = subset(whole, kept), subset(whole, held_out)
    parts[1].split = f"{whole.split}-{HELD_OUT}"
    return parts


def open_held_out(data: str, root: str | Path, limit: int | None = None, **options: object) -> Subset:
    """Open the second part of ``cut_train``, or ``limit`` of its faces, every emotion among them."""
    part = cut_train(data, root, **options)[1]
    return part if limit is None else subset(part, representative(part.labels, part.keys, limit))


def chooses(data: str, split: str | None) -> bool:
    """Whether a split is that of ``CHOSEN_ON``, by any of its names."""
    return split is not None and own_name(split, [CHOSEN_ON[data]]) is not None


def _open_pack(data: str, root: str | Path, split: str, options: dict) -> packed.Packed:
    """Open a pack, which holds neither faults nor a choice of what to render."""
    synthetic = packed.pack_name(root) == "sample"
    if synthetic != (data == "sample"):
        what, name = (_TITLES["sample"], "sample") if synthetic else (_TITLES["affectnet8"], "affectnet8")
        raise DataInvalid(f"{root} is a pack of {what}: open it with --data {name}.")
    settled = {"on_error", "per_class", "seed"}
    return packed.Packed(root, split, **{k: v for k, v in options.items() if k not in settled})


def _which(root: Path) -> str:
    if is_pack(root):
        return "sample" if packed.pack_name(root) == "sample" else "affectnet8"
    if is_synthetic(root):
        return "sample"
    for split in affectnet8_index.SPLITS:
        try:
            locate(root, split)
            return "affectnet8"
        except Incomplete:
            return "affectnet8"  # opening it says what is missing
        except DataMissing:
            continue
    try:
        ferplus.locate(root)
        return "ferplus"
    except DataMissing:
        return "sample"


def _sample_folder(root: str | Path) -> Path:
    """Return the folder of the synthetic sample for a root: itself if it is one, else ``synthetic`` in it."""
    root = Path(root)
    return root if root.name == "synthetic" or is_synthetic(root) else root / "synthetic"
