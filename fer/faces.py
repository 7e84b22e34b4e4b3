"""Finding faces, and the one crop that training data and demos share.

Faces are found by OpenCV's Haar cascades (Viola and Jones 2001; Lienhart and
Maydt 2002), which come inside the opencv-python wheel: nothing to download.
``benchmarks/detection.py`` measures what is missed and what is seen where nothing is.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from fer.errors import DataInvalid, DataMissing

SMALLEST = 24
"""Side in pixels of the window that the cascades were trained on; no smaller face can be found."""

FRONTAL = ("frontalface_default", "frontalface_alt", "frontalface_alt2")
PROFILE = "profileface"

EDGE = 0.1
"""What the fast search adds around the frame, of its longer side: it halves the misses of faces at the border."""

# The thorough search. Measured on photos whose faces fill the picture: the surroundings that the cascades
# want to see are added around it, and each cascade's windows are votes for the face that they overlap.
PADDING = 0.25  # of the longer side
VOTES = 12
SIDES = (240, 640)  # longer side of the searched copy: small photos are enlarged, large ones reduced
# The second look, when the first saw nothing, is for one large face: there are few places for it, so that
# weak evidence is not yet chance.
LARGE = 0.4  # of the shorter side
TILTS = (0, -15, 15)  # degrees
LARGE_VOTES = 10
# Profile windows sit further forward and higher than frontal ones on the same head, by these parts of their side.
PROFILE_SHIFT = (0.12, 0.035)

ROOT = np.rint(255 * np.sqrt(np.arange(256) / 255)).astype(np.uint8)


class FaceDetector:
    """Boxes of the faces in a picture, largest first.

    Two ways: fast, for live frames, is the default cascade on a small copy;
    ``thorough``, for photos, asks three cascades around a padded copy and, when
    they agree on nothing, looks again for one large face, also tilted or in
    profile. Either way the boxes have the default cascade's proportions.

    Args:
        max_side: the search runs on a copy whose longer side is at most this;
            0 searches the picture at its own size. By default 320, thorough 640.
        min_size: the smallest face looked for, as a fraction of the picture's
            shorter side (but never under 24 pixels of the searched copy). By
            default 0.1, thorough 0.05.
        scale: step between the sizes that are searched; closer to 1 is slower.
            By default 1.15, thorough 1.1.
        neighbours: how many overlapping windows must agree on a face. By
            default 4; thorough 12, of the three cascades together.
        thorough: search for long, as is worth it for a photo.

    Raises:
        DataMissing: this OpenCV has no Haar cascades (version 5 dropped them).
    """

    def __init__(
        self,
        max_side: int | None = None,
        min_size: float | None = None,
        scale: float | None = None,
        neighbours: int | None = None,
        thorough: bool = False,
    ) -> None:
        usual = (SIDES[1], 0.05, 1.1, VOTES) if thorough else (320, 0.1, 1.15, 4)
        given = (max_side, min_size, scale, neighbours)
        self.max_side, self.min_size, self.scale, self.neighbours = (
            u if g is None else g for u, g in zip(usual, given, strict=True)
        )
        self.thorough = thorough
        names = (*FRONTAL, PROFILE) if thorough else FRONTAL[:1]
        self._cascades = {name: load_cascade(name) for name in names}

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Return int32 (K, 4): left, top, width, height in pixels of the frame.

        A face that the frame's border cuts keeps its whole box, which then
        reaches over the border: ``crop`` pads it, ``clip`` shortens it.

        Args:
            frame: uint8, BGR (H, W, 3) or grey (H, W).

        Raises:
            DataInvalid: the frame has another type or shape.
        """
        grey = to_grey(frame)
        boxes = self._first_look(grey) if self.thorough else self._fast(grey)
        if self.thorough and len(boxes) == 0:
            boxes = self._second_look(grey)
        middles = boxes[:, :2] + boxes[:, 2:] / 2
        # Not in what was added around it.
        inside = (middles >= 0).all(1) & (middles < grey.shape[::-1]).all(1)
        return largest_first(boxes[inside])

    def _fast(self, grey: np.ndarray) -> np.ndarray:
        """Faces that the default cascade finds, float (K, 4)."""
        longer = max(grey.shape)
        picture, factor, pad = _padded(even, grey, min(longer, self.max_side or longer), EDGE)
        least = max(SMALLEST, round(self.min_size * min(grey.shape) * factor))
        found = self._cascades[FRONTAL[0]].detectMultiScale(
            picture, self.scale, self.neighbours, minSize=(least, least)
        )
        return (np.asarray(found, np.float64).reshape(-1, 4) - (pad, pad, 0, 0)) / factor

    def _first_look(self, grey: np.ndarray) -> np.ndarray:
        """Faces of any size that the frontal cascades agree on, float (K, 4)."""
        longer = max(grey.shape)
        side = min(max(longer, SIDES[0]), self.max_side or longer)
        picture, factor, pad = _padded(even, grey, side, PADDING)
        least = round(self.min_size * min(grey.shape) * factor)
        windows = [self._windows(name, picture, least) for name in FRONTAL]
        boxes, votes = agreement(np.concatenate(windows), self.neighbours)
        return (apart(boxes, votes) - (pad, pad, 0, 0)) / factor

    def _second_look(self, grey: np.ndarray) -> np.ndarray:
        """At most one large face, float (0 or 1, 4)."""
        windows = []
        for prepare in (even, np.copy):
            picture, factor, pad = _padded(prepare, grey, SIDES[0], PADDING)
            least = round(LARGE * min(grey.shape) * factor)
            windows += [self._tilted(name, picture, least, tilt) for tilt in TILTS for name in FRONTAL]
            windows += [self._profile(picture, least, mirrored) for mirrored in (False, True)]
        boxes, votes = agreement(np.concatenate(windows), LARGE_VOTES)
        return (boxes[np.argsort(-votes, kind="stable")[:1]] - (pad, pad, 0, 0)) / factor

    def _windows(self, name: str, picture: np.ndarray, least: int) -> np.ndarray:
        """All windows (K, 4) that a cascade takes for a face, before any grouping."""
        least = max(SMALLEST, least)
        found = self._cascades[name].detectMultiScale(picture, self.scale, 0, minSize=(least, least))
        return np.asarray(found, np.float64).reshape(-1, 4)

    def _tilted(self, name: str, picture: np.ndarray, least: int, degrees: float) -> np.ndarray:
        """Windows found in the turned picture, their middles turned back."""
        if not degrees:
            return self._windows(name, picture, least)
        height, width = picture.shape
        there = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
        turned = cv2.warpAffine(picture, there, (width, height), borderMode=cv2.BORDER_REPLICATE)
        windows = self._windows(name, turned, least)
        back = cv2.invertAffineTransform(there)
        middles = (windows[:, :2] + windows[:, 2:] / 2) @ back[:, :2].T + back[:, 2]
        return np.hstack([middles - windows[:, 2:] / 2, windows[:, 2:]])

    def _profile(self, picture: np.ndarray, least: int, mirrored: bool) -> np.ndarray:
        """Windows of faces turned to one side (the cascade knows only one), placed like frontal ones."""
        windows = self._windows(PROFILE, cv2.flip(picture, 1) if mirrored else picture, least)
        windows[:, 0] -= PROFILE_SHIFT[0] * windows[:, 2]
        windows[:, 1] += PROFILE_SHIFT[1] * windows[:, 3]
        if mirrored:
            windows[:, 0] = picture.shape[1] - windows[:, 0] - windows[:, 2]
        return windows


