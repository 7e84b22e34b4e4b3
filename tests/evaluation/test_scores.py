"""Scores against numbers worked out by hand, and against scikit-learn."""

import json

import numpy as np
import pytest
from sklearn import metrics

from fer.errors import DataInvalid
from fer.evaluation.scores import calibration_curve, calibration_error, confusion, score
from fer.labels import EMOTIONS
from fer.probabilities import class_shift, log_softmax, to_probabilities


def sure(predicted, confidence=0.9, classes=8):
    """Probabilities that name these classes with this confidence."""
    rest = (1 - np.asarray(confidence, float)) / (classes - 1)
    p = np.tile(np.broadcast_to(rest, len(predicted))[:, None], (1, classes))
    p[np.arange(len(predicted)), predicted] = confidence
    return p


@pytest.fixture
def random():
    """500 samples of an unequal mixture, named rightly in about half of the cases."""
    rng = np.random.default_rng(0)
    labels = rng.choice(8, 500, p=[0.3, 0.3, 0.1, 0.1, 0.08, 0.06, 0.05, 0.01])
    logits = rng.normal(size=(500, 8)) + 1.5 * np.eye(8)[labels]
    return to_probabilities(logits), labels


def test_by_hand():
    """Six neutral faces, of which four are found; two of happiness, of which one is found."""
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    predicted = np.array([0, 0, 0, 0, 1, 2, 1, 0])
    scores = score(sure(predicted), labels, resamples=0)
    assert scores.n == 8
    assert scores.accuracy == 5 / 8
    assert scores.balanced_accuracy == pytest.approx((4 / 6 + 1 / 2) / 2)
    f1 = {"neutral": 2 * 4 / (6 + 5), "happiness": 2 * 1 / (2 + 2)}
    assert scores.macro_f1 == pytest.approx(sum(f1.values()) / 2)
    assert scores.per_class["neutral"] == pytest.approx(
        {"precision": 4 / 5, "recall": 4 / 6, "f1": f1["neutral"], "support": 6}
    )
    assert scores.per_class["sadness"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert scores.confusion[0][:3] == [4, 1, 1]
    assert scores.confusion[1][:3] == [1, 1, 0]
    assert scores.nll == pytest.approx(-(5 * np.log(0.9) + 3 * np.log(0.1 / 7)) / 8)
    assert scores.ece == pytest.approx(abs(5 / 8 - 0.9))
    assert scores.intervals == {}


def test_against_scikit_learn(random):
    probabilities, labels = random
    predicted, scores = probabilities.argmax(1), score(probabilities, labels, resamples=0)
    assert set(labels) == set(range(8))
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert scores.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert scores.nll == pytest.approx(metrics.log_loss(labels, probabilities))
    assert np.array_equal(scores.confusion, metrics.confusion_matrix(labels, predicted))


def test_accuracy_is_over_samples_not_a_mean_of_batches():
    """In batches of four: 1 and 0, a mean of .5; over all five faces .8."""
    labels = np.zeros(5, int)
    assert score(sure([0, 0, 0, 0, 1]), labels, resamples=0).accuracy == 0.8


def test_classes_without_samples_do_not_count():
    scores = score(sure([3, 3, 3]), np.array([3, 3, 3]), resamples=0)
    assert scores.balanced_accuracy == scores.macro_f1 == scores.accuracy == 1


def test_confusion_has_truth_in_rows():
    counts = confusion(np.array([0, 0, 2]), np.array([1, 1, 0]), classes=3)
    assert counts.tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]


def test_calibration_by_hand():
    """Two bins of ten: (.5, .6] holds two faces, one right; (.9, 1] two, both right."""
    probabilities = sure([0, 0, 1, 1], confidence=np.array([0.52, 0.58, 0.95, 0.99]))
    labels = np.array([0, 1, 1, 1])
    n, confidence, accuracy = calibration_curve(probabilities, labels, bins=10)
    assert n.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert confidence[[5, 9]] == pytest.approx([0.55, 0.97])
    assert accuracy[[5, 9]] == pytest.approx([0.5, 1.0])
    by_hand = (2 * abs(0.55 - 0.5) + 2 * abs(0.97 - 1)) / 4
    assert calibration_error(probabilities, labels, bins=10) == pytest.approx(by_hand)


