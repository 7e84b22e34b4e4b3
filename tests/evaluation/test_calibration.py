"""Temperature and prior, fitted to predictions."""

import numpy as np
import pytest

from fer.errors import DataInvalid
from fer.evaluation.calibration import STRENGTHS, calibrate, calibration_split, fit_temperature
from fer.evaluation.predictions import Predictions
from fer.probabilities import class_shift, log_softmax, to_probabilities


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5])
def test_temperature_is_recovered(true):
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 8))
    p = to_probabilities(logits)
    labels = (p.cumsum(1) > rng.random((len(p), 1))).argmax(1)
    assert fit_temperature(logits * true, labels) == pytest.approx(true, rel=0.03)


def test_a_temperature_is_fitted_to_the_classes_of_the_network():
    with pytest.raises(DataInvalid, match="labels 0 to 7; expected 0 to 6"):
        fit_temperature(np.zeros((8, 7), np.float32), np.arange(8))


def test_calibration_finds_the_mean_confidence():
    """Three of four predictions are correct: the mean confidence should be .75."""
    labels = np.arange(64) % 8
    logits = 3 * np.eye(8, dtype=np.float32)[labels]
    labels[::4] = (labels[::4] + 1) % 8
    predictions = Predictions([*map(str, range(64))], logits, labels)
    degraded = Predictions(predictions.names, logits, (labels + (np.arange(64) % 3 == 0)) % 8)
    card = calibrate({}, predictions, degraded)
    assert predictions.probabilities(card).max(1) == pytest.approx(np.full(64, 0.75), abs=0.001)
    assert predictions.score(card).ece < 0.001 < predictions.score().ece
    right = (logits.argmax(1) == degraded.labels).mean()
    believed = degraded.probabilities({"temperature": card["temperature_degraded"]}).max(1)
    assert right < 0.75 and believed == pytest.approx(np.full(64, right), abs=0.001)


def test_where_several_annotators_voted_photos_are_as_sure_as_they_agreed():
    """Each label is right, but only three of five annotators gave it."""
    labels = np.arange(64) % 8
    logits = 3 * np.eye(8, dtype=np.float32)[labels]
    votes = 0.6 * np.eye(8)[labels] + 0.4 * np.eye(8)[(labels + 1) % 8]
    degraded = Predictions([*map(str, range(64))], logits, labels, votes=votes)
    card = calibrate({}, degraded, degraded)
    believed = degraded.probabilities({"temperature": card["temperature_degraded"]}).max(1)
    assert believed == pytest.approx(np.full(64, 0.6), abs=0.001)
    assert degraded.probabilities(card).max(1).min() > 0.99


def disgust(logits_of_disgust):
    """Predictions for 390 neutral faces and 10 of disgust; the logit of neutral is 0."""
    logits = np.full((400, 8), -20.0, np.float32)
    logits[:, 0], logits[:, 5] = 0, logits_of_disgust
    return Predictions([*map(str, range(400))], logits, np.array([0] * 390 + [5] * 10))


def test_calibration_pays_at_most_half_a_point_for_balance():
    logits = np.full(400, -9.0)
    logits[390:395], logits[395:] = -0.5, -2.9  # five faces of disgust need a weaker prior than the others
    logits[:4] = -2.8  # four neutral ones, taken for disgust before those are found
    predictions = disgust(logits)
    card = calibrate({"class_shares": [0.9, *[0.1 / 7] * 7]}, predictions, predictions)
    assert card["prior_strength"] > 0
    before, after = predictions.score({**card, "prior_strength": 0.0}), predictions.score(card)
    assert after.per_class["disgust"]["recall"] > before.per_class["disgust"]["recall"]
    best = max(predictions.score({**card, "prior_strength": s}, resamples=0).accuracy for s in STRENGTHS)
    assert after.accuracy >= best - 0.005
    too_much = predictions.score({**card, "prior_strength": 1.0})
    assert too_much.accuracy < best - 0.005 or too_much.balanced_accuracy <= after.balanced_accuracy


def test_a_network_trained_on_balanced_classes_gets_part_of_the_class_frequencies_back():
    logits = np.where(np.arange(400) < 390, -6.0, 6.0)
    logits[:60] = 1.0  # neutral faces that a network which saw much disgust takes for it
    card = calibrate({"class_shares": [0.7, *[0.3 / 7] * 7]}, *[disgust(logits)] * 2)
    assert card["prior_strength"] < 0
    assert disgust(logits).score(card).accuracy > 0.99


def test_the_uniform_prior_takes_class_frequencies_away():
    """Bayes: a network that only knows the class frequencies knows nothing without them."""
    frequencies = [0.5, 0.25, 0.125, 0.0625, 0.03, 0.02, 0.01, 0.0025]
    shift = class_shift({"class_shares": frequencies}, "uniform")
    assert to_probabilities(np.log([frequencies]), 1.0, shift) == pytest.approx(np.full((1, 8), 1 / 8))
    assert class_shift({"class_shares": frequencies}, "training") == 0


@pytest.mark.parametrize("prior", ["uniform", "chosen"])
def test_a_class_that_was_never_seen_is_not_made_likely(prior):
    """Its frequency is 0; dividing by it must not lift the class above all others."""
    frequencies = [0.5, 0.25, 0.125, 0.0625, 0.03, 0.02, 0.0125, 0]
    shift = class_shift({"class_shares": frequencies, "prior_strength": -0.5}, prior)
    assert shift[7] == shift[:7].min()
    assert np.isfinite(shift).all()


@pytest.mark.parametrize(("card", "prior"), [({}, "uniform"), ({"class_shares": [1]}, "even")])
def test_priors_that_are_not_available(card, prior):
    with pytest.raises(DataInvalid):
        class_shift(card, prior)


def test_large_logits_stay_finite():
    p = to_probabilities(np.array([[1e4, 0.0], [-1e4, 0.0]], np.float32))
    assert p.tolist() == [[1, 0], [0, 1]]
    assert np.isfinite(log_softmax(np.array([[1e4, 0.0]]))).all()


@pytest.mark.parametrize(
    ("data", "split"), [("ferplus", "valid"), ("affectnet8", "held-out"), ("affectnet2017", "held-out")]
)
def test_the_split_to_calibrate_on_follows_from_the_training_data(data, split):
    assert calibration_split({"train_data": data}) == split
