"""Where every point of a face lies, given whose face it is and what its muscles do.

Curves are sampled densely for painting; the 68 landmarks (iBUG order) are
points of the same curves, so they fit the image exactly.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from synthetic_faces.action_units import ActionUnits
from synthetic_faces.identity import Identity

# The right half of the image at rest: ear to chin, and brow from the nose outwards.
_JAW = np.array(
    [
        [1.0, -0.02],
        [0.99, 0.22],
        [0.965, 0.46],
        [0.92, 0.7],
        [0.84, 0.93],
        [0.705, 1.15],
        [0.51, 1.36],
        [0.27, 1.52],
        [0.0, 1.575],
    ]
)
_BROW = np.array([[0.165, -0.255], [0.30, -0.325], [0.45, -0.36], [0.61, -0.335], [0.755, -0.245]])
_SAMPLES = np.linspace(-1, 1, 25)
_EYE_MARKS = (-0.36, 0.36)


@dataclass(slots=True)
class Eye:
    """One eye. ``upper`` and ``lower`` (25, 2) run from the left corner in the image to the right one."""

    side: int  # -1 left in the image, 1 right
    upper: np.ndarray
    lower: np.ndarray
    iris: np.ndarray  # (2,) its centre
    radius: float
    closed: float

    @property
    def centre(self) -> np.ndarray:
        """Midpoint between the corners, (2,)."""
        return (self.upper[0] + self.upper[-1]) / 2

    @property
    def outer(self) -> np.ndarray:
        """The corner towards the ear, (2,)."""
        return self.upper[-1 if self.side > 0 else 0]

    @property
    def inner(self) -> np.ndarray:
        """The corner towards the nose, (2,)."""
        return self.upper[0 if self.side > 0 else -1]


@dataclass(slots=True)
class Mouth:
    """Lip borders, each (25, 2) from the left corner in the image to the right one."""

    top: np.ndarray
    inner_top: np.ndarray
    inner_bottom: np.ndarray
    bottom: np.ndarray
    gap: float  # opening at the middle, units


@dataclass(slots=True)
class FaceShape:
    """A face in face coordinates: x right, y down, 1 = half a face's width, origin between the eyes."""

    jaw: np.ndarray  # (17, 2)
    brows: tuple[np.ndarray, np.ndarray]  # (5, 2) each: left outer to inner, right inner to outer
    bridge: np.ndarray  # (4, 2)
    nostrils: np.ndarray  # (5, 2)
    eyes: tuple[Eye, Eye]
    mouth: Mouth

    def landmarks(self) -> np.ndarray:
        """Return the 68 iBUG points, (68, 2) float64."""
        points = [self.jaw, *self.brows, self.bridge, self.nostrils]
        for eye in self.eyes:
            top = _at(eye.upper, _EYE_MARKS)
            bottom = _at(eye.lower, _EYE_MARKS)
            points += [eye.upper[:1], top, eye.upper[-1:], bottom[::-1]]
        m = self.mouth
        points += [m.top[:1], _at(m.top, (-0.64, -0.24, 0, 0.24, 0.64)), m.top[-1:]]
        points += [_at(m.bottom, (0.6, 0.26, 0, -0.26, -0.6))]
        points += [_at(m.inner_top, (-0.9, -0.32, 0, 0.32, 0.9)), _at(m.inner_bottom, (0.32, 0, -0.32))]
        return np.concatenate(points)


def _at(curve: np.ndarray, where: tuple[float, ...]) -> np.ndarray:
    """Points of a curve sampled at ``_SAMPLES``, (len(where), 2)."""
    return np.stack([np.interp(where, _SAMPLES, curve[:, axis]) for axis in (0, 1)], 1)


def vec(*values: float) -> np.ndarray:
    """A point, an offset or a colour."""
    return np.array(values)


@cache
def _catmull_rom(per_piece: int) -> np.ndarray:
    """Weights of four neighbouring points at each step between the middle two, (per_piece, 4)."""
    t = np.arange(per_piece) / per_piece
    powers = np.stack([np.ones_like(t), t, t**2, t**3], 1)
    return powers @ (np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2)


