"""A split as a folder of ``images/`` and ``annotations/``, as AffectNet8 is extracted."""

import os
from pathlib import Path

import numpy as np

from fer.datasets.affectnet8 import npy
from fer.datasets.affectnet8.index import ANNOTATIONS, UNREADABLE, Index, Problem, label, pair
from fer.datasets.affectnet8.source import UNREADABLE_FILE, Source, contents, describe, in_threads, listing
from fer.errors import DataMissing

_WATCHED = 1000  # labels whose size and time are looked at when an index is opened


class Folder(Source):
    """``images/<id>.jpg`` and ``annotations/<id>_{exp,val,aro,lnd}.npy`` below ``path``."""

    separator = "_"  # of an id and the end of an annotation's name
    ends, label_end = {f"{kind}.npy" for kind in ANNOTATIONS}, "exp.npy"

    def __init__(self, path: Path, split: str) -> None:
        super().__init__(path, split, path / "affectnet8.index")

    def times(self) -> dict[str, int]:  # noqa: D102
        if not (self.path / "annotations").is_dir():
            raise DataMissing(
                f"{self.path} holds images/ but no annotations/ ({describe(self.path)}): labels would be missing. "
                "Extract the whole archive: python -m fer.datasets.affectnet8 extract TAR DIR"
            )
        return {name: os.stat(self.path / name).st_mtime_ns for name in ("images", "annotations")}

    def watched(self, index: Index) -> list[str]:
        """Return a thousand labels, spread over the set, and the files with problems: to look at all takes seconds."""
        ids = index.ids[np.linspace(0, len(index) - 1, min(len(index), _WATCHED)).astype(int)]
        problems = [problem.file for problem in index.problems[: 20 * _WATCHED]]
        return [self.annotation_file(id_, "exp") for id_ in ids] + problems

    def scan(self) -> Index:  # noqa: D102
        images = {name[:-4] for name in listing(self.path / "images") if name.endswith(".jpg")}
        annotated: set[str] = set()
        labelled: list[str] = []
        separator, ends, label_end = self.separator, self.ends, self.label_end  # local: for a million names
        for name in listing(self.path / "annotations"):
            id_, _, end = name.rpartition(separator)
            if end in ends:
                annotated.add(id_)
                if end == label_end:
                    labelled.append(id_)

        labels: dict[str, int | Problem] = {}

        def read(i: int) -> None:
            id_ = labelled[i]
            try:
                labels[id_] = self.label(contents(f"{self.path}/{self.annotation_file(id_, 'exp')}"))
            except OSError as error:
                labels[id_] = Problem(UNREADABLE, detail=str(error.strerror))

        in_threads(read, len(labelled), "reading labels")
        return pair(images, annotated, labels, lambda id_: self.annotation_file(id_, "exp"))

    def values(self, index: Index, i: int, kind: str) -> np.ndarray | None:  # noqa: D102
        try:
            return self.numbers(contents(f"{self.path}/{self.annotation_file(index.ids[i], kind)}"), kind)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in UNREADABLE_FILE:
                raise
            raise ValueError(error.strerror) from error

    def label(self, data: bytes) -> int | Problem:
        """Return the class index in the bytes of a label's file, or what is wrong with them."""
        return label(data)

    def numbers(self, data: bytes, kind: str) -> np.ndarray | None:
        """Return one kind of annotation in the bytes of its file, float64 (n,); ValueError where there is none."""
        return npy.numbers(data)
