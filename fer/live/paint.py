"""Drawing that OpenCV lacks: good letters, rounded and translucent shapes, whole files. All images are BGR uint8."""

from collections.abc import Callable, Hashable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fer.errors import DataInvalid
from fer.files import replacing

Colour = tuple[int, int, int]  # RGB 0-255, as in fer.labels.COLOURS
INK: Colour = (16, 18, 22)
PAPER: Colour = (245, 245, 245)
CAPITALS = 0.69  # of the size of letters: how high capitals and figures are, at least


def bgr(colour: Colour) -> Colour:
    """Turn an RGB colour into OpenCV's order."""
    return colour[::-1]


def ink_on(colour: Colour) -> Colour:
    """Return the ink, dark or light, that can be read on ``colour``."""
    red, green, blue = colour
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else PAPER


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)  # Aileron, which Pillow carries
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


@lru_cache(maxsize=512)
def text_mask(text: str, size: int) -> np.ndarray:
    """Coverage of ``text`` in letters of ``size`` pixels: uint8 (height, width); every text of a size is as high."""
    font = _font(size)
    mask = Image.new("L", (max(1, round(font.getbbox(text)[2])), sum(font.getmetrics())))
    ImageDraw.Draw(mask).text((0, 0), text, 255, font)
    return np.asarray(mask)


def text_width(text: str, size: int) -> int:
    """Width in pixels of ``text`` in letters of ``size``."""
    return text_mask(text, size).shape[1]


def write(image: np.ndarray, text: str, x: int, middle: int, size: int, colour: Colour = PAPER) -> None:
    """Write ``text`` from ``x`` on, its capitals centred on the line ``middle``."""
    top = round(middle - _font(size).getmetrics()[0] + 0.5 * CAPITALS * size)
    fill(image, x, top, text_mask(text, size), colour)


def fill(image: np.ndarray, x: int, y: int, mask: np.ndarray, colour: Colour, opacity: float = 1.0) -> None:
    """Colour ``image`` where ``mask``, uint8 (h, w) at (x, y), covers it; parts outside the image are left out."""
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + mask.shape[1], image.shape[1]), min(y + mask.shape[0], image.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = image[y0:y1, x0:x1]
    cover = mask[y0 - y : y1 - y, x0 - x : x1 - x]
    cover = cv2.merge([cover, cover, cover])
    ink = np.empty(part.shape, np.uint8)
    cv2.rectangle(ink, (0, 0, *ink.shape[1::-1]), bgr(colour), -1)  # ten times as fast as ink[:] = …
    rest = cv2.convertScaleAbs(cover, alpha=-opacity, beta=255)
    part[:] = cv2.add(cv2.multiply(ink, cover, scale=opacity / 255), cv2.multiply(part, rest, scale=1 / 255))


def kept(paint: Callable[..., None]) -> Callable[..., None]:
    """Turn ``paint(image, ...)``, which fills an image, into ``lay(image, area, ...)``, which does so only once.

    The area (left, top, width, height) lies in the image; the other arguments must be hashable.
    """

    @lru_cache(maxsize=128)
    def painted(width: int, height: int, *arguments: Hashable) -> tuple[np.ndarray, np.ndarray]:
        black, white = np.zeros((height, width, 3), np.uint8), np.full((height, width, 3), 255, np.uint8)
        paint(black, *arguments)
        paint(white, *arguments)
        return black, cv2.subtract(white, black)  # what shows through

    def lay(image: np.ndarray, area: tuple[int, int, int, int], *arguments: Hashable) -> None:
        x, y, width, height = area
        picture, rest = painted(width, height, *arguments)
        part = image[y : y + height, x : x + width]
        part[:] = cv2.add(picture, cv2.multiply(part, rest, scale=1 / 255))

    return lay


@lru_cache(maxsize=256)
def _rounded(w: int, h: int, radius: int) -> np.ndarray:
    """Coverage of a filled rectangle with round corners, uint8 (h, w), smooth at the edge."""
    large = Image.new("L", (4 * w, 4 * h))
    ImageDraw.Draw(large).rounded_rectangle((0, 0, 4 * w - 1, 4 * h - 1), 4 * radius, 255)
    return np.asarray(large.reduce(4))


def panel(
    image: np.ndarray, x: int, y: int, w: int, h: int, radius: int, colour: Colour = INK, opacity: float = 1.0
) -> None:
    """Lay a rounded, translucent rectangle over the image."""
    if w > 0 and h > 0:
        fill(image, x, y, _rounded(w, h, radius), colour, opacity)


def outline(
    image: np.ndarray, x: int, y: int, w: int, h: int, radius: int, thickness: int, colour: Colour
) -> None:
    """Draw a rounded rectangle with a dark edge, seen on light and on dark pictures; all sides lie in the image."""
    edge = max(1, thickness // 2)
    border = thickness // 2 + edge
    x0, y0 = max(x, border), max(y, border)
    x1, y1 = min(x + w, image.shape[1] - 1 - border), min(y + h, image.shape[0] - 1 - border)
    if x1 <= x0 or y1 <= y0:
        return
    radius = max(1, min(radius, (x1 - x0) // 2, (y1 - y0) // 2))
    left, top, right, bottom = x0 + radius, y0 + radius, x1 - radius, y1 - radius
    arcs = ((right, bottom, 0), (left, bottom, 90), (left, top, 180), (right, top, 270))
    size = (radius, radius)
    points = np.concatenate([cv2.ellipse2Poly((cx, cy), size, 0, at, at + 90, 15) for cx, cy, at in arcs])
    cv2.polylines(image, [points], True, bgr(INK), thickness + 2 * edge)
    cv2.polylines(image, [points], True, bgr(colour), thickness, cv2.LINE_AA)


def save(image: np.ndarray, path: Path) -> None:
    """Write a picture to a file, by its ending .png or .jpg: complete or not at all; DataInvalid if it cannot be."""
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(cv2.imencode(path.suffix.lower(), image)[1].tobytes())
    except OSError as error:
        raise DataInvalid(f"{path} cannot be written: {error.strerror}.") from error
