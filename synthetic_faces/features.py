"""What is painted onto lit skin: eyes, brows, nose, mouth and the folds that expressions press into it."""

from collections.abc import Iterator

import cv2
import numpy as np

from synthetic_faces.action_units import ActionUnits
from synthetic_faces.canvas import Canvas, mix, ribbon, tangents, taper
from synthetic_faces.identity import Identity
from synthetic_faces.relief import Light, fold
from synthetic_faces.shape import Eye, FaceShape, spline, vec

_INK = np.array([26, 20, 24], np.float32)
_LIP = np.array([96, 78, 186], np.float32)
_ACROSS = np.linspace(0, 1, 25)


def _bgr(rgb: tuple[int, int, int]) -> np.ndarray:
    return np.array(rgb[::-1], np.float32)


def paint_eye(canvas: Canvas, eye: Eye, who: Identity, au: ActionUnits, light: Light) -> None:
    """Eyeball behind the lids, then lashes and the fold of the upper lid."""
    area = canvas.box(np.concatenate([eye.upper, eye.lower]), 0.1)
    if area is None:
        return
    tint = light.tint.astype(np.float32)
    hole = canvas.mask(np.concatenate([eye.upper, eye.lower[::-1]]), area)
    ball = np.empty_like(canvas.image[area])
    ball[:] = np.clip(np.array([196, 200, 210]) * tint, 0, 255)
    white = np.zeros(hole.shape, np.uint8)
    canvas.disc(white, eye.centre, 0.13, 255, area)
    white = canvas.soften(white, 0.05)
    mix(ball, white, np.array([236, 238, 242]) * tint)
    iris = _bgr(who.iris) * tint
    rings = ((1.0, iris * 0.35), (0.86, iris * 0.85), (0.66, iris * 1.3), (0.44, _INK * 0.5))
    for size, colour in rings:
        canvas.disc(ball, eye.iris, eye.radius * size, tuple(np.clip(colour, 0, 255).tolist()), area)
    lid = np.concatenate([eye.upper - (0, 0.08), (eye.upper + vec(0, 0.035))[::-1]])
    mix(ball, canvas.mask(lid, area, 0.022), _INK, 0.6)  # the shadow of lid and lashes
    glint = eye.iris + vec(0.035 if light.azimuth > 0 else -0.035, -0.04)
    canvas.disc(ball, glint, eye.radius * 0.24, (250, 250, 250), area)
    canvas.blend(area, hole, ball)

    outward = _ACROSS if eye.side > 0 else 1 - _ACROSS
    lash = 0.016 + (0.016 + 0.02 * who.lips) * outward
    canvas.fill(ribbon(eye.upper - (0, 0.006), lash), _INK, 0.9, 0.004)
    canvas.fill(ribbon(eye.lower + vec(0, 0.004), taper(25, 0.016, 0.3)), _INK, 0.42, 0.006)
    gap = 0.052 - 0.022 * au.au5 - 0.02 * au.au4 + 0.1 * eye.closed
    crease = eye.upper - np.stack([np.zeros(25), gap * (0.45 + 0.55 * np.sin(np.pi * _ACROSS))], 1)
    canvas.fill(ribbon(crease, taper(25, 0.026)), _INK + vec(4, 12, 40), 0.5, 0.009)


