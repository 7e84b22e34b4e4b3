"""Finding faces, and the one crop that training data and demos share.

Faces are found by OpenCV's Haar cascades (Viola and Jones 2001; Lienhart and
Maydt 2002), which come inside the opencv-python wheel: nothing to download.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fer.errors import DataInvalid, DataMissing

SMALLEST = 24
"""Side in pixels of the window that the cascades were trained on; no smaller face can be found."""


class FaceDetector:
    """Boxes of the faces in a picture, largest first.

    Args:
        max_side: the search runs on a copy whose longer side is at most this;
            None searches the picture as it is.
        min_size: the smallest face looked for, as a fraction of the picture's
            shorter side (but never under 24 pixels of the searched copy).
        scale: step between the sizes that are searched; closer to 1 is slower.
        neighbours: how many overlapping windows must agree on a face.

    Raises:
        DataMissing: this OpenCV has no Haar cascades (version 5 dropped them).
    """

    def __init__(
        self,
        max_side: int | None = 320,
        min_size: float = 0.1,
        scale: float = 1.1,
        neighbours: int = 5,
    ) -> None:
        self.max_side, self.min_size, self.scale, self.neighbours = max_side, min_size, scale, neighbours
        self._cascade = load_cascade("frontalface_default")

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Return int32 (K, 4): left, top, width, height in pixels of the frame.

        Args:
            frame: uint8, BGR (H, W, 3) or grey (H, W).

        Raises:
            DataInvalid: the frame has another type or shape.
        """
        grey = to_grey(frame)
        factor = 1.0 if self.max_side is None else min(1.0, self.max_side / max(grey.shape))
        small = cv2.equalizeHist(resize(grey, factor))
        least = max(SMALLEST, round(self.min_size * min(small.shape)))
        found = self._cascade.detectMultiScale(small, self.scale, self.neighbours, minSize=(least, least))
        boxes = np.asarray(found, np.float64).reshape(-1, 4) / factor
        return largest_first(boxes)


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