def agreement(windows: np.ndarray, votes: int) -> tuple[np.ndarray, np.ndarray]:
    """Join windows (N, 4) that lie on each other; keep those that come from at least ``votes``.

    Returns:
        boxes float (K, 4) and the votes of each, int (K,).
    """
    steps = 16  # groupRectangles takes integers only
    boxes, counts = cv2.groupRectangles(np.rint(windows * steps).astype(int).tolist(), max(votes - 1, 1), 0.2)
    return np.asarray(boxes, np.float64).reshape(-1, 4) / steps, np.asarray(counts, int).reshape(-1)


def apart(boxes: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Of boxes (K, 4) that share a middle, keep the one with most votes: faces do not lie inside each other."""
    kept: list[np.ndarray] = []
    for box in boxes[np.argsort(-votes, kind="stable")]:
        if not any(share_a_middle(box, other) for other in kept):
            kept.append(box)
    return np.array(kept).reshape(-1, 4)


def share_a_middle(box: np.ndarray, other: np.ndarray) -> bool:
    """Whether the middle of one of two boxes (left, top, width, height) lies in the other."""
    distance = np.abs((box[:2] + box[2:] / 2) - (other[:2] + other[2:] / 2))
    return bool((distance < np.maximum(box[2:], other[2:]) / 2).all())


def even(grey: np.ndarray) -> np.ndarray:
    """Bring out what is dark or pale, for the cascades, which pass over windows of little contrast.

    Equalisation alone gives most greys to a white page or a wall, and leaves the
    face before it hardly any; the root alone does nothing for overexposed faces.

    Args:
        grey: uint8 (H, W).

    Returns:
        the same; the mean of an equalisation in which no grey counts for much, and the root of the brightness.
    """
    equalised = cv2.createCLAHE(clipLimit=6.0, tileGridSize=(1, 1)).apply(grey)
    stretched = cv2.normalize(grey, None, 0, 255, cv2.NORM_MINMAX)
    return cv2.addWeighted(equalised, 0.5, cv2.LUT(stretched, ROOT), 0.5, 0)


def _padded(
    prepare: Callable[[np.ndarray], np.ndarray], grey: np.ndarray, side: int, padding: float
) -> tuple[np.ndarray, float, int]:
    """Return the prepared copy, ``side`` long, with a border around it; its scale; the border's width."""
    factor, pad = side / max(grey.shape), round(padding * side)
    picture = prepare(resize(grey, factor))
    return cv2.copyMakeBorder(picture, pad, pad, pad, pad, cv2.BORDER_REPLICATE), factor, pad


def load_cascade(name: str) -> "cv2.CascadeClassifier":
    """Load one of the Haar cascades that come with OpenCV 4.

    Raises:
        DataMissing: this OpenCV has no such cascade.
    """
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    path = Path(folder or "") / f"haarcascade_{name}.xml"
    if not hasattr(cv2, "CascadeClassifier") or folder is None or not path.is_file():
        raise DataMissing(
            f"OpenCV {cv2.__version__} has no Haar cascade {path.name}; faces are found with those of version 4 "
            "(version 5 dropped them). Run `pip uninstall -y opencv-python opencv-python-headless "
            'opencv-contrib-python`, then `pip install "opencv-python<5"`.'
        )
    return cv2.CascadeClassifier(str(path))


def crop(frame: np.ndarray, box: Sequence[int], margin: float = 0.0) -> np.ndarray:
    """Cut the square around a box, grown on each side by ``margin`` times its side.

    What lies outside the frame repeats the frame's border pixels, so that a
    face at the border keeps its place and proportions in the crop.

    Args:
        frame: uint8 (H, W, 3) or (H, W).
        box: left, top, width, height; may reach over the frame's border.
        margin: a fraction; negative values cut tighter.

    Returns:
        uint8 (S, S, 3) or (S, S), a copy.

    Raises:
        DataInvalid: the box is empty, or the square lies wholly outside the frame.
    """
    left, top, width, height = (float(v) for v in box)
    rows, columns = frame.shape[:2]
    side = round(max(width, height) * (1 + 2 * margin))
    x, y = round(left + (width - side) / 2), round(top + (height - side) / 2)
    inside = frame[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
    if width <= 0 or height <= 0 or inside.size == 0:
        raise DataInvalid(
            f"The box {tuple(box)} with margin {margin} holds nothing of a frame of {columns}x{rows} pixels; "
            "expected left, top, width, height in pixels of this frame."
        )
    before_y, before_x = max(-y, 0), max(-x, 0)
    after_y, after_x = max(y + side - rows, 0), max(x + side - columns, 0)
    return cv2.copyMakeBorder(inside, before_y, after_y, before_x, after_x, cv2.BORDER_REPLICATE)


def clip(boxes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the parts of boxes (K, 4) that lie inside a frame of ``shape`` (height, width, …): int32 (K, 4).

    For tables and other programs: slicing an array with a negative left or top gives nothing.
    """
    corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    left, top, right, bottom = corners.clip(0, [shape[1], shape[0]] * 2).T
    return np.stack([left, top, right - left, bottom - top], 1).astype(np.int32)


def to_grey(frame: np.ndarray) -> np.ndarray:
    """Return uint8 (H, W) of a BGR (H, W, 3) or grey (H, W) frame.

    Raises:
        DataInvalid: the frame has another type or shape.
    """
    grey, colour = frame.ndim == 2, frame.ndim == 3 and frame.shape[2] == 3
    if frame.dtype != np.uint8 or not (grey or colour) or frame.size == 0:
        raise DataInvalid(
            f"Found a frame of {frame.dtype} {frame.shape}; expected uint8, BGR (H, W, 3) or grey (H, W)."
        )
    return frame if grey else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)


def resize(image: np.ndarray, factor: float) -> np.ndarray:
    """Return a copy scaled by ``factor``, at least one pixel wide and high."""
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def largest_first(boxes: np.ndarray) -> np.ndarray:
    """Round boxes (K, 4) to int32 and sort them by area, then by place, so that the order is stable."""
    boxes = np.rint(boxes).astype(np.int32)
    return boxes[np.lexsort((boxes[:, 0], boxes[:, 1], -boxes[:, 2] * boxes[:, 3]))]
