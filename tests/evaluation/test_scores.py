"""Metrics against numbers worked out by hand, and against scikit-learn."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from sklearn import metrics

from fer.errors import DataInvalid
from fer.evaluation.scores import calibration_curve, calibration_error, score
from fer.labels import EMOTIONS
from fer.probabilities import to_probabilities


def sure(predicted, confidence=0.9, classes=8):
    """Probabilities that predict these classes with this confidence."""
    rest = (1 - np.asarray(confidence, float)) / (classes - 1)
    p = np.tile(np.broadcast_to(rest, len(predicted))[:, None], (1, classes))
    p[np.arange(len(predicted)), predicted] = confidence
    return p


@pytest.fixture
def random():
    """500 samples of unequal classes, about half of them predicted correctly."""
    rng = np.random.default_rng(0)
    labels = rng.choice(8, 500, p=[0.3, 0.3, 0.1, 0.1, 0.08, 0.06, 0.05, 0.01])
    logits = rng.normal(size=(500, 8)) + 1.5 * np.eye(8)[labels]
    return to_probabilities(logits), labels


def test_by_hand():
    """Six neutral faces, four of them predicted so; two happy ones, one of them predicted so."""
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    predicted = np.array([0, 0, 0, 0, 1, 2, 1, 0])
    scores = score(sure(predicted), labels, resamples=0)
    assert scores.n == 8
    assert scores.accuracy == 5 / 8  # over all samples, no mean over classes or batches
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


def test_classes_without_samples_do_not_count():
    scores = score(sure([3, 3, 3]), np.array([3, 3, 3]), resamples=0)
    assert scores.balanced_accuracy == scores.macro_f1 == scores.accuracy == 1


def test_calibration_by_hand():
    """Two bins of ten: (.5, .6] has two faces, one correct; (.9, 1] two, both correct."""
    probabilities = sure([0, 0, 1, 1], confidence=np.array([0.52, 0.58, 0.95, 0.99]))
    labels = np.array([0, 1, 1, 1])
    n, confidence, accuracy = calibration_curve(probabilities, labels, bins=10)
    assert n.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert confidence[[5, 9]] == pytest.approx([0.55, 0.97])
    assert accuracy[[5, 9]] == pytest.approx([0.5, 1.0])
    by_hand = (2 * abs(0.55 - 0.5) + 2 * abs(0.97 - 1)) / 4
    assert calibration_error(probabilities, labels, bins=10) == pytest.approx(by_hand)
    assert calibration_curve(np.eye(8)[[0, 1]], np.array([0, 1]))[0][-1] == 2  # certainty is in the last bin


def test_intervals_contain_the_score_and_have_the_binomial_width(random):
    scores = score(*random)
    width = {name: high - low for name, (low, high) in scores.intervals.items()}
    for name, (low, high) in scores.intervals.items():
        assert 0 <= low < high <= 1, name
        assert name == "ece" or low < getattr(scores, name) < high
    a = scores.accuracy
    assert width["accuracy"] == pytest.approx(2 * 1.96 * np.sqrt(a * (1 - a) / 500), rel=0.1)
    assert width["balanced_accuracy"] > width["accuracy"]  # few samples of contempt


def test_intervals_narrow_with_more_samples_and_repeat(random):
    probabilities, labels = random
    low, high = score(probabilities, labels).intervals["accuracy"]
    more = score(np.tile(probabilities, (4, 1)), np.tile(labels, 4)).intervals["accuracy"]
    assert (more[1] - more[0]) / (high - low) == pytest.approx(0.5, abs=0.06)
    assert score(probabilities, labels).intervals["accuracy"] == (low, high)
    assert score(np.eye(8), np.arange(8)).intervals["accuracy"] == (1, 1)


def test_text_and_json_have_every_class(random):
    scores = score(*random, resamples=50)
    text = str(scores)
    assert all(name in text for name in (*EMOTIONS, "accuracy", "macro_f1", "ece", "support"))
    assert json.loads(json.dumps(asdict(scores)))["n"] == 500


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        (np.zeros((0, 8)), np.zeros(0, int)),
        (np.zeros((3, 8)), np.zeros(2, int)),
        (np.zeros(8), np.zeros(8, int)),
        (np.zeros((2, 8)), np.array([0, 8])),
        (np.zeros((2, 8)), np.array([-1, 0])),
        (np.full((2, 8), np.nan), np.array([0, 1])),
    ],
)
def test_what_cannot_be_scored(probabilities, labels):
    with pytest.raises(DataInvalid):
        score(probabilities, labels)
