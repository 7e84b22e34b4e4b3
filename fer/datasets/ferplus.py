"""FER+: the faces of FER2013 with the votes of ten annotators each.

Source: Barsoum et al. 2016, arXiv:1608.01041. Faces are not shipped.
"""

import csv
import io
import operator
import zipfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from fer.datasets.splits import check_limit, own_name, representative
from fer.errors import DataInvalid, DataMissing, UsageError, reading
from fer.labels import EMOTIONS

VOTES = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    *("unknown", "NF"),
)
"""Columns of label.csv after name and box. Not AffectNet's order; NF: not a face."""

FOLDERS = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
SPLITS = tuple(FOLDERS)
SIDE = 48
LARGEST_TABLE, LARGEST_IMAGE = 16 << 20, 1 << 20  # bytes; published ones have 1.5 MB and 4 kB

_COLUMNS = [VOTES.index(name) for name in EMOTIONS]  # of each emotion
_LABELS = np.argsort(_COLUMNS)  # of each column: the inverse permutation


class FERPlus(Dataset):
    """48x48 grey faces labelled by votes.

    An item is ``(image, label)``: a uint8 grey tensor (1, 48, 48), before
    ``transform``, and an int indexing ``fer.labels.EMOTIONS``, or with
    ``labels="soft"`` the vote distribution, float32 (8,).

    The protocol of the paper: an emotion with a single vote counts as none.
    ``"majority"`` keeps a face when one label has more than half of the
    remaining votes and is an emotion: 25,045 train, 3,191 valid and 3,137 test
    faces. ``"argmax"`` and ``"soft"`` keep every face whose top label is an
    emotion, for 28,385 in train.

    Images are decoded once, at the first item, and kept in memory (2.3 kB each).

    Args:
        root: the folder of ``FER2013Train`` and its two siblings, a folder
            that holds it as ``ferplus``, or ``ferplus.zip`` read in place.
        split: ``"train"``, ``"valid"`` or ``"test"``.
        transform, limit: as for ``AffectNet8``.

    Attributes:
        vote_distribution: float32 (N, 8), votes for the eight emotions, divided by their sum.

    Raises:
        DataMissing: no FER+ in ``root``, or an image is missing.
        DataInvalid: an unknown split or kind of labels, or a file is damaged.
    """

    name = "ferplus"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        labels: str = "majority",
        transform: Callable[[Tensor], Tensor] | None = None,
        limit: int | None = None,
    ) -> None:
        own = own_name(split, SPLITS)
        if own is None:
            raise UsageError(f"FER+ has no split {split!r}; expected one of {', '.join(SPLITS)}.")
        if labels not in ("majority", "argmax", "soft"):
            raise DataInvalid(f"labels={labels!r}; expected 'majority', 'argmax' or 'soft'.")
        check_limit(limit)
        self.split = split = own
        self.kind, self.transform, self.limit = labels, transform, limit
        self.root = Path(root)
        names, votes = _read_votes(locate(root).joinpath(FOLDERS[split]))

        counted = np.where(votes > 1, votes, 0)
        top, most = counted.argmax(1), counted.max(1)  # a tie goes to the earlier of FER+'s columns
        kept = (top < len(EMOTIONS)) & (most > 0)
        if labels == "majority":
            kept &= 2 * most > counted.sum(1)
        rows = np.flatnonzero(kept)
        keys = [f"{split}/{name}" for name in names]
        rows = rows[representative(_LABELS[top[rows]], [keys[i] for i in rows], limit)]

        emotions = counted[rows][:, _COLUMNS]
        self.vote_distribution = (emotions / emotions.sum(1, keepdims=True)).astype(np.float32)
        self.labels = _LABELS[top[rows]]
        self._names, self.keys = [names[i] for i in rows], [keys[i] for i in rows]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int | Tensor]:
        i = operator.index(i)
        label = torch.from_numpy(self.vote_distribution[i]) if self.kind == "soft" else int(self.labels[i])
        return self.images[i] if self.transform is None else self.transform(self.images[i]), label

    @cached_property
    def images(self) -> Tensor:
        """All images, uint8 (N, 1, 48, 48)."""
        pixels = np.empty((len(self), 1, SIDE, SIDE), np.uint8)
        # Opened here, not kept: processes that read images cannot share an open zip.
        files = locate(self.root).joinpath(FOLDERS[self.split])
        for i, name in enumerate(tqdm(self._names, f"reading FER+ {self.split}", leave=False, delay=1)):
            pixels[i, 0] = _decode(files, name)
        return torch.from_numpy(pixels)


