"""Where labels, bars and the program's state go: rectangles in, rectangles out; nothing is painted here.

Names come first: a label covers no other face, no other label and nothing of the state; without a place for it the box
alone tells the emotion. Bars, strips, rates and hints are left out where they would cover any of these. What has a
place keeps its side of the face as long as that is free, and takes a better one only with some slack, so that a face
that trembles does not make its name jump.
"""

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
    """What is to be placed for one face.

    Attributes:
        label, bars: sizes of their forms, best first.
        strip: height of what may lie right under the box, 0 for nothing.
        track: the same for the same person in the next picture.
    """

    box: Rectangle
    label: Sequence[Size]
    bars: Sequence[Size] = ()
    strip: int = 0
    track: int = 0


class Place(NamedTuple):
    """Where something lies: in which of its forms, and on which side of its face; "far" is anywhere in the picture."""

    area: Rectangle
    form: int
    side: str


@dataclass(frozen=True)
class Layout:
    """The places in one picture; those of faces in their order, None where there is no room.

    Of the status, keys and messages are always there; what finds no room beside them is missing, rates and hints also
    where they would cover a face.
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
    layout, kept = Layout(), previous.kept if previous else {}
    boxes, status = [face.box for face in faces], dict(status or {})
    hint = status.pop("hint", ())
    layout.status.update(_state(frame, status, boxes, gap, kept))
    names = [place.area for place in layout.status.values()]  # what no name may cover, besides faces

    def note(kind: str, face: Wanted, place: Place | None, taken: list[Rectangle]) -> Place | None:
        if place:
            (left, top, width, height), (x, y, _, _) = place.area, face.box
            layout.kept[kind, face.track] = place._replace(area=(left - x, top - y, width, height))
            taken.append(place.area)
        return place

    reserved = _reserved("label", faces, frame, boxes + names, kept)
    no_room = frame[0]  # labels of this width or wider have no place left
    for number, face in enumerate(faces):
        place, inside, before = None, None, kept.get(("label", face.track))
        if face.label and overlap(face.box, (0, 0, *frame)):
            others = [box for box in boxes if box is not face.box] + names
            others += [area for area in reserved[number + 1 :] if area]
            taken = [face.box, *others]
            place = _choose(_labels(face, frame, gap, before), frame, taken, gap, before)
            if place is None:
                inside = _choose(_within_box(face, frame, gap), frame, others, gap, before)
                if not (inside and before and before.side == "inside") and face.label[-1][0] < no_room:
                    area = _nearest(face.label[-1], frame, taken, face.box)
                    no_room = no_room if area else face.label[-1][0]
                    if area and (inside is None or _distance(area, face.box) < max(face.box[2:])):
                        place = Place(area, len(face.label) - 1, "far")
            if place and place.side == "far" and _crosses(leader(place.area, face.box), face.box, boxes):
                place = None  # nobody could tell whose name that is
        layout.labels.append(note("label", face, place or inside, names))
    places = _state(frame, {"hint": hint} if hint else {}, boxes + names, gap, kept)
    layout.status.update(places)
    layout.kept.update({(part, 0): place for part, place in layout.status.items()})
    taken = boxes + names + [place.area for place in places.values()]
    for face in faces:
        x, y, w, h = face.box
        under = [Place((x, y + h + gap, w, face.strip), 0, "below")] if face.strip else []
        place = _choose(under, frame, taken, gap, kept.get(("strip", face.track)), tight=False)
        layout.strips.append(note("strip", face, place, taken))
    taken += lost
    reserved = _reserved("bars", faces, frame, taken, kept)
    for number, face in enumerate(faces):
        near = layout.labels[number], layout.strips[number]
        own = [place.area for place in near if place and place.side != "far"]
        others = taken + [area for area in reserved[number + 1 :] if area]
        # On a side where the last, the smallest form has no room, none has.
        smallest = face._replace(bars=face.bars[-1:] if overlap(face.box, (0, 0, *frame)) else ())
        sides = {at.side for at in _bars(smallest, own, frame, gap) if _free(at.area, frame, others)}
        beside = [at for at in _bars(face, own, frame, gap) if at.side in sides] if sides else []
        place = _choose(beside, frame, others, gap, kept.get(("bars", face.track)), tight=False)
        layout.bars.append(note("bars", face, place, taken))
    return layout


def _state(
    frame: Size,
    status: Mapping[str, Sequence[Size]],
    boxes: list[Rectangle],
    gap: int,
    kept: Mapping[tuple[str, int], Place],
) -> dict[str, Place]:
    """Return the places of the status: where they cover no face, or else where they cover least."""
    places: dict[str, Place] = {}
    for part, forms in status.items():
        earlier = [place.area for place in places.values()]
        corners = _corners(frame, forms, ANCHORS[part], 2 * gap)
        place = _choose(corners, frame, boxes + earlier, gap, kept.get((part, 0)))
        if place is None:
            place = min(corners, key=lambda at: _covered(at.area, boxes) + 9 * _covered(at.area, earlier))
        others = boxes + earlier if part in ("rates", "hint") else earlier
        if part in ("keys", "message") or not _covered(place.area, others):
            places[part] = place
    return places


def _reserved(
    kind: str,
    faces: Sequence[Wanted],
    frame: Size,
    taken: list[Rectangle],
    kept: Mapping[tuple[str, int], Place],
) -> list[Rectangle | None]:
    """Return what each face had, where that is still free: one that moves shall not drive others away."""
    areas: list[Rectangle | None] = []
    for face in faces:
        before = kept.get((kind, face.track))
        (x, y, _, _), (left, top, width, height) = face.box, before.area if before else (0, 0, 0, 0)
        area = x + left, y + top, width, height
        free = before and _free(area, frame, taken + [other for other in areas if other])
        areas.append(area if free else None)
    return areas


def _choose(
    places: Iterable[Place],
    frame: Size,
    taken: Sequence[Rectangle],
    slack: int,
    kept: Place | None,
    tight: bool = True,
) -> Place | None:
    """Return the first place with ``slack`` around it, or free and ``kept``; else, if ``tight``, the first free one."""
    first = None
    for place in places:
        if not _free(place.area, frame, taken):
            continue
        if kept and (place.form, place.side) == (kept.form, kept.side):
            return place
        # To the border of the picture it needs slack only where it moves with its face.
        across = slack if place.side.startswith(("left", "right")) else 0
        along = slack if place.side.startswith(("above", "below")) else 0
        left, top, width, height = place.area
        if _free(
            (left - across, top - along, width + 2 * across, height + 2 * along), frame, taken
        ) and _free(place.area, frame, taken, slack):
            return place
        first = first or place
    return first if tight else None


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
    """Return how many pixels of the others ``area`` covers."""
    return sum(overlap(area, other) for other in others)


def _distance(a: Rectangle, b: Rectangle) -> int:
    """Return the pixels between two rectangles, the larger of those across and along."""
    return max(a[0] - b[0] - b[2], b[0] - a[0] - a[2], a[1] - b[1] - b[3], b[1] - a[1] - a[3], 0)


def leader(area: Rectangle, box: Rectangle) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the ends of the shortest line from a label or bars to their box."""
    ends = []
    for start, length, other, side in zip(area[:2], area[2:], box[:2], box[2:], strict=True):
        low, high = max(start, other), min(start + length, other + side)
        ends.append(((low + high) // 2,) * 2 if low < high else (high, low) if start < other else (low, high))
    (x0, x1), (y0, y1) = ends
    return (x0, y0), (x1, y1)


def _crosses(
    line: tuple[tuple[int, int], tuple[int, int]], own: Rectangle, boxes: Iterable[Rectangle]
) -> bool:
    """Whether a line to the box ``own`` crosses others that are apart from that."""
    return any(cv2.clipLine(box, *line)[0] for box in boxes if not overlap(box, own))


def _corners(
    frame: Size, forms: Sequence[Size], anchors: Sequence[tuple[float, float]], margin: int
) -> list[Place]:
    places = []
    for form, size in enumerate(forms):
        free = [max(0, room - length - 2 * margin) for room, length in zip(frame, size, strict=True)]
        for x, y in anchors:
            area = margin + round(x * free[0]), margin + round(y * free[1]), *size
            places.append(Place(area, form, f"{x} {y}"))
    return places


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
    free = np.ones((len(ys), len(xs)), bool)
    left, right = np.searchsorted(xs, first[:, 0], "right"), np.searchsorted(xs, last[:, 0], "left")
    top, bottom = np.searchsorted(ys, first[:, 1], "right"), np.searchsorted(ys, last[:, 1], "left")
    for x0, x1, y0, y1 in zip(left.tolist(), right.tolist(), top.tolist(), bottom.tolist(), strict=True):
        free[y0:y1, x0:x1] = False
    if not free.any():
        return None
    across = np.maximum(np.maximum(xs - box[0] - box[2], box[0] - xs - width), 0)
    along = np.maximum(np.maximum(ys - box[1] - box[3], box[1] - ys - height), 0)
    away = np.hypot(across, along[:, None]) + 0.01 * np.hypot(xs - middle[0], (ys - middle[1])[:, None])
    row, column = np.unravel_index(np.where(free, away, np.inf).argmin(), free.shape)
    return int(xs[column]), int(ys[row]), width, height
