"""From frames to faces, in step and beside."""

import gc
import itertools
import pickle
import threading
from concurrent.futures import Future
from functools import cache

import cv2
import numpy as np
import pytest
from live_support import ColourPredictor, film, picture

from fer.errors import DataMissing
from fer.faces import FaceDetector
from fer.live import analysis
from fer.live.analysis import Analyser, Worker
from fer.live.capture import Frame
from synthetic_faces.actor import Actor


def frames(images, fps=25):
    return [Frame(image, index / fps, index) for index, image in enumerate(images)]


def analyses(images, fps=25, missed=(), **options):
    """The analyses of a film; in the frames ``missed`` the detector finds nothing."""
    predictor, count = ColourPredictor(), itertools.count()
    detect = predictor.detect
    predictor.detect = lambda *a: detect(*a)[: 0 if next(count) in missed else None]
    analyser = Analyser(predictor, **options)
    return [analyser(frame) for frame in frames(images, fps)]


def test_all_faces_of_a_frame_are_detected_and_classified_in_one_pass():
    predictor, boxes_of_calls = ColourPredictor(), []
    classify = predictor.classify
    predictor.classify = lambda frame, boxes, turn: (
        boxes_of_calls.append(len(boxes)) or classify(frame, boxes)
    )
    image = picture(("anger", 20, 50), ("happiness", 250, 200), ("fear", 450, 60))
    analysis = Analyser(predictor, detection_size=640)(Frame(image, 0.0, 0))
    assert boxes_of_calls == [3] and predictor.detect.max_side == 640
    assert {shown.face.emotion: shown.face.box for shown in analysis.faces} == {
        "anger": (20, 50, 120, 120),
        "happiness": (250, 200, 120, 120),
        "fear": (450, 60, 120, 120),
    }


