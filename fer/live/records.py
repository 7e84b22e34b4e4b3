"""What a run writes when asked: a table as it goes, and at its end a summary and the data of a timeline."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer.errors import DataInvalid
from fer.labels import EMOTIONS, UNCERTAIN
from fer.live.analysis import Analysis

COLUMNS = ("time_s", "frame", "track", "x", "y", "w", "h", "emotion", "confidence", *EMOTIONS)
LABELS = (*EMOTIONS, UNCERTAIN)


class CsvWriter:
    """One row for each face detected in each analysed frame, on disk at once.

    An earlier file is replaced at the first frame (``written`` is true from then
    on): a source that gives none leaves it as it was. What cannot be written,
    as on a full disk, is DataInvalid, also when the file is closed.
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
    """The run of one face.

    Attributes:
        last_s: when it was detected last.
        seconds: (9,), how long each of ``LABELS`` was shown.
        sums: (steps, 9), of each step in time the sum of the probabilities and the number of frames.
    """

    last_s: float
    seconds: np.ndarray
    sums: np.ndarray


class Tally:
    """Seconds per emotion and face, and averaged probabilities over time, in bounded memory.

    Args:
        steps: in time, an even number; when they are used up, neighbours are merged, so that hours take no more
            memory than minutes.
        max_faces: of more, those seen longest are kept, and the others counted in ``left_out``.
    """

    GAP_S = 1.5  # between two frames of the same face, longer is absence

    def __init__(self, steps: int = 1200, max_faces: int = 64) -> None:
        self.steps, self.step_s, self.max_faces = steps, 0.1, max_faces
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
            if shown.track not in self.faces:
                sums = np.zeros((self.steps, len(EMOTIONS) + 1))
                self.faces[shown.track] = FaceTally(now, np.zeros(len(LABELS)), sums)
                self._forget()
            tally = self.faces[shown.track]
            passed = now - tally.last_s
            if passed <= self.GAP_S:
                tally.seconds[LABELS.index(shown.face.emotion)] += passed
            tally.last_s = now
            tally.sums[int(now / self.step_s)] += (*shown.face.probabilities, 1)

    def curves(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield (track, times (T,), probabilities (T, 8)) of each face; rows of NaN where it was not seen."""
        for track, tally in sorted(self.faces.items()):
            seen = np.flatnonzero(tally.sums[:, -1])
            steps = np.arange(seen[0], seen[-1] + 1)
            sums, counts = tally.sums[steps, :-1], tally.sums[steps, -1:]
            yield track, (steps + 0.5) * self.step_s, sums / np.where(counts, counts, np.nan)

    def table(self) -> str:
        """Return the summary as text: a row per face and emotion that it showed, longest first."""
        lines = [f"{'face':>4}  {'emotion':<10} {'seconds':>8} {'proportion':>10}"]
        for track, tally in sorted(self.faces.items()):
            for index in np.argsort(-tally.seconds, kind="stable"):
                seconds = tally.seconds[index]
                if seconds > 0:
                    proportion = seconds / tally.seconds.sum()
                    lines.append(f"{track:>4}  {LABELS[index]:<10} {seconds:>8.1f} {proportion:>10.1%}")
        if len(lines) == 1:
            lines.append("no face was seen for longer than one frame")
        if self.left_out:
            lines.append(f"({self.left_out} faces that were seen more briefly are left out)")
        return "\n".join(lines)

    def _merge(self) -> None:
        self.step_s *= 2
        for tally in self.faces.values():
            pairs = tally.sums.reshape(-1, 2, len(EMOTIONS) + 1).sum(1)
            tally.sums = np.concatenate([pairs, np.zeros_like(pairs)])

    def _forget(self) -> None:
        if len(self.faces) > 2 * self.max_faces:
            longest = sorted(self.faces, key=lambda track: -self.faces[track].seconds.sum())[: self.max_faces]
            kept = sorted({*longest, max(self.faces)})  # and the newest
            self.left_out += len(self.faces) - len(kept)
            self.faces = {track: self.faces[track] for track in kept}
