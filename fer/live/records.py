"""What a run writes when asked: a table as it goes, and at its end a summary and the data of a timeline."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import FileIO, StringIO
from pathlib import Path

import numpy as np

from fer.errors import DataInvalid
from fer.faces import clip
from fer.labels import EMOTIONS
from fer.live.analysis import Analysis, TrackedFace

COLUMNS = ("time_s", "frame", "track", "x", "y", "w", "h", "emotion", "confidence", *EMOTIONS)
STEP_S = 0.1  # of the timeline, at first
MOST_STEPS = 2400  # then they become twice as long; still shorter than a pixel of the timeline
GAP_S = 1.5  # between two frames of the same face, longer is absence
MOST_FACES = 64  # in summary and timeline
ROW = len(EMOTIONS) + 1


class CsvWriter:
    """One row for each face detected in each analysed frame, on disk at once; DataInvalid where that fails.

    Boxes lie inside the picture. A face that waited for its turn has the name of an earlier frame, and no numbers.
    An earlier file is replaced at the first frame (``written`` is true from then on).
    """

    def __init__(self, path: Path) -> None:
        self.path, self.written = path, False
        self._file: FileIO | None = None

    def write(self, analysis: Analysis) -> None:
        """Append the faces of one frame; faces only remembered from the frames before have no row."""
        frame, text = analysis.frame, StringIO()
        rows = csv.writer(text)
        if self._file is None:
            rows.writerow(COLUMNS)
        for shown in analysis.faces:
            if shown.detected:
                face, ((x, y, w, h),) = shown.face, clip(np.array([shown.face.box]), frame.image.shape)
                row = (f"{frame.time_s:.3f}", frame.index, shown.track, x, y, w, h, face.emotion)
                numbers = (face.confidence, *face.probabilities)
                rows.writerow((*row, *(f"{n:.4f}" if shown.classified else "" for n in numbers)))
        whole, data = 0, text.getvalue().encode()
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = FileIO(self.path, "w")
                self.written = True
            whole = self._file.tell()
            while data:  # of what a full disk takes only a part, the rest is an error
                data = data[self._file.write(data) :]
        except OSError as error:
            if self._file:
                self._file.truncate(whole)  # no torn row
            raise DataInvalid(f"{self.path} cannot be written to its end: {error.strerror}.") from error

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()


@dataclass
class FaceTally:
    """One face: when it was last detected, how long it showed each label, and its probabilities over time."""

    last_s: float
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    steps: dict[int, np.ndarray] = field(default_factory=lambda: defaultdict(lambda: np.zeros(ROW)))
    """Of the steps in which it was detected, the sum of its probabilities, and the number of frames (9,)."""


class Tally:
    """Seconds per emotion, and averaged probabilities over time, of the faces seen longest; of ``stills`` counts."""

    def __init__(self, stills: bool = False) -> None:
        self.frames, self.end_s, self._stills = 0, 0.0, stills  # number of frames, and time of the last
        self.photos: dict[int, Sequence[TrackedFace]] = {}  # by number
        self._all: dict[int, FaceTally] = {}  # by track
        self._step_s = STEP_S

    @property
    def faces(self) -> dict[int, FaceTally]:
        """The ``MOST_FACES`` that were seen longest, by track."""
        longest = sorted(self._all, key=lambda track: -sum(self._all[track].seconds.values()))
        return {track: self._all[track] for track in sorted(longest[:MOST_FACES])}

    def add(self, analysis: Analysis) -> None:
        """Add the faces of one frame."""
        self.frames += 1
        self.end_s = now = analysis.frame.time_s
        if self._stills:
            self.photos[analysis.frame.index] = analysis.faces
            return
        while now >= MOST_STEPS * self._step_s:
            self._double_steps()
        for shown in analysis.faces:
            if not shown.detected:
                continue
            tally = self._all.setdefault(shown.track, FaceTally(now))
            passed = now - tally.last_s
            if passed <= GAP_S:
                tally.seconds[shown.face.emotion] += passed
            tally.last_s = now
            tally.steps[int(now / self._step_s)] += (*shown.face.probabilities, 1)

    def _double_steps(self) -> None:
        self._step_s *= 2
        for tally in self._all.values():
            for step, row in sorted(tally.steps.items()):
                del tally.steps[step]
                tally.steps[step // 2] += row

    def curves(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yield name, times (T,) and probabilities (T, 8) of each face, of the steps in which it was seen."""
        for track, tally in self.faces.items():
            steps, rows = zip(*sorted(tally.steps.items()), strict=True)
            values = np.array(rows)
            yield f"face {track}", (np.array(steps) + 0.5) * self._step_s, values[:, :-1] / values[:, -1:]

    def table(self) -> str:
        """Return the summary as text: a row per face and emotion that it showed, longest first; of photos, counts."""
        if self._stills:
            counts = Counter(shown.face.emotion for faces in self.photos.values() for shown in faces)
            counts["no face"] = sum(not faces for faces in self.photos.values())
            rows = [f"{name:<10} {count:>8}" for name, count in counts.most_common() if count]
            return "\n".join([f"{'emotion':<10} {'faces':>8}", *rows])
        lines, faces = [f"{'face':>4}  {'emotion':<10} {'seconds':>8} {'proportion':>10}"], self.faces
        for track, tally in faces.items():
            for emotion, seconds in sorted(tally.seconds.items(), key=lambda item: -item[1]):
                if seconds > 0:
                    proportion = seconds / sum(tally.seconds.values())
                    lines.append(f"{track:>4}  {emotion:<10} {seconds:>8.1f} {proportion:>10.1%}")
        if len(lines) == 1:
            lines.append("no face was seen for longer than one frame")
        if left_out := len(self._all) - len(faces):
            lines.append(f"({left_out} faces that were seen more briefly are left out)")
        return "\n".join(lines)