TWELVE = picture(*(("anger", 40 + 150 * (i % 4), 30 + 150 * (i // 4)) for i in range(12)), side=80)


class Slow(ColourPredictor):
    """Needs ``face_s`` seconds for each face, by a clock that only this moves."""

    def __init__(self, monkeypatch, face_s):
        super().__init__()
        self.now_s, self.face_s, self.boxes = 0.0, face_s, []
        monkeypatch.setattr(analysis.time, "perf_counter", lambda: self.now_s)

    def classify(self, frame, boxes, turn):
        self.now_s += self.face_s * len(boxes)
        self.boxes.append({tuple(box) for box in boxes.tolist()})
        return super().classify(frame, boxes)


def test_faces_that_would_take_too_long_together_take_turns_and_all_are_shown(monkeypatch):
    predictor = Slow(monkeypatch, 1.5 / 12)
    analyser = Analyser(predictor, turns=True, detection_size=640)
    results = [analyser(Frame(TWELVE, 1.5 * i, i)) for i in range(7)]
    assert [len(boxes) for boxes in predictor.boxes] == [12, 2, 2, 2, 2, 2, 2]
    assert len(set.union(*predictor.boxes[1:])) == 12  # each had its turn
    assert all(len(result.faces) == 12 and all(f.detected for f in result.faces) for result in results)
    assert [sum(f.classified for f in result.faces) for result in results] == [12, 2, 2, 2, 2, 2, 2]


def test_new_faces_come_first_when_faces_take_turns(monkeypatch):
    predictor = Slow(monkeypatch, 0.5)
    analyser = Analyser(predictor, turns=True)
    old, both = picture(("fear", 50, 50)), picture(("fear", 50, 50), ("anger", 400, 50))
    names = [
        {shown.face.emotion for shown in analyser(Frame(image, 0.1 * i, i)).faces}
        for i, image in enumerate((old, both, both))
    ]
    assert names == [{"fear"}, {"fear"}, {"fear", "anger"}]  # confirmed by a second detection
    assert predictor.boxes[-1] == {(400, 50, 120, 120)}


@pytest.mark.parametrize(("turns", "face_s"), [(True, 0.02), (False, 1.0)])
def test_all_faces_are_classified_where_there_is_time_or_every_frame_counts(monkeypatch, turns, face_s):
    predictor = Slow(monkeypatch, face_s)
    analyser = Analyser(predictor, turns=turns)
    for i in range(3):
        analyser(Frame(TWELVE, 0.1 * i, i))
    assert [len(boxes) for boxes in predictor.boxes] == [12, 12, 12]


class HaarPredictor(ColourPredictor):
    """Finds faces as the demos do."""

    def __init__(self):
        self.detect = FaceDetector()


@cache
def shot(seed, count=8):
    """Frames of one person in a room that is everybody's."""
    actor = Actor(size=(640, 360), seed=seed)
    return [actor.frame(1 + k / 25) for k in range(count)]


def tracks_of(images):
    """The tracks of the faces detected in each frame."""
    analyser = Analyser(HaarPredictor())
    return [{face.track for face in analyser(frame).faces if face.detected} for frame in frames(images)]


def test_three_people_in_a_row_are_three_faces_although_each_is_where_the_other_was():
    black = [np.zeros((360, 640, 3), np.uint8)]
    tracks = tracks_of([*shot(0), *shot(1), *black, *shot(2)])
    assert tracks == [{1}] * 8 + [set()] + [{2}] * 7 + [set()] * 2 + [{3}] * 7


def flash(images, *gains):
    """Light up the frames from the third on; the background becomes white first."""
    lit = [
        (image * gain + 20 * (gain - 1)).clip(0, 255) for image, gain in zip(images[2:], gains, strict=False)
    ]
    return [*images[:2], *(image.astype(np.uint8) for image in lit), *images[2 + len(gains) :]]


def pan(images, step):
    return [np.roll(image, -step * k, axis=1) for k, image in enumerate(images)]


def zoom(images, step):
    return [
        cv2.resize(image[9 * k * step : 360 - 9 * k * step, 16 * k * step : 640 - 16 * k * step], (640, 360))
        for k, image in enumerate(images)
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda images: flash(images, 1.5),
        lambda images: flash(images, 3.0),
        lambda images: flash(images, 20.0, 20.0),
        lambda images: flash(images, 0.1),
        lambda images: pan(images, 10),
        lambda images: pan(images, 20),
        lambda images: zoom(images, 1),
    ],
)
def test_flashes_and_a_moving_camera_are_no_cuts(change):
    tracks = tracks_of(change(shot(0)))
    assert set().union(*tracks) == {1} and tracks[-1] == {1}


def test_a_picture_after_a_cut_gets_no_faces_of_the_shot_before():
    first = Analyser(HaarPredictor())(Frame(shot(0)[0], 0.0, 0))
    noise = np.random.default_rng(0).integers(0, 255, (18, 32, 3)).astype(np.uint8)
    assert len(first.moved_to(shot(0)[1]).faces) == 1
    assert len(first.moved_to(cv2.resize(noise, (640, 360))).faces) == 0


def test_a_face_that_is_missed_for_a_moment_is_remembered_and_marked():
    analysed = analyses(film(12), missed=(6, 7))
    results = [[(face.track, face.detected) for face in result.faces] for result in analysed]
    assert results[5:9] == [[(1, True)], [(1, False)], [(1, False)], [(1, True)]]


@pytest.mark.parametrize("fps", [0.5, 2])
def test_photos_with_a_face_at_the_same_place_show_two_people_and_hide_nothing_later(fps):
    images = [picture(("anger", 100, 100)), picture(("happiness", 100, 100)), picture()]
    first, second, third = analyses(images, fps=fps, stills=True)
    assert (first.faces[0].track, second.faces[0].track) == (1, 2)
    assert second.faces[0].face.emotion == "happiness"
    assert second.faces[0].face.confidence == first.faces[0].face.confidence
    assert not third.faces and [len(result.hide) for result in (first, second, third)] == [1, 1, 0]


@pytest.mark.parametrize(("stills", "turns"), [(False, [0, 1, 2]), (True, [None, None, None])])
def test_frames_have_the_views_of_a_face_in_turn_and_photos_all(stills, turns):
    predictor, taken = ColourPredictor(), []
    classify = predictor.classify
    predictor.classify = lambda frame, boxes, turn: taken.append(turn) or classify(frame, boxes)
    analyser = Analyser(predictor, stills=stills)
    for frame in frames(film(3)):
        analyser(frame)
    assert taken == turns


def test_after_forget_a_face_at_the_same_place_is_somebody_else():
    analyser = Analyser(ColourPredictor())
    first, second = frames(film(2))
    assert analyser(first).faces[0].track == 1
    analyser.forget()
    analyser(second)
    assert analyser(Frame(second.image, 0.08, 2)).faces[0].track == 2


def test_faces_are_moved_to_where_they_are_in_a_later_picture():
    images = film(6, step=6)
    moved = analyses(images[:1])[0].moved_to(images[5])
    assert np.allclose(moved.faces[0].face.box, (130, 150, 120, 120), atol=3)
    assert np.allclose(moved.hide[0], (130, 150, 120, 120), atol=3)


def test_the_place_of_a_face_that_is_gone_is_hidden_for_some_seconds():
    results = analyses([picture(("anger", 100, 100))] * 43, fps=10, missed=range(3, 43))
    assert not results[12].faces and len(results[12].hide)  # 1 s later
    assert list(results[12].lost) == [0] and not results[2].lost
    assert not len(results[-1].hide)  # 4 s later


@pytest.mark.parametrize("stills", [False, True])
def test_memory_does_not_grow_with_people_who_come_and_go(stills):
    analyser, sizes = Analyser(ColourPredictor(), stills=stills), []
    for step in range(200):
        analyser(Frame(picture(("fear", 10 + 37 * (step // 2) % 500, 100)), step * 2.0, step))
        sizes.append(len(pickle.dumps(analyser)))
    assert max(sizes[100:]) < 1.01 * max(sizes[:100])


def test_the_worker_takes_the_newest_frame_and_finishes_the_last_one():
    gate, analysed, threads = threading.Event(), [], set(threading.enumerate())

    def load():
        gate.wait(5)
        return Analyser(ColourPredictor())

    worker = Worker(load, lambda analysis: analysed.append(analysis.frame.index))
    assert not worker.ready
    for frame in frames(film(10)):
        worker.offer(frame)
    gate.set()
    worker.finish()
    assert analysed == [9] == [worker.latest.frame.index] and worker.ready
    worker.close()
    assert set(threading.enumerate()) <= threads


def test_frames_that_come_faster_than_they_are_analysed_leave_nothing_behind():
    images = frames(film(3))

    class Slow(ColourPredictor):
        def classify(self, frame, boxes, turn):
            for image in images:  # while this one is analysed
                worker.offer(image)
            return super().classify(frame, boxes)

    analysed, jobs, enough = [], [], threading.Event()

    def count(analysis):
        analysed.append(analysis.frame.index)
        if len(analysed) == 100:
            jobs.extend(thing for thing in gc.get_objects() if isinstance(thing, Future))
            enough.set()

    worker = Worker(lambda: Analyser(Slow()), count)
    worker.offer(images[0])
    assert enough.wait(30)
    worker.close()
    assert len(jobs) < 50


def test_an_error_while_loading_or_analysing_reaches_the_thread_that_draws():
    def missing():
        raise DataMissing("no model")

    worker = Worker(missing, print)
    for call in (worker.finish, lambda: worker.ready):
        with pytest.raises(DataMissing, match="no model"):
            call()

    broken = ColourPredictor()
    broken.classify = lambda *_: 1 / 0
    worker = Worker(lambda: Analyser(broken), print)
    worker.offer(frames(film(1))[0])
    with pytest.raises(ZeroDivisionError):
        worker.finish()
