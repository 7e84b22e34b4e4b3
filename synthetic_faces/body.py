"""Neck and shoulders."""

import numpy as np

from synthetic_faces.action_units import ActionUnits
from synthetic_faces.canvas import Canvas, ribbon, taper
from synthetic_faces.identity import Identity
from synthetic_faces.relief import Light
from synthetic_faces.shape import build, spline, vec


def _paint_neck(canvas: Canvas, on: Canvas, area: tuple, chin: float, skin: np.ndarray, lit: int) -> None:
    """Paint the skin under the chin as large as ``area`` of the canvas ``on``."""
    rows, columns = area
    canvas.image = np.empty_like(on.image[area])
    canvas.height, canvas.width = canvas.image.shape[:2]
    canvas.origin = on.origin + np.array([columns.start, rows.start]) / on.scale
    canvas.image[:] = np.clip(skin * (0.8, 0.83, 0.9), 0, 255)
    edge = np.array([[-0.34, 0.7], [-0.7, 0.7], [-0.9, chin + 0.7], [-0.4, chin + 0.7]]) * (lit, 1)
    canvas.fill(edge, skin * (0.36, 0.4, 0.52), 0.6, 0.09)
    canvas.fill(edge * (-1.18, 1), skin * (0.36, 0.4, 0.52), 0.3, 0.07)
    under = np.array([[-0.9, 0.5], [0.9, 0.5], [0.62, chin + 0.22], [0, chin + 0.36], [-0.62, chin + 0.22]])
    canvas.fill(under, skin * (0.36, 0.4, 0.52), 0.55, 0.08)
    for side in (-1, 1):
        tendon = np.array([[0.46, chin + 0.1], [0.3, chin + 0.5], [0.09, chin + 0.8]]) * (side, 1)
        canvas.fill(ribbon(spline(tendon, 6), taper(13, 0.07)), skin * 0.5, 0.3, 0.03)


def paint_body(canvas: Canvas, who: Identity, light: Light) -> None:
    """Paint neck, shoulders and, for long hair, what hangs behind them."""
    tint = light.tint
    skin = np.array(who.skin[::-1], np.float32) * tint
    chin = build(who, ActionUnits()).jaw[8, 1]
    if who.hairstyle in ("long", "bob", "fringe"):
        low = {"long": 2.2, "bob": 0.98, "fringe": 0.72}[who.hairstyle]
        wide = {"long": 1.0, "bob": 1.1, "fringe": 1.02}[who.hairstyle]
        back = np.array([[-1.1, -0.8], [1.1, -0.8], [wide, low], [-wide, low]])
        canvas.fill(back, np.array(who.hair[::-1]) * 0.5 * tint, 1.0, 0.03)
    side = [(-0.56, 0.8), (-0.54, chin + 0.3), (-0.66, chin + 0.62), (-1.2, chin + 0.86), (-1.5, chin + 1.5)]
    neck = spline(np.array(side), 5)
    outline = np.concatenate([neck, (neck * (-1, 1))[::-1]])
    area = canvas.box(outline)
    if area is not None:
        inside = canvas.mask(outline, area)
        painted = Canvas((0, 0, 0, 0), canvas.scale)
        _paint_neck(painted, canvas, area, chin, skin, -1 if light.azimuth < 0 else 1)
        canvas.blend(area, inside, painted.image)
    lit = -1 if light.azimuth < 0 else 1
    cloth = np.array(who.clothes[::-1], np.float32) * tint
    half = np.array([[0.0, chin + 0.84], [0.4, chin + 0.76], [0.76, chin + 0.56], [1.35, chin + 0.74]])
    half = np.concatenate([half, [[2.05, chin + 1.0], [2.5, chin + 1.5], [2.7, chin + 3.0]]])
    right = np.concatenate([spline(half, 6), [[2.7, chin + 6.0]]])  # down to the edge of any image
    outline = np.concatenate([right, (right * (-1, 1))[::-1]])
    canvas.fill(outline, np.clip(cloth, 0, 255))
    shade = np.concatenate([right[18:], [[1.9, chin + 6.0], [1.5, chin + 1.6]]]) * (-lit, 1)
    canvas.fill(shade, cloth * 0.6, 0.55, 0.3)
    sheen = np.array([[0.9, chin + 0.85], [1.8, chin + 1.15], [1.9, chin + 1.6], [1.0, chin + 1.3]])
    canvas.fill(sheen * (lit, 1), np.minimum(cloth * 1.25 + 12, 255), 0.5, 0.22)
    collar = np.concatenate([(right[:13] * (-1, 1))[::-1], right[:13]])
    canvas.fill(
        ribbon(collar + vec(0, 0.045), taper(len(collar), 0.1)), np.clip(cloth * 0.72, 0, 255), 0.9, 0.006
    )
    canvas.fill(ribbon(collar - (0, 0.02), taper(len(collar), 0.045)), skin * 0.4, 0.5, 0.02)
