"""What the demos draw into a BGR uint8 image: faces with box, label, bars and recent emotions; the program's state.

``layout`` says where everything goes; this module knows how large it is and paints it.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fer.labels import COLOURS, EMOTIONS, percent
from fer.live import layout, paint
from fer.live.analysis import TrackedFace, rounded
from fer.live.layout import Layout, Size
from fer.live.sources import Rectangle
from fer.predictor import FaceEmotion

NOTICE = "Estimates a visible expression, not what a person feels."
DIM = (190, 194, 200)
RED = (235, 64, 52)
LETTERS = 11  # height of capitals, in pixels of the screen, that can be read
SCREEN = (1280, 720)  # that a photo or recording is looked at on, reduced to it
HARD_SPACE = "\xa0"
MOST_BARS = 16  # faces: with more of them in a picture, bars are confusing
LINE = 1.5  # height of a row of bars, in sizes of its letters: these and, under them, the bar
COLUMNS = ((8, True), (3, True), (8, False), (3, False))  # how many bars, with percentages or without


@dataclass(frozen=True)
class Status:
    """What is shown of the program itself; an empty or None value is not drawn."""

    fps: float | None = None
    detect_ms: float | None = None
    classify_ms: float | None = None
    recording_s: float | None = None
    paused: bool = False
    message: str = ""
    keys: Sequence[Sequence[tuple[str, str]]] = ()
    """Their forms, best first; with several they are a hint."""


class Sizes:
    """Lengths, in pixels of a picture of (width, height) that is shown with ``scale`` screen pixels for each."""

    def __init__(self, frame: Size, scale: float | None) -> None:
        self.frame, unit = frame, min(frame[1] / 540, frame[0] / 720)
        scale = scale or min(1.0, SCREEN[0] / frame[0], SCREEN[1] / frame[1])
        least = math.ceil(LETTERS / paint.CAPITALS / scale)
        self.text, self.large = (max(least, round(size * unit)) for size in (12.5, 20))  # of letters
        self.unit = max(unit, self.text / 16)  # of lines; 1 for a picture 540 high or less
        self.gap = max(3, round(0.35 * self.text))  # between a box and what belongs to it


def draw(
    image: np.ndarray,
    faces: Sequence[TrackedFace | FaceEmotion],
    status: Status | None = None,
    bars: bool = True,
    scale: float | None = None,
    previous: Layout | None = None,
    lost: Sequence[Rectangle] = (),
) -> Layout:
    """Draw everything into ``image`` (H, W, 3); names, bars and state where they cover no face and no name.

    Args:
        bars: draw the probabilities of at most ``MOST_BARS`` faces, too, where there is room.
        scale: screen pixels per pixel of the image, for letters that can be read; by default of a small screen.
        previous: what this returned for the frame before, for labels to stay where they were.
        lost: where faces were a moment ago, and may still be: bars leave it free.
    """
    sizes = Sizes((image.shape[1], image.shape[0]), scale)
    tracked = [face if isinstance(face, TrackedFace) else TrackedFace(face) for face in faces]
    tracked = [shown for shown in tracked if layout.overlap(shown.face.box, (0, 0, *sizes.frame))]
    bars = bars and len(faces) <= MOST_BARS
    panels = _panels(status or Status(), sizes)
    places = layout.arrange(
        sizes.frame,
        [_wanted(shown, sizes, bars) for shown in tracked],
        {part: [panel.size for panel in forms] for part, forms in panels.items()},
        sizes.gap,
        previous,
        lost,
    )
    placed = list(zip(tracked, places.labels, places.strips, places.bars, strict=True))
    thick, rim, radius = max(2, round(2.4 * sizes.unit)), max(1, round(sizes.unit)), round(9 * sizes.unit)
    for shown in tracked:
        box, colour = shown.face.box, COLOURS[shown.face.emotion] if shown.detected else DIM
        paint.outline(image, *box, round(0.08 * box[2]), thick if shown.detected else thick // 2, colour)
    for shown, label, _, column in placed:
        for place in (label, column):
            if place and (place is column or place.side == "far"):  # a line to its box
                ends, colour = layout.leader(place.area, shown.face.box), COLOURS[shown.face.emotion]
                cv2.line(image, *ends, paint.bgr(colour), thick, cv2.LINE_AA)
    for shown, label, strip, column in placed:
        face = shown.face
        if strip:
            _recent(image, strip.area, tuple(shown.recent), round(3 * sizes.unit))
        if column:
            values = tuple(face.probabilities.tolist())
            _bars(image, column.area, values, face.emotion, column.form, sizes.text, radius)
        if label:
            text = "" if label.form else f"{percent(face.confidence)}%"
            _label(image, label.area, face.emotion, text, sizes.text, rim)
    for part, place in places.status.items():
        panels[part][place.form].paint(image, place.area)
    return places


def compose(
    image: np.ndarray,
    faces: Sequence[TrackedFace],
    size: tuple[int, int],
    mirror: bool = False,
    hidden: np.ndarray | None = None,
    lost: Sequence[np.ndarray] = (),
) -> tuple[np.ndarray, list[TrackedFace], list[Rectangle]]:
    """Copy ``image`` (H, W, 3) to ``size`` (width, height), and with it the boxes of ``faces`` and ``lost``, each (4,).

    ``hidden`` are boxes (K, 4) to ``hide``; None hides nothing.
    """
    scale = 2 * (size[0] / image.shape[1], size[1] / image.shape[0])
    way = cv2.INTER_AREA if scale[0] < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(image, size, interpolation=way)  # of the same size a copy
    boxes = np.array([*(face.face.box for face in faces), *lost]).reshape(-1, 4) * scale
    if hidden is not None:
        hide(picture, hidden * scale)
    if mirror:
        picture = cv2.flip(picture, 1)
        boxes[:, 0] = size[0] - boxes[:, 0] - boxes[:, 2]
    moved = [face.at(box) for face, box in zip(faces, boxes, strict=False)]
    return picture, moved, [rounded(box) for box in boxes[len(faces) :]]


def hide(image: np.ndarray, boxes: np.ndarray) -> None:
    """Make the faces in ``boxes`` (K, 4) unrecognisable; without any, as one may be missed, the whole picture."""
    corners = boxes[:, [0, 1, 0, 1]] + boxes[:, [2, 3, 2, 3]] * (-0.25, -0.35, 1.25, 1.25)
    parts = [image[y0:y1, x0:x1] for x0, y0, x1, y1 in corners.astype(int).clip(0).tolist()]
    cells = 9 if parts else 24
    for part in parts or [image]:
        if part.size:
            few = cells, max(1, round(cells * part.shape[0] / part.shape[1]))
            tiny = cv2.resize(part, few, interpolation=cv2.INTER_AREA)  # no sharpening brings this back
            part[:] = cv2.resize(tiny, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _wanted(shown: TrackedFace, sizes: Sizes, bars: bool) -> layout.Wanted:
    """Return the sizes of what belongs to a face; a label's forms are with percentage and without."""
    size, strip = sizes.text, max(4, round(10 * sizes.unit)) if shown.recent else 0
    name = paint.text_width(shown.face.emotion, size) + round(1.1 * size)
    percentage = max(paint.text_width(text, size) for text in ("88%", f"{percent(shown.face.confidence)}%"))
    label = [(width, round(1.6 * size)) for width in (name + round(0.4 * size) + percentage, name)]
    columns = [
        (
            paint.text_width("happiness" + "  100%" * percentages, size) + size,
            rows * round(LINE * size) + round(0.6 * size),
        )
        for rows, percentages in COLUMNS
    ]
    return layout.Wanted(shown.face.box, label, columns if bars else (), strip, shown.track)