def paint_brow(canvas: Canvas, brow: np.ndarray, side: int, who: Identity, light: Light) -> None:
    """A soft body and hairs that fan out from the nose towards the temple."""
    spine = spline(brow if side > 0 else brow[::-1], 4)  # from the nose outwards
    count = len(spine)
    t = np.linspace(0, 1, count)
    thick = np.interp(t, [0, 0.12, 0.5, 1], [0.05, 0.088, 0.08, 0.018]) * who.brow_weight
    area = canvas.box(spine, 0.14)
    if area is None:
        return
    body = canvas.mask(ribbon(spine, thick), area, 0.014) // 2
    along = tangents(spine)
    up = np.stack([along[:, 1], -along[:, 0]], 1) * side
    lean = np.minimum(0.55 + 1.2 * t, 0.94)[:, None]
    grown = (up * (1 - lean) + along * lean) * (0.04 + 0.035 * t)[:, None]
    roots = [spine + up * (thick * lane)[:, None] for lane in (-0.42, -0.16, 0.1)]
    hairs = np.stack([np.stack([root, root + grown], 1)[:-1] for root in roots])
    canvas.lines(body, hairs.reshape(-1, 2, 2), 0.0145, 225, area)
    colour = (_bgr(who.hair) * 0.62 + _INK * 0.3) * light.tint
    canvas.blend(area, canvas.soften(body, 0.007), np.clip(colour, 0, 255), 0.92)


def paint_nose(canvas: Canvas, shape: FaceShape, who: Identity, au: ActionUnits) -> None:
    """Nostrils, wings, and the edge under the tip."""
    dark = _bgr(who.skin) * np.array([0.2, 0.22, 0.32])
    base = shape.nostrils
    flare = 1 + 0.15 * au.au9 + 0.12 * au.au10 + 0.1 * au.au5
    for side, wing, inner in ((-1, base[0], base[1]), (1, base[4], base[3])):
        middle = np.array([(0.35 * wing[0] + 0.65 * inner[0]), inner[1] - 0.012])
        angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        oval = np.stack([np.cos(angle) * 0.058 * flare, np.sin(angle) * 0.021 * flare], 1)
        oval[:, 1] -= oval[:, 0] * 0.22 * side * -1
        canvas.fill(middle + oval, dark, 0.85, 0.009)
        edge = wing + np.array([[-0.005, -0.12], [0.035, -0.06], [0.025, 0.0], [-0.035, 0.032]]) * (side, 1)
        edge = spline(edge, 5)
        canvas.fill(ribbon(edge, taper(len(edge), 0.034)), dark * 1.4, 0.5, 0.012)
    under = spline(base[1:4] + vec(0, 0.006), 5)
    canvas.fill(ribbon(under, taper(len(under), 0.022)), dark * 1.3, 0.35, 0.012)


def paint_mouth(canvas: Canvas, shape: FaceShape, who: Identity, au: ActionUnits, light: Light) -> None:
    """The hole with teeth and tongue, then the lips round it."""
    m = shape.mouth
    tint = light.tint
    if m.gap > 0.012:
        _paint_hole(canvas, shape, au, tint)
    skin = _bgr(who.skin)
    rouge = 0.34 + 0.36 * who.lips
    lip = (skin * (1 - rouge) + _LIP * rouge * (0.45 + 0.55 * skin[2] / 240)) * tint
    canvas.fill(np.concatenate([m.top, m.inner_top[::-1]]), np.clip(lip * 0.76, 0, 255), 0.8, 0.008)
    canvas.fill(np.concatenate([m.inner_bottom, m.bottom[::-1]]), np.clip(lip * 0.97, 0, 255), 0.8, 0.008)
    shine = (m.inner_bottom * 0.5 + m.bottom * 0.5)[6:19]
    full = float((m.bottom - m.inner_bottom)[12, 1])
    canvas.fill(ribbon(shine, taper(13, full * 0.42)), np.minimum(lip * 1.5 + 25, 255), 0.42, 0.02)
    if m.gap <= 0.03:
        seam = (m.inner_top + m.inner_bottom) / 2
        canvas.fill(ribbon(seam, taper(25, 0.03, 0.45)), lip * 0.25, 0.85, 0.006)
    edge = ribbon(m.bottom[3:22] + vec(0, 0.018), taper(19, 0.04))
    canvas.fill(edge, skin * 0.4, 0.3, 0.018)


