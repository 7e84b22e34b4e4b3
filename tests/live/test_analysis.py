"""From frames to faces, in step and beside."""

import threading
import time

import numpy as np
import pytest
from live_support import ColourPredictor, film, picture

from fer.errors import DataMissing
from fer.live.analysis import Analyser, Worker
from fer.live.capture import Frame


def frames(images, fps=25):
    return [Frame(image, index / fps, index) for index, image in enumerate(images)]


def test_all_faces_of_a_frame_are_classified_in_one_pass():
    predictor, asked = ColourPredictor(), []
    classify = predictor.classify
    predictor.classify = lambda frame, boxes: asked.append(len(boxes)) or classify(frame, boxes)
    image = picture(("anger", 20, 50), ("happiness", 250, 200), ("fear", 450, 60))
    analysis = Analyser(predictor)(Frame(image, 0.0, 0))
    assert asked == [3]
    assert {face.emotion: face.box for face in analysis.faces} == {
        "anger": (20, 50, 120, 120),
        "happiness": (250, 200, 120, 120),
        "fear": (450, 60, 120, 120),
    }


def test_a_face_that_is_missed_for_a_moment_is_remembered_and_marked():
    images = film(12)
    for hidden in (6, 7):
        images[hidden] = picture()
    analyser = Analyser(ColourPredictor())
    results = [analyser(frame).faces for frame in frames(images)]
    assert [[(face.track, face.measured) for face in faces] for faces in results[5:9]] == [
        [(1, True)],
        [(1, False)],
        [(1, False)],
        [(1, True)],
    ]


def test_the_size_faces_are_searched_in_reaches_the_detector():
    analyser = Analyser(ColourPredictor(), detection_size=640)
    analyser(Frame(picture(), 0.0, 0))
    assert analyser.predictor.detect.max_side == 640


def test_photos_that_have_nothing_to_do_with_each_other_share_no_smoothing():
    analyser = Analyser(ColourPredictor(), stills=True)
    names = ["anger", "happiness", "fear"]
    images = [picture((name, 100 + 40 * i, 100)) for i, name in enumerate(names)]
    results = [analyser(frame).faces for frame in frames(images, fps=1)]
    assert [[face.emotion for face in faces] for faces in results] == [[name] for name in names]
    assert [faces[0].track for faces in results] == [1, 2, 3]


@pytest.mark.parametrize("fps", [0.5, 2])
def test_photos_with_a_face_at_the_same_place_show_two_people(fps):
    analyser = Analyser(ColourPredictor(), stills=True)
    images = [picture(("anger", 100, 100)), picture(("happiness", 100, 100)), picture()]
    first, second, third = (analyser(frame) for frame in frames(images, fps=fps))
    assert (first.faces[0].track, second.faces[0].track) == (1, 2)
    assert second.faces[0].emotion == "happiness" and second.faces[0].confidence == first.faces[0].confidence
    assert not third.faces and not len(third.hide)


def test_after_forget_a_face_at_the_same_place_is_somebody_else():
    analyser = Analyser(ColourPredictor(), stills=True)
    first, second = frames(film(2))
    assert analyser(first).faces[0].track == 1
    analyser.forget()
    assert analyser(second).faces[0].track == 2


def test_faces_are_moved_to_where_they_are_in_a_later_picture():
    images = film(6, step=6)
    analysis = Analyser(ColourPredictor())(Frame(images[0], 0.0, 0))
    moved = analysis.moved_to(images[5])
    assert np.allclose(moved.faces[0].box, (130, 150, 120, 120), atol=3)
    assert np.allclose(moved.hide[0], (130, 150, 120, 120), atol=3)


def test_the_worker_takes_the_newest_frame_and_finishes_the_last_one():
    gate, seen = threading.Event(), []

    def load():
        gate.wait(5)
        return Analyser(ColourPredictor())

    worker = Worker(load, lambda analysis: seen.append(analysis.frame.index))
    assert not worker.ready
    for frame in frames(film(10)):
        worker.offer(frame)
    gate.set()
    assert worker.finish().frame.index == 9
    assert seen == [9] and worker.ready
    worker.close()


def test_an_error_while_loading_or_analysing_reaches_the_one_who_draws(wait_until):
    def missing():
        raise DataMissing("no model")

    worker = Worker(missing)
    wait_until(lambda: worker.error)
    with pytest.raises(DataMissing, match="no model"):
        worker.offer(frames(film(1))[0])
    with pytest.raises(DataMissing, match="no model"):
        worker.finish()

    broken = ColourPredictor()
    broken.classify = lambda *_: 1 / 0
    worker = Worker(lambda: Analyser(broken))
    worker.offer(frames(film(1))[0])
    with pytest.raises(ZeroDivisionError):
        worker.finish()


def test_memory_does_not_grow_with_people_who_come_and_go():
    analyser = Analyser(ColourPredictor(), stills=True)
    for step in range(60):
        analyser(Frame(picture(("fear", 10 + 37 * step % 500, 100), size=(640, 240)), step * 2.0, step))
    assert len(analyser._smoothers) <= 2 and len(analyser.tracker.tracks) <= 2


def test_closing_a_worker_ends_its_thread():
    worker = Worker(lambda: Analyser(ColourPredictor()))
    worker.close()
    time.sleep(0.01)
    assert not worker._thread.is_alive()


def test_the_place_of_a_face_that_is_gone_is_hidden_for_some_seconds():
    analyser = Analyser(ColourPredictor())
    images = [picture(("anger", 100, 100))] * 3 + [picture()] * 40
    results = [analyser(frame) for frame in frames(images, fps=10)]
    assert not results[12].faces and len(results[12].hide)  # 1 s later
    assert not len(results[-1].hide)  # 4 s later


def test_photos_hide_no_places_of_the_photos_before():
    analyser = Analyser(ColourPredictor(), stills=True)
    images = [picture(("anger", 100, 100)), picture()]
    assert [len(analyser(frame).hide) for frame in frames(images, fps=1)] == [1, 0]
