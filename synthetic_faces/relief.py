"""Skin under light: a face as a landscape of smooth bumps, lit from one side.

Height, stain and blush are sums of axis-aligned Gaussians. Each sum is one
matrix product of their profiles along y and x, so that a hundred bumps cost
as much as one; being smooth, they are computed small and enlarged.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from synthetic_faces.action_units import ActionUnits
from synthetic_faces.identity import Identity
from synthetic_faces.shape import FaceShape, vec

Bump = tuple[float, float, float, float, float]
"""x, y, width, height (standard deviations) and amount, in face units."""


@dataclass(frozen=True, slots=True)
class Light:
    """One lamp and what the room reflects.

    ``azimuth`` and ``elevation`` in degrees: where the lamp stands, 0 is the
    camera, positive is right and up. ``ambient`` (0-1) is the part of the light that the room reflects.
    """

    azimuth: float = -28.0
    elevation: float = 32.0
    ambient: float = 0.42
    gain: float = 1.0
    warmth: float = 0.0  # -1 bluish to 1 yellowish

    @property
    def direction(self) -> np.ndarray:
        """Unit vector towards the lamp, (3,): x right, y down, z to the camera."""
        a, e = np.radians([self.azimuth, self.elevation])
        return np.array([np.sin(a) * np.cos(e), -np.sin(e), np.cos(a) * np.cos(e)])

    @property
    def tint(self) -> np.ndarray:
        """What the light's colour multiplies BGR by, (3,)."""
        return self.gain * np.array([1 - 0.12 * self.warmth, 1.0, 1 + 0.08 * self.warmth])


def _chain(
    start: np.ndarray, end: np.ndarray, size: float, amount: float, bow: float = 0.0, count: int = 11
) -> list[Bump]:
    """A ridge or furrow: bumps along a slightly bowed line."""
    (x0, y0), (x1, y1) = start, end
    t = np.linspace(0, 1, count)
    arch = bow * 4 * t * (1 - t)
    length = np.hypot(x1 - x0, y1 - y0) or 1.0
    xs = x0 + (x1 - x0) * t + arch * (y1 - y0) / length
    ys = y0 + (y1 - y0) * t - arch * (x1 - x0) / length
    fade = np.sin(np.pi * (0.12 + 0.76 * t))
    return [(x, y, size, size, 0.5 * amount * f) for x, y, f in zip(xs, ys, fade, strict=True)]


def _mirrored(bumps: list[Bump]) -> list[Bump]:
    return bumps + [(-x, y, sx, sy, a) for x, y, sx, sy, a in bumps]


