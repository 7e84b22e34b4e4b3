"""Labels that are steady, and honest about it."""

import numpy as np
import pytest

from fer.labels import EMOTIONS, UNCERTAIN
from fer.live.smoothing import HISTORY_S, HISTORY_STEP_S, History, Smoother


def shares(**named):
    rest = (1 - sum(named.values())) / (8 - len(named))
    return np.array([named.get(name, rest) for name in EMOTIONS], np.float32)


def play(smoother, probabilities, start_s, seconds, fps):
    for step in range(round(seconds * fps)):
        smoother.update(probabilities, start_s + step / fps)


@pytest.mark.parametrize("fps", [5, 25, 60])
def test_the_answer_after_a_second_does_not_depend_on_the_frame_rate(fps):
    smoother = Smoother(tau_s=0.5)
    smoother.update(shares(anger=0.9), 0.0)
    play(smoother, shares(fear=0.9), 1 / fps, 1.0, fps)
    before, after = np.log(shares(anger=0.9)), np.log(shares(fear=0.9))
    expected = np.exp(after + np.exp(-1 / 0.5) * (before - after))
    assert np.allclose(smoother.probabilities, expected / expected.sum(), atol=0.01)
    assert smoother.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_frames_that_disagree_are_averaged_as_evidence_so_that_their_errors_cancel():
    smoother = Smoother(tau_s=0.5)
    for step in range(200):
        smoother.update(shares(anger=0.6, **{"fear" if step % 2 else "disgust": 0.3}), step / 25)
    assert smoother.emotion == "anger" and smoother.confidence > 0.6


def test_one_frame_that_is_sure_of_the_opposite_changes_nothing():
    smoother = Smoother()
    play(smoother, shares(anger=0.9), 0, 2, 25)
    smoother.update(shares(fear=0.9999), 2.0)
    assert smoother.emotion == "anger"


def test_the_first_frame_counts_fully():
    smoother = Smoother()
    smoother.update(shares(surprise=0.8), 123.0)
    assert (smoother.emotion, round(smoother.confidence, 3)) == ("surprise", 0.8)


def test_two_nearly_equal_emotions_do_not_take_turns():
    steady, nervous = Smoother(), Smoother(tau_s=0)
    changes = {steady: 0, nervous: 0}
    for step in range(100):
        odd = shares(anger=0.47, disgust=0.43) if step % 2 else shares(anger=0.43, disgust=0.47)
        for smoother in changes:
            before = smoother.emotion
            smoother.update(odd, step / 25)
            changes[smoother] += bool(before) and before != smoother.emotion
    assert changes == {steady: 0, nervous: 99}


def test_a_clear_change_is_shown_within_a_second():
    smoother = Smoother()
    play(smoother, shares(neutral=0.9), 0, 2, 25)
    play(smoother, shares(happiness=0.9), 2, 1, 25)
    assert smoother.emotion == "happiness"


def test_below_the_threshold_it_is_uncertain_and_says_how_probable_the_best_is():
    smoother = Smoother(threshold=0.5)
    smoother.update(shares(fear=0.45), 0.0)
    assert smoother.emotion == UNCERTAIN
    assert smoother.confidence == pytest.approx(0.45)
    play(smoother, shares(fear=0.52), 0.1, 3, 25)
    assert smoother.emotion == UNCERTAIN  # just above: not enough to come back, or it would flicker
    play(smoother, shares(fear=0.6), 3.1, 3, 25)
    assert smoother.emotion == "fear"


def test_a_named_emotion_always_reaches_the_threshold():
    smoother, noise = Smoother(threshold=0.4), np.random.default_rng(0)
    for step in range(500):
        smoother.update(noise.dirichlet(np.full(8, 0.5)).astype(np.float32), step / 25)
        assert smoother.emotion == UNCERTAIN or smoother.confidence >= 0.4


def test_history_holds_half_a_minute_and_shows_absence():
    history = History()
    history.add("fear", 0.7, 0.0)
    history.add("anger", 0.8, 2.0)
    recent = history.recent()
    assert len(recent) == HISTORY_S / HISTORY_STEP_S
    assert recent[-1] == ("anger", 0.8) and recent[-9] == ("fear", 0.7)
    assert set(recent[-8:-1]) == {None}
    history.add("neutral", 0.9, 500.0)
    assert [entry for entry in history.recent() if entry] == [("neutral", 0.9)]
