"""Write the built-in sample.

python -m fer.datasets.synthetic OUT [--per-class N] [--seed S]
"""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from fer import cli
from fer.files import check_output_folder, naming


@dataclass(frozen=True)
class Options:
    """Render synthetic faces of the eight emotions in AffectNet8's layout."""

    out: Positional[Path]
    """Folder to make; it gets train_set/ and val_set/."""
    per_class: int = 100
    """Training images of each emotion; a quarter as many are rendered for validation."""
    seed: int = 0
    """The same seed gives the same images, bit for bit."""


def main(options: Options) -> None:
    """Write the sample and print how many faces are in it."""
    from synthetic_faces.tree import SETTINGS, write_tree

    check_output_folder("OUT", options.out)
    with naming(options.out):
        out = write_tree(options.out, options.per_class, options.seed)
    counts = {s: len(list((out / s / "images").iterdir())) for s in ("train_set", "val_set")}
    faces = ", ".join(f"{n:,} faces in {s}/" for s, n in counts.items())
    print(f"{out}: {faces}; settings in {SETTINGS}")


if __name__ == "__main__":
    cli.run(main, Options)
