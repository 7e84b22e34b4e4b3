"""The data set ``AffectNet8``, and the annotations of a face."""

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fer.datasets.affectnet8.index import (
    BROKEN,
    NO_IMAGE,
    NO_LABEL,
    PUBLISHED,
    Index,
    Problem,
    count_by_kind,
)
from fer.datasets.affectnet8.releases import find
from fer.datasets.affectnet8.source import BrokenImage, decoded, in_threads, looks_whole
from fer.datasets.collate import Batch, block, resized
from fer.datasets.splits import representative, requested
from fer.errors import DataInvalid, DataMissing
from fer.labels import EMOTIONS
from fer.threads import for_each


@dataclass(frozen=True, eq=False)
class Annotations:
    """What annotators wrote about one face.

    Attributes:
        expression: index into ``EMOTIONS``.
        valence, arousal: unpleasant -1 to pleasant 1, calm -1 to excited 1; None where absent (also written as -2).
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

    The first opening lists the files and reads the labels into an index file beside them, made
    anew when files change; valence and arousal are added when something asks for them.

    Other releases open the same way (see ``releases``); ``name`` and ``title``
    tell them apart. Faces with their codes 8 to 10, which are no emotions, are left out.

    Args:
        root: a folder with ``images/`` and ``annotations/``, ``train_set.tar``, or a folder that holds one of them as
            ``dataset/README.md`` shows; or another release.
        split: ``"train"`` or ``"val"`` (``"valid"`` is the same); class folders may have ``"test"``.
        transform: applied to the image, e.g. ``Preprocess()``.
        limit: keep up to ``limit`` faces: one of each class first, then in proportion to the classes, chosen by a
            hash of the key. The same copy gives the same faces, and a smaller limit some of those of a larger one.
        classes: 8, or 7 to leave out contempt (labels 0-6).
        on_error: ``"raise"``: faces that cannot be used (an image or label is missing, a label is unreadable or
            outside 0-7) are an error. ``"skip"``: they are left out and counted in a printed line, truncated images,
            for which all are read now, among them; valence, arousal and landmarks that cannot be read are None.

    Attributes:
        labels: int64 (N,), known without opening an image.
        valence, arousal: float32 (N,), -1 to 1; NaN where absent. Read when first used.
        keys: N names such as ``"train/42"``: the same id occurs in both splits.
        problems: what was wrong with the faces that were left out.
        unreadable: with ``"skip"``, on which valence, arousal and landmarks could not be read so far, and why.

    Raises:
        DataMissing: there is no such split under ``root``, or faces lack their label or image.
        DataInvalid: a wrong argument, other faces that cannot be used, a damaged index or tar; of an item: its image.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        transform: Callable[[Tensor], Tensor] | None = None,
        limit: int | None = None,
        classes: int = 8,
        on_error: str = "raise",
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise DataInvalid(f"on_error={on_error!r}; expected 'raise' or 'skip'.")
        self._source = find(root).source(requested(split, classes, limit))
        self.name, self.title, self.split = self._source.name, self._source.title, self._source.split
        self.transform, self._on_error = transform, on_error
        index, seconds = self._source.open_index()
        if seconds and type(self) is AffectNet8:  # not the sample in the same layout
            published = f" of {sum(PUBLISHED[self.split]):,}" if self.name == "affectnet8" else ""
            print(f"{self.title} {self.split}: {len(index):,}{published} faces indexed in {seconds:.1f} s")
        if others := int((index.labels >= len(EMOTIONS)).sum()):
            print(
                f"{self.title} {self.split}: left out {others:,} faces that show no emotion (codes 8 to 10)"
            )

        self.unreadable: set[str] = set()
        self.problems = list(index.problems)
        if self.problems and on_error == "raise":
            self._refuse(len(index))
        index = index.take(index.labels < classes)
        while True:
            self._use(index)
            if limit is not None:
                self._use(index.take(representative(index.labels, self.keys, limit)))
            broken = self._broken(self._whole, "looking for truncated images") if on_error == "skip" else {}
            if not broken:
                break
            self.problems += broken.values()
            index = index.take(~np.isin(index.ids, self._index.ids[[*broken]]))
            if limit is None:
                self._use(index)
                break  # of a limited set, other faces take their places, and are looked at
        if self.problems:
            n, counts = len(self.problems), count_by_kind(self.problems)
            print(f"{self.title} {self.split}: left out {n:,} faces: {counts}")
        if not len(self._index):
            raise DataInvalid(
                f"{self._source.path} has no usable face: {count_by_kind(self.problems) or 'it is empty'}. "
                "dataset/README.md shows what is expected."
            )

    def _use(self, index: Index) -> None:
        """Have these faces from now on."""
        self._index, self.labels = index, index.labels.astype(np.int64)
        for name in ("keys", "_valence_arousal"):
            vars(self).pop(name, None)

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
        """Both, float32 (N, 2): read once from hundreds of thousands of small files, then kept in the index."""
        stored = self._index.valence_arousal
        if len(stored) and not np.isinf(stored).any():
            return stored
        values = np.full((len(self), 2), np.nan, np.float32)

        def read(i: int) -> None:
            for column, kind in enumerate(("val", "aro")):
                values[i, column] = _number(self._values(i, kind, 1))

        in_threads(read, len(self), "reading valence, arousal")
        if self.unreadable:
            print(f"{self.title} {self.split}: {len(self.unreadable):,} annotations cannot be read")
        else:
            self._source.amend_index(partial(_with_valence_arousal, part=self._index, values=values))
        return values

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        i = operator.index(i)
        image = resized(self.image(i), self._size)
        if self.transform is not None:
            image = self.transform(image)
        return image, int(self.labels[i])

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
        sizes: Counter = Counter()
        for i in np.linspace(0, len(self) - 1, min(len(self), 9)).astype(int):
            with suppress(DataInvalid, DataMissing):  # an item that is read raises the error
                sizes[self._pixels(i).shape[:2]] += 1
        if not sizes:
            self._pixels(0)  # raises the error
        return sizes.most_common(1)[0][0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._source.path)!r}, split={self.split!r}): {len(self):,} faces"

    def image(self, i: int) -> Tensor:
        """Return an image as it is stored, uint8 RGB (3, H, W); of a release with whole photos, the face in it."""
        return _planes(self._pixels(i))

    def _pixels(self, i: int) -> np.ndarray:
        try:
            return self._face(i)
        except BrokenImage as error:
            raise DataInvalid(
                f"{self._source.where(self._source.image_file(self._index.ids[i]))} is broken: {error}. "
                "verify() lists all broken images: restore them, or delete them and open the set with "
                'on_error="skip" (--on-error skip).'
            ) from error

    def _face(self, i: int) -> np.ndarray:
        return self._source.face(decoded(self._source.image(self._index, i)), self._index, i)

    def _whole(self, i: int) -> None:
        """Raise BrokenImage for an image that is not whole; one is decoded only if its header or end look so."""
        data = self._source.image(self._index, i)
        if not looks_whole(data):
            decoded(data)

    def annotations(self, i: int) -> Annotations:
        """Return all annotations of a face, read now; of one that cannot be, see ``on_error``."""
        landmarks = self._values(i, "lnd", 136)
        return Annotations(
            expression=int(self.labels[i]),
            valence=_number(self._values(i, "val", 1)),
            arousal=_number(self._values(i, "aro", 1)),
            landmarks=None if landmarks is None else landmarks.astype(np.float32).reshape(68, 2),
        )

    def _values(self, i: int, kind: str, expected: int) -> np.ndarray | None:
        """Return the numbers of an annotation, float64 (n,); None where it is absent, or skipped as unreadable."""
        try:
            values = self._source.values(self._index, i, kind)
            if values is not None and values.size != expected:
                raise ValueError(f"{values.size} values, expected {expected}")
        except ValueError as error:
            path = self._source.where(self._source.annotation_file(self._index.ids[i], kind))
            unreadable = DataInvalid(
                f"{path} cannot be read: {error}. Restore it from the archive, or open the data set with "
                'on_error="skip"; without the file the value is None.'
            )
            if self._on_error != "skip":
                raise unreadable from error
            self.unreadable.add(str(unreadable))
            return None
        return values

    def verify(self) -> list[Problem]:
        """Decode every image, in threads, with a progress bar; leave out, and return, those without a usable face."""
        broken = self._broken(self._face, f"verifying {self.split}")
        self.problems += broken.values()
        self._use(self._index.take(np.setdiff1d(np.arange(len(self)), [*broken])))
        return [*broken.values()]

    def _broken(self, look: Callable[[int], object], label: str) -> dict[int, Problem]:
        """Call ``look`` for every face; return those for which it raises BrokenImage, by their place."""
        found: dict[int, Problem] = {}

        def read(i: int) -> None:
            try:
                look(i)
            except (BrokenImage, DataMissing) as error:  # missing: removed since the index was made
                found[i] = Problem(BROKEN, self._source.image_file(self._index.ids[i]), str(error))

        in_threads(read, len(self), label)
        return dict(sorted(found.items()))

    def _refuse(self, usable: int) -> None:
        n, counts = len(self.problems), count_by_kind(self.problems)
        first = "".join(f"  {problem}\n" for problem in self.problems[:5])
        more = f"  and {n - 5:,} more\n" if n > 5 else ""
        missing = {problem.kind for problem in self.problems} <= {NO_IMAGE, NO_LABEL}
        raise (DataMissing if missing else DataInvalid)(
            f"{self._source.path}: {n:,} faces cannot be used, beside {usable:,} that can: {counts}.\n{first}{more}"
            'Restore the files (dataset/README.md), or leave these faces out with on_error="skip" '
            "(of fer.train, fer.evaluate and fer.datasets.packed: --on-error skip)."
        )


def _with_valence_arousal(index: Index, part: Index, values: np.ndarray) -> Index:
    """Return ``index`` with the values of those of its faces that ``part`` has."""
    if index.stamp != part.stamp:  # other files by now
        return index
    unread = np.full((len(index), 2), np.inf, np.float32)
    both = index.valence_arousal if len(index.valence_arousal) else unread
    both[np.isin(index.ids, part.ids)] = values
    return replace(index, valence_arousal=both)


def _planes(pixels: np.ndarray) -> Tensor:
    """Return BGR uint8 (H, W, 3) as RGB (3, H, W)."""
    # One copy, plane after plane: a batch is then stacked three times faster than from permuted views.
    planes = np.empty((3, *pixels.shape[:2]), np.uint8)
    cv2.split(pixels, [*planes[::-1]])
    return torch.from_numpy(planes)


def _number(values: np.ndarray | None) -> float | None:
    """Return valence or arousal, of which the release of 2017 writes -2 where it is absent."""
    return float(values[0]) if values is not None and abs(values[0]) <= 1 else None