def _paint_hole(canvas: Canvas, shape: FaceShape, au: ActionUnits, tint: np.ndarray) -> None:
    m = shape.mouth
    area = canvas.box(np.concatenate([m.inner_top, m.inner_bottom]), 0.03)
    if area is None:
        return
    hole = canvas.mask(np.concatenate([m.inner_top, m.inner_bottom[::-1]]), area)
    inside = np.empty_like(canvas.image[area])
    inside[:] = np.clip(np.array([30, 24, 62]) * tint, 0, 255)
    middle = m.inner_bottom[12]
    if m.gap > 0.13:
        angle = np.linspace(0, 2 * np.pi, 24)
        tongue = middle + np.stack([np.cos(angle) * 0.19, np.sin(angle) * 0.085], 1) + vec(0, 0.02)
        mix(inside, canvas.mask(tongue, area, 0.014), np.array([88, 78, 168]) * tint)
    ivory = np.clip(np.array([208, 226, 232]) * tint, 0, 250)
    half = float(m.inner_top[-1, 0] - m.inner_top[0, 0]) / 2
    t = np.linspace(-1, 1, 25)
    bite = 0.105 - 0.035 * au.au26
    arch = np.stack([m.inner_top[:, 0], m.inner_top[:, 1] - 0.01 + bite * (1 - 0.72 * t**2)], 1)
    upper = np.concatenate([m.inner_top - (0, 0.05), arch[::-1]])
    teeth = canvas.mask(upper, area, 0.007)
    mix(inside, teeth, ivory)
    bared = max(au.au16, 0.75 * au.au20)
    if bared > 0.2:
        rise = 0.075 * bared * (1 - t**2)
        arch = np.stack([m.inner_bottom[:, 0], m.inner_bottom[:, 1] - rise], 1)
        lower = canvas.mask(np.concatenate([arch, (m.inner_bottom + vec(0, 0.05))[::-1]]), area, 0.007)
        mix(inside, lower, ivory * 0.9)
        teeth = cv2.max(teeth, lower)
    gaps = np.zeros(hole.shape, np.uint8)
    lines = []
    for place in np.array([-0.62, -0.4, -0.2, 0.0, 0.2, 0.4, 0.62]) * min(1.0, 0.36 / half):
        x = m.inner_top[12, 0] + place * half
        lines.append(np.array([[x, m.inner_top[12, 1] - 0.12], [x, m.inner_bottom[12, 1] + 0.1]]))
    canvas.lines(gaps, np.stack(lines), 0.008, 255, area)
    between = cv2.min(canvas.soften(gaps, 0.004), teeth)
    mix(inside, between, np.array([70, 80, 110]) * tint, 0.35)
    rim = ribbon((m.inner_top + m.top) / 2, np.full(25, 0.09))
    mix(inside, canvas.mask(rim, area, 0.02), _INK, 0.55)  # lips shade what lies behind them
    corner = canvas.mask(np.concatenate([m.inner_top[6:19], m.inner_bottom[6:19][::-1]]), area, half * 0.16)
    mix(inside, cv2.bitwise_not(corner), _INK + vec(0, 0, 14), 0.62)
    canvas.blend(area, hole, inside)


