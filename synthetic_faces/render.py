"""The painter: a face in front of an image, turned as its pose says."""

import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from synthetic_faces import features, hair
from synthetic_faces.action_units import ActionUnits
from synthetic_faces.body import paint_body
from synthetic_faces.canvas import Canvas
from synthetic_faces.identity import Identity
from synthetic_faces.relief import Light, paint_skin
from synthetic_faces.shape import build

Window = tuple[float, float, float, float]
"""A part of the face plane: x0, y0, x1, y1 in face units."""

PORTRAIT: Window = (-1.55, -1.35, 1.55, 1.95)
"""What a tight crop shows."""

_RELIEF = 30  # grid points of the relief per face unit
_PIVOT = 0.45  # how far in front of the axis of turning the middle of the face lies


@dataclass(frozen=True, slots=True)
class Pose:
    """How the head is held, in degrees: ``yaw`` to the right and ``pitch`` up in the image, ``roll`` clockwise."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


def _depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far a point of the face stands towards the camera, units."""
    skull = 0.8 * np.sqrt(np.maximum(1 - (x / 1.25) ** 2 - ((y - 0.1) / 2.1) ** 2, 0) + 0.05)
    return skull + 0.27 * np.exp(-0.5 * ((x / 0.17) ** 2 + ((y - 0.48) / 0.24) ** 2)) - _PIVOT


