"""From a frame to its faces: detect, track, classify, smooth; and a thread that does so beside the picture."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from fer.live.capture import Frame
from fer.live.smoothing import Smoother
from fer.live.tracking import Tracker, follow, small_grey

if TYPE_CHECKING:
    from fer.predictor import EmotionPredictor, FaceEmotion  # torch, which is imported while the camera opens

HIDDEN_S = 3.0
"""The place of a face stays hidden for this long after it was last detected: people seldom leave without a trace."""


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """A face as it is shown.

    Attributes:
        face: where it is now, its probabilities averaged over time.
        track: number of the person, from 1, never used twice.
        recent: (emotion, confidence) or None for each quarter of a second of the last half minute.
        detected: in this frame; False when remembered from the frames just before.
    """

    face: "FaceEmotion"
    track: int = 0
    recent: Sequence[tuple[str, float] | None] = ()
    detected: bool = True

    def at(self, box: np.ndarray) -> "TrackedFace":
        """Return the same face at another box (4,)."""
        return replace(self, face=replace(self.face, box=_rounded(box)))


@dataclass(frozen=True, eq=False)
class Analysis:
    """The faces of one frame, and what it took.

    Attributes:
        frame: what was analysed.
        faces: the confirmed ones.
        hide: (K, 4), every box that may hold a face, confirmed or not, or held one just before.
        small, scale: of ``small_grey``, to follow the faces into later frames.
        detect_ms, classify_ms: time that each took.
    """

    frame: Frame
    faces: tuple[TrackedFace, ...]
    hide: np.ndarray
    small: np.ndarray = field(repr=False)
    scale: float = 1.0
    detect_ms: float = 0.0
    classify_ms: float = 0.0

    def moved_to(self, image: np.ndarray) -> "Analysis":
        """The same faces where they are in a later picture (H, W, 3) of the same source."""
        if image is self.frame.image or not len(self.hide):
            return self
        small, scale = small_grey(image)
        count = len(self.faces)
        boxes = np.concatenate([np.array([f.face.box for f in self.faces]).reshape(-1, 4), self.hide])
        boxes = follow(self.small, small, boxes, scale)
        faces = tuple(face.at(box) for face, box in zip(self.faces, boxes[:count], strict=True))
        return replace(self, faces=faces, hide=boxes[count:])


class Analyser:
    """Takes frames in the order of time and remembers the people in them.

    Args:
        predictor: detects and classifies faces.
        threshold: below this probability a face is "uncertain".
        smoothing: seconds over which probabilities are averaged; 0 for none.
        detection_size: longer side of the picture that faces are searched in; can be changed at any time.
        stills: the frames have nothing to do with each other, so a face need not be seen twice.
    """

    def __init__(
        self,
        predictor: "EmotionPredictor",
        threshold: float = 0.4,
        smoothing: float = 0.25,
        detection_size: int = 320,
        stills: bool = False,
    ) -> None:
        self.predictor, self.detection_size = predictor, detection_size
        self.threshold, self.smoothing = threshold, smoothing
        self._stills, self._hidden_s = stills, 0.0 if stills else HIDDEN_S
        self._tracker = Tracker(confirm=1 if stills else 2)
        self._smoothers: dict[int, Smoother] = {}  # by track
        self._faces: dict[int, FaceEmotion] = {}  # as classified last, smoothed
        self._places: dict[int, tuple[np.ndarray, float]] = {}  # last box and when it was detected
        self._last: Analysis | None = None
        self._forget = False

    def forget(self) -> None:
        """Start anew with the next frame: it comes from another camera. Can be called from any thread."""
        self._forget = True

    def __call__(self, frame: Frame) -> Analysis:
        """Analyse one frame."""
        start = time.perf_counter()
        if self._forget or self._stills:
            self._forget, self._last, self._tracker.tracks = False, None, []
            self._places.clear()
        small, scale = small_grey(frame.image)
        moved = None
        if self._last is not None:
            known = np.array([track.box for track in self._tracker.tracks])
            moved = follow(self._last.small, small, known, scale)
        boxes = self.predictor.detect(frame.image, self.detection_size)
        tracks = self._tracker.update(boxes, frame.time_s, moved)
        detected = time.perf_counter()
        seen = [track for track in tracks if track.seen_s == frame.time_s]
        self._classify(frame, {track.identity: _rounded(track.box) for track in seen})
        classified = time.perf_counter()
        self._last = Analysis(
            frame,
            tuple(
                TrackedFace(
                    self._faces[track.identity],
                    track.identity,
                    self._smoothers[track.identity].recent.entries(),
                    track.seen_s == frame.time_s,
                ).at(track.box)
                for track in tracks
            ),
            self._remember(frame.time_s),
            small,
            scale,
            1000 * (detected - start),
            1000 * (classified - detected),
        )
        return self._last

    def _classify(self, frame: Frame, boxes: dict[int, tuple[int, int, int, int]]) -> None:
        """Update the smoothed face of each track in ``boxes``."""
        if not boxes:
            return
        faces = self.predictor.classify(frame.image, np.array(list(boxes.values())))
        for track, face in zip(boxes, faces, strict=True):
            smoother = self._smoothers.setdefault(track, Smoother(self.smoothing, self.threshold))
            smoother.update(face.probabilities, frame.time_s)
            self._faces[track] = replace(
                face,
                probabilities=smoother.probabilities,
                emotion=smoother.emotion,
                confidence=smoother.confidence,
            )

    def _remember(self, time_s: float) -> np.ndarray:
        """Forget the people who are gone; return the boxes (K, 4) to hide."""
        known = {track.identity for track in self._tracker.tracks}
        self._smoothers = {track: kept for track, kept in self._smoothers.items() if track in known}
        self._faces = {track: kept for track, kept in self._faces.items() if track in known}
        self._places |= {track.identity: (track.box, track.seen_s) for track in self._tracker.tracks}
        self._places = {
            track: (box, seen_s)
            for track, (box, seen_s) in self._places.items()
            if track in known or time_s - seen_s <= self._hidden_s
        }
        return np.array([box for box, _ in self._places.values()]).reshape(-1, 4)


class Worker:
    """An analyser in a thread of its own: it always takes the newest frame offered, at its own pace.

    Args:
        load: makes the analyser, inside the thread, so that loading a model delays no picture.
        on_analysis: called in the thread with every analysis.
    """

    def __init__(
        self, load: Callable[[], Analyser], on_analysis: Callable[[Analysis], None] = lambda _: None
    ) -> None:
        self.latest: Analysis | None = None
        self.analyser: Analyser | None = None
        self.error: BaseException | None = None
        self._load, self._on_analysis = load, on_analysis
        self._offered: Frame | None = None
        self._changed = threading.Condition()
        self._busy = self._stop = False
        self._thread = threading.Thread(target=self._work, name="analysis", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        self._raise()
        return self.analyser is not None

    def offer(self, frame: Frame) -> None:
        """Hand over the newest frame; one that still waits is dropped for it.

        Raises:
            Exception: what the analysis of an earlier frame, or the loading, raised.
        """
        self._raise()
        with self._changed:
            self._offered = frame
            self._changed.notify_all()

    def finish(self) -> Analysis | None:
        """Wait until the frame offered last is analysed, and return the result."""
        with self._changed:
            self._changed.wait_for(lambda: self.error or (self._offered is None and not self._busy))
        self._raise()
        return self.latest

    def close(self) -> None:
        """Stop after the frame being analysed."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        self._thread.join(timeout=5.0)

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error

    def _work(self) -> None:
        try:
            analyser = self._load()
            with self._changed:
                self.analyser = analyser
            while True:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._stop or self._offered is not None)
                    if self._stop or self._offered is None:
                        return
                    frame, self._offered, self._busy = self._offered, None, True
                self.latest = analyser(frame)
                self._on_analysis(self.latest)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that draws
            with self._changed:
                self.error = error
                self._changed.notify_all()


def _rounded(box: np.ndarray) -> tuple[int, int, int, int]:
    x, y, width, height = np.rint(box).astype(int).tolist()
    return x, y, width, height
