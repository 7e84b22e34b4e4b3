"""The command line of AffectNet8: extract an archive, verify images, count what is there.

python -m fer.datasets.affectnet8 extract train_set.tar dataset
python -m fer.datasets.affectnet8 verify dataset --split train
python -m fer.datasets.affectnet8 index dataset
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg, subcommand

from fer import cli
from fer.files import check_output_folder


@dataclass(frozen=True)
class Extract:
    """Unpack train_set.tar or val_set.tar; a stopped run goes on where it was."""

    tar: Positional[Path]
    """The archive."""
    folder: Positional[Path]
    """Where train_set/ or val_set/ goes, e.g. dataset."""
    allow_unlocked: bool = False
    """Go on where the file system has no locks: nothing then keeps two runs from writing to one folder."""

    def run(self) -> int:
        """Unpack, then compare the number of files with the published one."""
        check_output_folder("FOLDER", self.folder)
        from fer.datasets.affectnet8.index import PUBLISHED
        from fer.datasets.affectnet8.tarball import extract

        written: Counter[bool] = Counter()
        found: Counter[str] = Counter()
        for member, new in extract(self.tar, self.folder, self.allow_unlocked):
            written[new] += 1
            found[member.name.split("/")[0]] += 1
        print(
            f"{self.tar}: {written[True]:,} files written to {self.folder}, {written[False]:,} were there already"
        )
        for split, faces in PUBLISHED.items():  # an image and four annotations each
            if number := found[f"{split}_set"]:
                print(f"{split}: {number:,} files; {5 * sum(faces):,} were published")
        return 0


@dataclass(frozen=True)
class Split:
    """A split that can be opened."""

    root: Positional[Path] = Path("dataset")
    """As for AffectNet8: a folder or a tar."""
    split: Annotated[str, arg(metavar="NAME")] = "train"
    """train or val."""


@dataclass(frozen=True)
class Verify(Split):
    """Decode every image and list the broken ones (exit code 1 if there are any).

    Restore them, or delete them and open the set with --on-error skip.
    """

    def run(self) -> int:
        """List broken images; 1 if there are any."""
        from fer.datasets.affectnet8.dataset import AffectNet8
        from fer.datasets.affectnet8.index import BROKEN

        faces = AffectNet8(self.root, self.split, on_error="skip")
        faces.verify()
        broken = [problem for problem in faces.problems if problem.kind == BROKEN]
        for problem in broken:
            print(problem)
        print(f"{faces}: {len(broken):,} broken")
        return 1 if broken else 0


@dataclass(frozen=True)
class Count(Split):
    """Build the index if it is missing, and print the number of faces of each class."""

    def run(self) -> int:
        """Print found and published counts."""
        from fer.datasets.affectnet8.dataset import AffectNet8
        from fer.datasets.affectnet8.index import PUBLISHED
        from fer.labels import EMOTIONS

        faces = AffectNet8(self.root, self.split, on_error="skip")
        known = faces.name == "affectnet8"  # of other releases the numbers differ
        print(f"{'':10}{'found':>9}" + f"{'published':>11}" * known)
        for k, emotion in enumerate(EMOTIONS):
            published = f"{PUBLISHED[faces.split][k]:>11,}" if known else ""
            print(f"{emotion:10}{(faces.labels == k).sum():>9,}{published}")
        return 0


Command = Extract | Verify | Annotated[Count, subcommand("index")]


def main(command: Extract | Verify | Count) -> int:
    """Run one of the commands; return the exit code."""
    return command.run()


if __name__ == "__main__":
    cli.run(main, Command)
