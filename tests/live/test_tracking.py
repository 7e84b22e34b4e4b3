"""Identities: kept through movement and misses, never handed to somebody else."""

import cv2
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from fer.live.tracking import OVERLAP, Tracker, follow, overlaps, small_grey


def identities(tracker, boxes, time_s):
    tracks = tracker.update(np.array(boxes, float).reshape(-1, 4), time_s)
    return {
        track.identity: tuple(track.box.round().astype(int)) for track in tracks if track.seen_s == time_s
    }


def test_overlaps_match_areas_counted_by_hand():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5]], float)
    assert np.allclose(overlaps(boxes[:1], boxes), [[1, 50 / 150, 0]])


def test_two_faces_that_pass_each_other_keep_their_numbers():
    tracker = Tracker()
    for step in range(21):
        left, right = (20 * step, 0, 100, 100), (400 - 20 * step, 150, 100, 100)
        found = identities(tracker, [right, left] if step % 2 else [left, right], step / 25)
        assert abs(found[1][0] - left[0]) <= 10 and abs(found[2][0] - right[0]) <= 10


class HungarianTracker(Tracker):
    """Takes the pairs whose overlaps have the largest sum."""

    def _pairs(self, boxes):
        if not self.tracks or not len(boxes):
            return []
        iou = overlaps(np.stack([track.box for track in self.tracks]), boxes)
        rows, columns = linear_sum_assignment(-iou)
        return [(r, c) for r, c in zip(rows, columns, strict=True) if iou[r, c] >= OVERLAP]


def scene(seed, walking):
    """Yield detections (K, 4), and whose face each is (K,), of people who sit in two rows and sway, or walk about.

    A nearer head hides a face with which it overlaps by more than a fifth. The detector misses some faces and is off
    by some pixels.
    """
    rng = np.random.default_rng(seed)
    people = rng.integers(2, 9)
    size = np.sort(rng.uniform(50, 120, people))[::-1]  # nearest first
    seats = np.stack(np.meshgrid([60, 190, 320, 450], [80, 200]), -1).reshape(-1, 2) + rng.normal(
        0, 15, (8, 2)
    )
    place = seat = rng.permutation(seats)[:people]
    speed = np.zeros((people, 2))
    for _ in range(250):
        speed = 0.95 * speed + rng.normal(0, 1, (people, 2)) - (0 if walking else 0.02) * (place - seat)
        outside = (place < 0) | (place > (560, 340))
        speed = np.where(outside, np.sign((280, 170) - place) * np.abs(speed), speed)
        place = place + speed
        boxes = np.column_stack([place, size, size])
        seen = rng.random(people) > 0.08
        for person in range(1, people):
            nearer = overlaps(boxes[[person]], boxes[:person])[0]
            seen[person] &= not (seen[:person] & (nearer > 0.2)).any()
        whose = rng.permutation(np.flatnonzero(seen))
        yield (boxes + rng.normal(0, 0.03, boxes.shape) * size[:, None])[whose], whose


def numbers_given(tracker, scene):
    """Return the (person, number of the track) of every face, in order, and how often a person's number changed."""
    given, last, changes = [], {}, 0
    for step, (boxes, whose) in enumerate(scene):
        for track in tracker.update(boxes, step / 25):
            if track.seen_s == step / 25:
                person = int(whose[np.abs(boxes - track.box).sum(1).argmin()])
                given.append((person, track.identity))
                changes += last.setdefault(person, track.identity) != track.identity
                last[person] = track.identity
    return given, changes


def test_greedy_pairs_give_the_identities_of_the_best_assignment():
    """The same for people who sit close together; where people walk past each other, no more are mixed up."""
    for seed in range(8):
        given, expected = (numbers_given(t, scene(seed, False))[0] for t in (Tracker(), HungarianTracker()))
        assert given == expected and len(given) > 200
    changes, expected = (
        sum(numbers_given(kind(), scene(seed, True))[1] for seed in range(8))
        for kind in (Tracker, HungarianTracker)
    )
    assert changes <= 1.02 * expected


