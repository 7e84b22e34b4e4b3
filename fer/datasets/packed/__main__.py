"""Write a pack, or compare one with its check sums.

    python -m fer.datasets.packed write dataset dataset/packed --size 112
    python -m fer.train --data affectnet8 --root dataset/packed …
    python -m fer.datasets.packed check dataset/packed

A ``write`` that was stopped goes on with the same command.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from fer import cli
from fer.files import check_output_folder


@dataclass(frozen=True)
class Write:
    """Decode every face of a data set and write it as uint8 pixels of one size."""

    source: Positional[Path]
    """AffectNet8, as --root of fer.train, or the synthetic sample."""
    out: Positional[Path]
    """Folder of the pack; each split gets a folder in it."""
    size: int = 224
    """Side in pixels; 287,651 faces take 43 GB at 224, 11 GB at 112."""
    split: Annotated[str, arg(metavar="NAME")] = "train"
    """train or val."""
    on_error: Literal["raise", "skip"] = "raise"
    """skip: leave out faces that cannot be used, and print how many; valence and arousal that cannot be read are
    then unknown."""
    allow_unlocked: bool = False
    """Go on where the file system has no locks: nothing then keeps two runs from writing to one folder."""


@dataclass(frozen=True)
class Check:
    """Read all pixels of a pack and compare them with their check sums (exit code 1 if they are damaged)."""

    pack: Positional[Path]
    """The folder that write made."""
    split: Annotated[str, arg(metavar="NAME")] = "train"
    """train or val."""


def main(options: Write | Check) -> None:
    """Run one of the two, and print what the pack holds."""
    from fer.datasets.affectnet8.dataset import AffectNet8
    from fer.datasets.packed.dataset import Packed, pack
    from fer.datasets.synthetic.dataset import SyntheticFaces, is_synthetic

    if isinstance(options, Check):
        packed = Packed(options.pack, options.split)
        packed.verify()
        print(f"{packed}, undamaged")
        return
    check_output_folder("OUT", options.out)
    source: AffectNet8
    if is_synthetic(options.source):
        source = SyntheticFaces(options.source, options.split)
    else:
        source = AffectNet8(options.source, options.split, on_error=options.on_error)
    packed = pack(source, options.out, options.size, options.on_error, options.allow_unlocked)
    broken = len(source) - len(packed)
    print(f"{packed}; {broken:,} broken images left out" if broken else packed)


if __name__ == "__main__":
    cli.run(main, Write | Check)
