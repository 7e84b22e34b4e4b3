"""The data set ``AffectNet8``, and the annotations of a face."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from fer.datasets.affectnet8.index import (
    BROKEN,
    NO_IMAGE,
    NO_LABEL,
    PUBLISHED,
    BrokenMark,
    Index,
    Problem,
    count_by_kind,
    count_others,
)
from fer.datasets.affectnet8.releases import Release, find
from fer.datasets.affectnet8.source import BrokenImage
from fer.datasets.collate import Batch, block, position, resized
from fer.datasets.splits import representative, requested
from fer.errors import DataInvalid, DataMissing
from fer.threads import for_each

# The stored pixels, without turning them as EXIF may ask: landmarks refer to these.
_DECODE = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_SAMPLED = 9  # images from which the size of all follows
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Annotations:
    """What annotators wrote about one face.

    Attributes:
        expression: index into ``EMOTIONS``.
        valence: unpleasant -1 to pleasant 1; None where absent (also written as -2).
        arousal: calm -1 to excited 1; None where absent (also written as -2).
        landmarks: float32 (68, 2), x and y in pixels of the image, in the order of iBUG 68; None where absent.
    """

    expression: int
    valence: float | None
    arousal: float | None
    landmarks: np.ndarray | None


class AffectNet8(Dataset):
    """Faces labelled with one of AffectNet's eight expressions.

    An item is ``(image, label)``: a uint8 RGB tensor (3, H, W), before
    ``transform``, and an int indexing ``fer.labels.EMOTIONS``. All images have
    one size, so that they fit into one batch: 224x224 as released; the few of
    another size that a copy may hold are resized. Files pair by id, never by
    place in a listing: ``images/42.jpg`` goes with ``annotations/42_exp.npy``.
    The same id occurs in both splits, so a face is named by both: ``"train/42"``.

    The first opening lists the files and reads the labels into an index file
    beside them, which is made anew when files were added or removed, or watched
    ones changed. Valence and arousal, and what ``verify`` finds, are added to it.

    Other releases open the same way (see ``releases``); ``name`` and ``title``
    tell them apart. Faces with their codes 8 to 10, which are no emotions, are
    left out, and counted in a printed line.

    Args:
        root: the folder that holds ``train_set/`` and ``val_set/``, one of these, ``extracted_train_tar/`` or the
            folder that holds it, a folder with ``images/`` and ``annotations/``, ``train_set.tar``, or the folder
            that holds it; another release; or a ``Release`` that was found.
        split: ``"train"`` or ``"val"`` (``"valid"`` is the same); class folders may have ``"test"``.
        transform: applied to the image, e.g. ``Preprocess()``.
        limit: keep up to ``limit`` faces: one of each class first, then in proportion to the classes, chosen by a
            hash of the key. The same copy gives the same faces, and a smaller limit some of those of a larger one.
        classes: 8, or 7 to leave out contempt (labels 0-6).
        on_error: ``"raise"``: faces that cannot be used (an image or label is missing, a label is unreadable or
            outside 0-7, ``verify`` found the image broken) are an error. ``"skip"``: they are left out, and counted
            by kind in a printed line.

    Attributes:
        labels: int64 (N,), known without opening an image.
        valence, arousal: float32 (N,), -1 to 1; NaN where absent. Read when first used.
        ids: int64 (N,), the numbers in the file names; text where they are no plain numbers, or a file has a folder.
        keys: N names such as ``"train/42"``, unique over both splits.
        problems: what was wrong with the faces that were left out.
        excluded: the number of further faces left out, by the label that is no emotion.

    Raises:
        DataMissing: there is no such split under ``root``, or faces lack their label or image.
        DataInvalid: a wrong argument, faces that cannot be used for other
            reasons, a damaged index or tar; from an item: a broken image.
    """

    def __init__(
        self,
        root: str | Path | Release,
        split: str = "train",
        transform: Callable[[Tensor], Tensor] | None = None,
        limit: int | None = None,
        classes: int = 8,
        on_error: str = "raise",
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise DataInvalid(f"on_error={on_error!r}; expected 'raise' or 'skip'.")
        release = root if isinstance(root, Release) else find(root)
        self._source = release.source(requested(split, classes, limit))
        self.name, self.title, self.split = self._source.name, self._source.title, self._source.split
        self.transform, self._on_error = transform, on_error
        index, seconds = self._source.open_index()
        if seconds and type(self) is AffectNet8:  # not the sample in the same layout
            published = f" of {sum(PUBLISHED[self.split]):,}" if self.name == "affectnet8" else ""
            print(f"{self.title} {self.split}: {len(index):,}{published} faces indexed in {seconds:.1f} s")
        self.excluded = count_others(index.labels)
        if self.excluded:
            kinds = ", ".join(f"{n:,} {name}" for name, n in self.excluded.items())
            total = sum(self.excluded.values())
            print(f"{self.title} {self.split}: left out {total:,} faces, no emotions: {kinds}")

        marks = index.broken.items()
        broken = {id_: mark.reason for id_, mark in marks if mark.stamp == self._source.image_stamp(id_)}
        self.problems = [*index.problems, *self._broken_images(broken)]
        if self.problems:
            self._report(len(index))
        kept = index.labels < classes
        if broken:
            kept &= ~np.isin(index.ids.astype(np.str_), list(broken))
        self._index = index if kept.all() else index.take(kept)
        if limit is not None and limit < len(self._index):
            self._index = self._index.take(representative(self._index.labels, self.keys, limit))
            del self.keys  # of the larger set
        if not len(self._index):
            raise DataInvalid(
                f"{self._source.path} has no usable face: {count_by_kind(self.problems) or 'it is empty'}. "
                "dataset/README.md shows what is expected."
            )

        self.ids = self._index.ids

    @cached_property
    def labels(self) -> np.ndarray:  # noqa: D102
        return self._index.labels.astype(np.int64)

    @cached_property
    def keys(self) -> list[str]:  # noqa: D102
        return [f"{self.split}/{id_}" for id_ in self._index.ids.tolist()]

    @property
    def valence(self) -> np.ndarray:  # noqa: D102
        return self._valence_arousal[:, 0]

    @property
    def arousal(self) -> np.ndarray:  # noqa: D102
        return self._valence_arousal[:, 1]

    @cached_property
    def _valence_arousal(self) -> np.ndarray:
        """Both, float32 (N, 2): read once from hundreds of thousands of small files, then kept in the index.

        Raises:
            DataInvalid: values cannot be read; with ``on_error="skip"`` they are NaN, and counted in a printed line.
        """
        stored = self._index.valence_arousal
        if len(stored) and not np.isinf(stored).any():
            return stored
        faults: list[str] = []

        def read(rows: range) -> list[tuple[float, float]]:
            return [(self._known(i, "val", faults), self._known(i, "aro", faults)) for i in rows]

        values = np.array([*chain(*self._in_threads(read, "reading valence, arousal", 8))], np.float32)
        if faults and self._on_error != "skip":
            raise DataInvalid(
                f"{len(faults):,} values of valence or arousal cannot be read, the first one: {min(faults)} "
                'Or open the data set with on_error="skip".'
            )
        if faults:
            print(f"{self.title} {self.split}: {len(faults):,} values of valence or arousal cannot be read")
        else:
            add = partial(_with_valence_arousal, part=self._index, values=values)
            self._source.amend_index(add, "valence and arousal are read at every start")
        return values

    def _known(self, i: int, kind: str, faults: list[str]) -> float:
        """Return one value, NaN where it is absent; where it cannot be read, add the reason to ``faults``."""
        try:
            value = self.annotation(i, kind)
        except DataInvalid as error:
            faults.append(str(error))
            return np.nan
        return np.nan if value is None else value

    def _in_threads(self, work: Callable[[range], T], label: str, workers: int | None) -> Iterator[T]:
        """Yield what ``work`` returns for each part of the faces, in order, with a progress bar."""
        parts = [range(start, min(start + 256, len(self))) for start in range(0, len(self), 256)]
        bar = tqdm(total=len(self), desc=label, unit="face", delay=1, leave=False, disable=None)
        with ThreadPoolExecutor(workers or os.cpu_count()) as pool, bar:
            for part, result in zip(parts, pool.map(work, parts), strict=True):
                yield result
                bar.update(len(part))

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        i = position(i)
        image = resized(self.image(i), self._size)
        if self.transform is not None:
            image = self.transform(image)
        return image, int(self._index.labels[i])

    def __getitems__(self, rows: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Return ``[self[i] for i in rows]``, decoded in threads into the memory of the batch."""
        if self.transform is not None or not len(rows):
            return [self[i] for i in rows]
        images = block((len(rows), 3, *self._size))
        planes = images.numpy()

        def read(k: int) -> None:
            pixels = self._pixels(rows[k])
            if pixels.shape[:2] == self._size:
                cv2.split(pixels, [*planes[k, ::-1]])
            else:
                images[k] = resized(_planes(pixels), self._size)

        for_each(len(rows), read)
        return Batch(images, self.labels[rows])

    @cached_property
    def _size(self) -> tuple[int, int]:
        """The most frequent height and width among a few images, spread over the set."""
        sizes: Counter[tuple[int, int]] = Counter()
        for i in np.linspace(0, len(self) - 1, min(len(self), _SAMPLED)).astype(int):
            with suppress(BrokenImage, DataMissing):  # an item that is read raises the error
                height, width = self._face(i).shape[:2]
                sizes[height, width] += 1
        if not sizes:
            self._pixels(0)  # raises the error
        return sizes.most_common(1)[0][0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._source.path)!r}, split={self.split!r}): {len(self):,} faces"

    def image(self, i: int) -> Tensor:
        """Return an image as it is stored, uint8 RGB (3, H, W); of a release with whole photos, the face in it.

        Raises:
            DataInvalid: it cannot be read or decoded.
        """
        return _planes(self._pixels(i))

    def jpeg(self, i: int) -> bytes:
        """Return an image's file as it is stored.

        Raises:
            DataInvalid: it cannot be read.
        """
        with self._named(i):
            return self._source.image(self._index, i)

    def _pixels(self, i: int) -> np.ndarray:
        with self._named(i):
            return self._face(i)

    def _face(self, i: int) -> np.ndarray:
        data = self._source.image(self._index, i)
        if (pixels := decode(data)) is None:
            raise BrokenImage(f"{len(data):,} bytes, not a complete image" if data else "an empty file")
        return self._source.face(pixels, self._index, i)

    @contextmanager
    def _named(self, i: int) -> Iterator[None]:
        """Add to an error with an image which one it is, and the way out."""
        try:
            yield
        except BrokenImage as error:
            raise DataInvalid(
                f"{self._source.where(self._source.image_file(self.ids[i]))} is broken: {error}. "
                'verify() lists all broken images; opened again with on_error="skip" (--on-error skip), the set '
                "leaves them out."
            ) from error

    def annotations(self, i: int) -> Annotations:
        """Return all annotations of a face; valence, arousal and landmarks are read now.

        Raises:
            DataInvalid: an annotation cannot be read, or is not the right number of values.
        """
        landmarks = self._values(i, "lnd", 136)
        return Annotations(
            expression=int(self._index.labels[i]),
            valence=self.annotation(i, "val"),
            arousal=self.annotation(i, "aro"),
            landmarks=None if landmarks is None else landmarks.astype(np.float32).reshape(68, 2),
        )

    def annotation(self, i: int, kind: str) -> float | None:
        """Return valence (``"val"``) or arousal (``"aro"``), read now; None where absent or beyond -1 to 1."""
        values = self._values(i, kind, 1)
        # The release of 2017 writes -2 for an absent value.
        return float(values[0]) if values is not None and abs(values[0]) <= 1 else None

    def _values(self, i: int, kind: str, expected: int) -> np.ndarray | None:
        try:
            values = self._source.values(self._index, i, kind)
            if values is not None and values.size != expected:
                raise ValueError(f"{values.size} values, expected {expected}")
        except ValueError as error:
            path = self._source.where(self._source.annotation_file(self.ids[i], kind))
            raise DataInvalid(
                f"{path} cannot be read: {error}. Restore it from the archive; without the file the value is None."
            ) from error
        return values

    def verify(self, workers: int | None = None) -> list[Problem]:
        """Decode every image, in threads, with a progress bar; return those without a face that can be used.

        They are noted in the index, so that the set, opened again, counts them
        among its problems and ``on_error="skip"`` leaves them out. An image
        that is replaced is taken back by itself.
        """
        reasons: dict[str, str] = {}
        for found in self._in_threads(self._reasons, f"verifying {self.split}", workers):
            reasons.update(found)
        if reasons:
            marks = {id_: BrokenMark(why, self._source.image_stamp(id_)) for id_, why in reasons.items()}
            self._source.amend_index(
                lambda index: replace(index, broken={**index.broken, **marks}),
                "broken images are not remembered",
            )
        return self._broken_images(reasons)

    def _broken_images(self, reasons: Mapping[str, str]) -> list[Problem]:
        return [Problem(BROKEN, self._source.image_file(id_), reason) for id_, reason in reasons.items()]

    def _reasons(self, part: range) -> dict[str, str]:
        """Return why images are broken, by id, for those that are."""
        reasons = {}
        for i in part:
            try:
                self._face(i)
            except BrokenImage as error:
                reasons[str(self.ids[i])] = str(error)
        return reasons

    def _report(self, usable: int) -> None:
        """Raise, or print how many faces are left out."""
        counts = count_by_kind(self.problems)
        if self._on_error == "skip":
            print(f"{self.title} {self.split}: left out {len(self.problems):,} faces: {counts}")
            return
        first = "\n".join(f"  {problem}" for problem in self.problems[:5])
        more = f"\n  and {len(self.problems) - 5:,} more" if len(self.problems) > 5 else ""
        missing = {problem.kind for problem in self.problems} <= {NO_IMAGE, NO_LABEL}
        raise (DataMissing if missing else DataInvalid)(
            f"{self._source.path}: {len(self.problems):,} faces cannot be used, beside {usable:,} that can: "
            f"{counts}.\n{first}{more}\n"
            'Restore the files (dataset/README.md), or leave these faces out with on_error="skip" '
            "(of fer.train, fer.evaluate and fer.datasets.packed: --on-error skip)."
        )


def _with_valence_arousal(index: Index, part: Index, values: np.ndarray) -> Index:
    """Return ``index`` with the values of those of its faces that ``part`` has."""
    if index.stamp != part.stamp:  # other files by now
        return index
    both = np.full((len(index), 2), np.inf, np.float32)
    if len(index.valence_arousal):
        both[:] = index.valence_arousal
    both[np.isin(index.ids, part.ids)] = values
    return replace(index, valence_arousal=both)


def _planes(pixels: np.ndarray) -> Tensor:
    """Return BGR uint8 (H, W, 3) as RGB (3, H, W)."""
    # One copy turns BGR, interleaved, into RGB, plane after plane: a batch is then stacked three
    # times faster than from permuted views.
    planes = np.empty((3, *pixels.shape[:2]), np.uint8)
    cv2.split(pixels, [*planes[::-1]])
    return torch.from_numpy(planes)


def decode(data: bytes) -> np.ndarray | None:
    """Return BGR uint8 (H, W, 3), or None for what is no complete image (OpenCV 4.14 refuses truncated ones)."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), _DECODE) if data else None
    except cv2.error:  # a damaged header claims more pixels than OpenCV reads
        return None
