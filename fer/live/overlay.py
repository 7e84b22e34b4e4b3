"""What the demos draw into a BGR uint8 image: faces with box, label, bars and recent emotions; the program's state."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fer.labels import COLOURS, EMOTIONS
from fer.live import paint
from fer.live.analysis import TrackedFace
from fer.live.sources import Rectangle
from fer.predictor import FaceEmotion

NOTICE = "Estimates a visible expression, not what a person feels."
DIM = (190, 194, 200)
RED = (235, 64, 52)


@dataclass(frozen=True)
class Status:
    """What is shown of the program itself; an empty or None value is not drawn."""

    fps: float | None = None
    detect_ms: float | None = None
    classify_ms: float | None = None
    recording_s: float | None = None
    paused: bool = False
    message: str = ""
    keys: Sequence[tuple[str, str]] = ()


def unit(image: np.ndarray) -> float:
    """Length, in pixels, that all sizes are multiples of: 1 for a picture 540 high."""
    return max(0.6, min(image.shape[0] / 540, image.shape[1] / 720))


def draw(image: np.ndarray, faces: Sequence[TrackedFace], status: Status, bars: bool = True) -> None:
    """Draw everything into ``image`` (H, W, 3)."""
    draw_faces(image, faces, bars)
    draw_status(image, status)


def draw_faces(image: np.ndarray, faces: Sequence[TrackedFace | FaceEmotion], bars: bool = True) -> None:
    """Draw box, label, bars and recent emotions into ``image``; bars where they cover no face, labels over all.

    The faces of a photo have no recent emotions.
    """
    u = unit(image)
    tracked = [face if isinstance(face, TrackedFace) else TrackedFace(face) for face in faces]
    plain = [shown.face for shown in tracked]
    for shown in tracked:
        _box(image, shown, u)
        _recent(image, shown, u)
    labels = [_label_place(image, face, u) for face in plain]
    taken = [face.box for face in plain] + labels
    for face in plain if bars else ():
        place = _bars_place(image, face, taken, u)
        if place is not None:
            _bars(image, face, place, u)
            taken.append(place)
    for face, place in zip(plain, labels, strict=True):
        _label(image, face, place, u)


def draw_status(image: np.ndarray, status: Status) -> None:
    """Draw rates, the recording mark, a message and the table of keys."""
    u = unit(image)
    size, margin = round(13 * u), round(12 * u)
    height, width = image.shape[:2]
    numbers = status.fps, status.detect_ms, status.classify_ms
    texts = "{:.0f} fps", "detect {:.0f} ms", "classify {:.0f} ms"
    parts = [text.format(n) for text, n in zip(texts, numbers, strict=True) if n is not None]
    while parts and paint.text_width("   ".join(parts), size) + round(1.4 * size) > width - 2 * margin:
        parts.pop()
    if parts:
        _pill(image, "   ".join(parts), margin, margin + size, size)
    if status.recording_s is not None:
        text = f"REC {int(status.recording_s) // 60}:{int(status.recording_s) % 60:02d}"
        right = width - margin - paint.text_width(text, size) - round(2.6 * size)
        _pill(image, text, right, margin + size, size, before=round(1.1 * size))
        centre = (right + round(1.1 * size), margin + size)
        cv2.circle(image, centre, round(0.42 * size), paint.bgr(RED), -1, cv2.LINE_AA)
    if status.paused:
        _centred(image, "paused", height // 2, round(22 * u))
    if status.message:
        _centred(image, status.message, height - margin - round(1.2 * size), round(14 * u))
    if status.keys:
        _keys(image, status.keys, u)


def compose(
    image: np.ndarray,
    faces: Sequence[TrackedFace],
    size: tuple[int, int],
    mirror: bool = False,
    hidden: np.ndarray | None = None,
) -> tuple[np.ndarray, list[TrackedFace]]:
    """Copy ``image`` (H, W, 3) to ``size`` (width, height), and the faces' boxes with it.

    ``hidden`` are boxes (K, 4) to ``hide``; None hides nothing.
    """
    scale = size[0] / image.shape[1], size[1] / image.shape[0]
    way = cv2.INTER_AREA if scale[0] < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(image, size, interpolation=way)  # of the same size a copy
    if hidden is not None:
        hide(picture, hidden * (scale * 2))
    if mirror:
        picture = cv2.flip(picture, 1)
    moved = []
    for face in faces:
        box = np.rint(np.multiply(face.face.box, scale * 2))
        if mirror:
            box[0] = size[0] - box[0] - box[2]
        moved.append(face.at(box))
    return picture, moved


def hide(image: np.ndarray, boxes: np.ndarray) -> None:
    """Make the faces in ``boxes`` (K, 4) unrecognisable; without any, as one may be missed, the whole picture."""
    if not len(boxes):
        _pixelate(image, cells=24)
    for x, y, w, h in boxes:
        x0, y0 = max(0, int(x - 0.25 * w)), max(0, int(y - 0.35 * h))
        part = image[y0 : max(0, int(y + 1.25 * h)), x0 : max(0, int(x + 1.25 * w))]
        if part.size:
            _pixelate(part, cells=9)


def _pixelate(part: np.ndarray, cells: int) -> None:
    few = (cells, max(1, round(cells * part.shape[0] / part.shape[1])))
    tiny = cv2.resize(part, few, interpolation=cv2.INTER_AREA)  # what is lost here no sharpening brings back
    part[:] = cv2.resize(tiny, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _within(start: float, length: int, room: int) -> int:
    """Return where something that should begin at ``start`` begins so that it lies inside the picture."""
    return int(np.clip(start, 2, max(2, room - length - 2)))


def _box(image: np.ndarray, shown: TrackedFace, u: float) -> None:
    box = shown.face.box
    colour, thickness = (COLOURS[shown.face.emotion], 2.4) if shown.detected else (DIM, 1.2)
    paint.outline(image, *box, round(0.08 * box[2]), max(1, round(thickness * u)), colour)


def _label_text(face: FaceEmotion, u: float) -> tuple[str, int]:
    return f"{face.emotion}  {face.confidence:.0%}", round(float(np.clip(0.13 * face.box[2], 12 * u, 18 * u)))


def _label_place(image: np.ndarray, face: FaceEmotion, u: float) -> Rectangle:
    """Where the name goes: above the box, or inside its upper edge where there is no room."""
    x, y, w, _ = face.box
    text, size = _label_text(face, u)
    width, height = paint.text_width(text, size) + round(1.1 * size), round(1.7 * size)
    top = y - height - round(6 * u)
    if top < 2:
        top = max(2, y + round(6 * u))
    return _within(x + (w - width) / 2, width, image.shape[1]), top, width, height


def _label(image: np.ndarray, face: FaceEmotion, place: Rectangle, u: float) -> None:
    text, size = _label_text(face, u)
    left, top, width, height = place
    colour, rim = COLOURS[face.emotion], max(1, round(u))
    paint.panel(image, left - rim, top - rim, width + 2 * rim, height + 2 * rim, height // 2, opacity=0.8)
    paint.panel(image, left, top, width, height, height // 2, colour)
    paint.write(image, text, left + round(0.55 * size), top + height // 2, size, paint.ink_on(colour))


def _bars_place(image: np.ndarray, face: FaceEmotion, taken: list[Rectangle], u: float) -> Rectangle | None:
    """Where bars beside the face, or under it, cover nothing that is taken; None if nowhere."""
    rows, columns = image.shape[:2]
    width, height, gap = round(176 * u), round((8 * 18 + 14) * u), round(10 * u)
    x, y, w, h = face.box
    top, middle = _within(y, height, rows), _within(x + (w - width) / 2, width, columns)
    for left, up in ((x + w + gap, top), (x - gap - width, top), (middle, y + h + round(22 * u))):
        place = left, up, width, height
        inside = 0 <= left <= columns - width and 0 <= up <= rows - height
        if inside and not any(_touch(place, other) for other in taken):
            return place
    return None


def _touch(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _bars(image: np.ndarray, face: FaceEmotion, place: Rectangle, u: float) -> None:
    """Draw the eight probabilities with their names."""
    left, top, width, height = place
    paint.panel(image, left, top, width, height, round(9 * u), opacity=0.78)
    size, line, full = round(12.5 * u), 18 * u, round(58 * u)
    start = left + round(78 * u)
    for row, (name, probability) in enumerate(zip(EMOTIONS, face.probabilities, strict=True)):
        middle = round(top + 7 * u + (row + 0.5) * line)
        ink = paint.PAPER if name == face.emotion else DIM
        paint.write(image, name, left + round(9 * u), middle, size, ink)
        length, thick = round(full * float(probability)), max(2, round(8 * u))
        paint.panel(image, start, middle - thick // 2, full, thick, thick // 2, paint.PAPER, 0.16)
        if length > 1:
            bar = (start, middle - thick // 2, length, thick)
            cv2.rectangle(image, bar, paint.bgr(COLOURS[name]), -1)
        text = f"{probability:.0%}"
        right = left + width - round(9 * u) - paint.text_width(text, size)
        paint.write(image, text, right, middle, size, ink)


def _recent(image: np.ndarray, shown: TrackedFace, u: float) -> None:
    """Draw the last half minute under the box: colour is the emotion, height its probability, right is now."""
    x, y, w, h = shown.face.box
    if not shown.recent or w < 1:
        return
    tall, top = max(4, round(10 * u)), y + h + round(6 * u)
    paint.panel(image, x, top, w, tall, round(3 * u), opacity=0.6)
    # A picture of one pixel for each step and line, stretched to the width of the box.
    heights = np.array([entry[1] if entry else 0.0 for entry in shown.recent])
    colours = np.array(
        [paint.bgr(COLOURS[entry[0]]) if entry else (0, 0, 0) for entry in shown.recent], np.uint8
    )
    lines = np.arange(tall, 0, -1)[:, None] <= np.maximum(np.rint(tall * heights), heights > 0)
    column = np.broadcast_to(colours, (tall, *colours.shape))
    strip = cv2.resize(column, (w, tall), interpolation=cv2.INTER_NEAREST)
    filled = cv2.resize(lines.astype(np.uint8), (w, tall), interpolation=cv2.INTER_NEAREST).astype(bool)
    left, up = max(x, 0), max(top, 0)
    part = image[up : max(top + tall, 0), left : max(x + w, 0)]
    cut = np.s_[up - top : up - top + part.shape[0], left - x : left - x + part.shape[1]]
    np.copyto(part, strip[cut], where=filled[cut][..., None])


def _pill(image: np.ndarray, text: str, x: int, middle: int, size: int, before: int = 0) -> None:
    width, height = paint.text_width(text, size) + round(1.4 * size) + before, round(1.9 * size)
    paint.panel(image, x, middle - height // 2, width, height, height // 2, opacity=0.66)
    paint.write(image, text, x + round(0.7 * size) + before, middle, size)


def _centred(image: np.ndarray, text: str, middle: int, size: int) -> None:
    """Write in as many lines as there is need for; the last on ``middle``."""
    lines = textwrap.wrap(text, max(8, int((image.shape[1] - 2 * size) / (0.55 * size))))
    for number, line in enumerate(reversed(lines)):
        left = (image.shape[1] - paint.text_width(line, size) - round(1.4 * size)) // 2
        _pill(image, line, left, middle - round(1.9 * size) * number, size)


def _keys(image: np.ndarray, keys: Sequence[tuple[str, str]], u: float) -> None:
    """Draw the table of keys in the middle of the picture."""
    size, line = round(15 * u), round(24 * u)
    first = max(paint.text_width(key, size) for key, _ in keys)
    width = first + max(paint.text_width(text, size) for _, text in keys) + round(5 * size)
    height = line * len(keys) + 2 * size
    left, top = (image.shape[1] - width) // 2, (image.shape[0] - height) // 2
    paint.panel(image, left, top, width, height, round(12 * u), opacity=0.85)
    for row, (key, text) in enumerate(keys):
        middle = top + size + round((row + 0.5) * line)
        paint.write(image, key, left + round(1.5 * size), middle, size, COLOURS["happiness"])
        paint.write(image, text, left + first + round(3 * size), middle, size)
