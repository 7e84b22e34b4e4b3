"""An image with face coordinates: anti-aliased, sub-pixel fills and soft strokes."""

import math
from functools import cache

import cv2
import numpy as np

_SHIFT = 5  # fractional bits of OpenCV's sub-pixel coordinates


def ribbon(spine: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Outline (2N, 2) of a stroke along ``spine`` (N, 2) that is ``widths`` (N,) wide."""
    along = tangents(spine)
    half = widths / 2
    offset = np.empty_like(along)
    offset[:, 0], offset[:, 1] = -along[:, 1] * half, along[:, 0] * half
    return np.concatenate([spine + offset, (spine - offset)[::-1]])


def tangents(spine: np.ndarray) -> np.ndarray:
    """Unit vectors along ``spine`` (N, 2), at each of its points."""
    along = np.empty(spine.shape)
    along[1:-1] = spine[2:] - spine[:-2]
    along[0], along[-1] = spine[1] - spine[0], spine[-1] - spine[-2]
    along /= np.sqrt(along[:, :1] ** 2 + along[:, 1:] ** 2) + 1e-9
    return along


@cache
def _arch(count: int) -> np.ndarray:
    return np.sin(np.linspace(0, np.pi, count))


def taper(count: int, width: float, ends: float = 0.1) -> np.ndarray:
    """Widths of a stroke that is thick in the middle and thin at both ends."""
    return width * ends + width * (1 - ends) * _arch(count)


def mix(image: np.ndarray, mask: np.ndarray, colour: tuple | np.ndarray, opacity: float = 1.0) -> None:
    """Mix ``colour`` (BGR, or an image) into ``image`` (H, W, 3) uint8 as far as ``mask`` (H, W) says."""
    weight = cv2.LUT(mask, (np.arange(256) * (opacity / 255)).astype(np.float32))[..., None]
    change = np.minimum(np.asarray(colour, np.float32), 255) - image
    change *= weight
    change += image
    change += 0.5
    image[:] = change


class Canvas:
    """BGR uint8 ``image`` (H, W, 3) of the window (x0, y0, x1, y1) in face units.

    Args:
        window: what part of the face plane the image shows.
        scale: pixels per unit.
    """

    def __init__(self, window: tuple[float, float, float, float], scale: float) -> None:
        x0, y0, x1, y1 = window
        self.scale = scale
        self.origin = np.array([x0, y0])
        self.width, self.height = round((x1 - x0) * scale), round((y1 - y0) * scale)
        self.image = np.zeros((self.height, self.width, 3), np.uint8)

    @classmethod
    def over(cls, image: np.ndarray, origin: tuple[float, float] | np.ndarray, scale: float) -> "Canvas":
        """Paint on an existing BGR image whose pixel ``origin`` is the point between the eyes."""
        canvas = cls((0, 0, 0, 0), scale)
        canvas.image, (canvas.height, canvas.width) = image, image.shape[:2]
        canvas.origin = -np.array(origin) / scale
        return canvas

    def pixels(self, points: np.ndarray, offset: tuple[int, int] = (0, 0)) -> np.ndarray:
        """Face coordinates (N, 2) as OpenCV's fixed-point pixels, less ``offset`` in integer pixels."""
        one = self.scale * (1 << _SHIFT)
        corner = (self.origin * self.scale + 0.5 + offset) * (1 << _SHIFT)
        return np.rint(points * one - corner).astype(np.int32)

    def box(self, points: np.ndarray, pad: float = 0.0) -> tuple[slice, slice] | None:
        """Rows and columns around ``points`` and ``pad`` units more; None when outside the image."""
        extra = pad * self.scale + 2
        low = ((points.min(0) - self.origin) * self.scale - extra).tolist()
        high = ((points.max(0) - self.origin) * self.scale + extra).tolist()
        x0, y0 = max(math.floor(low[0]), 0), max(math.floor(low[1]), 0)
        x1, y1 = min(math.ceil(high[0]), self.width), min(math.ceil(high[1]), self.height)
        return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None

    def mask(self, points: np.ndarray, area: tuple[slice, slice], blur: float = 0.0) -> np.ndarray:
        """Coverage of a polygon in ``area``, uint8; edges softened over ``blur`` units."""
        rows, columns = area
        mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        cv2.fillPoly(mask, [self.pixels(points, (columns.start, rows.start))], 255, cv2.LINE_AA, _SHIFT)
        return self.soften(mask, blur)

    def soften(self, mask: np.ndarray, blur: float) -> np.ndarray:
        """Blur a mask over ``blur`` units."""
        sigma = blur * self.scale
        size = 2 * math.ceil(2.2 * sigma) + 1
        return cv2.GaussianBlur(mask, (size, size), sigma) if sigma > 0.4 else mask

    def blend(
        self, area: tuple[slice, slice], mask: np.ndarray, colour: tuple | np.ndarray, opacity: float = 1.0
    ) -> None:
        """Mix ``colour`` (BGR, or an image of the area) into an area where ``mask`` says."""
        mix(self.image[area], mask, colour, opacity)

    def fill(
        self, points: np.ndarray, colour: tuple | np.ndarray, opacity: float = 1.0, blur: float = 0.0
    ) -> None:
        """Paint a polygon of face coordinates (N, 2), BGR ``colour``, edges softened over ``blur`` units."""
        area = self.box(points, 3 * blur)
        if area is not None:
            self.blend(area, self.mask(points, area, blur), colour, opacity)

    def lines(
        self, mask: np.ndarray, strokes: np.ndarray, width: float, value: tuple | int, area: tuple
    ) -> None:
        """Draw polylines (count, points, 2) of one width (units) into ``mask`` or a colour image of ``area``."""
        rows, columns = area
        points = self.pixels(strokes, (columns.start, rows.start))
        cv2.polylines(
            mask, list(points), False, value, max(1, round(width * self.scale)), cv2.LINE_AA, _SHIFT
        )

    def disc(
        self, mask: np.ndarray, centre: np.ndarray, radius: float, value: tuple | int, area: tuple
    ) -> None:
        """Draw a filled circle (face units) into ``mask`` or a colour image of ``area``."""
        rows, columns = area
        x, y = self.pixels(np.reshape(centre, (1, 2)), (columns.start, rows.start))[0]
        r = max(1, round(radius * self.scale * (1 << _SHIFT)))
        cv2.circle(mask, (int(x), int(y)), r, value, -1, cv2.LINE_AA, _SHIFT)
