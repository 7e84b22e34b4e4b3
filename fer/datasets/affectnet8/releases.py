"""Which release of AffectNet a user's copy is, in which of the forms that people keep it in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fer.datasets.affectnet8 import affectnet_plus, class_folders, release_2017
from fer.datasets.affectnet8.extracted import Folder
from fer.datasets.affectnet8.source import SPLITS, Source, describe
from fer.datasets.affectnet8.tarball import Tar
from fer.datasets.splits import of_folder
from fer.errors import DataMissing, UsageError


@dataclass(frozen=True)
class Release:
    """A copy of one release in ``root``, with what each of its splits is read from: nothing where there is none."""

    root: Path
    sources: Mapping[str, Source]
    title: str = Source.title
    splits: tuple[str, ...] = SPLITS

    def source(self, split: str) -> Source:
        """Return what a split is read from; DataMissing where the copy lacks it, UsageError where the release does."""
        if split in self.sources:
            return self.sources[split]
        if split not in self.splits:
            raise UsageError(f"AffectNet8 has no split {split!r}; it has {', '.join(self.splits)}.")
        if self.title == Source.title:
            raise _not_found(self.root, split)
        present = ", ".join(name for name in self.splits if name in self.sources)
        raise DataMissing(
            f"{self.root} holds {self.title} without its {split} split; found {present}. "
            "dataset/README.md shows what is expected."
        )


def find(root: str | Path) -> Release:
    """Return the release in ``root`` with all its splits.

    Training and validation data never come from two releases: AffectNet8 comes
    first, then AffectNet+, the tables of 2017, class folders.
    """
    root = Path(root)
    for look in (_affectnet8, affectnet_plus.find, release_2017.find, class_folders.find):
        if sources := look(root):
            source = next(iter(sources.values()))
            return Release(root, sources, source.title, source.splits)
    return Release(root, {})


def _affectnet8(root: Path) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for split in SPLITS:
        folders, tars = _places(root, split)
        existing = (f for f in folders if (f / "images").is_dir() and not affectnet_plus.has_json(f))
        if root in tars and root.is_file():  # what was named comes before what lies beside it
            found[split] = Tar(root, split)
        elif folder := next(existing, None):
            found[split] = Folder(folder, split)
        elif tar := next((tar for tar in tars if tar.is_file()), None):
            found[split] = Tar(tar, split)
    return found


def _places(root: Path, split: str) -> tuple[list[Path], list[Path]]:
    """Return the folders, and the tars, that may hold a split of AffectNet8: ``root`` if its name is that of the split.

    Given the folder or tar of one split, the other one is looked for beside it.
    """
    name, parent = root.absolute().name, root.absolute().parent  # of "." too
    of_a_split = name in {form for s in SPLITS for form in (f"{s}_set", f"extracted_{s}_tar", f"{s}_set.tar")}
    bases = [root, parent] if of_a_split else [root]
    named = of_folder(name)
    itself = [root] if split == (named if named in SPLITS else "train") else []  # there is no test split
    own = f"{split}_set"
    folders = [base / form for base in bases for form in (own, f"extracted_{split}_tar/{own}")]
    tars = [path for path in itself if ".tar" in path.name]  # a .tar.gz too: reading it says what to do
    return itself + folders, tars + [base / f"{own}.tar" for base in bases]


def _not_found(root: Path, split: str) -> DataMissing:
    folders, tars = _places(root, split)
    places = ", ".join(str(place) for place in (*(folder / "images" for folder in folders), *tars))
    return DataMissing(
        f"AffectNet8's {split} split was not found at {root} ({describe(root)}). Looked for {places}, and for other "
        "releases: class folders must be all eight, an empty one will do. A folder or tar of another name is train, "
        "or val where its name says val. See dataset/README.md; --data sample works without (in Python find)."
    )
