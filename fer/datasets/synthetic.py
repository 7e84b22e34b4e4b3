"""The built-in sample: synthetic faces in AffectNet8's layout, so that everything runs without gated data.

python -m fer.datasets.synthetic OUT [--per-class N] [--seed S]
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """Draw synthetic faces of the eight emotions in AffectNet8's layout."""

    out: Annotated[Path, tyro.conf.Positional]
    """folder to make; it gets train_set/ and val_set/"""
    per_class: int = 100
    """training pictures of each emotion; a quarter as many are drawn for validation"""
    seed: int = 0
    """the same seed gives the same pictures, bit for bit"""


if __name__ == "__main__":
    from fer import cli

    cli.run("fer.datasets.synthetic", Options)

from collections.abc import Callable
from typing import Any

from fer.datasets.affectnet8.dataset import AffectNet8
from synthetic_faces.tree import SETTINGS, VERSION, read_settings, settings, write_tree

__all__ = ["Options", "SyntheticFaces", "main", "write_tree"]


class SyntheticFaces(AffectNet8):
    """Synthetic faces drawn from facial action units (EMFACS prototypes).

    An item is ``(image, label)`` as in AffectNet8: a uint8 RGB tensor
    (3, 224, 224) and an int indexing ``fer.labels.EMOTIONS``; ``annotations(i)``
    has valence, arousal and the 68 landmarks the picture was drawn from. It
    stands in for real data so that every program can run; what a network
    learns from it says nothing about real faces.

    The pictures are drawn on the spot (in about 15 s) when ``root`` does not
    hold them, and drawn anew, with a message, when it holds some that were made
    with other settings or by an older version.

    Args:
        root: folder of the drawn tree.
        split: "train" or "val"; no person occurs in both.
        per_class: training pictures of each emotion, and a quarter as many for
            validation; None takes what is there, or draws 100.
        seed: the same seed gives the same pictures, bit for bit; None takes
            what is there, or draws with 0.
        transform: applied to the image.
        limit: keep this many samples only.

    Raises:
        DataInvalid: ``root`` holds something that was not drawn here.
    """

    def __init__(
        self,
        root: str | Path = "dataset/synthetic",
        split: str = "train",
        *,
        per_class: int | None = None,
        seed: int | None = None,
        transform: Callable[[Any], Any] | None = None,
        limit: int | None = None,
    ) -> None:
        found, asked = read_settings(Path(root)), {"per_class": per_class, "seed": seed}
        defaults = settings(Options.per_class, Options.seed) if found is None else found
        wanted = defaults | {k: v for k, v in asked.items() if v is not None} | {"version": VERSION}
        if found != wanted:
            if found is not None:
                print(f"{root} was drawn with {found}; drawing it anew with {wanted}.")
            write_tree(root, wanted["per_class"], wanted["seed"])
        super().__init__(root, split, transform=transform, limit=limit)
        self.name = "sample"


def main(options: Options) -> None:
    """Draw a tree and say what is in it."""
    out = write_tree(options.out, options.per_class, options.seed)
    pictures = {s: len(list((out / s / "images").iterdir())) for s in ("train_set", "val_set")}
    print(
        f"{out}: "
        + ", ".join(f"{n:,} faces in {s}/" for s, n in pictures.items())
        + f"; settings in {SETTINGS}"
    )
