"""The command line of AffectNet8: extract an archive, verify images, show what is there.

python -m fer.datasets.affectnet8 extract train_set.tar dataset
python -m fer.datasets.affectnet8 verify dataset --split train
python -m fer.datasets.affectnet8 index dataset
"""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from fer import cli


@dataclass(frozen=True)
class Extract:
    """Unpack train_set.tar or val_set.tar; a stopped run goes on where it was."""

    tar: Positional[Path]
    """The archive."""
    folder: Positional[Path]
    """Where train_set/ or val_set/ goes, e.g. dataset."""
    check: bool = False
    """Compare the files that are there with the archive's, byte by byte, and write those anew that differ."""

    def run(self) -> int:
        """Unpack, then compare the number of files with the published one."""
        from fer.datasets.affectnet8.index import PUBLISHED
        from fer.datasets.affectnet8.tarball import extract

        found = {(split, kind): 0 for split in PUBLISHED for kind in ("images", "annotations")}
        written = whole = 0
        for member, new in extract(self.tar, self.folder, self.check):
            written, whole = written + new, whole + (not new)
            parts = member.name.split("/")
            place = (parts[-3].removesuffix("_set"), parts[-2]) if len(parts) > 2 else None
            if place in found:
                found[place] += 1
        known = " by name and size (--check compares contents)" if whole and not self.check else ""
        print(f"{self.tar}: {written:,} files written to {self.folder}, {whole:,} were there already{known}")
        for split, counts in PUBLISHED.items():
            expected = {"images": sum(counts), "annotations": 4 * sum(counts)}
            if not any(found[split, kind] for kind in expected):
                continue
            for kind, number in expected.items():
                here = found[split, kind]
                remark = "as published" if here == number else f"warning: {number:,} were published"
                print(f"{split} {kind}: {here:,} ({remark})")
        if not any(found.values()):
            print("warning: none of them is an image or annotation of train_set/ or val_set/")
        return 0


@dataclass(frozen=True)
class Verify:
    """Decode every image and list the broken ones (exit code 1 if there are any).

    A set that is opened with on_error="skip" leaves them out from then on.
    """

    root: Positional[Path] = Path("dataset")
    """As for AffectNet8: a folder or a tar."""
    split: str = "train"
    """train or val."""

    def run(self) -> int:
        """List broken images; 1 if there are any."""
        from fer.datasets.affectnet8.dataset import AffectNet8
        from fer.datasets.affectnet8.index import BROKEN

        faces = AffectNet8(self.root, self.split, on_error="skip")
        broken = faces.verify()
        for problem in broken:
            print(problem)
        known = [problem for problem in faces.problems if problem.kind == BROKEN]
        print(f"{faces}: {len(broken):,} broken" + (f", beside {len(known):,} known before" if known else ""))
        return 1 if broken or known else 0


@dataclass(frozen=True)
class Index:
    """Build the index if it is not there, and print the number of faces of each class."""

    root: Positional[Path] = Path("dataset")
    """As for AffectNet8: a folder or a tar."""
    split: str = "train"
    """train or val."""

    def run(self) -> int:
        """Print found and published counts."""
        import numpy as np

        from fer.datasets.affectnet8.dataset import AffectNet8
        from fer.datasets.affectnet8.index import PUBLISHED
        from fer.labels import EMOTIONS

        faces = AffectNet8(self.root, self.split, on_error="skip")
        counts = np.bincount(faces.labels, minlength=len(EMOTIONS))
        known = faces.name == "affectnet8"  # of other releases the numbers differ
        print(f"{'':10}{'found':>9}" + f"{'published':>11}" * known)
        for k, emotion in enumerate(EMOTIONS):
            published = f"{PUBLISHED[faces.split][k]:>11,}" if known else ""
            print(f"{emotion:10}{counts[k]:>9,}{published}")
        return 0


Command = Extract | Verify | Index


def main(options: Command) -> int:
    """Run one of the commands."""
    return options.run()


if __name__ == "__main__":
    cli.run(main, Command)