def folds(shape: FaceShape, who: Identity, au: ActionUnits) -> Iterator[tuple[np.ndarray, float, float]]:
    """Yield every fold of the skin: points of its line (N, 2), width in units, and depth (up to 1; none below 0)."""
    age = who.age
    frown = au.au4 * (1 - 0.45 * au.au1) + 0.7 * au.au9
    for side, brow, eye in zip((-1, 1), shape.brows, shape.eyes, strict=True):
        s = np.array([side, 1.0])
        half = (side + 1) // 2
        smile, raised, dimple = (au.halves(n)[half] for n in ("au12", "au10", "au14"))
        inner = brow[4] if side < 0 else brow[0]
        start, end = fold(shape, side)
        bulge = (start + end) / 2 + s * (0.045 + 0.03 * smile, -0.03)
        depth = 0.06 + 0.32 * age + 0.34 * smile + 0.28 * au.au9 + 0.22 * raised + 0.1 * au.au20
        yield np.stack([start, bulge, end]), 0.045, depth
        corner = shape.mouth.top[-1 if side > 0 else 0]
        pit = corner + s * np.array([[0.03, -0.06], [0.06, -0.005], [0.03, 0.06]])
        yield pit, 0.035, 0.62 * dimple + 0.1 * smile + 0.2 * au.au23
        sag = corner + s * np.array([[0.01, 0.02], [0.035, 0.1], [0.03, 0.2]])
        yield sag, 0.035, 0.36 * au.au15 + 0.3 * age - 0.3 * smile
        furrow = np.stack(
            [inner + s * (-0.075, -0.06), inner + s * (-0.088, 0.03), inner + s * (-0.07, 0.12)]
        )
        yield furrow, 0.036, 0.85 * frown + 0.2 * age
        tail = eye.outer
        for rise, reach in ((-0.1, 0.17), (-0.01, 0.2), (0.08, 0.18)):
            ray = tail + s * np.array(
                [[0.05, 0.45 * rise], [0.12, 0.8 * rise + 0.01], [reach, 1.1 * rise + 0.03]]
            )
            yield ray, 0.02, (0.3 + 0.4 * age) * au.au6 + 0.42 * age - 0.1
        pouch = eye.lower[4:21:4] + np.array([[0, 0.055], [0, 0.073], [0, 0.08], [0, 0.073], [0, 0.055]])
        yield pouch, 0.028, 0.12 + 0.4 * au.au6 + 0.35 * au.au7 + 0.38 * age
        for low in (0.0, 0.085):
            scrunch = np.array([[0.03, 0.03], [0.075, 0.075], [0.12, 0.17]]) + vec(0, low)
            yield scrunch * s, 0.024, 0.8 * au.au9
    for y in (-0.085, -0.005):
        arch = np.array([[-0.085, y - 0.02], [0, y], [0.085, y - 0.02]])
        yield arch, 0.026, 0.75 * au.au9
    outer, mid = au.au2, au.au1
    lifted = 0.07 * max(outer, mid)
    for row, y in enumerate((-0.55, -0.68, -0.8)):
        reach = 0.22 + 0.36 * max(outer, 0.75 * age)
        x = np.linspace(-reach, reach, 9)
        dent = 0.05 * (mid - outer) * np.cos(np.pi * x / reach / 1.2)
        line = np.stack([x, y - lifted * 0.6 - dent + 0.012 * np.sin(9 * x + row)], 1)
        yield line, 0.028, 0.5 * max(outer, 0.85 * mid) + 0.34 * age - 0.06 * row - 0.08
    low = shape.mouth.bottom[12, 1] + 0.09
    x = np.linspace(-0.15, 0.15, 5)
    yield np.stack([x, low + 0.6 * x**2], 1), 0.045, 0.1 + 0.5 * au.au17 + 0.15 * au.au15


# How much of each colour (B, G, R) a fold of full depth leaves: skin glows red in its creases.
_FOLD_TABLE = (255 - np.arange(256)[None, :, None] * (0.66, 0.6, 0.46)).astype(np.uint8)


def press_folds(canvas: Canvas, shape: FaceShape, who: Identity, au: ActionUnits) -> None:
    """Darken the skin along its folds."""
    mask = np.zeros(canvas.image.shape[:2], np.uint8)
    pressed = [f for f in folds(shape, who, au) if f[2] > 0.05]
    for points, width, depth in sorted(pressed, key=lambda f: f[2]):  # the deepest on top
        line = spline(points, 5)
        outline = canvas.pixels(ribbon(line, taper(len(line), width)))
        cv2.fillPoly(mask, [outline], round(255 * min(depth, 1.0)), cv2.LINE_AA, 5)
    area = canvas.box(np.array([[-1.0, -1.0], [1.0, shape.jaw[8, 1]]]))
    if area is None:
        return
    mask = canvas.soften(mask[area], 0.013)
    part = canvas.image[area]
    cv2.multiply(part, cv2.LUT(cv2.merge([mask] * 3), _FOLD_TABLE), part, 1 / 255)
