"""From a frame to its faces: detect, track, classify, smooth; and a thread that does so beside the picture."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from fer.live.capture import Frame
from fer.live.smoothing import Smoother
from fer.live.tracking import GAP_S, Track, Tracker, follow, is_cut, small_grey
from fer.predictor import EmotionPredictor, FaceEmotion

TURN_S = 0.25  # of an analysis, for classification; faces that would take longer take turns
STALE_S = 1.0  # on top of the time of ``PACES`` analyses; faces detected longer ago are not shown: they may have left
PACES = 3  # a picture waits for the analysis before its own, and is shown until that of the next ends
SLOW_S = 0.5  # an analysis that takes longer
HIDDEN_S = 3.0  # the place of a face stays hidden after it was last detected: it may only have been missed


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """A face as it is shown, where it is now, its probabilities averaged over time."""

    face: FaceEmotion
    track: int = 0  # number of the person, from 1, never used twice
    recent: Sequence[tuple[str, float] | None] = ()  # as ``Smoother.recent``
    detected: bool = True  # in this frame; else remembered from the frames just before
    classified: bool = True  # in this frame; else its probabilities are of an earlier one

    def at(self, box: np.ndarray) -> "TrackedFace":
        """Return the same face at another box (4,)."""
        return replace(self, face=replace(self.face, box=rounded(box)))


@dataclass(frozen=True, eq=False)
class Analysis:
    """The confirmed faces of one frame."""

    frame: Frame
    faces: tuple[TrackedFace, ...]
    hide: np.ndarray  # (K, 4), every box that may hold a face, confirmed or not, or held one just before
    small: np.ndarray  # of ``small_grey``, to follow the faces into later frames
    lost: Sequence[int] = ()  # numbers of those of ``hide`` that held a face with a name just before
    detect_ms: float = 0.0
    classify_ms: float = 0.0

    def moved_to(self, image: np.ndarray) -> "Analysis":
        """The same faces where they are in a later picture (H, W, 3) of the same source; none after a cut."""
        if image is self.frame.image or not len(self.hide):
            return self
        small, scale = small_grey(image)
        if is_cut(self.small, small, self.hide, scale, step_s=math.inf):
            return replace(self, faces=(), hide=np.zeros((0, 4)), lost=())
        boxes = np.array([*(face.face.box for face in self.faces), *self.hide])
        boxes = follow(self.small, small, boxes, scale)
        faces = tuple(face.at(box) for face, box in zip(self.faces, boxes, strict=False))
        return replace(self, faces=faces, hide=boxes[len(faces) :])


@dataclass
class _Person:
    track: Track
    smoother: Smoother
    face: FaceEmotion | None = None  # smoothed; None before the track is confirmed and had its turn
    classified_s: float = -math.inf

    def shown(self, time_s: float) -> TrackedFace:
        assert self.face is not None, "only people who were classified are shown"
        track, recent = self.track, tuple(self.smoother.recent)
        detected, classified = track.seen_s == time_s, self.classified_s == time_s
        return TrackedFace(self.face, track.identity, recent, detected, classified).at(track.box)


@dataclass(frozen=True, eq=False)
class _Shot:
    """What is known at the end of a shot of a film, at ``end_s``; ``small`` is its last picture."""

    small: np.ndarray
    end_s: float
    tracks: list[Track]
    people: list[_Person]

    def faces(self) -> np.ndarray:
        """Boxes (K, 4) of the confirmed tracks."""
        return np.array([track.box for track in self.tracks if track.confirmed]).reshape(-1, 4)


class Analyser:
    """Takes frames in the order of time and remembers the people in them.

    Args:
        threshold, smoothing: as ``Smoother``.
        detection_size: longer side of the picture that faces are searched in; can be changed at any time.
        stills: the frames have nothing to do with each other, so a face need not be seen twice.
        turns: where all faces would take longer than ``TURN_S``, classify those that waited longest; the others keep
            their names.
    """

    def __init__(
        self,
        predictor: EmotionPredictor,
        threshold: float = 0.4,
        smoothing: float = 0.25,
        detection_size: int = 320,
        stills: bool = False,
        turns: bool = False,
    ) -> None:
        self.predictor, self.detection_size, self._stills = predictor, detection_size, stills
        self.threshold, self.smoothing = threshold, smoothing
        self._tracker = Tracker()
        self._people: list[_Person] = []
        self._last: Analysis | None = None
        self._before: _Shot | None = None  # until the newest cut
        self._turn = 0  # of the views of a face
        self._turns, self._classified = turns, (0, 0.0)  # faces in the newest forward pass, and its seconds

    def forget(self) -> None:
        """Start anew with the next frame: it comes from another camera."""
        self._tracker.forget()
        self._people, self._last, self._before = [], None, None

    def __call__(self, frame: Frame) -> Analysis:
        """Analyse one frame."""
        start = time.perf_counter()
        if self._stills:
            self.forget()
        small, scale = small_grey(frame.image)
        self._follow(small, scale, frame.time_s)
        tracks = self._tracker.update(self.predictor.detect(frame.image, self.detection_size), frame.time_s)
        self._update_people(frame.time_s)
        detected = time.perf_counter()
        shown = [person for person in self._people if person.track in tracks]
        self._classify(frame, [person for person in shown if person.track.seen_s == frame.time_s])
        classified = time.perf_counter()
        self._last = Analysis(
            frame,
            tuple(person.shown(frame.time_s) for person in shown if person.face),
            np.array([person.track.box for person in self._people]).reshape(-1, 4),
            small,
            [i for i, person in enumerate(self._people) if person.face and person.track not in tracks],
            1000 * (detected - start),
            1000 * (classified - detected),
        )
        return self._last

    def _follow(self, small: np.ndarray, scale: float, time_s: float) -> None:
        """Move the tracks with the picture. At a cut they start anew.

        They go on if the shot before is back, as after a flash, which looks like a shot of one or two pictures.
        """
        if self._last is None:
            return
        shot = _Shot(self._last.small, self._last.frame.time_s, self._tracker.tracks, self._people)
        cut, before = is_cut(shot.small, small, shot.faces(), scale, time_s - shot.end_s), self._before
        if cut:
            self._before, shot = shot, _Shot(small, time_s, [], [])
        if before and not len(shot.faces()) and time_s - before.end_s <= GAP_S:
            shot = shot if is_cut(before.small, small, before.faces(), scale) else before
        self._tracker.tracks, self._people = shot.tracks, shot.people
        moved = follow(shot.small, small, np.array([track.box for track in shot.tracks]), scale)
        for track, box in zip(shot.tracks, moved, strict=True):
            track.box = box

    def _update_people(self, time_s: float) -> None:
        tracks, known = self._tracker.tracks, [person.track for person in self._people]
        new = [_Person(t, Smoother(self.smoothing, self.threshold)) for t in tracks if t not in known]
        recent = [p for p in self._people if p.track in tracks or time_s - p.track.seen_s <= HIDDEN_S]
        self._people = recent + new

    def _classify(self, frame: Frame, people: list[_Person]) -> None:
        """Update the smoothed faces of the people detected in this frame, or of those whose turn it is, together."""
        count, seconds = self._classified
        if self._turns and seconds > 0:
            people = sorted(people, key=lambda person: person.classified_s)
            people = people[: max(1, int(TURN_S * count / seconds))]
        start = time.perf_counter()
        boxes = np.array([rounded(person.track.box) for person in people])
        # One view a frame: smoothing averages over time what photos get averaged at once.
        turn, self._turn = None if self._stills else self._turn, self._turn + 1
        faces = self.predictor.classify(frame.image, boxes, turn) if people else []
        if people:
            self._classified = len(people), time.perf_counter() - start
        for person, face in zip(people, faces, strict=True):
            person.classified_s = frame.time_s
            steady = person.smoother
            steady.update(face.probabilities, frame.time_s)
            person.face = FaceEmotion(face.box, steady.probabilities, steady.emotion, steady.confidence)


class Worker:
    """An analyser in a thread of its own: it always takes the newest frame offered, at its own pace.

    ``load`` and ``on_analysis`` are called in the thread, too: loading a model delays no picture.
    """

    def __init__(self, load: Callable[[], Analyser], on_analysis: Callable[[Analysis], None]) -> None:
        self.analyser: Analyser | None = None
        self.latest: Analysis | None = None
        self._took = deque([0.0], maxlen=3)
        self._load, self._on_analysis = load, on_analysis
        self._offered: deque[Frame] = deque(maxlen=1)  # a newer frame takes the place of one that waits
        self._error: BaseException | None = None
        self._thread = ThreadPoolExecutor(1, "analysis")
        self._job = self._thread.submit(self._work)

    @property
    def ready(self) -> bool:
        """Whether the model is loaded; raises what loading or analysing raised."""
        if self._error:
            raise self._error
        return self.analyser is not None

    def offer(self, frame: Frame) -> None:
        """Hand over the newest frame."""
        self._offered.append(frame)
        self._job.cancel()  # unless it runs: frames come faster than they are analysed, and jobs must not pile up
        self._job = self._thread.submit(self._work)

    def finish(self) -> None:
        """Wait until the frame offered last is analysed; raises as ``ready``."""
        self._job.result()
        if self._error:
            raise self._error

    @property
    def slow(self) -> bool:
        """Whether much can move during an analysis."""
        return max(self._took) > SLOW_S

    def analysis_of(self, frame: Frame) -> Analysis | None:
        """Return the newest analysis, its faces moved to where they are in ``frame``; None where it is too old.

        Where analysis is slow, faces of earlier frames are marked as not detected in this one: they may be elsewhere.
        """
        latest = self.latest
        if latest is None or frame.time_s - latest.frame.time_s > STALE_S + PACES * max(self._took):
            return None
        moved = latest.moved_to(frame.image)
        if self.slow and frame is not latest.frame:
            moved = replace(moved, faces=tuple(replace(face, detected=False) for face in moved.faces))
        return moved

    def forget(self) -> None:
        """Start anew: the next frame comes from another source."""
        self._offered.clear()
        if self.analyser:
            self._job.result()
            self.analyser.forget()
            self.latest = None

    def close(self) -> None:
        """Stop after the frame being analysed."""
        self._thread.shutdown(cancel_futures=True)

    def _work(self) -> None:
        if self._error:
            return
        try:
            if self.analyser is None:
                self.analyser = self._load()
            if self._offered:
                start = time.monotonic()
                analysis = self.analyser(self._offered.popleft())
                self._took.append(time.monotonic() - start)
                self.latest = analysis
                self._on_analysis(analysis)
        except BaseException as error:  # noqa: BLE001 - carried to the thread that draws
            self._error = error


def rounded(box: np.ndarray) -> tuple[int, int, int, int]:
    """Return a box (4,) in whole pixels."""
    x, y, width, height = np.rint(box).astype(int).tolist()
    return x, y, width, height
