"""Finding faces, and the one crop that training data and demos share.

Faces are found by OpenCV's Haar cascades (Viola and Jones 2001; Lienhart and
Maydt 2002), which come inside the opencv-python wheel: nothing to download.
``benchmarks/detection.py`` measures what is missed and what is seen where nothing is.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from fer.errors import DataInvalid, DataMissing

SMALLEST = 24
"""Side in pixels of the window that the cascades were trained on; no smaller face can be found."""

FRONTAL = ("frontalface_default", "frontalface_alt", "frontalface_alt2")
PROFILE = "profileface"

# The fast search adds a border of this part of the longer side: it halves the misses of faces at the border.
FAST_PADDING = 0.1
FAST_STEP, FAST_VOTES = 1.15, 4  # between the sizes that are searched; windows on each other that make a face

# The thorough search. Measured on photos whose faces fill the picture: the surroundings that the cascades
# expect are added around it, and each cascade's windows are votes for the face that they overlap.
PADDING = 0.25
SMALLEST_COPY = 240  # longer side: smaller photos are enlarged before the search
STEP = 1.1  # between the sizes that are searched
VOTES = 12
# Three cascades take most of their time for small faces, of which there are none in most photos. So one cascade
# proposes places in larger steps, and the three look at these alone. A face in the middle of a photo gets 20 votes
# there, or none at all; what gets a few is weak evidence, for which the whole picture is searched.
# Where one sees several faces, a second one proposes, too.
PROPOSING, SECOND, PROPOSING_STEP = "frontalface_alt2", "frontalface_default", 1.3
BANDS = (0.25, 0.1)  # of the longer side: smaller faces need less of the border
# The place around a proposal, by its side, and the sizes that the three look for there, up or down.
AROUND, SIZES = 0.5, 1.6
WEAK, STRONG = 7, 14  # votes
# The last search, when nothing was found, is for one large face: there are few places for it, so that weak evidence
# is not yet chance.
LARGE = 0.4  # of the shorter side
TILTS = (0, -15, 15)  # degrees
LARGE_VOTES = 10
# Profile windows sit further forward and higher than frontal ones on the same head, by these parts of their side.
PROFILE_SHIFT = (0.12, 0.035)

SQUARE_ROOT = np.rint(255 * np.sqrt(np.arange(256) / 255)).astype(np.uint8)


class FaceDetector:
    """Boxes of the faces in a picture, largest first.

    Two ways: fast, for live frames, is the default cascade on a small copy;
    ``thorough``, for photos, asks three cascades: where a quick search proposes
    faces, in all of a padded copy where the evidence there is weak, and when
    they agree on nothing, again for one large face, also tilted or in profile.
    Either way the boxes have the default cascade's proportions. Threads may share a detector.

    Args:
        thorough: see above.
        min_size: the smallest face to find, as a fraction of the picture's shorter side (but never
            under 24 pixels of the searched copy). By default 0.1, thorough 0.05.

    Raises:
        DataMissing: this OpenCV has no Haar cascades (version 5 dropped them).
    """

    def __init__(self, thorough: bool = False, min_size: float | None = None) -> None:
        self.thorough = thorough
        self.max_side = 640 if thorough else 320
        self.min_size = min_size or (0.05 if thorough else 0.1)
        # Cascades that no thread uses at this moment: one that searches keeps its picture.
        self._idle = defaultdict(
            list, {name: [load_cascade(name)] for name in FRONTAL[: 3 if thorough else 1]}
        )

    def __call__(self, frame: np.ndarray, max_side: int | None = None) -> np.ndarray:
        """Return int32 (K, 4): left, top, width, height in pixels of a uint8 frame, BGR (H, W, 3) or grey (H, W).

        A face that the frame's border cuts keeps its whole box, which then
        reaches over the border: ``crop`` pads it, ``clip`` shortens it.
        The search runs on a copy whose longer side is at most ``max_side``, by default 320, thorough 640.
        """
        grey = grey_frame(frame)
        limit = max_side or self.max_side
        boxes = self._thorough(grey, limit) if self.thorough else self._fast(grey, limit)
        centres = boxes[:, :2] + boxes[:, 2:] / 2
        # Not in the border that was added.
        inside = ((centres >= 0) & (centres < grey.shape[::-1])).all(1)
        boxes = np.rint(boxes[inside]).astype(np.int32)
        # By area, then by place, so that the order is stable.
        return boxes[np.lexsort((boxes[:, 0], boxes[:, 1], -boxes[:, 2] * boxes[:, 3]))]

    def _fast(self, grey: np.ndarray, limit: int) -> np.ndarray:
        """Faces that the default cascade finds, float (K, 4)."""
        picture, factor, pad = _padded(enhance_contrast, grey, min(max(grey.shape), limit), FAST_PADDING)
        least = self.min_size * min(grey.shape) * factor
        windows = self._windows(FRONTAL[0], picture, least, step=FAST_STEP, votes=FAST_VOTES)
        return (windows - (pad, pad, 0, 0)) / factor

    def _thorough(self, grey: np.ndarray, limit: int) -> np.ndarray:
        """Faces of any size that the frontal cascades agree on, else one large face, float (K, 4)."""
        side = min(max(*grey.shape, SMALLEST_COPY), limit)
        picture, factor, pad = _padded(enhance_contrast, grey, side, PADDING)
        least = self.min_size * min(grey.shape) * factor
        boxes, votes = self._seen(picture, pad, least)
        if (votes < STRONG).any():
            windows = [self._windows(name, picture, least) for name in FRONTAL]
            boxes, votes = separate(*group_windows(np.concatenate(windows), VOTES))
        return (boxes - (pad, pad, 0, 0)) / factor if len(boxes) else self._large(grey)

    def _seen(self, picture: np.ndarray, pad: int, least: float) -> tuple[np.ndarray, np.ndarray]:
        """Faces float (K, 4) where a cascade proposes them, and the votes int (K,) that the three give there."""
        side = max(picture.shape) - 2 * pad
        sizes = side + 2 * pad, *(band * side for band in BANDS), least
        boxes, votes = np.zeros((0, 4)), np.zeros(0, int)
        for name in (PROPOSING, SECOND):
            for largest, smallest in pairwise(sizes):
                known = boxes[votes >= STRONG]
                for proposal in self._proposals(name, picture, pad, max(least, smallest), largest, known):
                    found = group_windows(self._around(picture, proposal), WEAK)
                    boxes, votes = np.concatenate([boxes, found[0]]), np.concatenate([votes, found[1]])
                boxes, votes = separate(boxes, votes)
            if len(boxes) < 2 or votes.min() < STRONG:
                break
        return boxes, votes

    def _proposals(
        self, name: str, picture: np.ndarray, pad: int, smallest: float, largest: float, known: np.ndarray
    ) -> np.ndarray:
        """Places float (K, 4) where one cascade sees a face of a size, if only once, outside the known faces (F, 4)."""
        cut = max(0, pad - round(largest / 2))  # the middle of a face lies in the picture, not in its border
        inner = picture[cut : picture.shape[0] - cut, cut : picture.shape[1] - cut].copy()
        # What lies too deep inside a known face for one whose middle is outside is made even: passed over at once.
        for box in known:
            left, top = np.maximum(box[:2] - cut + largest / 2, 0).astype(int)
            right, bottom = np.maximum(box[:2] + box[2:] - cut - largest / 2, 0).astype(int)
            inner[top:bottom, left:right] = 0
        windows = self._windows(name, inner, smallest, largest, PROPOSING_STEP) + np.array([cut, cut, 0, 0])
        places = group_windows(np.repeat(windows, 2, axis=0), 2)[0]  # OpenCV groups two or more
        return np.array([box for box in places if not any(share_a_middle(box, face) for face in known)])

    def _around(self, picture: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Windows float (K, 4) of about the size and place of a box that the frontal cascades take for a face."""
        left, top, side, _ = box
        x, y = (max(0, int(start - AROUND * side)) for start in (left, top))
        end_x, end_y = (int(start + (1 + AROUND) * side) + 1 for start in (left, top))
        place = picture[y:end_y, x:end_x]
        windows = [self._windows(name, place, side / SIZES, side * SIZES) for name in FRONTAL]
        return np.concatenate(windows) + np.array([x, y, 0, 0])

    def _large(self, grey: np.ndarray) -> np.ndarray:
        """At most one large face, float (0 or 1, 4)."""
        windows, face = np.zeros((0, 4)), np.zeros((0, 4))
        for prepare in (enhance_contrast, np.copy):
            picture, factor, pad = _padded(prepare, grey, SMALLEST_COPY, PADDING)
            for more in self._poses(picture, LARGE * min(grey.shape) * factor):
                windows = np.concatenate([windows, more])
                boxes, votes = group_windows(windows, LARGE_VOTES)
                if len(boxes):
                    face = (boxes[[votes.argmax()]] - (pad, pad, 0, 0)) / factor
                    if votes.max() >= STRONG:
                        return face
        return face

    def _poses(self, picture: np.ndarray, least: float) -> Iterator[np.ndarray]:
        """Yield windows float (K, 4) of upright, tilted and turned faces, the most frequent first."""
        for tilt in TILTS:
            for name in FRONTAL:
                yield self._tilted(name, picture, least, tilt)
        for mirrored in (False, True):
            yield self._profile(picture, least, mirrored)

    def _windows(
        self,
        name: str,
        picture: np.ndarray,
        least: float,
        most: float | None = None,
        step: float = STEP,
        votes: int = 0,
    ) -> np.ndarray:
        """Windows float (K, 4), ``least`` to ``most`` wide, that a cascade takes for a face; 0 votes: ungrouped."""
        start, end = max(SMALLEST, round(least)), round(most or max(picture.shape))
        if start > end:
            return np.zeros((0, 4))
        try:
            cascade = self._idle[name].pop()
        except IndexError:
            cascade = load_cascade(name)
        found = cascade.detectMultiScale(picture, step, votes, minSize=(start, start), maxSize=(end, end))
        self._idle[name].append(cascade)
        return np.asarray(found, np.float64).reshape(-1, 4)

    def _tilted(self, name: str, picture: np.ndarray, least: float, degrees: float) -> np.ndarray:
        """Windows found in the turned picture, their centres turned back."""
        if not degrees:
            return self._windows(name, picture, least)
        height, width = picture.shape
        rotation = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
        turned = cv2.warpAffine(picture, rotation, (width, height), borderMode=cv2.BORDER_REPLICATE)
        windows = self._windows(name, turned, least)
        back = cv2.invertAffineTransform(rotation)
        centres = (windows[:, :2] + windows[:, 2:] / 2) @ back[:, :2].T + back[:, 2]
        return np.hstack([centres - windows[:, 2:] / 2, windows[:, 2:]])

    def _profile(self, picture: np.ndarray, least: float, mirrored: bool) -> np.ndarray:
        """Windows of faces turned to one side (the cascade knows only one), placed like frontal ones."""
        windows = self._windows(PROFILE, cv2.flip(picture, 1) if mirrored else picture, least)
        windows[:, 0] -= PROFILE_SHIFT[0] * windows[:, 2]
        windows[:, 1] += PROFILE_SHIFT[1] * windows[:, 3]
        if mirrored:
            windows[:, 0] = picture.shape[1] - windows[:, 0] - windows[:, 2]
        return windows


