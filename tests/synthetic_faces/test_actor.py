import itertools
import subprocess
import sys

import cv2
import numpy as np
import pytest

from fer.labels import EMOTIONS
from synthetic_faces.actor import Actor


def test_the_eight_emotions_in_turn_with_their_truth():
    shown = list(Actor((160, 120), fps=5, seconds_per_emotion=2.0))
    assert len(shown) == 8 * 10
    labels = [label for _, _, label, _ in shown]
    assert labels == sorted(labels) and set(labels) == set(range(8))
    assert [round(t, 6) for _, t, _, _ in shown] == [round(k / 5, 6) for k in range(80)]
    for label in range(1, 8):
        strength = [s for _, _, one, s in shown if one == label]
        top = strength.index(max(strength))
        assert max(strength) == 1.0 and strength[0] < 0.2 and strength[-1] < 1.0
        assert strength[: top + 1] == sorted(strength[: top + 1])
    assert {s for _, _, label, s in shown if label == 0} == {1.0}


@pytest.mark.parametrize("size", [(640, 480), (321, 243)])
def test_frames_are_images_of_the_size_asked_for(size):
    frame = next(iter(Actor(size)))[0]
    assert frame.shape == (size[1], size[0], 3) and frame.dtype == np.uint8
    assert frame.std() > 20


def test_any_moment_looks_the_same_whenever_it_is_asked_for():
    one, other = Actor((160, 120), seed=5), Actor((160, 120), seed=5)
    late = one.frame(7.32)
    other.frame(1.0)
    assert (other.frame(7.32) == late).all()
    assert (Actor((160, 120), seed=6).frame(7.32) != late).any()


def test_the_face_moves_between_frames_and_blinks():
    actor = Actor((160, 120))
    closed = [actor.truth(t)[0].action_units.au43 for t in np.arange(0, 2.9, 0.04)]
    assert max(closed) > 0.8 and sum(c > 0 for c in closed) < 10
    still = np.abs(actor.frame(0.2).astype(int) - actor.frame(0.6)).mean()
    changed = np.abs(actor.frame(0.2).astype(int) - actor.frame(10.5)).mean()
    assert changed > still > 0


def test_expressions_come_smoothly():
    """No unit jumps from one frame to the next: at most a fifth of its range in 1/25 s, blinks apart."""
    actor = Actor((64, 64))
    units = [actor.truth(t)[0].action_units for t in np.arange(0, 24, 0.04)]
    for before, after in itertools.pairwise(units):
        for name in ("au1", "au4", "au6", "au12", "au26"):
            assert abs(getattr(before, name) - getattr(after, name)) < 0.2


def test_rounds_end_the_film():
    assert Actor((64, 64), rounds=2, seconds_per_emotion=0.5).seconds == 8.0
    endless = Actor((64, 64), fps=1, seconds_per_emotion=0.5, rounds=None)
    assert len(list(itertools.islice(endless, 12))) == 12  # one round would be 4 frames


def test_several_actors_show_different_emotions_and_stay_apart():
    actor = Actor((1280, 720), faces=3)
    truth = actor.truth(1.5)
    assert len({t.label for t in truth}) == 3
    assert {t.label for t in Actor((64, 64), faces=8).truth(0.1)} == set(range(len(EMOTIONS)))
    assert next(iter(actor))[2] == actor.truth(0)[0].label
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    grey = cv2.equalizeHist(cv2.cvtColor(actor.frame(1.5), cv2.COLOR_BGR2GRAY))
    middles = sorted(x + w / 2 for x, y, w, h in cascade.detectMultiScale(grey, 1.1, 5) if w > 100)
    assert np.allclose(middles, [213, 640, 1067], atol=60)


@pytest.mark.parametrize(("size", "faces"), [((640, 480), 1), ((480, 640), 2), ((640, 360), 8)])
def test_faces_fit_into_the_frame(size, faces):
    places, unit = Actor(size, faces=faces)._places, Actor(size, faces=faces)._unit
    assert len(places) == faces
    for x, y in places:
        assert x - unit > 0 and x + unit < size[0]
        assert y - unit > 0 and y + 1.6 * unit < size[1]


@pytest.mark.parametrize("seed", range(4))
def test_haar_finds_the_actor(seed):
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    actor = Actor(seed=seed)
    found = []
    for time_s in np.arange(0.2, 24, 1.0):
        grey = cv2.equalizeHist(cv2.cvtColor(actor.frame(time_s), cv2.COLOR_BGR2GRAY))
        found.append(len(cascade.detectMultiScale(grey, 1.1, 5, minSize=(100, 100))) == 1)
    assert np.mean(found) >= 0.95


@pytest.mark.parametrize("wrong", [{"size": (10, 10)}, {"fps": 0}, {"seconds_per_emotion": 0}, {"faces": 0}])
def test_what_cannot_be_filmed_is_refused(wrong):
    with pytest.raises(ValueError, match="cannot be filmed"):
        Actor(**wrong)


def test_the_actor_needs_no_torch():
    code = "import sys, synthetic_faces.actor; sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