def locate(root: str | Path) -> Path | zipfile.Path:
    """Return the folder, real or inside a zip, that holds FER2013Train, or raise DataMissing."""
    root = Path(root)
    places: list[Path | zipfile.Path] = [root, root / "ferplus"]
    archive = root if root.suffix == ".zip" else root / "ferplus.zip"
    if archive.is_file():
        with reading(archive, "Expected a complete, unencrypted zip file: copy it again."):
            opened = zipfile.ZipFile(archive)
            places += [zipfile.Path(opened), zipfile.Path(opened, "ferplus/")]
    for place in places:
        if place.joinpath(FOLDERS["train"], "label.csv").is_file():
            return place
    raise DataMissing(
        f"No FER+ found in {root}: expected {FOLDERS['train']}/label.csv there, in {root / 'ferplus'}, "
        f"or in ferplus.zip. dataset/README.md says how to get it."
    )


def _read_votes(folder: Path | zipfile.Path) -> tuple[list[str], np.ndarray]:
    """Return the image names and their votes, int64 (N, 10), of one split's label.csv."""
    table = folder.joinpath("label.csv")
    if not table.is_file():
        raise DataMissing(f"{table} is missing: the copy of FER+ is incomplete. See dataset/README.md.")
    names, votes = [], []
    with reading(table, "Copy FER+ again."):
        lines = _contents(table, LARGEST_TABLE).decode("utf-8-sig").splitlines()
        for number, row in enumerate(csv.reader(lines), 1):
            if not row or not row[0]:  # the published list has rows for withdrawn images
                continue
            counts = [cell.strip() for cell in row[2:]]
            if len(counts) != len(VOTES) or not all(c.isdecimal() and len(c) < 4 for c in counts):
                raise DataInvalid(
                    f"{table}, line {number}: found {row}; expected a name, a box and {len(VOTES)} counts."
                )
            if set(row[0]) & set("/\\\0"):
                raise DataInvalid(f"{table}, line {number}: found {row[0]!r}; expected the name of an image.")
            names.append(row[0])
            votes.append([int(count) for count in counts])
    if len(set(names)) != len(names):
        raise DataInvalid(f"{table} names an image twice; expected each once. Copy FER+ again.")
    return names, np.array(votes, np.int64).reshape(-1, len(VOTES))


def _decode(folder: Path | zipfile.Path, name: str) -> np.ndarray:
    file = folder.joinpath(name)
    if not file.is_file():
        raise DataMissing(f"{file} is listed in label.csv but missing. Copy FER+ again.")
    with reading(file, "Copy FER+ again."):
        try:
            image = Image.open(io.BytesIO(_contents(file, LARGEST_IMAGE)), formats=("PNG", "JPEG", "BMP"))
        except UnidentifiedImageError:  # its text names an object of Python
            raise ValueError("it is no image") from None
        if image.size != (SIDE, SIDE):
            raise DataInvalid(f"{file} measures {image.size}; expected {SIDE}x{SIDE} pixels.")
        return np.asarray(image.convert("L"))


def _contents(file: Path | zipfile.Path, most: int) -> bytes:
    """Return the bytes of a file; raise ValueError for more than ``most``, which a zip may unpack to."""
    with file.open("rb") as opened:
        data = opened.read(most + 1)
    if len(data) > most:
        raise ValueError(f"more than {most:,} bytes")
    return data