def spline(points: np.ndarray, per_piece: int = 6, closed: bool = False) -> np.ndarray:
    """Pass a smooth Catmull-Rom curve through ``points`` (N, 2)."""
    p = np.asarray(points, float)
    if closed:
        padded = np.concatenate([p[-1:], p, p[:2]])
    else:
        padded = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    pieces = np.stack([padded[:-3], padded[1:-2], padded[2:-1], padded[3:]], 1)
    curve = (_catmull_rom(per_piece) @ pieces).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-1:]])


def _jaw(who: Identity, drop: float) -> np.ndarray:
    half = _JAW.copy()
    low = np.clip((half[:, 1] - 0.3) / 1.27, 0, 1)  # 0 at the cheekbone, 1 at the chin
    half[:, 0] *= who.face_width * (1 + (who.jaw - 1) * 1.6 * np.sin(np.pi * low**0.8) * (half[:, 0] > 0))
    half[:, 1] = np.where(half[:, 1] > 0, half[:, 1] * who.face_length, half[:, 1]) + drop * low**1.5
    left = half * (-1, 1)
    return np.concatenate([left, half[-2::-1]])


def _brow(who: Identity, au: ActionUnits, side: int) -> np.ndarray:
    brow = _BROW.copy()
    brow[:, 0] *= who.face_width
    brow[:, 1] = brow[:, 1] * who.brow_height
    together = au.au4 * (1 - 0.9 * au.au1)  # in 1+4 the brows meet without going down
    brow[:, 1] -= 0.18 * au.au1 * np.array([1.0, 0.68, 0.25, 0.0, -0.08])
    brow[:, 1] += 0.075 * au.au1 * (1 - au.au2) * np.array([0.0, 0.0, 0.3, 0.8, 1.0])
    brow[:, 1] -= 0.16 * au.au2 * np.array([0.1, 0.4, 0.8, 1.0, 0.75])
    brow[:, 1] += 0.185 * together * np.array([1.0, 0.9, 0.6, 0.22, -0.06])
    brow[:, 0] -= 0.072 * au.au4 * np.array([1.0, 0.75, 0.4, 0.15, 0.0])
    brow[:, 1] += 0.075 * au.au9 * np.array([1.0, 0.85, 0.55, 0.3, 0.1])
    return brow if side > 0 else (brow * (-1, 1))[::-1]


def _eye(who: Identity, au: ActionUnits, side: int, gaze: tuple[float, float]) -> Eye:
    """Lids are arcs over the line between the corners; their heights follow the lid muscles."""
    middle, half = 0.435 * who.eye_gap * who.face_width, 0.225 * who.eye_size
    u = _SAMPLES * side  # -1 at the nose, 1 at the ear
    line = 0.022 - (0.028 + who.eye_slant) * (u + 1) / 2
    together = au.au4 * (1 - au.au1)
    rise = (
        0.108 * who.eye_size
        + 0.06 * au.au5
        - 0.03 * au.au7
        - 0.028 * au.au6
        - 0.022 * au.au9
        - 0.024 * together
    )
    fall = 0.078 * who.eye_size + 0.008 * au.au5 - 0.034 * au.au7 - 0.036 * au.au6 - 0.025 * au.au9
    droop = (0.05 * au.au1 * (1 - au.au2) + 0.012 * who.age) * np.clip(u + 0.2, 0, 1)
    top = np.maximum(1 - np.abs(u + 0.08 * (1 - u**2)) ** 2.3, 0) ** 0.86
    low = np.maximum(1 - np.abs(u - 0.12 * (1 - u**2)) ** 2.2, 0)
    lower = line + fall * low
    upper = line - max(rise, 0.02) * top + droop * (1 - u**2)
    upper = upper + (lower - upper) * min(1.0, au.au43) * 0.97
    upper = np.minimum(upper, lower - 1e-3)
    x = side * middle + half * _SAMPLES
    upper[[0, -1]] = lower[[0, -1]]
    iris = np.array([side * middle + 0.075 * gaze[0], -0.014 + 0.045 * gaze[1]])
    return Eye(
        side,
        np.stack([x, upper], 1),
        np.stack([x, lower], 1),
        iris,
        0.101 * who.eye_size**0.5,
        min(1.0, au.au43),
    )


