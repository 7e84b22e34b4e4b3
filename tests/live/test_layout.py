"""Labels, bars and state as rectangles: what they may cover, and that they stay where they are."""

from itertools import combinations

import cv2
import numpy as np
import pytest

from fer.live.layout import ANCHORS, EDGE, Layout, Wanted, arrange, leader

FRAMES = [(1280, 720), (720, 1280), (160, 120), (3840, 2160), (512, 320)]
LABEL = [(110, 26), (80, 26)]
BARS = [(150, 215), (150, 90), (90, 215), (90, 90)]
STATUS = {"rates": [(240, 30), (70, 30)]}


def scene(seed, frame, count, apart=False):
    """Faces of any size, which may overlap, reach over the border and be outside; or else lie apart."""
    rng = np.random.default_rng(seed)
    faces: list[Wanted] = []
    for track in range(1, 50 * count):
        side = int(rng.uniform(0.03, 0.3 if apart else 0.9) * min(frame))
        low = 0 if apart else 1 - side
        x, y = (int(rng.uniform(low, length - (side if apart else 0))) for length in frame)
        box = x, y, side, side
        if not (apart and any(covers(box, face.box) for face in faces)):
            faces.append(Wanted(box, LABEL, BARS, 10, track))
        if len(faces) == count:
            break
    return faces


def covers(a, b):
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def inside(area, frame):
    return area[0] >= 0 and area[1] >= 0 and area[0] + area[2] <= frame[0] and area[1] + area[3] <= frame[1]


