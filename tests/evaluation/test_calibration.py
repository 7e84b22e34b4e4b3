"""Temperature and prior, fitted to predictions."""

import numpy as np
import pytest

from fer.errors import DataInvalid
from fer.evaluation.calibration import STRENGTHS, calibrate, calibration_split, fit_temperature
from fer.evaluation.predictions import Predictions
from fer.evaluation.scores import score
from fer.probabilities import to_probabilities


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5])
def test_temperature_is_recovered(true):
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 8))
    p = to_probabilities(logits)
    labels = (p.cumsum(1) > rng.random((len(p), 1))).argmax(1)
    assert fit_temperature(logits * true, labels) == pytest.approx(true, rel=0.03)


def test_temperature_changes_no_name_and_repairs_overconfidence():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 8, 500)
    logits = 4 * (rng.normal(size=(500, 8)) + 1.5 * np.eye(8)[labels])
    t = fit_temperature(logits, labels)
    before, after = to_probabilities(logits), to_probabilities(logits, t)
    assert t > 1
    assert np.array_equal(before.argmax(1), after.argmax(1))
    assert score(after, labels, 0).nll < score(before, labels, 0).nll
    assert score(after, labels, 0).ece < score(before, labels, 0).ece


def test_a_temperature_is_fitted_to_the_classes_there_are():
    with pytest.raises(DataInvalid, match="labels 0 to 7; expected 0 to 6"):
        fit_temperature(np.zeros((8, 7), np.float32), np.arange(8))


def test_calibration_finds_how_sure_to_be():
    """Right in three of four cases: the mean confidence should be .75."""
    labels = np.arange(64) % 8
    logits = 3 * np.eye(8, dtype=np.float32)[labels]
    labels[::4] = (labels[::4] + 1) % 8
    predictions = Predictions([*map(str, range(64))], logits, labels)
    card = calibrate({}, predictions)
    assert predictions.probabilities(card).max(1) == pytest.approx(np.full(64, 0.75), abs=0.001)
    assert predictions.score(card).ece < 0.001 < predictions.score().ece


def lopsided():
    """Of 400 faces 10 are disgusted; half of these, and 1 % of the others, are called so at even odds or nearly."""
    labels = np.array([0] * 390 + [5] * 10)
    logits = np.full((400, 8), -20.0, np.float32)
    logits[:, 0] = 0
    logits[:, 5] = -9.0
    logits[390:395, 5] = -0.5  # five disgusted ones, a weak push away
    logits[395:, 5] = -2.9
    logits[:4, 5] = -2.8  # four neutral ones, found by the same push as the other five
    return Predictions([str(i) for i in range(400)], logits, labels)


def test_calibration_pays_at_most_half_a_point_for_balance():
    shares = [0.9, *[0.1 / 7] * 7]
    free = calibrate({"class_shares": shares}, lopsided())
    assert free["prior_strength"] > 0
    before, after = lopsided().score({**free, "prior_strength": 0.0}), lopsided().score(free)
    assert after.per_class["disgust"]["recall"] > before.per_class["disgust"]["recall"]
    best = max(lopsided().score({**free, "prior_strength": s}).accuracy for s in STRENGTHS)
    assert after.accuracy >= best - 0.005
    too_much = lopsided().score({**free, "prior_strength": 1.0})
    assert too_much.accuracy < best - 0.005 or too_much.balanced_accuracy <= after.balanced_accuracy


def test_a_network_trained_on_even_classes_gets_a_part_of_the_true_shares_back():
    labels = np.array([0] * 390 + [5] * 10)
    logits = np.full((400, 8), -20.0, np.float32)
    logits[:, 0] = 0
    logits[:, 5] = np.where(labels == 5, 6.0, -6.0)
    logits[:60, 5] = 1.0  # neutral faces, called disgusted by a network that saw much disgust
    card = calibrate(
        {"class_shares": [0.7, *[0.3 / 7] * 7]}, Predictions([*map(str, range(400))], logits, labels)
    )
    assert card["prior_strength"] < 0
    assert Predictions([*map(str, range(400))], logits, labels).score(card).accuracy > 0.99


@pytest.mark.parametrize(
    ("data", "split"), [("ferplus", "valid"), ("affectnet8", "held-out"), ("affectnet2017", "held-out")]
)
def test_the_split_to_calibrate_on_follows_from_what_was_trained_on(data, split):
    assert calibration_split({"train_data": data}) == split
