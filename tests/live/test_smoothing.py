"""Labels that are steady, and honest about it."""

import numpy as np
import pytest

from fer.labels import EMOTIONS, UNCERTAIN, percent
from fer.live.smoothing import RECENT_STEP_S, Smoother


def distribution(**named):
    rest = (1 - sum(named.values())) / (8 - len(named))
    return np.array([named.get(name, rest) for name in EMOTIONS], np.float32)


def play(smoother, probabilities, start_s, seconds, fps):
    for step in range(round(seconds * fps)):
        smoother.update(probabilities, start_s + step / fps)


@pytest.mark.parametrize("fps", [5, 25, 60])
def test_the_answer_after_a_second_does_not_depend_on_the_frame_rate(fps):
    smoother = Smoother(tau_s=0.5)
    smoother.update(distribution(anger=0.9), 0.0)
    play(smoother, distribution(fear=0.9), 1 / fps, 1.0, fps)
    before, after = np.log(distribution(anger=0.9)), np.log(distribution(fear=0.9))
    expected = np.exp(after + np.exp(-1 / 0.5) * (before - after))
    assert np.allclose(smoother.probabilities, expected / expected.sum(), atol=0.01)
    assert smoother.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_frames_that_disagree_are_averaged_as_evidence_so_that_their_errors_cancel():
    smoother = Smoother(tau_s=0.5)
    for step in range(200):
        smoother.update(distribution(anger=0.6, **{"fear" if step % 2 else "disgust": 0.3}), step / 25)
    assert smoother.emotion == "anger" and smoother.confidence > 0.6


def test_one_frame_that_is_sure_of_the_opposite_changes_nothing():
    smoother = Smoother()
    play(smoother, distribution(anger=0.9), 0, 2, 25)
    smoother.update(distribution(fear=0.9999), 2.0)
    assert smoother.emotion == "anger"


def test_the_first_frame_counts_fully():
    smoother = Smoother()
    smoother.update(distribution(surprise=0.8), 123.0)
    assert (smoother.emotion, round(smoother.confidence, 3)) == ("surprise", 0.8)


def test_two_nearly_equal_emotions_do_not_take_turns():
    steady, nervous = Smoother(), Smoother(tau_s=0)
    changes = {steady: 0, nervous: 0}
    for step in range(100):
        odd = distribution(anger=0.47, disgust=0.43) if step % 2 else distribution(anger=0.43, disgust=0.47)
        for smoother in changes:
            before = smoother.emotion
            smoother.update(odd, step / 25)
            changes[smoother] += bool(before) and before != smoother.emotion
    assert changes == {steady: 0, nervous: 99}


def test_below_the_threshold_it_is_uncertain_and_says_how_probable_the_best_is():
    smoother = Smoother(threshold=0.5)
    smoother.update(distribution(fear=0.45), 0.0)
    assert smoother.emotion == UNCERTAIN
    assert smoother.confidence == pytest.approx(0.45)
    play(smoother, distribution(fear=0.52), 0.1, 3, 25)
    assert smoother.emotion == "fear"


@pytest.mark.parametrize("threshold", [0.0, 0.07, 0.29, 0.4, 0.405, 0.58, 0.7, 0.94, 0.99, 1.0])
@pytest.mark.parametrize("tau_s", [0.0, 0.25])
def test_a_name_stands_where_what_is_shown_reaches_the_threshold_and_only_there(tau_s, threshold):
    smoother, random = Smoother(tau_s, threshold), np.random.default_rng(0)
    named = 0
    for step in range(1000):
        near = np.clip(threshold + random.normal(0, 0.05), 0, 1)  # the critical ones
        probabilities = [near, *random.dirichlet(np.full(7, 0.5)) * (1 - near)]
        smoother.update(np.roll(np.float32(probabilities), step // 50), step / 25)
        assert (smoother.emotion != UNCERTAIN) == (percent(smoother.confidence) / 100 >= threshold)
        named += smoother.emotion != UNCERTAIN
    assert 0 < named < 1000 or threshold < 1 / 8


def test_half_a_minute_is_remembered_with_absences():
    smoother = Smoother(tau_s=0)
    for emotion, time_s in [("neutral", 0.0), ("fear", 0.1), ("anger", 2.0)]:
        smoother.update(distribution(**{emotion: 0.8}), time_s)
    entries = list(smoother.recent)
    assert len(entries) == 30 / RECENT_STEP_S
    assert entries[-1][0] == "anger" and entries[-9][0] == "fear"
    assert set(entries[-8:-1]) == set(entries[:-9]) == {None}
    smoother.update(distribution(neutral=0.9), 500.0)
    assert [entry[0] for entry in smoother.recent if entry] == ["neutral"]
