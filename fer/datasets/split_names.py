"""What splits are called: by people, by data sets, and as folders."""

from collections.abc import Iterable

NAMES = {
    "train": ("train", "training", "train_set"),
    "val": ("val", "valid", "validation", "val_set", "validation_set"),
    "test": ("test", "testing"),
}
"""Each split, and the names that mean it, in lower case."""


def canonical(name: str) -> str:
    """Return ``"train"``, ``"val"`` or ``"test"`` for any of their names, in any case; another name as it is."""
    return next((split for split, names in NAMES.items() if name.lower() in names), name)


def own_name(split: str, own: Iterable[str]) -> str | None:
    """Return which of a data set's own names means ``split`` (FER+ has ``"valid"``), or None."""
    return next((name for name in own if canonical(name) == canonical(split)), None)


def of_folder(name: str) -> str:
    """Return the one split that a folder or tar of this name holds: under an unknown name train, or val.

    The same faces must never answer as both.
    """
    split = canonical(name)
    return split if split in NAMES else "val" if "val" in name.lower() else "train"