def has_room(size, frame, taken, box):
    """Whether ``size`` fits right beside ``box`` between what is taken: sums over an image of what is taken."""
    image = np.zeros((frame[1], frame[0]), np.int32)
    for x, y, w, h in taken:
        image[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = 1
    sums = np.pad(image.cumsum(0, np.int32).cumsum(1, np.int32), ((1, 0), (1, 0)))
    (width, height), (x, y, w, h) = size, box
    within = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    within[:EDGE] = within[len(within) - EDGE :] = within[:, :EDGE] = within[:, within.shape[1] - EDGE :] = 1
    return (within[max(0, y - height) : y + h + 1, max(0, x - width) : x + w + 1] == 0).any()


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("seed", range(0, 40, 2))
def test_no_label_covers_a_name_or_another_face_and_each_face_has_one_where_there_is_room(frame, seed):
    faces = scene(seed, frame, 1 + seed, apart=seed % 4 == 0)
    layout = arrange(frame, faces, {**STATUS, "hint": [(120, 60)]})
    names = [place.area for place in [*layout.labels, *layout.status.values()] if place]
    assert not any(covers(a, b) for a, b in combinations(names, 2))
    assert all(inside(area, frame) for area in names)
    taken = names + [face.box for face in faces]
    for face, label in zip(faces, layout.labels, strict=True):
        if label:
            others = [other.box for other in faces if other is not face]
            assert covers(face.box, (0, 0, *frame)) and not any(covers(label.area, box) for box in others)
            assert label.side != "inside" or 3 * label.area[3] <= face.box[3]
            line, apart = leader(label.area, face.box), [box for box in others if not covers(box, face.box)]
            assert label.side != "far" or not any(cv2.clipLine(box, *line)[0] for box in apart)
        elif covers(face.box, (0, 0, *frame)):
            assert not has_room(LABEL[-1], frame, taken, face.box)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("seed", range(0, 40, 2))
def test_bars_and_strips_cover_nothing(frame, seed):
    faces = scene(seed, frame, 1 + seed, apart=seed % 4 == 0)
    layout = arrange(frame, faces, STATUS)
    labels = [place.area for place in layout.labels if place]
    extra = [place.area for place in [*layout.bars, *layout.strips, *layout.status.values()] if place]
    taken = [face.box for face in faces] + labels
    assert not any(covers(a, b) for a in extra for b in taken)
    assert not any(covers(a, b) for a, b in combinations(extra, 2))
    assert all(inside(area, frame) for area in extra)


@pytest.mark.parametrize("seed", range(20))
def test_bars_alone_leave_the_places_of_lost_faces_free(seed):
    faces = scene(seed, (1280, 720), 8, apart=True)
    shown, lost = faces[:4], [face.box for face in faces[4:]]
    before = arrange((1280, 720), shown, STATUS)
    after = arrange((1280, 720), shown, STATUS, previous=before, lost=lost)
    assert not any(covers(bars.area, box) for bars in after.bars if bars for box in lost)
    assert after.labels == before.labels and after.strips == before.strips


def test_a_label_is_above_its_face_and_bars_beside_it_where_nothing_is_in_the_way():
    layout = arrange((1280, 720), [Wanted((500, 250, 200, 200), LABEL, BARS, 10)], STATUS)
    (label,), (bars,) = layout.labels, layout.bars
    assert label.area == (545, 218, 110, 26) and label.form == 0
    assert bars.area == (706, 250, 150, 215) and bars.form == 0


@pytest.mark.parametrize(
    ("room", "form"), [((200, 300), 0), ((230, 110), 1), ((110, 300), 2), ((60, 60), None)]
)
def test_beside_a_large_face_bars_have_the_form_that_fits(room, form):
    """A close-up that leaves only ``room`` beside it (at its right) or under it."""
    across, along = room
    width, height = (400 + across, 420) if along == 300 else (400, 400 + along)
    (bars,) = arrange((width, height), [Wanted((5, 5, 390, 390), (), BARS)]).bars
    assert (bars.form if bars else None) == form


def test_beside_a_close_up_bars_lie_under_the_label():
    layout = arrange((640, 480), [Wanted((95, 30, 420, 420), LABEL, BARS, 10)])
    (label,), (bars,) = layout.labels, layout.bars
    assert label.side.startswith("right") and BARS[bars.form] == (90, 215)
    assert label.area[0] >= 515 <= bars.area[0] and bars.area[1] > label.area[1] + label.area[3]


def test_a_label_beside_which_nothing_is_free_lies_on_the_own_forehead_or_is_led_to_from_near():
    faces = [Wanted((100 * x, 100 * y, 100, 100), [(80, 20)]) for y in range(3) for x in range(3)]
    for face, label in zip(faces, arrange((300, 300), faces).labels, strict=True):
        assert label.side == "inside" and label.area[1] < face.box[1] + 30
    middle = arrange((300, 340), faces).labels[7]  # there are 40 pixels at the bottom
    assert middle.area[1] >= 300
    blocked = [Wanted((0, 0, 200, 200), [(80, 20)]), Wanted((20, 20, 60, 60), [(80, 20)])]
    far = arrange((400, 200), blocked).labels[1]
    assert far.side == "far" and far.area[0] >= 200


def test_paused_covers_no_face_in_the_middle():
    face = Wanted((400, 100, 480, 480), LABEL, BARS)
    layout = arrange((1280, 720), [face], {"paused": [(160, 50)]})
    assert not covers(layout.status["paused"].area, face.box)


@pytest.mark.parametrize("corner", [(0, 0), (1040, 0), (0, 480), (1040, 480)])
def test_rates_leave_the_corner_to_a_face(corner):
    layout = arrange((1280, 720), [Wanted((*corner, 240, 240), LABEL)], STATUS)
    assert not covers(layout.status["rates"].area, (*corner, 240, 240))


def test_rates_are_left_out_rather_than_to_cover_a_message():
    layout = arrange((160, 120), [], {"message": [(150, 110)], "rates": [(70, 30)]})
    assert set(layout.status) == {"message"}


@pytest.mark.parametrize("part", ANCHORS)
def test_a_part_of_the_state_that_must_cover_a_face_covers_the_least_or_is_left_out(part):
    layout = arrange((640, 480), [Wanted((0, 0, 640, 400), LABEL)], {part: [(100, 90)]})
    if part in ("rates", "hint"):
        assert not layout.status
    else:
        _, top, _, height = layout.status[part].area
        assert top + height == 480 - 12


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("count", [1, 4, 12])
def test_places_stay_where_they_are_when_faces_tremble(seed, count):
    """What has some room keeps its side in every frame; where there is no room to spare, few change once."""
    rng = np.random.default_rng(seed)
    faces = scene(seed, (1280, 720), count, apart=True)
    layout, changes = arrange((1280, 720), faces, STATUS), [0, 0]
    for _ in range(25):
        before, shaken = layout, []
        for face in faces:
            box = (np.array(face.box) + rng.integers(-1, 2, 4)).tolist()
            shaken.append(face._replace(box=tuple(box)))
        layout = arrange((1280, 720), shaken, STATUS, previous=before)
        for kind, (old, new) in enumerate(((before.labels, layout.labels), (before.bars, layout.bars))):
            changes[kind] += sum((a and a.side) != (b and b.side) for a, b in zip(old, new, strict=True))
    assert max(changes) <= count / 2  # of 25 * count; 20 times as many without ``previous``


def test_a_label_keeps_its_side_between_two_that_are_as_good_and_returns_when_there_is_room():
    """The room above the face is just enough in one frame and one pixel too little in the next."""

    def at(y: int, previous: Layout | None) -> Layout:
        return arrange((640, 480), [Wanted((200, y, 150, 150), LABEL, track=1)], previous=previous)

    layout, sides = at(33, None), []
    for y in (34, 33, 35, 33, 34):
        layout = at(y, layout)
        sides.append(layout.labels[0].side)
    assert len(set(sides)) == 1 and sides[0].startswith("below")
    assert at(60, layout).labels[0].side.startswith("above")
    assert at(34, at(60, layout)).labels[0].side.startswith("above")


def test_what_was_placed_far_moves_with_its_face():
    others = [Wanted((0, 0, 200, 200), LABEL, track=1)]

    def labels(x: int, previous: Layout | None) -> Layout:
        return arrange((400, 200), [*others, Wanted((x, 90, 60, 60), LABEL, track=2)], previous=previous)

    first = labels(50, None)
    second = labels(53, first)
    assert first.labels[1].side == second.labels[1].side == "far"
    assert second.labels[1].area[0] == first.labels[1].area[0] + 3
