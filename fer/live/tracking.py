"""Which face in this frame is which face of the frames before: identities for boxes."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from fer.faces import share_a_middle

# Where in a box its movement is measured, (36, 2), as fractions of width and height.
GRID = np.stack(np.meshgrid(np.linspace(0.2, 0.8, 6), np.linspace(0.2, 0.8, 6)), -1).reshape(-1, 2)
GAP_S = 0.7  # a face that was not detected for longer is gone; when it comes back it is a new one
SLOWEST_S = 3.0  # frames further apart than GAP_S, up to this, count as neighbours
OVERLAP = 0.2  # smallest intersection over union of the same face
SETTLE_S = 0.12  # in which a box follows its detections, which jitter by some pixels
ALIKE = 0.9  # correlation above which two pictures are of one shot, whatever moves there
FOUND = 0.3  # part of the points in faces that are found again within a shot, also while they move
LEVELS = 16  # of 256, by which the surroundings of such a point differ, at most
SOON_S = 0.2  # in longer a face may turn away or cross the picture; then the brightness tells, too
SAME_BRIGHTNESS = 0.9  # correlation of histograms
JITTER = 0.1  # Haar's boxes of a still face vary by less than this fraction of its width


@dataclass(eq=False)
class Track:
    """A face that is followed; ``box`` is float64 (x, y, width, height) in pixels."""

    identity: int
    box: np.ndarray
    seen_s: float
    confirmed: bool


class Tracker:
    """Matches the detections of each frame with the faces known so far, greedily, the largest overlap first.

    Overlap (intersection over union) is enough to tell faces apart, once ``tracks`` were moved with the picture
    (``follow``). A new one is confirmed by a second detection: Haar's false alarms are seldom detected twice.
    """

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._next = 1
        self._last_s = math.inf  # before the first frame

    def forget(self) -> None:
        """Start anew: the next frame is a first one."""
        self.tracks, self._last_s = [], math.inf

    def update(self, boxes: np.ndarray, time_s: float) -> list[Track]:
        """Take in the detections (K, 4) of a frame; return the confirmed tracks, if detected with its ``seen_s``."""
        boxes = np.asarray(boxes, float).reshape(-1, 4)
        first, step_s = math.isinf(self._last_s), max(time_s - self._last_s, 0.0)
        weight, self._last_s = 1 - np.exp(-step_s / SETTLE_S), time_s
        gap_s = max(GAP_S, min(step_s, SLOWEST_S))
        self.tracks = [track for track in self.tracks if time_s - track.seen_s <= gap_s]
        free = set(range(len(boxes)))
        for row, column in self._pairs(boxes):
            track, detection = self.tracks[row], boxes[column]
            # Jitter of a few per cent is averaged away; what is further off has moved, and is followed at once.
            off = np.abs(detection - track.box).max() / (JITTER * detection[2])
            track.box = track.box + min(1.0, max(weight, off**2)) * (detection - track.box)
            track.seen_s, track.confirmed = time_s, True
            free.discard(column)
        known = [track.box for track in self.tracks if track.confirmed and track.seen_s == time_s]
        for column in sorted(free):
            if any(share_a_middle(boxes[column], box) for box in known):
                continue  # the same head at another size: Haar takes a whole head for a face, too
            # Nothing contradicts the faces of the very first frame.
            self.tracks.append(Track(self._next, boxes[column], time_s, confirmed=first))
            self._next += 1
        return [track for track in self.tracks if track.confirmed]

    def _pairs(self, boxes: np.ndarray) -> list[tuple[int, int]]:
        """Return (track, detection) by index, the largest overlap first; neither is taken twice."""
        if not self.tracks or not len(boxes):
            return []
        iou = overlaps(np.stack([track.box for track in self.tracks]), boxes)
        enough = np.argwhere(iou >= OVERLAP).tolist()
        pairs: dict[int, int] = {}
        for row, column in sorted(enough, key=lambda pair: -iou[*pair]):
            if row not in pairs and column not in pairs.values():
                pairs[row] = column
        return list(pairs.items())


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of ``a`` (N, 4) with every one of ``b`` (M, 4): (N, M)."""
    a, b = a[:, None], b[None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    intersection = (high - low).clip(0).prod(-1)
    return intersection / (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - intersection)


def follow(then: np.ndarray, now: np.ndarray, boxes: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Return ``boxes`` (K, 4) moved with the picture under them, by sparse optical flow (Lucas-Kanade).

    They are in pixels of the full frame, ``then`` and ``now`` are ``small_grey`` pictures, ``scale`` times as large.
    """
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    if not len(boxes) or then.shape != now.shape:
        return boxes.copy()
    points = (boxes[:, None, :2] + GRID * boxes[:, None, 2:]) * scale
    start = points.reshape(-1, 1, 2).astype(np.float32)
    end, status, _ = cv2.calcOpticalFlowPyrLK(then, now, start, start.copy(), winSize=(15, 15), maxLevel=2)
    shifts = (end - start).reshape(len(boxes), len(GRID), 2)
    followed = np.asarray(status).reshape(len(boxes), len(GRID)).astype(bool)
    moved = boxes.copy()
    for box, shift, usable in zip(moved, shifts, followed, strict=True):
        if usable.sum() > len(GRID) / 2:
            box[:2] += np.median(shift[usable], axis=0) / scale
    return moved


def is_cut(
    then: np.ndarray, now: np.ndarray, boxes: np.ndarray, scale: float = 1.0, step_s: float = 0.0
) -> bool:
    """Whether faces in ``boxes`` (K, 4) and a picture ``step_s`` later belong to different shots of a film.

    The arguments are those of ``follow``. Moving cameras and people leave most points of a face to be found again, and
    a flash leaves the order of brightness; what it overexposes looks like a shot of its own.
    """
    if not len(boxes) or then.shape != now.shape:
        return False
    tiny = [cv2.equalizeHist(cv2.resize(x, (64, 36), interpolation=cv2.INTER_AREA)) for x in (then, now)]
    if min(x.std() for x in tiny) > 1 and np.corrcoef(tiny[0].ravel(), tiny[1].ravel())[0, 1] > ALIKE:
        return False
    a, b = cv2.equalizeHist(then), cv2.equalizeHist(now)
    mask = np.zeros_like(then)
    corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]) * scale
    for x0, y0, x1, y1 in np.rint(corners).clip(0).astype(int):
        mask[y0:y1, x0:x1] = 1
    if max(_found_again(a, b, mask), _found_again(b, a, mask)) > FOUND:
        return False
    if step_s <= SOON_S:
        return True
    counts = [np.bincount(x.ravel() // 4, minlength=64) for x in (then, now)]
    levels = [np.convolve(count, np.ones(5)) for count in counts]
    return bool(np.corrcoef(levels[0], levels[1])[0, 1] < SAME_BRIGHTNESS)


def _found_again(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """Part of the corners of ``a`` under ``mask`` that optical flow finds in ``b`` and, from there, in ``a`` again."""
    points = cv2.goodFeaturesToTrack(a, 80, 0.01, 4, mask=mask)
    if points is None:
        return 0.0
    there, _, off = cv2.calcOpticalFlowPyrLK(a, b, points, points.copy(), winSize=(15, 15), maxLevel=3)
    back, status, _ = cv2.calcOpticalFlowPyrLK(b, a, there, there.copy(), winSize=(15, 15), maxLevel=3)
    near = np.abs(back - points).reshape(-1, 2).max(1) < 1.5
    return float((near & (status[:, 0] > 0) & (off[:, 0] < LEVELS)).mean())


def small_grey(image: np.ndarray, width: int = 320) -> tuple[np.ndarray, float]:
    """Return ``image`` (H, W, 3) as a grey picture that is at most ``width`` wide, and its scale."""
    scale = min(1.0, width / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    # Shrinking before the colour conversion touches the fewest pixels.
    return cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2GRAY), scale