def group_windows(windows: np.ndarray, votes: int) -> tuple[np.ndarray, np.ndarray]:
    """Join windows (N, 4) that lie on each other, ``votes`` or more: boxes float (K, 4), votes of each int (K,)."""
    steps = 16  # groupRectangles takes integers only
    boxes, counts = cv2.groupRectangles(np.rint(windows * steps).astype(int).tolist(), max(votes - 1, 1), 0.2)
    return np.asarray(boxes, np.float64).reshape(-1, 4) / steps, np.asarray(counts, int).reshape(-1)


def separate(boxes: np.ndarray, votes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of boxes (K, 4) that share a middle, keep the one with most votes: faces do not lie inside each other."""
    kept: list[int] = []
    for k in np.argsort(-votes, kind="stable"):
        if not any(share_a_middle(boxes[k], boxes[other]) for other in kept):
            kept.append(k)
    return boxes[kept], votes[kept]


def share_a_middle(box: np.ndarray, other: np.ndarray) -> bool:
    """Whether the middle of one of two boxes (left, top, width, height) lies in the other."""
    distance = np.abs((box[:2] + box[2:] / 2) - (other[:2] + other[2:] / 2))
    return bool((distance < np.maximum(box[2:], other[2:]) / 2).all())


def enhance_contrast(grey: np.ndarray) -> np.ndarray:
    """Bring out what is dark or pale in uint8 (H, W): the cascades pass over windows of little contrast.

    Histogram equalisation alone gives most greys to a white page or a wall, and leaves the face before it
    hardly any; contrast stretching alone does nothing for overexposed faces. This is the mean of a
    contrast-limited equalisation and of the square root of the stretched brightness.
    """
    equalised = cv2.createCLAHE(clipLimit=6.0, tileGridSize=(1, 1)).apply(grey)
    stretched = cv2.normalize(grey, np.empty_like(grey), 0, 255, cv2.NORM_MINMAX)
    return cv2.addWeighted(equalised, 0.5, cv2.LUT(stretched, SQUARE_ROOT), 0.5, 0)


def _padded(
    prepare: Callable[[np.ndarray], np.ndarray], grey: np.ndarray, side: int, padding: float
) -> tuple[np.ndarray, float, int]:
    """Return the prepared copy, ``side`` long, with a border around it; its scale; the border's width."""
    factor, pad = side / max(grey.shape), round(padding * side)
    size = max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    picture = prepare(cv2.resize(grey, size, interpolation=way))
    return cv2.copyMakeBorder(picture, pad, pad, pad, pad, cv2.BORDER_REPLICATE), factor, pad


def load_cascade(name: str) -> "cv2.CascadeClassifier":
    """Load one of the Haar cascades that come with OpenCV 4; raise DataMissing where they do not."""
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    path = Path(folder or "") / f"haarcascade_{name}.xml"
    if not hasattr(cv2, "CascadeClassifier") or folder is None or not path.is_file():
        raise DataMissing(
            f"OpenCV {cv2.__version__} has no Haar cascade {path.name}; expected version 4. Run `pip uninstall -y "
            "opencv-python opencv-python-headless opencv-contrib-python`, then `pip install 'opencv-python<5'`."
        )
    cascade = cv2.CascadeClassifier()
    # Read here, because OpenCV cannot open a path with letters that Windows' code page lacks.
    text = cv2.FileStorage(path.read_text("utf-8"), cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
    cascade.read(text.getFirstTopLevelNode())
    return cascade


def crop(frame: np.ndarray, box: Sequence[int] | np.ndarray, margin: float = 0.0) -> np.ndarray:
    """Cut the square around a box, grown on each side by ``margin`` times its side: uint8 (S, S, 3) or (S, S), a copy.

    What lies outside the frame repeats the frame's border pixels, so that a
    face at the border keeps its place and proportions in the crop. A negative margin cuts tighter.

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
            f"The box {tuple(box)} with margin {margin} holds nothing of a frame of {columns}x{rows}; expected left, "
            "top, width, height in its pixels."
        )
    border = max(-y, 0), max(y + side - rows, 0), max(-x, 0), max(x + side - columns, 0)
    return cv2.copyMakeBorder(inside, *border, cv2.BORDER_REPLICATE)


def clip(boxes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the parts of boxes (K, 4) inside a frame of ``shape`` (height, width, …): int32 (K, 4), never empty.

    For tables and other programs: slicing an array with a negative left or top gives nothing.
    """
    size = np.array([shape[1], shape[0]])
    start = boxes[:, :2].clip(0, size - 1)
    end = (boxes[:, :2] + boxes[:, 2:]).clip(start + 1, size)
    return np.hstack([start, end - start]).astype(np.int32)


def grey_frame(frame: np.ndarray) -> np.ndarray:
    """Return uint8 (H, W) of a BGR (H, W, 3) or grey (H, W) frame; raise DataInvalid as ``check_frame``."""
    check_frame(frame)
    return frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)


def check_frame(frame: np.ndarray) -> None:
    """Raise DataInvalid for what is not uint8 (H, W, 3) or (H, W), or has no pixels."""
    picture = frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 3)
    if frame.dtype != np.uint8 or not picture or frame.size == 0:
        raise DataInvalid(
            f"Found a frame of {frame.dtype} {frame.shape}; expected uint8, BGR (H, W, 3) or grey (H, W)."
        )