@paint.kept
def _label(image: np.ndarray, emotion: str, text: str, size: int, rim: int) -> None:
    """Paint a name, and at the right the percentage where there is a text, in letters of ``size``."""
    (height, width), colour, pad = image.shape[:2], COLOURS[emotion], round(0.55 * size)
    paint.panel(image, 0, 0, width, height, height // 2, opacity=0.8)
    paint.panel(image, rim, rim, width - 2 * rim, height - 2 * rim, height // 2 - rim, colour)
    middle, ink = height // 2, paint.ink_on(colour)
    paint.write(image, emotion, pad, middle, size, ink)
    paint.write(image, text, width - pad - paint.text_width(text, size), middle, size, ink)


@paint.kept
def _bars(
    image: np.ndarray, probabilities: tuple[float, ...], emotion: str, form: int, size: int, radius: int
) -> None:
    """Paint the probabilities, each a bar under its name; that of ``emotion`` is bright."""
    (height, width), (count, percentages) = image.shape[:2], COLUMNS[form]
    start, full, thick = round(0.5 * size), width - size, max(2, round(0.22 * size))
    paint.panel(image, 0, 0, width, height, radius, opacity=0.78)
    for row, number in enumerate(sorted(np.argsort(-np.array(probabilities))[:count].tolist())):
        name, probability = EMOTIONS[number], probabilities[number]
        up = round(0.3 * size) + row * round(LINE * size)
        middle, under = up + round(0.6 * size), up + round(1.15 * size)
        ink = paint.PAPER if name == emotion else DIM
        paint.write(image, name, start, middle, size, ink)
        if percentages:
            text = f"{percent(probability)}%"
            paint.write(image, text, start + full - paint.text_width(text, size), middle, size, ink)
        paint.panel(image, start, under, full, thick, 0, DIM, opacity=0.2)
        if length := round(full * probability):
            cv2.rectangle(image, (start, under, length, thick), paint.bgr(COLOURS[name]), -1)


@paint.kept
def _recent(image: np.ndarray, recent: tuple[tuple[str, float] | None, ...], radius: int) -> None:
    """Paint the last half minute: colour is the emotion, height its probability, right is now."""
    tall, wide = image.shape[:2]
    paint.panel(image, 0, 0, wide, tall, radius, opacity=0.6)
    heights = np.array([entry[1] if entry else 0.0 for entry in recent])
    colours = np.array([paint.bgr(COLOURS[entry[0]]) if entry else (0, 0, 0) for entry in recent], np.uint8)
    seen = np.arange(tall, 0, -1)[:, None] <= np.maximum(np.rint(tall * heights), heights > 0)
    steps = np.repeat(colours[None], tall, axis=0), seen.astype(np.uint8)
    picture, mask = (cv2.resize(each, (wide, tall), interpolation=cv2.INTER_NEAREST) for each in steps)
    cv2.copyTo(picture, mask, image)


@dataclass(frozen=True)
class _Panel:
    """A dark panel with rows of (key, text); ``dot`` is red and stands before them."""

    rows: Sequence[tuple[str, str]]
    letters: int
    dot: bool = False

    @property
    def _columns(self) -> tuple[int, int]:
        """Where keys and texts begin."""
        first = round((1.8 if self.dot else 0.7) * self.letters)
        keys = max(paint.text_width(key, self.letters) if key else 0 for key, _ in self.rows)
        return first, first + keys + (round(1.5 * self.letters) if keys else 0)

    @property
    def size(self) -> Size:
        width = max(paint.text_width(text, self.letters) for _, text in self.rows)
        height = round((0.5 + 1.4 * len(self.rows)) * self.letters)
        return self._columns[1] + width + round(0.7 * self.letters), height

    @property
    def pixels(self) -> int:
        return math.prod(self.size)

    def paint(self, image: np.ndarray, area: Rectangle) -> None:
        left, top, _, height = area
        size, (keys, texts) = self.letters, self._columns
        radius, opacity = min(height // 2, round(0.95 * size)), 0.66 if len(self.rows) == 1 else 0.8
        paint.panel(image, *area, radius, opacity=opacity)
        for row, (key, text) in enumerate(self.rows):
            middle = top + round((0.95 + 1.4 * row) * size)
            if key:
                paint.write(image, key, left + keys, middle, size, COLOURS["happiness"])
            paint.write(image, text, left + texts, middle, size)
        if self.dot:
            centre = left + round(1.1 * size), top + height // 2
            cv2.circle(image, centre, round(0.42 * size), paint.bgr(RED), -1, cv2.LINE_AA)


def _panels(status: Status, sizes: Sizes) -> dict[str, list[_Panel]]:
    """Return the forms, best first, of what is shown of ``layout.ANCHORS``, the most important part first."""
    panels, size, (width, height) = dict[str, list[_Panel]](), sizes.text, sizes.frame
    room, pixels = width - 4 * sizes.gap, width * height
    if status.keys:
        # In a small picture all of them in lines, each in one piece.
        words = (f"{key.replace('  ', ' or ')}: {text}" for key, text in status.keys[0])
        lines = "   ".join(word.replace(" ", HARD_SPACE) for word in words)
        forms = [*(_Panel(rows, size) for rows in status.keys), _message(lines, size, room)]
        smallest = min(forms, key=lambda form: form.pixels)
        part = "keys" if len(status.keys) == 1 else "hint"
        panels[part] = [form for form in forms if 3 * form.pixels <= pixels] or [smallest]
    if status.message:
        letters = (_message(status.message, n, room) for n in range(size, 8, -1))
        least = _message(status.message, 8, room)  # for a tiny picture
        panels["message"] = [next((form for form in letters if 4 * form.size[1] <= height), least)]
    if status.recording_s is not None:
        minutes, seconds = divmod(int(status.recording_s), 60)
        panels["recording"] = [_Panel([("", f"REC {minutes}:{seconds:02d}")], size, dot=True)]
    if status.paused:
        panels["paused"] = [_Panel([("", "paused")], sizes.large)]
    numbers = status.fps, status.detect_ms, status.classify_ms
    texts = "{:.0f} fps", "detect {:.0f} ms", "classify {:.0f} ms"
    parts = [text.format(n) for text, n in zip(texts, numbers, strict=True) if n is not None]
    rates = [_Panel([("", "   ".join(parts[:count]))], size) for count in range(len(parts), 0, -1)]
    # In a tiny picture names need the room more.
    if rates := [form for form in rates if form.size[0] <= room and 16 * form.pixels <= pixels]:
        panels["rates"] = rates
    return panels


def _message(text: str, size: int, room: int) -> _Panel:
    most = max(8, int((room - 1.4 * size) / (0.5 * size)))
    parts = [part if len(part) <= most else part.replace(HARD_SPACE, " ") for part in text.split(" ")]
    lines = textwrap.wrap(" ".join(parts), most)
    return _Panel([("", line.replace(HARD_SPACE, " ")) for line in lines], size)
