"""What a run leaves behind when asked: a table as it goes, and at its end a summary and the data of a timeline."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fer.errors import DataInvalid
from fer.labels import EMOTIONS, UNCERTAIN
from fer.live.analysis import Analysis

COLUMNS = ("time_s", "frame", "track", "x", "y", "w", "h", "emotion", "confidence", *EMOTIONS)
SHOWN = (*EMOTIONS, UNCERTAIN)


class CsvWriter:
    """One row for each face found in each analysed frame, on disk at once.

    A file that was there is replaced at the first frame: a source that gives none leaves all as it was.

    Attributes:
        written: whether a frame has come.

    Raises:
        DataInvalid: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._path, self._new = path, not path.exists()
            self._file = path.open("a", newline="", encoding="utf-8")
        except OSError as error:
            raise DataInvalid(
                f"{path} cannot be written ({error.strerror}). Choose another place."
            ) from error
        self._csv, self.written = csv.writer(self._file), False

    def write(self, analysis: Analysis) -> None:
        """Append the faces of one frame; faces only remembered from the frames before have no row."""
        with self._told():
            self._write(analysis)

    def _write(self, analysis: Analysis) -> None:
        if not self.written:
            if self._path.is_file():  # no pipe
                self._file.truncate(0)
            self._csv.writerow(COLUMNS)
            self.written = True
        for face in analysis.faces:
            if face.measured:
                self._csv.writerow(
                    (
                        f"{analysis.frame.time_s:.3f}",
                        analysis.frame.index,
                        face.track,
                        *face.box,
                        face.emotion,
                        f"{face.confidence:.4f}",
                        *(f"{share:.4f}" for share in face.probabilities),
                    )
                )
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with self._told():
            self._file.close()
        if self._new and not self.written:
            self._path.unlink()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataInvalid(
                f"{self._path} cannot be written any further ({error.strerror}): its last rows are missing. "
                "Make room, or choose another place."
            ) from error


@dataclass
class FaceTally:
    """The whole run of one face, in steps that grow with the run, so that hours take no more room than minutes."""

    first_s: float
    last_s: float
    seconds: np.ndarray = field(default_factory=lambda: np.zeros(len(SHOWN)))
    sums: dict[int, np.ndarray] = field(default_factory=dict)  # step -> eight sums, and how many

    @property
    def total_s(self) -> float:
        """Seconds in which the face was seen."""
        return float(self.seconds.sum())


class Tally:
    """Seconds per emotion and face, and averaged probabilities over time, in bounded memory.

    Args:
        steps: at most so many steps in time; when they are used up, neighbours are merged.
        faces: at most so many faces; of more, those seen longest are kept.

    Attributes:
        frames: how many were taken in.
    """

    GAP_S = 1.5  # between two frames of the same face, longer is absence

    def __init__(self, steps: int = 1200, faces: int = 64) -> None:
        self.steps, self.most = steps, faces
        self.step_s = 0.1
        self.faces: dict[int, FaceTally] = {}
        self.left_out = self.frames = 0
        self.end_s = 0.0

    def add(self, analysis: Analysis) -> None:
        """Take in the faces of one frame."""
        self.frames += 1
        now = analysis.frame.time_s
        self.end_s = max(self.end_s, now)
        while now / self.step_s >= self.steps:
            self._merge()
        for face in analysis.faces:
            if not face.measured:
                continue
            tally = self.faces.get(face.track)
            if tally is None:
                tally = self.faces[face.track] = FaceTally(now, now)
                self._forget()
            passed = now - tally.last_s
            if passed <= self.GAP_S:
                tally.seconds[SHOWN.index(face.emotion)] += passed
            tally.last_s = now
            step = tally.sums.setdefault(int(now / self.step_s), np.zeros(len(EMOTIONS) + 1))
            step[:-1] += face.probabilities
            step[-1] += 1

    def curves(self) -> Iterable[tuple[int, np.ndarray, np.ndarray]]:
        """(track, times (T,), probabilities (T, 8)) of each face; rows of NaN where it was not seen."""
        for track, tally in sorted(self.faces.items()):
            present = sorted(tally.sums)
            rows = range(present[0], present[-1] + 1)
            shares = np.full((len(rows), len(EMOTIONS)), np.nan)
            for step in present:
                shares[step - present[0]] = tally.sums[step][:-1] / tally.sums[step][-1]
            yield track, (np.array(rows) + 0.5) * self.step_s, shares

    def table(self) -> str:
        """The summary as text: a row per face and emotion that it showed, longest first."""
        lines = [f"{'face':>4}  {'emotion':<10} {'seconds':>8} {'share':>6}"]
        for track, tally in sorted(self.faces.items()):
            for index in np.argsort(-tally.seconds, kind="stable"):
                if tally.seconds[index] > 0:
                    share = tally.seconds[index] / tally.total_s
                    lines.append(f"{track:>4}  {SHOWN[index]:<10} {tally.seconds[index]:>8.1f} {share:>6.1%}")
        if len(lines) == 1:
            lines.append("no face was seen for longer than one frame")
        if self.left_out:
            lines.append(f"({self.left_out} faces that were seen more briefly are left out)")
        return "\n".join(lines)

    def _merge(self) -> None:
        self.step_s *= 2
        for tally in self.faces.values():
            merged: dict[int, np.ndarray] = {}
            for step, sums in tally.sums.items():
                merged[step // 2] = merged.get(step // 2, 0) + sums
            tally.sums = merged

    def _forget(self) -> None:
        if len(self.faces) > 2 * self.most:
            kept = sorted(self.faces.items(), key=lambda item: -item[1].total_s)[: self.most]
            newest = max(self.faces)
            kept = dict(kept) | {newest: self.faces[newest]}
            self.left_out += len(self.faces) - len(kept)
            self.faces = dict(sorted(kept.items()))
