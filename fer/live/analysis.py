"""From a frame to its faces: find, keep apart, classify, steady. In step with the frames, or beside them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from fer.live.capture import Frame
from fer.live.smoothing import Smoother
from fer.live.tracking import Track, Tracker, follow, small_grey

HIDDEN_S = 3.0
"""A place where a face was is hidden for so long after it was last found: people seldom leave without a trace."""
DETECTION_SIZES = (160, 240, 320, 480, 640, 960, 1280, 1920)


class Detector(Protocol):
    """What is used of ``fer.faces.FaceDetector``."""

    def __call__(self, frame: np.ndarray, max_side: int | None = None) -> np.ndarray:
        """Boxes (K, 4) int of the faces in a BGR uint8 frame (H, W, 3), searched in a copy of at most ``max_side``."""


class Predictor(Protocol):
    """What is used of ``fer.predictor.EmotionPredictor``."""

    detect: Detector

    def classify(self, frame: np.ndarray, boxes: np.ndarray) -> list:
        """One ``FaceEmotion`` per box, in one forward pass."""


@dataclass(frozen=True, eq=False)
class LiveFace:
    """A face as it is shown.

    Attributes:
        track: number of the person, from 1, never used twice.
        box: x, y, width, height in pixels of the frame.
        emotion: one of EMOTIONS, or "uncertain".
        confidence: its probability; while uncertain, that of the most probable emotion.
        probabilities: float32 (8,), averaged over time.
        history: (emotion, confidence) or None for each quarter of a second of the last half minute.
        measured: found in this frame; False when remembered from the frames just before.
    """

    track: int
    box: tuple[int, int, int, int]
    emotion: str
    confidence: float
    probabilities: np.ndarray
    history: list[tuple[str, float] | None]
    measured: bool = True


@dataclass(frozen=True, eq=False)
class Analysis:
    """What was found in one frame, and what it took."""

    frame: Frame
    faces: tuple[LiveFace, ...]
    hide: np.ndarray  # (K, 4): every box that may hold a face, believed or not, or held one just before
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
        boxes = np.concatenate([np.array([face.box for face in self.faces]).reshape(-1, 4), self.hide])
        boxes = follow(self.small, small, boxes, scale)
        faces = tuple(replace(f, box=_whole(b)) for f, b in zip(self.faces, boxes[:count], strict=True))
        return replace(self, faces=faces, hide=boxes[count:])


class Analyser:
    """Takes frames in the order of time and remembers the people in them.

    Args:
        predictor: finds and classifies faces.
        threshold: below this probability a face is "uncertain".
        smoothing: seconds over which probabilities are averaged; 0 for none.
        detection_size: longer side of the picture that faces are searched in; may be changed at any time.
        stills: the frames have nothing to do with each other, so a face need not be seen twice.
    """

    def __init__(
        self,
        predictor: Predictor,
        threshold: float = 0.4,
        smoothing: float = 0.25,
        detection_size: int = 320,
        stills: bool = False,
    ) -> None:
        self.predictor, self.detection_size = predictor, detection_size
        self.threshold, self.smoothing = threshold, smoothing
        self._stills, self.tracker = stills, Tracker(confirm=1 if stills else 2)
        self._smoothers: dict[int, Smoother] = {}
        self._places: dict[int, tuple[np.ndarray, float]] = {}  # last box and when it was found
        self._hidden_s = 0.0 if stills else HIDDEN_S
        self._last: Analysis | None = None
        self._forget = False

    def forget(self) -> None:
        """Start anew with the next frame: it comes from another camera. May be called from any thread."""
        self._forget = True

    def __call__(self, frame: Frame) -> Analysis:
        """Analyse one frame."""
        start = time.perf_counter()
        if self._forget or self._stills:
            self._forget, self._last, self.tracker.tracks = False, None, []
            self._places.clear()
        small, scale = small_grey(frame.image)
        boxes = self.predictor.detect(frame.image, self.detection_size)
        tracks = self.tracker.update(boxes, frame.time_s, self._moved(small, scale))
        found = [track for track in tracks if track.seen_s == frame.time_s]
        detected = time.perf_counter()
        answers = self.predictor.classify(frame.image, _whole_array(found)) if found else []
        for track, answer in zip(found, answers, strict=True):
            smoother = self._smoothers.setdefault(track.identity, Smoother(self.smoothing, self.threshold))
            smoother.update(answer.probabilities, frame.time_s)
        classified = time.perf_counter()
        known = {track.identity for track in self.tracker.tracks}
        self._smoothers = {i: smoother for i, smoother in self._smoothers.items() if i in known}
        self._places |= {track.identity: (track.box, track.seen_s) for track in self.tracker.tracks}
        self._places = {
            identity: (box, seen_s)
            for identity, (box, seen_s) in self._places.items()
            if identity in known or frame.time_s - seen_s <= self._hidden_s
        }
        self._last = Analysis(
            frame,
            tuple(self._face(track, track.seen_s == frame.time_s) for track in tracks),
            np.array([box for box, _ in self._places.values()]).reshape(-1, 4),
            small,
            scale,
            1000 * (detected - start),
            1000 * (classified - detected),
        )
        return self._last

    def _moved(self, small: np.ndarray, scale: float) -> np.ndarray | None:
        if self._last is None or not self.tracker.tracks or self._last.small.shape != small.shape:
            return None
        return follow(self._last.small, small, np.array([t.box for t in self.tracker.tracks]), scale)

    def _face(self, track: Track, measured: bool) -> LiveFace:
        answer = self._smoothers[track.identity]
        return LiveFace(
            track.identity,
            _whole(track.box),
            answer.emotion,
            answer.confidence,
            answer.probabilities,
            answer.history.recent(),
            measured,
        )


class Worker:
    """An analyser in a thread of its own: it always takes the newest frame offered, at its own pace.

    Args:
        load: makes the analyser, inside the thread, so that loading a model delays no picture.
        done: called in the thread with every analysis.
    """

    def __init__(
        self, load: Callable[[], Analyser], done: Callable[[Analysis], None] = lambda _: None
    ) -> None:
        self.latest: Analysis | None = None
        self.analyser: Analyser | None = None
        self.error: BaseException | None = None
        self._load, self._done = load, done
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
                    if self._stop:
                        return
                    frame, self._offered, self._busy = self._offered, None, True
                self.latest = self.analyser(frame)
                self._done(self.latest)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that draws
            with self._changed:
                self.error = error
                self._changed.notify_all()


def _whole(box: np.ndarray) -> tuple[int, int, int, int]:
    x, y, width, height = np.rint(box).astype(int).tolist()
    return x, y, width, height


def _whole_array(tracks: list[Track]) -> np.ndarray:
    return np.array([_whole(track.box) for track in tracks], int).reshape(-1, 4)