def test_the_largest_overlap_is_taken_first():
    tracker = Tracker()
    identities(tracker, [(0, 0, 100, 100), (60, 0, 100, 100)], 0.0)
    # The detection at 40 overlaps with both; the second face is nearer.
    assert set(identities(tracker, [(40, 0, 100, 100)], 0.04)) == {2}


def test_a_face_survives_misses_shorter_than_the_gap_and_not_longer():
    tracker = Tracker()
    assert list(identities(tracker, [(50, 50, 80, 80)], 0.0)) == [1]
    assert identities(tracker, [], 0.3) == {}
    assert list(identities(tracker, [(52, 50, 80, 80)], 0.6)) == [1]
    assert identities(tracker, [], 1.2) == {}
    assert [list(identities(tracker, [(50, 50, 80, 80)], time_s)) for time_s in (1.4, 1.5)] == [[], [2]]


def test_a_face_is_followed_where_frames_are_further_apart_than_the_gap():
    tracker = Tracker()
    seen = [list(identities(tracker, [(50 + step, 50, 80, 80)] if step else [], step)) for step in range(4)]
    assert seen == [[], [], [1], [1]]  # believed when it was found twice
    assert identities(tracker, [(50, 50, 80, 80)], 60) == {}  # a minute later it may be anybody


def test_a_false_alarm_of_one_frame_is_never_believed():
    tracker = Tracker()
    face, alarm = (50, 50, 80, 80), (300, 200, 60, 60)
    for step in range(10):
        boxes = [face, alarm] if step == 4 else [face]
        assert set(identities(tracker, boxes, step / 25)) == {1}


@pytest.mark.parametrize("inner", [(80, 90, 40, 40), (60, 120, 40, 40)])
def test_a_face_holds_no_second_one_and_is_inside_none(inner):
    face, head = (50, 50, 100, 100), (10, 10, 180, 180)
    tracker = Tracker()
    for step in range(10):
        boxes = [head, face, inner] if step > 3 else [face]
        assert set(identities(tracker, boxes, step / 25)) == {1}
    beside = (120, 60, 100, 100)
    assert set(identities(tracker, [face, beside], 0.4)) | set(identities(tracker, [face, beside], 0.44)) == {
        1,
        2,
    }


def test_jitter_of_a_still_face_is_averaged_and_a_jump_is_followed_at_once():
    tracker, noise = Tracker(), np.random.default_rng(0)
    shown = []
    for step in range(200):
        box = np.array([100, 100, 100, 100]) + noise.normal(0, 1.5, 4)
        shown.append(tracker.update(box[None], step / 25)[0].box)
    assert np.std(shown[20:], axis=0).max() < 0.75  # half of what the detections have
    tracker.update(np.array([[115, 100, 100, 100]]), 8.0)
    assert abs(tracker.tracks[0].box[0] - 115) < 1


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (6, -4), (-17, 9)])
def test_follow_moves_boxes_with_the_picture(dx, dy):
    noise = np.random.default_rng(1).integers(0, 255, (240, 320)).astype(np.uint8)
    then = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    now = cv2.warpAffine(then, np.float32([[1, 0, dx], [0, 1, dy]]), (320, 240))
    boxes = np.array([[200, 160, 160, 160], [400, 200, 120, 120]])  # pixels of a frame twice as large
    moved = follow(then, now, boxes, scale=0.5)
    assert np.allclose(moved - boxes, [[2 * dx, 2 * dy, 0, 0]] * 2, atol=1.5)


def test_follow_leaves_boxes_where_the_size_of_the_picture_changed():
    boxes = np.array([[10, 10, 20, 20]])
    assert np.array_equal(follow(np.zeros((90, 120), np.uint8), np.zeros((60, 80), np.uint8), boxes), boxes)


def test_small_grey_keeps_small_pictures_and_names_its_scale():
    assert small_grey(np.zeros((720, 1280, 3), np.uint8))[0].shape == (180, 320)
    small, scale = small_grey(np.zeros((50, 100, 3), np.uint8))
    assert small.shape == (50, 100) and scale == 1
