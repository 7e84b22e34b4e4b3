"""Recognise the folders of packs and of the synthetic sample by a file in them, without importing those data sets."""

from pathlib import Path

PACK = "pack.json"
"""In each split's folder of a pack: see ``fer.datasets.packed``."""
SYNTHETIC_SETTINGS = "synthetic.json"
"""In the folder of the synthetic sample: ``synthetic_faces.tree.SETTINGS``."""


def pack_splits(root: str | Path) -> list[Path]:
    """Return the folders of the splits that a pack has, finished or not: ``root`` itself, or those in it."""
    root = Path(root)
    return [path.parent for path in (root / PACK, *sorted(root.glob(f"*/{PACK}"))) if path.is_file()]


def is_synthetic(root: str | Path) -> bool:
    """Tell whether a folder is the synthetic sample."""
    return (Path(root) / SYNTHETIC_SETTINGS).is_file()
