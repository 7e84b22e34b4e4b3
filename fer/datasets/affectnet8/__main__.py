"""The command line of AffectNet8: extract an archive, verify images, count what is there.

python -m fer.datasets.affectnet8 extract train_set.tar dataset
python -m fer.datasets.affectnet8 verify dataset --split train
python -m fer.datasets.affectnet8 index dataset
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, subcommand

from fer import cli


@dataclass(frozen=True)
class Extract:
    """Unpack train_set.tar or val_set.tar; a stopped run goes on where it was."""

    tar: Positional[Path]
    """The archive."""
    folder: Positional[Path]
    """Where train_set/ or val_set/ goes, e.g. dataset."""
    check: bool = False
    """Compare the files that exist with the archive's, byte by byte, and write those anew that differ."""


@dataclass(frozen=True)
class Verify:
    """Decode every image and list the broken ones (exit code 1 if there are any).

    A set that is opened with on_error="skip" leaves them out from then on.
    """

    root: Positional[Path] = Path("dataset")
    """As for AffectNet8: a folder or a tar."""
    split: str = "train"
    """train or val."""


@dataclass(frozen=True)
class Count:
    """Build the index if it is missing, and print the number of faces of each class."""

    root: Positional[Path] = Path("dataset")
    """As for AffectNet8: a folder or a tar."""
    split: str = "train"
    """train or val."""


Command = Extract | Verify | Annotated[Count, subcommand("index")]


def main(options: Extract | Verify | Count) -> int:
    """Run one of the commands; return the exit code."""
    if isinstance(options, Extract):
        return _extract(options)
    return _verify(options) if isinstance(options, Verify) else _count(options)


def _extract(options: Extract) -> int:
    """Unpack, then compare the number of files with the published one."""
    from fer.datasets.affectnet8.index import PUBLISHED
    from fer.datasets.affectnet8.tarball import extract

    found = {(split, kind): 0 for split in PUBLISHED for kind in ("images", "annotations")}
    written = kept = 0
    for member, new in extract(options.tar, options.folder, options.check):
        written, kept = written + new, kept + (not new)
        *_, folder, kind, _ = ("", "", *member.name.split("/"))
        if (place := (folder.removesuffix("_set"), kind)) in found:
            found[place] += 1
    known = " by name and size (--check compares contents)" if kept and not options.check else ""
    print(f"{options.tar}: {written:,} files written to {options.folder}, {kept:,} were there already{known}")
    for (split, kind), number in found.items():
        expected = sum(PUBLISHED[split]) * (1 if kind == "images" else 4)
        remark = "as published" if number == expected else f"warning: {expected:,} were published"
        if any(found[split, any_kind] for any_kind in ("images", "annotations")):
            print(f"{split} {kind}: {number:,} ({remark})")
    if not any(found.values()):
        print("warning: none of them is an image or annotation of train_set/ or val_set/")
    return 0


def _verify(options: Verify) -> int:
    """List broken images; 1 if there are any."""
    from fer.datasets.affectnet8.dataset import AffectNet8
    from fer.datasets.affectnet8.index import BROKEN

    faces = AffectNet8(options.root, options.split, on_error="skip")
    broken = faces.verify()
    for problem in broken:
        print(problem)
    known = sum(problem.kind == BROKEN for problem in faces.problems)
    print(f"{faces}: {len(broken):,} broken" + (f", beside {known:,} known before" if known else ""))
    return 1 if broken or known else 0


def _count(options: Count) -> int:
    """Print found and published counts."""
    import numpy as np

    from fer.datasets.affectnet8.dataset import AffectNet8
    from fer.datasets.affectnet8.index import PUBLISHED
    from fer.labels import EMOTIONS

    faces = AffectNet8(options.root, options.split, on_error="skip")
    counts = np.bincount(faces.labels, minlength=len(EMOTIONS))
    known = faces.name == "affectnet8"  # of other releases the numbers differ
    print(f"{'':10}{'found':>9}" + f"{'published':>11}" * known)
    for k, emotion in enumerate(EMOTIONS):
        print(f"{emotion:10}{counts[k]:>9,}" + (f"{PUBLISHED[faces.split][k]:>11,}" if known else ""))
    return 0


if __name__ == "__main__":
    cli.run(main, Command)
