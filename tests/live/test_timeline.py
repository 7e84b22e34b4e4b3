"""The picture of a run: who showed what when, and where nobody was seen."""

import cv2
import numpy as np
import pytest

from fer.errors import DataInvalid
from fer.labels import COLOURS, EMOTIONS
from fer.live import paint, timeline

SURPRISE, FEAR = np.eye(8)[EMOTIONS.index("surprise")], np.eye(8)[EMOTIONS.index("fear")]
PLOT = timeline.TOP  # first row of the first strip


def colour(name):
    return COLOURS[name][::-1]


def spans(row, name):
    """Where a row of pixels (W, 3) has the emotion's colour: (start, end) of each run longer than a line."""
    same = np.concatenate([[False], (row == colour(name)).all(-1), [False]])
    starts, ends = np.flatnonzero(same[1:] & ~same[:-1]), np.flatnonzero(~same[1:] & same[:-1])
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def test_averages_are_exact_and_leave_long_absences_empty():
    times = np.arange(100) / 10
    values = np.tile(SURPRISE, (100, 1))
    values[::2] = FEAR
    kept = (times < 4) | (times >= 8)  # four seconds away
    means = timeline.averages(times[kept], values[kept], np.linspace(0, 10, 11), 0.1)
    assert np.isnan(means[[5, 6]]).all() and not np.isnan(means[[0, 1, 2, 3, 8, 9]]).any()
    assert means[1] == pytest.approx((SURPRISE + FEAR) / 2)
    assert np.nansum(means, axis=1)[~np.isnan(means[:, 0])] == pytest.approx(1)


def test_a_camera_slower_than_the_bridge_has_no_gaps_between_its_frames():
    """A picture every ten seconds, as of a long video."""
    means = timeline.averages(np.arange(6) * 10.0, np.tile(FEAR, (6, 1)), np.linspace(0, 55, 56), 10.0)
    assert not np.isnan(means).any()


def test_strips_stack_probabilities_and_are_grey_where_a_face_was_not_seen():
    times = np.arange(100) / 10
    half = np.tile(0.25 * SURPRISE + 0.75 * FEAR, (100, 1))
    half[40:80] = np.nan
    image = timeline.strips([("face 7", times, half)], end_s=20.0)
    assert image.dtype == np.uint8 and image.shape[1:] == (timeline.WIDTH, 3)
    upper, lower = image[PLOT + 5], image[PLOT + 235]
    (first, second), (begin, end) = spans(upper, "fear"), spans(lower, "surprise")[0]
    left, right = first[0], timeline.WIDTH - timeline.MARGIN
    seconds = (np.array([*first, *second]) - left) * 20 / (right - left)
    assert seconds == pytest.approx([0, 3.95, 7.95, 9.95], abs=0.03)
    assert (begin, end) == first
    column = (image[PLOT : PLOT + 240, left + 3] == colour("fear")).all(-1)
    assert column.mean() == pytest.approx(0.75, abs=0.01)
    assert (upper[right - 300 : right] == timeline.EMPTY).all()


def test_every_face_has_a_strip_and_one_seen_once_has_some_width():
    steps = np.arange(0, 60, 0.1)
    faces = [("a", steps, np.tile(FEAR, (600, 1))), ("b", np.array([30.0]), SURPRISE[None])]
    image = timeline.strips(faces)
    once = spans(image[PLOT + 240 + 20 + 5], "surprise")
    assert len(once) == 1 and 2 <= once[0][1] - once[0][0] <= 5
    many = timeline.strips([(f"face {k}", *faces[0][1:]) for k in range(64)])
    assert image.shape[0] < many.shape[0] < 6000


def test_a_run_without_faces_has_a_picture_too():
    empty = timeline.strips([])
    assert empty.shape == timeline.strips([("a", np.array([0.0]), FEAR[None])]).shape
    assert timeline.strips([("a", np.zeros(1), np.full((1, 8), np.nan))]).shape == empty.shape


@pytest.mark.parametrize(
    ("time_s", "step_s", "text"),
    [(0.5, 0.1, "0.5 s"), (7, 1, "0:07"), (605, 5, "10:05"), (3600, 600, "1:00:00"), (3725, 5, "1:02:05")],
)
def test_times_are_written_as_people_write_them(time_s, step_s, text):
    assert timeline.clock(time_s, step_s) == text


@pytest.mark.parametrize("name", ["a.png", "b.JPG", "deep/c.jpeg"])
def test_the_picture_is_saved_as_its_name_says(tmp_path, name):
    paint.save(timeline.strips([]), tmp_path / name)
    start = b"\x89PNG" if name.endswith("png") else b"\xff\xd8\xff"
    assert (tmp_path / name).read_bytes().startswith(start)
    assert cv2.imread(str(tmp_path / name)).shape[1] == timeline.WIDTH


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataInvalid, match=r"a\.png cannot be written"):
        paint.save(timeline.strips([]), tmp_path / "file" / "a.png")