def test_certainty_falls_into_the_last_bin():
    n, _, _ = calibration_curve(np.eye(8)[[0, 1]], np.array([0, 1]))
    assert n[-1] == 2


def test_intervals_hold_the_score_and_have_the_binomial_width(random):
    probabilities, labels = random
    scores = score(probabilities, labels)
    for name, (low, high) in scores.intervals.items():
        assert 0 <= low < high <= 1, name
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        low, high = scores.intervals[name]
        assert low < getattr(scores, name) < high
    low, high = scores.intervals["accuracy"]
    a = scores.accuracy
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(a * (1 - a) / 500), rel=0.1)
    wide = np.subtract(*scores.intervals["balanced_accuracy"])
    assert abs(wide) > high - low  # few samples of contempt


def test_intervals_narrow_with_more_samples_and_repeat(random):
    probabilities, labels = random
    low, high = score(probabilities, labels).intervals["accuracy"]
    many = score(np.tile(probabilities, (4, 1)), np.tile(labels, 4)).intervals["accuracy"]
    assert (many[1] - many[0]) / (high - low) == pytest.approx(0.5, abs=0.06)
    assert score(probabilities, labels).intervals["accuracy"] == (low, high)


def test_all_right_leaves_no_doubt():
    assert score(np.eye(8), np.arange(8)).intervals["accuracy"] == (1, 1)


def test_large_logits_stay_finite():
    p = to_probabilities(np.array([[1e4, 0.0], [-1e4, 0.0]], np.float32))
    assert p.tolist() == [[1, 0], [0, 1]]
    assert np.isfinite(log_softmax(np.array([[1e4, 0.0]]))).all()


def test_uniform_prior_takes_the_training_shares_away():
    """Bayes: a network that only knows how common each class is, knows nothing once that is taken away."""
    shares = np.array([0.5, 0.25, 0.125, 0.0625, 0.03, 0.02, 0.01, 0.0025])
    shift = class_shift({"class_shares": shares.tolist()}, "uniform")
    assert to_probabilities(np.log(shares)[None], 1.0, shift) == pytest.approx(np.full((1, 8), 1 / 8))
    assert class_shift({"class_shares": shares.tolist()}, "training") == 0


@pytest.mark.parametrize(("card", "prior"), [({}, "uniform"), ({"class_shares": [1]}, "even")])
def test_priors_that_cannot_be_had(card, prior):
    with pytest.raises(DataInvalid):
        class_shift(card, prior)


@pytest.mark.parametrize("prior", ["uniform", "chosen"])
def test_a_class_that_was_never_seen_is_not_made_likely(prior):
    """Its share is 0; what is taken away of that must not lift it above all others."""
    shares = np.array([0.5, 0.25, 0.125, 0.0625, 0.03, 0.02, 0.0125, 0])
    shift = class_shift({"class_shares": shares.tolist(), "prior_strength": -0.5}, prior)
    assert shift[7] == shift[:7].min()
    assert np.isfinite(shift).all()


def test_text_and_json_tell_every_class(random):
    scores = score(*random, resamples=50)
    text = str(scores)
    assert all(name in text for name in (*EMOTIONS, "accuracy", "macro_f1", "ece", "support"))
    assert json.loads(json.dumps(scores.to_dict()))["n"] == 500


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        (np.zeros((0, 8)), np.zeros(0, int)),
        (np.zeros((3, 8)), np.zeros(2, int)),
        (np.zeros(8), np.zeros(8, int)),
        (np.zeros((2, 8)), np.array([0, 8])),
        (np.zeros((2, 8)), np.array([-1, 0])),
    ],
)
def test_what_cannot_be_scored(probabilities, labels):
    with pytest.raises(DataInvalid):
        score(probabilities, labels)
