"""What frames a face: hair, beard, ears and glasses."""

import cv2
import numpy as np

from synthetic_faces.canvas import Canvas, ribbon, taper
from synthetic_faces.identity import Identity
from synthetic_faces.relief import Light
from synthetic_faces.shape import FaceShape, spline, vec

# Every style is a strip on each half of the head between an outer and an inner border, from the
# parting down. x is for the right half; the left one is its mirror image.
_CAP = [(0, -1.76), (0.42, -1.7), (0.8, -1.48), (1.05, -1.05), (1.1, -0.6), (1.05, -0.15), (1.0, 0.14)]
_SHORT = [(0, -1.03), (0.32, -1.0), (0.62, -0.9), (0.82, -0.72), (0.9, -0.45), (0.94, -0.15), (0.965, 0.14)]
_STYLES: dict[str, tuple[list, list]] = {
    "crop": (_CAP, _SHORT),
    "side": (_CAP, _SHORT),
    "buzz": (
        [(0, -1.66), (0.4, -1.6), (0.76, -1.38), (0.98, -1.0), (1.03, -0.6), (1.02, -0.15), (0.99, 0.1)],
        [(0, -1.06), (0.34, -1.04), (0.66, -0.93), (0.84, -0.72), (0.91, -0.45), (0.95, -0.15), (0.97, 0.1)],
    ),
    "receding": (
        [(0, -1.68), (0.42, -1.61), (0.8, -1.4), (1.02, -1.0), (1.07, -0.6), (1.05, -0.15), (1.0, 0.1)],
        [(0, -1.28), (0.3, -1.38), (0.55, -1.3), (0.78, -0.98), (0.89, -0.5), (0.94, -0.15), (0.965, 0.1)],
    ),
    "fringe": (
        [(0, -1.8), (0.45, -1.73), (0.86, -1.48), (1.13, -1.0), (1.18, -0.4), (1.16, 0.3), (1.06, 0.85)],
        [(0, -0.5), (0.35, -0.5), (0.66, -0.44), (0.84, -0.34), (0.9, -0.1), (0.93, 0.3), (0.93, 0.82)],
    ),
    "bob": (
        [(0, -1.8), (0.45, -1.73), (0.88, -1.48), (1.16, -1.0), (1.25, -0.3), (1.27, 0.5), (1.12, 1.12)],
        [(0, -1.1), (0.38, -1.0), (0.68, -0.78), (0.86, -0.46), (0.92, -0.05), (0.93, 0.5), (0.82, 1.1)],
    ),
    "long": (
        [(0, -1.8), (0.45, -1.74), (0.9, -1.48), (1.2, -0.95), (1.3, -0.1), (1.36, 1.1), (1.2, 2.55)],
        [(0, -1.1), (0.36, -1.0), (0.66, -0.8), (0.86, -0.46), (0.93, 0.0), (0.86, 1.1), (0.8, 2.55)],
    ),
    "bun": (
        [(0, -1.72), (0.42, -1.66), (0.8, -1.43), (1.02, -1.0), (1.06, -0.6), (1.03, -0.2), (0.99, 0.08)],
        [
            (0, -1.05),
            (0.34, -1.01),
            (0.66, -0.88),
            (0.85, -0.66),
            (0.92, -0.42),
            (0.95, -0.18),
            (0.965, 0.08),
        ],
    ),
    "afro": (
        [(0, -2.0), (0.55, -1.93), (1.05, -1.62), (1.36, -1.1), (1.42, -0.5), (1.3, 0.05), (1.05, 0.32)],
        [(0, -0.98), (0.34, -0.96), (0.64, -0.84), (0.83, -0.64), (0.9, -0.38), (0.94, -0.1), (0.96, 0.25)],
    ),
}
_COMBED_BACK = ("crop", "bun", "receding", "buzz")  # strands run from the hairline, not along the head
_BUN = np.array([0.0, -1.92])  # centre of the knot
_PARTING = {"side": -0.42, "bob": 0.16, "long": -0.12}


def skull(shape: FaceShape) -> np.ndarray:
    """Outline of the bare head, (N, 2): the jaw and the vault above it."""
    w = shape.jaw[16, 0]
    vault = np.array([[1.02, -0.35], [1.0, -0.75], [0.86, -1.17], [0.52, -1.5], [0, -1.62]]) * (w, 1)
    left = vault[-2::-1] * (-1, 1)
    return spline(np.concatenate([shape.jaw, vault, left]), 5, closed=True)