def fold(shape: FaceShape, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the nasolabial fold on one side: beside the nose, beside the mouth corner, (2,) each."""
    wing = shape.nostrils[4 if side > 0 else 0]
    corner = shape.mouth.top[-1 if side > 0 else 0]
    return wing + vec(side * 0.045, -0.075), corner + vec(side * 0.115, -0.035)


def _heights(shape: FaceShape, who: Identity, au: ActionUnits) -> list[Bump]:
    tip = shape.bridge[3, 1]
    wings, mouth = shape.nostrils, shape.mouth
    smile = au.halves("au12")
    raised = au.halves("au10")
    w = who.nose_width
    bumps: list[Bump] = [
        (0, -0.62, 0.5, 0.3, 0.06),
        (0, tip * 0.1, 0.115 * w, 0.17, 0.05),
        (0, tip * 0.42, 0.105 * w, 0.16, 0.07),
        (0, tip * 0.75, 0.11 * w, 0.15, 0.095),
        (0, tip + 0.03, 0.12 * w, 0.1, 0.14),
        (0, wings[2, 1] + 0.14, 0.028, 0.07, -0.012),
        (0, mouth.top[12, 1] + 0.05, 0.36, 0.22, 0.07),
        (0, mouth.bottom[12, 1] + 0.085, 0.19, 0.05, -0.055 - 0.02 * au.au17),
        (0, mouth.bottom[12, 1] + 0.27, 0.2, 0.13, 0.085 + 0.03 * au.au17),
    ]
    bumps += _mirrored([(0.9, -0.42, 0.14, 0.25, -0.05), (0.72, 0.92, 0.16, 0.25, -0.035)])
    for side, brow, eye in zip((-1, 1), shape.brows, shape.eyes, strict=True):
        inner, middle, outer = (brow[4], brow[2], brow[0]) if side < 0 else (brow[0], brow[2], brow[4])
        frown = au.au4 * (1 - 0.5 * au.au1) + 0.6 * au.au9
        bumps += [
            (inner[0], inner[1] + 0.02, 0.1, 0.06, 0.03 + 0.035 * frown),
            (middle[0], middle[1] + 0.02, 0.17, 0.065, 0.05),
            (outer[0], outer[1] + 0.03, 0.1, 0.08, 0.03),
            (eye.centre[0], -0.06, 0.23, 0.15, -0.105),
            (eye.inner[0] - side * 0.045, -0.02, 0.07, 0.11, -0.07),
            (eye.centre[0], eye.centre[1], 0.17, 0.115, 0.055),
        ]
        pulled = smile[(side + 1) // 2]
        apple = pulled * 0.075 + au.au6 * 0.05 + 0.025 * au.au9
        bumps += [
            (side * 0.6, 0.42, 0.25, 0.2, 0.07),
            (side * (0.52 + 0.05 * pulled), 0.47 - 0.09 * au.au6, 0.17, 0.13, apple),
            (eye.centre[0], eye.lower[12, 1] + 0.13, 0.2, 0.045, -0.02 - 0.02 * who.age + 0.03 * au.au6),
        ]
        wing = wings[4 if side > 0 else 0]
        bumps += [(wing[0] * 0.86, wing[1] - 0.045, 0.062 * w, 0.065, 0.085)]
        start, end = fold(shape, side)
        lift = raised[(side + 1) // 2]
        depth = 0.008 + 0.02 * who.age + 0.022 * pulled + 0.022 * au.au9 + 0.016 * lift + 0.01 * au.au20
        bumps += _chain(start, end, 0.05, -depth, bow=-0.05 * side)
        bumps += _chain(
            start + vec(side * 0.1, 0), end + vec(side * 0.11, -0.02), 0.075, depth * 0.75, bow=-0.05 * side
        )
    return bumps


def _stains(shape: FaceShape, who: Identity, au: ActionUnits) -> list[Bump]:
    """Where light does not reach: amounts are added to the logarithm of brightness."""
    mouth, nose = shape.mouth, shape.nostrils
    chin = shape.jaw[8, 1]
    bumps: list[Bump] = [
        (0, nose[2, 1] + 0.055, 0.15, 0.045, -0.32),
        (0, mouth.bottom[12, 1] + 0.06, 0.17, 0.04, -0.3),
        (0, chin + 0.1, 0.5, 0.14, -0.5),
        (0, shape.bridge[1, 1] - 0.05, 0.06, 0.28, 0.1),
        (0, shape.bridge[3, 1] - 0.02, 0.055, 0.05, 0.1),
    ]
    bumps += _mirrored(
        [
            (1.0, 0.35, 0.13, 0.6, -0.28),
            (0.86, 1.05, 0.13, 0.3, -0.25),
            (0.62, 1.36, 0.2, 0.14, -0.22),
            (0.55, 0.3, 0.2, 0.12, 0.1),
        ]
    )
    for side, brow, eye in zip((-1, 1), shape.brows, shape.eyes, strict=True):
        inner = brow[4] if side < 0 else brow[0]
        gap = max(eye.centre[1] - brow[2, 1], 0.1)
        bumps += [
            (eye.centre[0], (eye.centre[1] + brow[2, 1]) / 2 + 0.03, 0.2, 0.4 * gap, -0.26),
            (eye.centre[0], eye.centre[1], 0.22, 0.1, -0.3),
            (eye.inner[0] - side * 0.05, -0.03, 0.06, 0.1, -0.24 - 0.2 * au.au4),
            (inner[0] - side * 0.02, inner[1] + 0.09, 0.06, 0.06, -0.25 * au.au4 - 0.2 * au.au9),
            (eye.centre[0], eye.lower[12, 1] + 0.075, 0.16, 0.03, -0.1 - 0.14 * who.age),
        ]
        corner = mouth.top[-1 if side > 0 else 0]
        dimple = au.halves("au14")[(side + 1) // 2]
        bumps += [(corner[0] + side * 0.035, corner[1] + 0.01, 0.05, 0.06, -0.17 - 0.22 * dimple)]
    return bumps


def _blushes(shape: FaceShape, au: ActionUnits) -> list[Bump]:
    return [
        *_mirrored([(0.6, 0.48 - 0.06 * au.au6, 0.24, 0.2, 0.75)]),
        (0, shape.bridge[3, 1] + 0.05, 0.17, 0.13, 0.7),
        (0, shape.jaw[8, 1] - 0.15, 0.2, 0.12, 0.3),
        (0, -0.1, 0.08, 0.25, 0.25),
    ]


def _profiles(bumps: list[Bump], xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, ...]:
    """Gaussians of all bumps along x (K, W) and y (K, H), and their inner derivatives."""
    cx, cy, sx, sy, amount = np.array(bumps, np.float32).T[:, :, None]
    dx, dy = (xs - cx) / sx, (ys - cy) / sy
    gx, gy = np.exp(-0.5 * dx**2), amount * np.exp(-0.5 * dy**2)
    return gx, gy, -dx / sx * gx, -dy / sy * gy


def _total(bumps: list[Bump], xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    gx, gy, _, _ = _profiles(bumps, xs, ys)
    return gy.T @ gx


def paint_skin(
    shape: FaceShape, who: Identity, au: ActionUnits, light: Light, xs: np.ndarray, ys: np.ndarray
) -> np.ndarray:
    """Return lit skin for the grid of face coordinates ``xs`` (W,) by ``ys`` (H,): BGR uint8 (H, W, 3)."""
    xs, ys = xs.astype(np.float32), ys.astype(np.float32)
    gx, gy, gx1, gy1 = _profiles(_heights(shape, who, au), xs, ys)
    slope_x, slope_y = gy.T @ gx1, gy1.T @ gx
    # The head itself: an ellipsoid, softened where it would turn away completely.
    ex, ey = xs[None] / 1.12, (ys[:, None] - 0.12) / 1.85
    depth = np.sqrt(np.maximum(1 - ex**2 - ey**2, 0) + 0.12)
    slope_x -= 0.72 * ex / 1.12 / depth
    slope_y -= 0.72 * ey / 1.85 / depth
    up = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    lx, ly, lz = light.direction.astype(np.float32)
    facing = up * (lz - lx * slope_x - ly * slope_y)
    wrap = 0.25  # light creeps round the terminator: skin is translucent
    lit = np.maximum(facing + wrap, 0) / (1 + wrap)
    shade = light.ambient * (0.55 + 0.45 * up) + (1.08 - light.ambient) * lit
    flat = light.ambient + (1.08 - light.ambient) * (lz + wrap) / (1 + wrap)
    shade *= 0.98 / flat  # exposed as a camera would: a lamp at the side is not darker
    shade *= np.exp(_total(_stains(shape, who, au), xs, ys))
    half = np.array([lx, ly, lz + 1]) / np.sqrt(2 + 2 * lz)
    gloss = np.maximum(up * (half[2] - half[0] * slope_x - half[1] * slope_y), 0) ** 26
    blush = _total(_blushes(shape, au), xs, ys)

    base = np.array(who.skin[::-1], np.float32)
    # Shadows on skin are redder than its lights.
    powers = np.array([1.14, 1.06, 0.94], np.float32)
    skin = base * shade[..., None] ** powers
    skin *= 1 - blush[..., None] * np.array([0.1, 0.11, -0.02], np.float32)
    skin += (gloss * up**2 * 22 * (0.6 + 0.4 * light.gain))[..., None]
    skin *= light.tint.astype(np.float32)
    return cv2.convertScaleAbs(np.maximum(skin, 0))
