"""What a run writes when asked: a table as it goes, and at its end a summary and the data of a timeline."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fer.errors import DataInvalid
from fer.labels import EMOTIONS, UNCERTAIN
from fer.live.analysis import Analysis

COLUMNS = ("time_s", "frame", "track", "x", "y", "w", "h", "emotion", "confidence", *EMOTIONS)
LABELS = (*EMOTIONS, UNCERTAIN)


class CsvWriter:
    """One row for each face detected in each analysed frame, on disk at once.

    An earlier file is replaced at the first frame: a source that gives none leaves it as it was.

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
        """Append the faces of one frame; faces only remembered from the frames before have no row.

        Raises:
            DataInvalid: the row cannot be written, as on a full disk; also when the file is closed.
        """
        with self._explained():
            if not self.written:
                if self._path.is_file():  # no pipe
                    self._file.truncate(0)
                self._csv.writerow(COLUMNS)
                self.written = True
            frame = analysis.frame
            for shown in analysis.faces:
                if shown.detected:
                    face = shown.face
                    numbers = (f"{number:.4f}" for number in face.probabilities)
                    row = (*face.box, face.emotion, f"{face.confidence:.4f}", *numbers)
                    self._csv.writerow((f"{frame.time_s:.3f}", frame.index, shown.track, *row))
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with self._explained():
            self._file.close()
        if self._new and not self.written:
            self._path.unlink()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataInvalid(
                f"{self._path} cannot be written any further ({error.strerror}): its last rows are missing. "
                "Make room, or choose another place."
            ) from error


@dataclass
class FaceTally:
    """The run of one face, in steps that grow with the run, so that hours take no more memory than minutes.

    Attributes:
        first_s, last_s: when it was detected.
        seconds: (9,), how long each of ``LABELS`` was shown.
        sums: of each step, the sum of the probabilities (8,) and the number of frames (1,).
    """

    first_s: float
    last_s: float
    seconds: np.ndarray = field(default_factory=lambda: np.zeros(len(LABELS)))
    sums: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def total_s(self) -> float:
        """Seconds in which the face was seen."""
        return float(self.seconds.sum())


class Tally:
    """Seconds per emotion and face, and averaged probabilities over time, in bounded memory.

    Args:
        steps: most steps in time; when they are used up, neighbours are merged.
        faces: most faces; of more, those seen longest are kept.

    Attributes:
        frames: number of frames added.
        left_out: number of faces that were seen too briefly to be kept.
    """

    GAP_S = 1.5  # between two frames of the same face, longer is absence

    def __init__(self, steps: int = 1200, faces: int = 64) -> None:
        self.steps, self.most_faces = steps, faces
        self.step_s = 0.1
        self.faces: dict[int, FaceTally] = {}
        self.left_out = self.frames = 0

    def add(self, analysis: Analysis) -> None:
        """Add the faces of one frame."""
        self.frames += 1
        now = analysis.frame.time_s
        while now / self.step_s >= self.steps:
            self._merge()
        for shown in analysis.faces:
            if not shown.detected:
                continue
            tally = self.faces.get(shown.track)
            if tally is None:
                tally = self.faces[shown.track] = FaceTally(now, now)
                self._forget()
            passed = now - tally.last_s
            if passed <= self.GAP_S:
                tally.seconds[LABELS.index(shown.face.emotion)] += passed
            tally.last_s = now
            step = tally.sums.setdefault(int(now / self.step_s), np.zeros(len(EMOTIONS) + 1))
            step += (*shown.face.probabilities, 1)

    def curves(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield (track, times (T,), probabilities (T, 8)) of each face; rows of NaN where it was not seen."""
        for track, tally in sorted(self.faces.items()):
            steps = np.arange(min(tally.sums), max(tally.sums) + 1)
            probabilities = np.full((len(steps), len(EMOTIONS)), np.nan)
            for step, sums in tally.sums.items():
                probabilities[step - steps[0]] = sums[:-1] / sums[-1]
            yield track, (steps + 0.5) * self.step_s, probabilities

    def table(self) -> str:
        """Return the summary as text: a row per face and emotion that it showed, longest first."""
        lines = [f"{'face':>4}  {'emotion':<10} {'seconds':>8} {'share':>6}"]
        for track, tally in sorted(self.faces.items()):
            for index in np.argsort(-tally.seconds, kind="stable"):
                seconds = tally.seconds[index]
                if seconds > 0:
                    part = seconds / tally.total_s
                    lines.append(f"{track:>4}  {LABELS[index]:<10} {seconds:>8.1f} {part:>6.1%}")
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
        if len(self.faces) > 2 * self.most_faces:
            longest = sorted(self.faces, key=lambda track: -self.faces[track].total_s)[: self.most_faces]
            kept = sorted({*longest, max(self.faces)})  # and the newest
            self.left_out += len(self.faces) - len(kept)
            self.faces = {track: self.faces[track] for track in kept}