def _strip(who: Identity, side: int) -> tuple[np.ndarray, np.ndarray]:
    outer, inner = (np.array(border, float) for border in _STYLES[who.hairstyle])
    part = _PARTING.get(who.hairstyle, 0.0) * side  # in the coordinates of this half
    fade = np.array([1, 0.75, 0.45, 0.2, 0.05, 0, 0])
    inner[:, 0] += part * fade
    outer[:, 0] += 0.6 * part * fade
    if part < 0:  # the heavier half sweeps over the forehead
        inner[:, 1] += 0.16 * np.array([0, 0.7, 1, 0.8, 0.3, 0, 0])
    scale = np.array([side * who.face_width, 1.0])
    return spline(outer * scale, 5), spline(inner * scale, 5)


def paint_hair(canvas: Canvas, who: Identity, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Paint hair onto ``canvas`` and return where it is, uint8 (H, W)."""
    mask = np.zeros((canvas.height, canvas.width), np.uint8)
    base = np.array(who.hair[::-1], np.float32) * light.tint
    canvas.image[:] = np.clip(base * 0.8, 0, 255)
    if who.hairstyle == "bald":
        return mask
    area = _all(canvas)
    strips = [_strip(who, side) for side in (-1, 1)]
    for outer, inner in strips:
        cv2.fillPoly(mask, [canvas.pixels(np.concatenate([outer, inner[::-1]]))], 255, cv2.LINE_AA, 5)
    if who.hairstyle == "bun":
        canvas.disc(mask, _BUN, 0.36, 255, area)
    if who.hairstyle == "afro":
        _curl(canvas, mask, strips, base, rng)
        return canvas.soften(mask, 0.012)
    thin = 0.016 if who.hairstyle != "buzz" else 0.012
    strands = np.concatenate([_strands(*strip, who.hairstyle, 170, rng) for strip in strips])
    wisps = np.concatenate([_strands(*strip, who.hairstyle, 16, rng, wisps=True) for strip in strips])
    for k, tone in enumerate((0.6, 0.88, 1.16, 0.74, 1.34, 1.0)):
        colour = tuple(np.clip(base * tone + 6 * tone, 0, 255).tolist())
        canvas.lines(canvas.image, strands[k::6], thin, colour, area)
    if who.hairstyle == "bun":
        _wind(canvas, base, thin, rng)
    if who.hairstyle not in ("buzz", "receding"):
        canvas.lines(mask, wisps, 0.014, 255, area)
    canvas.image[:] = cv2.GaussianBlur(canvas.image, (0, 0), max(0.5, 0.009 * canvas.scale))
    _sheen(canvas, base)
    mask = canvas.soften(mask, 0.012 if who.hairstyle != "buzz" else 0.05)
    return cv2.convertScaleAbs(mask, alpha=0.82) if who.hairstyle == "buzz" else mask


def _strands(
    outer: np.ndarray,
    inner: np.ndarray,
    style: str,
    count: int,
    rng: np.random.Generator,
    wisps: bool = False,
) -> np.ndarray:
    """Single hairs (count, points, 2): along the head, back from the hairline, or down over the forehead.

    ``wisps`` are those that leave the mass of hair over the face.
    """
    n = len(outer)
    wave = rng.uniform(-0.02, 0.02, (count, 1))
    if style == "fringe":
        end = rng.integers(0, round(0.62 * n) if wisps else n, count)
        t = np.linspace(0.7 if wisps else 0.0, 1.02, 8)[None, :, None]
        crown, tip = outer[end // 2][:, None], inner[end][:, None]
        tip = tip + rng.normal(0, (0.02, 0.014), (count, 1, 2))
        bulge = (0.12 * (crown + tip) * (1, 0) - (0, 0.05)) * np.sin(np.pi * t)
        return crown * (1 - t) + tip * t + bulge
    if style in _COMBED_BACK:
        start = rng.integers(0, n, count)
        end = np.clip(start + rng.integers(-3, 4, count), 0, n - 1)
        t = np.linspace(-0.05 if wisps else -0.02, 1.0, 7)[None, :, None]
        sway = np.stack([2 * wave * np.sin(np.pi * t[..., 0]), np.zeros((count, 7))], 2)
        return inner[start][:, None] * (1 - t) + outer[end][:, None] * t + sway
    r = rng.uniform(*((-0.05, 0.0) if wisps else (-0.02, 1.0)), (count, 1, 1))
    path = inner * (1 - r) + outer * r
    path[..., 0] += wave * np.sin(np.linspace(0, 6, n))
    if not wisps:
        return path
    first = rng.integers(0, n - 8, count)
    return path[np.arange(count)[:, None], first[:, None] + np.arange(8)]


def _wind(canvas: Canvas, base: np.ndarray, thin: float, rng: np.random.Generator) -> None:
    """Paint the knot of a bun: strands that wind round a ball, lighter on top."""
    turn = np.linspace(0, 1, 10)
    for radius in rng.permutation(np.linspace(0.03, 0.37, 26)):
        angle = rng.uniform(0, 2 * np.pi) + turn * 2.4
        path = _BUN + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
        tone = rng.uniform(0.7, 1.25) * (1.1 - 0.9 * (path[5, 1] - _BUN[1]))
        canvas.lines(
            canvas.image,
            path[None],
            2.2 * thin,
            tuple(np.clip((base + 7) * tone, 0, 255).tolist()),
            _all(canvas),
        )


def _all(canvas: Canvas) -> tuple[slice, slice]:
    return slice(0, canvas.height), slice(0, canvas.width)


def _sheen(canvas: Canvas, base: np.ndarray) -> None:
    """Brighten a band over the head and darken the ends."""
    y = canvas.origin[1] + (np.arange(canvas.height) + 0.5) / canvas.scale
    x = canvas.origin[0] + (np.arange(canvas.width) + 0.5) / canvas.scale
    band = np.exp(-0.5 * ((np.hypot(x[None] / 1.05, (y[:, None] + 0.2) / 1.25) - 1.0) / 0.12) ** 2)
    band = (band * np.clip(-0.2 - y, 0, 1)[:, None] * (28 + 0.08 * base.mean())).astype(np.uint8)
    cv2.add(canvas.image, cv2.merge([band] * 3), canvas.image)


def _curl(canvas: Canvas, mask: np.ndarray, strips: list, base: np.ndarray, rng: np.random.Generator) -> None:
    area = _all(canvas)
    for outer, inner in strips:
        for point in np.concatenate([outer, outer[1:] * 0.5 + outer[:-1] * 0.5]):
            canvas.disc(mask, point + rng.normal(0, 0.02, 2), rng.uniform(0.08, 0.13), 255, area)
        for point in inner[::2]:
            canvas.disc(mask, point, rng.uniform(0.03, 0.05), 255, area)
        count = 420
        i, r = rng.integers(0, len(outer), count), rng.uniform(-0.05, 1.08, (count, 1))
        centres = canvas.pixels(inner[i] * (1 - r) + outer[i] * r + rng.normal(0, 0.04, (count, 2)))
        radii = rng.uniform(0.025, 0.05, count) * canvas.scale * 32
        turns = rng.uniform(0, 360, count)
        tones = rng.choice((0.62, 0.78, 0.92, 1.08, 1.25), (count, 1))
        colours = np.clip((base + 5) * tones, 0, 255)
        thickness = max(1, round(0.02 * canvas.scale))
        for at, radius, turn, colour in zip(centres.tolist(), radii, turns, colours.tolist(), strict=True):
            axes = (round(radius), round(radius * 0.7))
            cv2.ellipse(canvas.image, at, axes, turn, 0, 230, colour, thickness, cv2.LINE_AA, 5)
    canvas.image[:] = cv2.GaussianBlur(canvas.image, (0, 0), max(0.5, 0.011 * canvas.scale))
    _sheen(canvas, base)


def paint_ears(canvas: Canvas, shape: FaceShape, who: Identity, light: Light) -> list[np.ndarray]:
    """Paint both ears and return their outlines."""
    skin = np.array(who.skin[::-1], np.float32) * light.tint
    outlines = []
    for side in (-1, 1):
        at = np.array([side * (shape.jaw[16, 0] - 0.02), 0.0])
        rim = np.array(
            [[0, -0.12], [0.08, -0.17], [0.135, -0.1], [0.12, 0.08], [0.09, 0.3], [0.04, 0.42], [0, 0.38]]
        )
        outline = spline(at + rim * (side, 1), 5)
        outlines.append(outline)
        canvas.fill(outline, np.clip(skin * (0.74, 0.75, 0.82), 0, 255))
        hollow = spline(at + rim[1:6] * (0.62 * side, 0.75) + vec(0, 0.03), 5)
        canvas.fill(ribbon(hollow, taper(len(hollow), 0.06)), skin * (0.4, 0.42, 0.55), 0.7, 0.02)
    return outlines


def beard_mask(
    canvas: Canvas, shape: FaceShape, who: Identity
) -> tuple[tuple[slice, slice], np.ndarray] | None:
    """Where a beard grows: an area of the canvas and its coverage of it, uint8; None for a shaven chin.

    It moves with jaw and lips.
    """
    area = canvas.box(shape.jaw[2:15] * (1.1, 1.05) + vec(0, 0.1), 0.1)
    if who.beard == "none" or area is None:
        return None
    rows, columns = area
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)

    def draw(points: np.ndarray, value: int) -> None:
        cv2.fillPoly(mask, [canvas.pixels(points, (columns.start, rows.start))], value, cv2.LINE_AA, 5)

    mouth, lip = shape.mouth, shape.nostrils[2, 1] + 0.07  # where the moustache begins under the nose
    left, right = mouth.top[0], mouth.top[-1]
    if who.beard == "moustache":
        top = [
            left + vec(-0.05, 0.02),
            (-0.17, lip + 0.01),
            (0, lip),
            (0.17, lip + 0.01),
            right + vec(0.05, 0.02),
        ]
        draw(np.concatenate([spline(np.array(top), 5), mouth.top[::-1] - vec(0, 0.01)]), 255)
    else:
        full = who.beard == "full"
        rim = shape.jaw[1:16] * (1.04 if full else 1.0, 1.0)
        rim[:, 1] += (0.13 if full else 0.02) * np.sin(np.linspace(0, np.pi, 15)) ** 2
        top = [(0.9, 0.62), (0.74, 0.83), right + vec(0.1, -0.06), (0.24, lip + 0.02), (0, lip - 0.01)]
        top += [(-0.24, lip + 0.02), left + vec(-0.1, -0.06), (-0.74, 0.83), (-0.9, 0.62)]
        draw(np.concatenate([spline(rim, 3), spline(np.array(top), 3)]), 255)
        if full:  # thinner beside the tuft under the lower lip
            for under in (mouth.bottom[4:10], mouth.bottom[15:21]):
                draw(np.concatenate([under + vec(0, 0.02), under[::-1] + vec(0, 0.09)]), 60)
    lips = np.concatenate([mouth.top, mouth.bottom[::-1]])
    draw(lips, 0)
    mask = canvas.soften(mask, 0.05 if who.beard == "stubble" else 0.03)
    draw(lips, 0)
    return area, mask


def paint_glasses(canvas: Canvas, shape: FaceShape, mask: np.ndarray) -> None:
    """Thin dark frames, over everything else; ``mask`` (H, W) grows by where they are."""
    colour = (52, 44, 52)
    thick = max(1, round(0.026 * canvas.scale))
    angle = np.linspace(0, 2 * np.pi, 40)
    strokes = []
    for eye in shape.eyes:
        # A superellipse: a rounded rectangle.
        c, s = np.cos(angle), np.sin(angle)
        lens = np.stack([np.sign(c) * np.abs(c) ** 0.62 * 0.315, np.sign(s) * np.abs(s) ** 0.62 * 0.235], 1)
        strokes.append(lens + eye.centre + vec(0, 0.035))
        ear = np.array([eye.side * (shape.jaw[16, 0] + 0.02), -0.06])
        strokes.append(np.stack([eye.centre + vec(eye.side * 0.315, -0.03), ear]))
    inner = shape.eyes[1].centre[0] - 0.315
    strokes.append(spline(np.array([[-inner, 0.0], [0, -0.035], [inner, 0.0]]), 5))
    points = [canvas.pixels(s) for s in strokes]
    cv2.polylines(canvas.image, points, False, colour, thick, cv2.LINE_AA, 5)
    cv2.polylines(mask, points, False, 255, thick, cv2.LINE_AA, 5)