def _mouth(who: Identity, au: ActionUnits, drop: float) -> Mouth:
    """Lips hang on one centre line, bent by the corners, and open above and below it."""
    rest = 0.665 * who.nose_length * who.face_length + 0.315 * who.face_length
    centre = rest + 0.012 * au.au15 - 0.03 * au.au17 - 0.02 * au.au9 - 0.02 * au.au10 + 0.015 * au.au12
    smile, dimple = np.array(au.halves("au12")), np.array(au.halves("au14"))
    raised = np.array(au.halves("au10"))
    width = 0.355 * who.mouth_width + 0.135 * smile + 0.04 * dimple + 0.12 * au.au20
    width = width - 0.045 * au.au23 - 0.1 * au.au26 * (1 - au.au20) * (1 - smile) - 0.02 * au.au17
    lift = 0.012 + 0.135 * smile + 0.025 * dimple - 0.155 * au.au15 - 0.03 * au.au20 - 0.12 * drop
    both = _SAMPLES > 0  # picks the half of the mouth that a sample lies on
    t = np.abs(_SAMPLES)
    x = _SAMPLES * np.where(both, width[1], width[0])
    line = centre - np.where(both, lift[1], lift[0]) * t**1.75

    tight = 1 - 0.62 * au.au23 - 0.16 * au.au20 - 0.12 * au.au17
    upper = 0.098 * who.lip_fullness * max(0.25, tight - 0.24 * smile.max() - 0.1 * au.au9)
    lower = 0.132 * who.lip_fullness * max(0.25, tight - 0.2 * smile.max())
    parted = au.au25
    up = parted * (0.016 + 0.034 * smile.max() + 0.03 * au.au26) + 0.055 * parted * au.au10
    down = parted * (0.026 + 0.07 * smile.max() + 0.03 * au.au20 + 0.055 * au.au16) + drop * 0.9
    boxy = 2.1 + 2.6 * max(au.au20, au.au10 * parted, au.au16)
    hole = np.maximum(1 - t**boxy, 0) ** 0.85
    sneer = (np.where(both, raised[1], raised[0]) * 0.06 + 0.035 * au.au9) * (1 - t**3)

    bow = np.interp(t, [0, 0.22, 0.45, 0.7, 0.9, 1], [0.84, 1.0, 0.86, 0.52, 0.19, 0])
    belly = np.interp(t, [0, 0.3, 0.6, 0.85, 1], [1.0, 0.96, 0.68, 0.27, 0])
    inner_top = line - up * hole - sneer * (0.5 + 0.5 * parted)
    inner_bottom = np.maximum(line + down * hole - sneer * 0.35 * (1 - parted), inner_top)
    top = inner_top - upper * bow - sneer * 0.25
    pout = 0.02 * au.au17 + 0.015 * au.au15
    bottom = inner_bottom + (lower + pout) * belly
    gap = float((inner_bottom - inner_top)[12])
    top, inner_top, inner_bottom, bottom = (
        np.stack([x, y], 1) for y in (top, inner_top, inner_bottom, bottom)
    )
    return Mouth(top, inner_top, inner_bottom, bottom, gap)


def build(who: Identity, au: ActionUnits, gaze: tuple[float, float] = (0.0, 0.0)) -> FaceShape:
    """Put a face together.

    Args:
        who: whose face.
        au: what its muscles do.
        gaze: where it looks, -1 to 1 to the right and down.
    """
    drop = 0.31 * au.au26
    nose = who.nose_length * who.face_length
    bridge = np.stack([np.zeros(4), np.array([-0.02, 0.155, 0.33, 0.5]) * nose], 1)
    smile = max(au.halves("au12"))
    wing = 0.205 * who.nose_width * (1 + 0.09 * smile + 0.06 * au.au9 + 0.05 * au.au10)
    lifted = 0.05 * au.au9 + 0.022 * au.au10 + 0.012 * smile
    nostrils = np.stack(
        [
            wing * np.array([-1, -0.5, 0, 0.5, 1]),
            nose * np.array([0.615, 0.65, 0.668, 0.65, 0.615]) - lifted * np.array([1, 0.7, 0.3, 0.7, 1]),
        ],
        1,
    )
    bridge[3, 1] -= 0.02 * au.au9
    return FaceShape(
        _jaw(who, drop * 0.85),
        (_brow(who, au, -1), _brow(who, au, 1)),
        bridge,
        nostrils,
        (_eye(who, au, -1, gaze), _eye(who, au, 1, gaze)),
        _mouth(who, au, drop),
    )
