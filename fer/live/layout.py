"""Where labels, bars and the program's state go: rectangles in, rectangles out; nothing is painted here.

Names come first: a label covers no other face, no other label and nothing of the state; without a place for it the box
alone tells the emotion. Bars, strips, rates and hints are left out where they would cover any of these. What has a
place keeps its side of the face as long as that is free, and takes a better one only with some slack, so that a face
that trembles does not make its name jump.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from fer.live.sources import Rectangle

Size = tuple[int, int]  # width, height
EDGE = 2  # pixels left free at the border of the picture
ANCHORS = {
    "rates": ((0, 0), (1, 0), (0, 1), (1, 1)),
    "recording": ((1, 0), (1, 1), (0, 0), (0, 1)),
    "paused": ((0.5, 0), (0.5, 1), (0, 1), (1, 1), (0, 0), (1, 0), (0, 0.5), (1, 0.5)),
    "message": ((0.5, 1), (0.5, 0), (0, 1), (1, 1), (0, 0), (1, 0)),
    "keys": ((0, 0.5), (1, 0.5), (0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5)),
}
"""Where each part of the state may lie, best first: shares of the free width and height to its left and above it."""
ANCHORS["hint"] = ANCHORS["keys"]


class Wanted(NamedTuple):
    """What is to be placed for one face."""

    box: Rectangle
    label: Sequence[Size]  # of its forms, best first
    bars: Sequence[Size] = ()  # of their forms, best first
    strip: int = 0  # height of what may lie right under the box
    track: int = 0  # the same for the same person in the next picture


class Place(NamedTuple):
    """Where something lies."""

    area: Rectangle
    form: int  # number of the form that it has there
    side: str  # of its face; "far" is anywhere in the picture


@dataclass(frozen=True)
class Layout:
    """The places in one picture; those of faces in their order, None where there is no room.

    Of the status, keys and messages are always there; what finds no room beside them is missing.
    """

    status: dict[str, Place] = field(default_factory=dict)
    labels: list[Place | None] = field(default_factory=list)
    strips: list[Place | None] = field(default_factory=list)
    bars: list[Place | None] = field(default_factory=list)
    kept: dict[tuple[str, int], Place] = field(default_factory=dict)
    """By kind and track, the areas relative to the boxes: what the next picture tries to keep."""


def arrange(
    frame: Size,
    faces: Sequence[Wanted],
    status: Mapping[str, Sequence[Size]] | None = None,
    gap: int = 6,
    previous: Layout | None = None,
    lost: Sequence[Rectangle] = (),
) -> Layout:
    """Find a place for everything.

    Args:
        frame: width and height of the picture.
        status: of those of ``ANCHORS`` that are shown, most important first, the sizes of their forms, best first.
        gap: pixels between a box and what belongs to it.
        previous: of the picture before, for labels to stay where they are.
        lost: what bars must not cover, besides.
    """
    page = _Page(frame, faces, gap, previous.kept if previous else {})
    status = dict(status or {})
    hint = {"hint": status.pop("hint")} if "hint" in status else {}
    page.place_status(status)
    layout = page.layout
    page.reserve("label", faces)
    for face in faces:
        layout.labels.append(page.keep("label", face, page.label(face)))
    page.place_status(hint)
    for face in faces:
        x, y, w, h = face.box
        under = [Place((x, y + h + gap, w, face.strip), 0, "below")] if face.strip else []
        place = page.choose(("strip", face.track), under, page.taken, tight=False)
        layout.strips.append(page.keep("strip", face, place))
    page.taken += lost
    page.reserve("bars", faces)
    for face, *near in zip(faces, layout.labels, layout.strips, strict=True):
        own = [place.area for place in near if place and place.side != "far"]
        place = page.choose(("bars", face.track), _bars(face, own, frame, gap), page.taken, tight=False)
        layout.bars.append(page.keep("bars", face, place))
    return layout


class _Page:
    """The picture in which ``arrange`` places one thing after the other; ``kept`` are the places in the one before."""

    def __init__(
        self, frame: Size, faces: Sequence[Wanted], gap: int, kept: Mapping[tuple[str, int], Place]
    ) -> None:
        self.frame, self.gap, self.kept, self.layout = frame, gap, kept, Layout()
        self.boxes = [face.box for face in faces]
        self.taken = list(self.boxes)  # what the next thing must not cover
        self._reserved: dict[tuple[str, int], Rectangle] = {}
        self._no_room = frame[0]  # labels of this width or wider have no place left

    def reserve(self, kind: str, faces: Sequence[Wanted]) -> None:
        """Take the place that each face had before, where it is still free, until ``choose`` is called for the face."""
        for face in faces:
            if before := self.kept.get((kind, face.track)):
                (x, y, _, _), (left, top, width, height) = face.box, before.area
                area = x + left, y + top, width, height
                if _free(area, self.frame, self.taken):
                    self._reserved[kind, face.track] = area
                    self.taken.append(area)

    def place_status(self, status: Mapping[str, Sequence[Size]]) -> None:
        """Place parts of the status where they cover nothing, or else where they cover least."""
        areas, margin = list[Rectangle](), 2 * self.gap
        for part, forms in status.items():
            corners = list[Place]()
            for form, (width, height) in enumerate(forms):
                across = max(0, self.frame[0] - width - 2 * margin)
                down = max(0, self.frame[1] - height - 2 * margin)
                for x, y in ANCHORS[part]:
                    area = margin + round(x * across), margin + round(y * down), width, height
                    corners.append(Place(area, form, f"{x} {y}"))
            least = min(corners, key=lambda at: _covered(at.area, self.taken) + 9 * _covered(at.area, areas))
            place = self.choose((part, 0), corners, self.taken + areas) or least
            others = self.taken + areas if part in ("rates", "hint") else areas
            if part in ("keys", "message") or not _covered(place.area, others):
                self.layout.status[part] = self.layout.kept[part, 0] = place
                areas.append(place.area)
        self.taken += areas

    def label(self, face: Wanted) -> Place | None:
        """Return a place beside the face or on its forehead, or a free one from which a line leads to it."""
        if not face.label:
            return None
        key, inside, before = ("label", face.track), None, self.kept.get(("label", face.track))
        place = self.choose(key, _labels(face, self.frame, self.gap, before), self.taken)
        if place is None:
            others = [area for area in self.taken if area is not face.box]
            inside = self.choose(key, _within_box(face, self.frame, self.gap), others)
            size = face.label[-1]
            if not (inside and before and before.side == "inside") and size[0] < self._no_room:
                area = _nearest(size, self.frame, self.taken, face.box)
                self._no_room = self._no_room if area else size[0]
                if area and (inside is None or math.dist(*leader(area, face.box)) < max(face.box[2:])):
                    place = Place(area, len(face.label) - 1, "far")
        if place and place.side == "far":
            line = leader(place.area, face.box)
            if any(cv2.clipLine(box, *line)[0] and not overlap(box, face.box) for box in self.boxes):
                place = None  # nobody could tell whose name that is
        return place or inside

    def choose(
        self, key: tuple[str, int], places: Iterable[Place], taken: Sequence[Rectangle], tight: bool = True
    ) -> Place | None:
        """Return the first place with a gap around it, or free and kept; else, if ``tight``, the first free one."""
        if key in self._reserved:
            self.taken.remove(self._reserved.pop(key))
        first, kept, slack = None, self.kept.get(key), self.gap
        for place in places:
            if not _free(place.area, self.frame, taken):
                continue
            if kept and (place.form, place.side) == (kept.form, kept.side):
                return place
            # To the border of the picture it needs slack only where it moves with its face.
            across = slack if place.side.startswith(("left", "right")) else 0
            along = slack if place.side.startswith(("above", "below")) else 0
            left, top, width, height = place.area
            around = left - across, top - along, width + 2 * across, height + 2 * along
            if _free(around, self.frame, taken) and _free(place.area, self.frame, taken, slack):
                return place
            first = first or place
        return first if tight else None

    def keep(self, kind: str, face: Wanted, place: Place | None) -> Place | None:
        """Note what was chosen for a face, for this picture and the next; return it."""
        if place:
            (left, top, width, height), (x, y, _, _) = place.area, face.box
            self.layout.kept[kind, face.track] = place._replace(area=(left - x, top - y, width, height))
            self.taken.append(place.area)
        return place


def _free(area: Rectangle, frame: Size, taken: Iterable[Rectangle], slack: int = 0) -> bool:
    """Whether ``area`` lies in the picture, and nothing that is taken is nearer than ``slack``."""
    left, top, width, height = area
    right, bottom = left + width, top + height
    if left < EDGE or top < EDGE or right > frame[0] - EDGE or bottom > frame[1] - EDGE:
        return False
    left, top, right, bottom = left - slack, top - slack, right + slack, bottom + slack
    for x, y, w, h in taken:  # noqa: SIM110  (three times as fast as any)
        if x < right and left < x + w and y < bottom and top < y + h:
            return False
    return True


def overlap(one: Rectangle, other: Rectangle) -> int:
    """Return how many pixels two rectangles have in common."""
    (left, top, width, height), (x, y, w, h) = one, other
    across, down = min(left + width, x + w) - max(left, x), min(top + height, y + h) - max(top, y)
    return max(0, across) * max(0, down)


def _covered(area: Rectangle, others: Iterable[Rectangle]) -> int:
    return sum(overlap(area, other) for other in others)


def leader(area: Rectangle, box: Rectangle) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the ends of the shortest line from a label or bars to their box."""
    ends = []
    for start, length, other, side in zip(area[:2], area[2:], box[:2], box[2:], strict=True):
        low, high = max(start, other), min(start + length, other + side)
        ends.append(((low + high) // 2,) * 2 if low < high else (high, low) if start < other else (low, high))
    (x0, x1), (y0, y1) = ends
    return (x0, y0), (x1, y1)


def _slid(start: float, length: int, room: int) -> int:
    """Return where something that should begin at ``start`` begins so that it lies inside the picture."""
    return int(min(max(start, EDGE), max(EDGE, room - length - EDGE)))


def _labels(face: Wanted, frame: Size, gap: int, kept: Place | None) -> Iterator[Place]:
    """Yield the places outside the box, best first."""
    x, y, w, h = face.box
    for form, (width, height) in enumerate(face.label):
        over, under = y - gap - height, y + h + gap + (face.strip + gap if face.strip else 0)
        starts = x + (w - width) / 2, x, x + w - width
        for side, top in (("above", over), ("below", under)):
            for number, start in enumerate(starts):
                yield Place((_slid(start, width, frame[0]), top, width, height), form, f"{side} {number}")
        for number, start in enumerate((y, y + (h - height) // 2)):
            up = _slid(start, height, frame[1])
            yield Place((x + w + gap, up, width, height), form, f"right {number}")
            yield Place((x - gap - width, up, width, height), form, f"left {number}")
    if kept and kept.side == "far" and kept.form < len(face.label):
        (left, top, _, _), size = kept.area, face.label[kept.form]
        yield Place((x + left, y + top, *size), kept.form, "far")


def _within_box(face: Wanted, frame: Size, gap: int) -> Iterator[Place]:
    """Yield the places on the forehead, where that leaves the eyes free."""
    x, y, w, h = face.box
    for form, (width, height) in enumerate(face.label):
        left = _slid(x + (w - width) / 2, width, frame[0])
        for start in (y + gap, y + h // 3 - height) if 3 * height <= h else ():
            yield Place((left, _slid(start, height, frame[1]), width, height), form, "inside")


def _bars(face: Wanted, own: Sequence[Rectangle], frame: Size, gap: int) -> Iterator[Place]:
    """Yield the places beside the box, also under a label there, and above and below it with its ``own`` rectangles."""
    x, y, w, h = face.box
    over, under = min([y, *(area[1] for area in own)]), max([y + h, *(area[1] + area[3] for area in own)])
    under_label = own[0][1] + own[0][3] + gap if own else y
    for form, (width, height) in enumerate(face.bars):
        for number, start in enumerate((y, under_label, y + h - height)):
            up = _slid(start, height, frame[1])
            yield Place((x + w + gap, up, width, height), form, f"right {number}")
            yield Place((x - gap - width, up, width, height), form, f"left {number}")
        for number, start in enumerate((x + (w - width) // 2, x, x + w - width)):
            left = _slid(start, width, frame[0])
            yield Place((left, under + gap, width, height), form, f"below {number}")
            yield Place((left, over - gap - height, width, height), form, f"above {number}")


def _nearest(size: Size, frame: Size, taken: Sequence[Rectangle], box: Rectangle) -> Rectangle | None:
    """Return the free place of ``size`` that is nearest to ``box``, or None where there is none in the picture.

    If any place is free, one is that touches what is taken, or the border, both across and along.
    """
    (width, height), around = size, np.array(taken).reshape(-1, 4)
    first = around[:, :2] - size  # between these and ``last``, a place would cover what is taken
    last = around[:, :2] + around[:, 2:]
    rooms = np.array(frame) - size - EDGE
    if (rooms < EDGE).any():
        return None
    middle = np.array(box[:2]) + (np.array(box[2:]) - size) // 2
    xs, ys = (
        np.unique(np.clip(np.concatenate([first[:, i], last[:, i], [middle[i]]]), EDGE, rooms[i]))
        for i in (0, 1)
    )
    hit_x = ((first[:, [0]] < xs) & (xs < last[:, [0]])).astype(np.float32)  # (taken, places)
    hit_y = ((first[:, [1]] < ys) & (ys < last[:, [1]])).astype(np.float32)
    free = hit_y.T @ hit_x == 0
    if not free.any():
        return None
    across = np.maximum(np.maximum(xs - box[0] - box[2], box[0] - xs - width), 0)
    along = np.maximum(np.maximum(ys - box[1] - box[3], box[1] - ys - height), 0)
    away = np.hypot(across, along[:, None]) + 0.01 * np.hypot(xs - middle[0], (ys - middle[1])[:, None])
    row, column = np.unravel_index(np.where(free, away, np.inf).argmin(), free.shape)
    return int(xs[column]), int(ys[row]), width, height