def turn(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Turn face coordinates (N, 2) by the pose, seen from far away."""
    x, y = points[:, 0], points[:, 1]
    z = _depth(x, y)
    a, b, c = np.radians([pose.yaw, pose.pitch, pose.roll])
    u, v = x * np.cos(a) + z * np.sin(a), y * np.cos(b) - z * np.sin(b)
    return np.stack([u * np.cos(c) - v * np.sin(c), u * np.sin(c) + v * np.cos(c)], 1)


def unturn(u: np.ndarray, v: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Undo ``turn``: fixed-point iteration, which the small angles of a portrait let converge."""
    a, b, c = np.radians([pose.yaw, pose.pitch, pose.roll])
    u, v = u * np.cos(c) + v * np.sin(c), -u * np.sin(c) + v * np.cos(c)
    x, y = u, v
    for _ in range(4):
        z = _depth(x, y)
        x, y = (u - z * np.sin(a)) / np.cos(a), (v + z * np.sin(b)) / np.cos(b)
    return x, y


def head_window(who: Identity) -> Window:
    """Return the part of the face plane that a person's whole head needs with its hair."""
    reach = {"afro": 1.52, "long": 1.5, "bob": 1.36, "fringe": 1.27}.get(who.hairstyle, 1.22) * who.face_width
    top = {"afro": 2.15, "bun": 2.32}.get(who.hairstyle, 1.86)
    bottom = 2.6 if who.hairstyle == "long" else 2.2 if who.beard == "full" else 2.05
    return -reach, -top, reach, bottom


class Painter:
    """Paints one person under one light; hair and glasses are painted once.

    Args:
        who: the person.
        light: the lamp.
        scale: pixels per face unit of the painting (a face is about 2 units wide).
        window: what part of the face plane to paint; the whole head by default.
    """

    def __init__(self, who: Identity, light: Light, scale: float, window: Window | None = None) -> None:
        window = window or head_window(who)
        self.who, self.light, self.scale, self.window = who, light, scale, window
        rest = build(who, ActionUnits())
        rng = np.random.default_rng(zlib.crc32(repr(who).encode()))  # hairs belong to the person
        over = Canvas(window, scale)
        hairs = hair.paint_hair(over, who, light, rng)
        bare = hairs.copy() if who.glasses else hairs
        if who.glasses:
            hair.paint_glasses(over, rest, hairs)
        self._over, self._over_mask = over.image, hairs
        self._over_weight = hairs.astype(np.float32) / 255
        self._under_weight = 1 - self._over_weight
        self._xs = self._grid(window[0], over.width)
        self._ys = self._grid(window[1], over.height)
        small = cv2.resize(bare, (len(self._xs), len(self._ys)), interpolation=cv2.INTER_AREA)
        fall = np.array(
            [[1, 0, -0.05 * _RELIEF * np.sign(light.azimuth)], [0, 1, 0.09 * _RELIEF]], np.float32
        )
        small = cv2.warpAffine(cv2.GaussianBlur(small, (0, 0), 0.07 * _RELIEF), fall, small.shape[::-1])
        self._shadow = cv2.merge([255 - cv2.convertScaleAbs(small, alpha=0.42)] * 3)
        self._whiskers: np.ndarray | None = None
        if who.beard != "none":
            noise = rng.standard_normal((over.height, over.width), np.float32)
            grain = cv2.GaussianBlur(noise, (0, 0), max(0.4, 0.008 * scale), sigmaY=0.02 * scale)
            self._whiskers = np.clip(1 + 1.1 * grain, 0.45, 1.9)[..., None]
        self._freckles = rng.normal((0, 0.36), (0.42, 0.14), (46, 2)) if who.freckles else None

    def _grid(self, start: float, pixels: int) -> np.ndarray:
        """Face coordinates of the relief's grid: the enlarged grid lies exactly on the painting."""
        count = max(8, round(pixels * _RELIEF / self.scale))
        return start + (np.arange(count) + 0.5) * (pixels / self.scale / count)

    def paint(
        self, au: ActionUnits, gaze: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Paint the face looking straight ahead.

        Returns:
            BGR uint8 (H, W, 3) of the window, coverage uint8 (H, W), and the 68 landmarks in face units (68, 2).
        """
        who, light = self.who, self.light
        shape = build(who, au, gaze)
        canvas = Canvas(self.window, self.scale)
        skin = paint_skin(shape, who, au, light, self._xs, self._ys)
        cv2.multiply(skin, self._shadow, skin, 1 / 255)
        size = (canvas.width, canvas.height)
        cv2.resize(skin, size, dst=canvas.image, interpolation=cv2.INTER_CUBIC)
        cover = np.zeros(size[::-1], np.uint8)
        outlines = [hair.skull(shape), *hair.paint_ears(canvas, shape, who, light)]
        for outline in outlines:
            cv2.fillPoly(cover, [canvas.pixels(outline)], 255, cv2.LINE_AA, 5)
        if self._freckles is not None:
            for spot in self._freckles:
                canvas.fill(
                    spot + 0.014 * np.array([[-1, 0], [0, -1], [1, 0], [0, 1]]), self._brown(), 0.4, 0.006
                )
        features.press_folds(canvas, shape, who, au)
        features.paint_nose(canvas, shape, who, au)
        features.paint_mouth(canvas, shape, who, au, light)
        for eye, brow in zip(shape.eyes, shape.brows, strict=True):
            features.paint_eye(canvas, eye, who, au, light)
            features.paint_brow(canvas, brow, eye.side, who, light)
        beard = hair.beard_mask(canvas, shape, who)
        if beard is not None and self._whiskers is not None:
            self._grow(canvas, *beard, self._whiskers)
            if who.beard == "full":
                cover[beard[0]] = cv2.max(cover[beard[0]], beard[1])
        image = cv2.blendLinear(canvas.image, self._over, self._under_weight, self._over_weight)
        return image, cv2.max(cover, self._over_mask), shape.landmarks()

    def _brown(self) -> np.ndarray:
        return np.array(self.who.skin[::-1]) * (0.45, 0.55, 0.7)

    def _grow(
        self, canvas: Canvas, area: tuple[slice, slice], beard: np.ndarray, whiskers: np.ndarray
    ) -> None:
        colour = np.array(self.who.hair[::-1], np.float32) * (self.light.tint * 0.75).astype(np.float32)
        opacity = {"stubble": 0.36, "moustache": 0.9, "full": 0.9}[self.who.beard]
        canvas.blend(area, beard, (colour + 6) * whiskers[area], opacity)

    def place(
        self, frame: np.ndarray, au: ActionUnits, pose: Pose, at: tuple[float, float], unit: float,
        gaze: tuple[float, float] = (0.0, 0.0),
    ) -> np.ndarray:  # fmt: skip
        """Paint the face into ``frame`` (BGR uint8, changed in place).

        Args:
            frame: the image behind.
            au: what the muscles do.
            pose: how the head is held.
            at: pixel where the point between the eyes of an unturned head comes to lie.
            unit: pixels per face unit in the frame.
            gaze: where the eyes look, -1 to 1 to the right and down.

        Returns:
            The 68 landmarks in pixels of the frame, (68, 2) float64.
        """
        image, cover, marks = self.paint(au, gaze)
        x0, y0, x1, y1 = self.window
        rim = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        corners = np.array(at) + unit * turn(rim, pose)
        height, width = frame.shape[:2]
        left, top = np.maximum(np.floor(corners.min(0)), 0).astype(int)
        right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int), (width, height))
        landmarks = np.array(at) + unit * turn(marks, pose)
        if right <= left or bottom <= top:
            return landmarks
        # The warp is smooth: solve it on a coarse grid and enlarge.
        size = (right - left, bottom - top)
        coarse = (max(2, size[0] // 6), max(2, size[1] // 6))
        u = (left + (np.arange(coarse[0]) + 0.5) * size[0] / coarse[0] - at[0]) / unit
        v = (top + (np.arange(coarse[1]) + 0.5) * size[1] / coarse[1] - at[1]) / unit
        u, v = np.meshgrid(u, v)
        x, y = unturn(u, v, pose)
        grid = np.stack([(x - x0) * self.scale - 0.5, (y - y0) * self.scale - 0.5], 2).astype(np.float32)
        columns, rows = cv2.split(cv2.resize(grid, size, interpolation=cv2.INTER_LINEAR))
        face = cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        weight = cv2.remap(cover, columns, rows, cv2.INTER_LINEAR).astype(np.float32) / 255
        area = frame[top:bottom, left:right]
        area[:] = cv2.blendLinear(face, area, weight, 1 - weight)
        return landmarks


class Portraitist:
    """Renders one person's portraits, cropped like AffectNet's: the face fills the image.

    Args:
        who: the person.
        light: the lamp.
        size: pixels of the image's side.
        oversampling: the face is painted this many times larger and reduced.
    """

    def __init__(self, who: Identity, light: Light, size: int = 224, oversampling: float = 1.6) -> None:
        self.size, self.unit = size, size * 0.345
        self._painter = Painter(who, light, self.unit * oversampling, PORTRAIT)
        self._body, self._body_weight = self._paint_body(who, light)

    def _paint_body(self, who: Identity, light: Light) -> tuple[np.ndarray, np.ndarray]:
        """Neck and shoulders, and their weight in each pixel: what shows on both black and white is body."""
        seen = []
        for wall in (0, 255):
            frame = np.full((self.size, self.size, 3), wall, np.uint8)
            canvas = Canvas.over(frame, (self.size / 2, self.size / 4), self.unit)
            paint_body(canvas, who, light)
            seen.append(frame)
        return seen[0], 1 - (seen[1][..., 1].astype(np.float32) - seen[0][..., 1]) / 255

    def render(
        self,
        au: ActionUnits,
        pose: Pose,
        background: np.ndarray | None = None,
        zoom: float = 1.0,
        shift: tuple[float, float] = (0.0, 0.0),
        gaze: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Render a portrait.

        Args:
            au: what the muscles do.
            pose: how the head is held.
            background: BGR uint8 (size, size, 3) behind the head; a plain wall by default.
            zoom: 1 leaves a little room round the face, more comes closer.
            shift: how far the face lies off its place, as a fraction of the image.
            gaze: where the eyes look, -1 to 1 to the right and down.

        Returns:
            BGR uint8 (size, size, 3) and the 68 iBUG landmarks in its pixels, (68, 2) float64.
        """
        size, unit = self.size, self.unit * zoom
        frame = (
            np.full((size, size, 3), (178, 172, 166), np.uint8) if background is None else background.copy()
        )
        at = (size * (0.5 + shift[0]), size * (0.47 + shift[1]) - unit * 0.22)
        onto = np.array([[zoom, 0, at[0] - zoom * size / 2], [0, zoom, at[1] - zoom * size / 4]], np.float32)
        weight = cv2.warpAffine(self._body_weight, onto, (size, size), borderMode=cv2.BORDER_REPLICATE)
        body = cv2.warpAffine(self._body, onto, (size, size), borderMode=cv2.BORDER_REPLICATE)
        frame = cv2.blendLinear(body, frame, weight, 1 - weight)
        return frame, self._painter.place(frame, au, pose, at, unit, gaze)


_STRAIGHT, _DAYLIGHT = Pose(), Light()


def render_face(
    who: Identity,
    au: ActionUnits,
    pose: Pose = _STRAIGHT,
    light: Light = _DAYLIGHT,
    size: int = 224,
    background: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Render one portrait: see ``Portraitist``, which is faster for several of one person.

    Returns:
        BGR uint8 (size, size, 3) and the 68 iBUG landmarks in its pixels, (68, 2) float64.
    """
    return Portraitist(who, light, size).render(au, pose, background)
