"""Write a pack, or compare one with its check sums.

    python -m fer.datasets.packed write dataset dataset/packed --size 112
    python -m fer.train --data affectnet8 --root dataset/packed …
    python -m fer.datasets.packed check dataset/packed

A stopped ``write`` goes on with the same command. Several processes, on one
machine or on many that share the folder, write at the same time when each is
given a part of its own: ``--part 1/4`` … ``--part 4/4``.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from fer import cli
from fer.errors import DataInvalid


@dataclass(frozen=True)
class Write:
    """Decode every face of a data set and write it as uint8 pixels of one size."""

    source: Positional[Path]
    """AffectNet8, as --root of fer.train, or the synthetic sample."""
    out: Positional[Path]
    """Folder of the pack; each split gets a folder in it."""
    size: int = 224
    """Side in pixels; 287,651 faces take 43 GB at 224, 11 GB at 112."""
    split: str = "train"
    """train or val."""
    on_error: Literal["raise", "skip"] = "raise"
    """skip: leave out faces that cannot be used, and print how many; valence and arousal that cannot be read are
    then unknown."""
    part: str = "1/1"
    """K/N: every N-th shard from the K-th on, where N processes share the work."""
    check: bool = False
    """Compare existing shards with their check sums and write damaged ones again."""
    limit: int | None = None
    """Pack at most this many faces, every emotion among them."""

    def run(self) -> int:
        """Write this part and print what the pack holds."""
        from fer.datasets.affectnet8.dataset import AffectNet8
        from fer.datasets.folders import is_synthetic
        from fer.datasets.packed.writer import pack
        from fer.datasets.synthetic import SyntheticFaces

        part, _, parts = self.part.partition("/")
        if not (part.isdecimal() and parts.isdecimal()):
            raise DataInvalid(f"--part {self.part}: expected K/N, for example 1/4.")
        source: AffectNet8
        if is_synthetic(self.source):
            source = SyntheticFaces(self.source, self.split, limit=self.limit)
        else:
            source = AffectNet8(self.source, self.split, limit=self.limit, on_error=self.on_error)
        began = time.perf_counter()
        made = pack(source, self.out, self.size, (int(part), int(parts)), self.on_error, self.check)
        seconds = time.perf_counter() - began
        if made is None:
            print(f"part {self.part} is packed in {seconds:.0f} s; other parts are not finished")
            return 0
        total, broken = sum(shard["bytes"] for shard in made.manifest["shards"]), len(source) - len(made)
        left_out = f"; {broken:,} broken images left out" if broken else ""
        print(f"{made}, {total / 1e9:.1f} GB, {seconds:.0f} s{left_out}")
        return 0


@dataclass(frozen=True)
class Check:
    """Read a whole pack and compare it with the check sums of its manifest (exit code 1 if a shard is damaged)."""

    pack: Positional[Path]
    """The folder that write made."""
    split: str = "train"
    """train or val."""

    def run(self) -> int:
        """Print the damaged files; 1 if there are any."""
        from fer.datasets.packed.reader import Packed, how_to_write

        pack = Packed(self.pack, self.split)
        damaged = pack.verify()
        for name in damaged:
            print(f"{pack.folder / name} is damaged")
        print(f"{pack}: {len(damaged)} of {len(pack.manifest['shards'])} shards damaged")
        if damaged:
            print(how_to_write(pack.folder, " --check"))
        return 1 if damaged else 0


Command = Write | Check


def main(command: Command) -> int:
    """Run one of the two."""
    return command.run()


if __name__ == "__main__":
    cli.run(main, Command)
