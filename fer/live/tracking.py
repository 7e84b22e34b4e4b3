"""Which face in this frame is which face of the frames before: identities for boxes."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from fer.faces import share_a_middle

GRID = np.stack(np.meshgrid(np.linspace(0.2, 0.8, 6), np.linspace(0.2, 0.8, 6)), -1).reshape(-1, 2)
"""Where in a box its movement is measured, (36, 2), as fractions of width and height."""

SLOWEST_S = 3.0  # a face is never followed over a longer time between two frames
JITTER = 0.1  # Haar's boxes of a still face vary by less than this fraction of its width


@dataclass(eq=False)
class Track:
    """A face that is followed. ``box`` is (x, y, width, height) in pixels, float64."""

    identity: int
    box: np.ndarray
    seen_s: float
    hits: int = 1
    confirmed: bool = False


class Tracker:
    """Matches the detections of each frame with the faces known so far.

    Overlap (intersection over union) is enough to tell faces apart, once the
    known boxes were moved along with the picture (``follow``): the best
    assignment over all pairs, by the Hungarian method.

    Args:
        gap_s: a face that was not detected for longer is gone; when it comes back it is a new one. Where frames
            are further apart, up to SLOWEST_S, it may be missing in none.
        overlap: smallest intersection over union of the same face.
        confirm: detections before a face is confirmed. Haar's false alarms are seldom detected twice.
        settle_s: seconds in which a box follows its detections, which jitter by some pixels.
    """

    def __init__(
        self, gap_s: float = 0.7, overlap: float = 0.2, confirm: int = 2, settle_s: float = 0.12
    ) -> None:
        self.gap_s, self.overlap, self.confirm, self.settle_s = gap_s, overlap, confirm, settle_s
        self.tracks: list[Track] = []
        self._next = 1
        self._last_s: float | None = None

    def update(self, boxes: np.ndarray, time_s: float, moved: np.ndarray | None = None) -> list[Track]:
        """Take in the detections of one frame.

        Args:
            boxes: (K, 4) x, y, width, height.
            moved: where the boxes of ``self.tracks`` have moved to, (len(tracks), 4); by default they stay.

        Returns:
            The confirmed tracks, oldest first; those with ``seen_s == time_s`` were detected in this frame.
        """
        boxes = np.asarray(boxes, float).reshape(-1, 4)
        first, step_s, weight = self._last_s is None, 0.0, 1.0
        if self._last_s is not None:
            step_s = time_s - self._last_s
            weight = 1 - np.exp(-max(step_s, 0.0) / self.settle_s)
        self._last_s = time_s
        if moved is not None:
            for track, box in zip(self.tracks, moved, strict=True):
                track.box = box
        gap_s = max(self.gap_s, min(step_s, SLOWEST_S))
        self.tracks = [track for track in self.tracks if time_s - track.seen_s <= gap_s]
        free = set(range(len(boxes)))
        for row, column in self._pairs(boxes):
            track, detection = self.tracks[row], boxes[column]
            # Jitter of a few per cent is averaged away; what is further off has moved, and is followed at once.
            off = np.abs(detection - track.box).max() / (JITTER * detection[2])
            track.box = track.box + min(1.0, max(weight, off**2)) * (detection - track.box)
            track.seen_s, track.hits = time_s, track.hits + 1
            track.confirmed |= track.hits >= self.confirm
            free.discard(column)
        known = [track.box for track in self.tracks if track.confirmed and track.seen_s == time_s]
        for column in sorted(free):
            if any(share_a_middle(boxes[column], box) for box in known):
                continue  # the same head at another size: Haar takes a whole head for a face, too
            # Nothing contradicts the faces of the very first frame.
            self.tracks.append(Track(self._next, boxes[column], time_s, confirmed=first or self.confirm <= 1))
            self._next += 1
        return [track for track in self.tracks if track.confirmed]

    def _pairs(self, boxes: np.ndarray) -> list[tuple[int, int]]:
        """(track, box) indices of the best assignment, without pairs that hardly overlap."""
        if not self.tracks or not len(boxes):
            return []
        iou = overlaps(np.stack([track.box for track in self.tracks]), boxes)
        rows, columns = linear_sum_assignment(-iou)
        return [(r, c) for r, c in zip(rows, columns, strict=True) if iou[r, c] >= self.overlap]


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of ``a`` (N, 4) with every one of ``b`` (M, 4): (N, M)."""
    a, b = a[:, None], b[None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    intersection = (high - low).clip(0).prod(-1)
    return intersection / (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - intersection)


def follow(then: np.ndarray, now: np.ndarray, boxes: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Move boxes with the picture under them, by sparse optical flow (Lucas-Kanade).

    Args:
        then, now: grey pictures, uint8 (h, w), as from ``small_grey``.
        boxes: (K, 4) x, y, width, height at ``then``, in the pixels of the full frame.
        scale: width of the small picture over that of the full frame.

    Returns:
        (K, 4) float: the boxes at ``now``. Those stay that cannot be followed, and all if the size changed.
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


def small_grey(image: np.ndarray, width: int = 320) -> tuple[np.ndarray, float]:
    """Return ``image`` (H, W, 3) as a grey picture that is at most ``width`` wide, and its scale."""
    scale = min(1.0, width / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    # Shrinking before the colour conversion touches the fewest pixels.
    return cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2GRAY), scale
