import numpy as np
import pytest
from scipy.stats import binom

from fer.errors import DataInvalid
from fer.evaluation.compare import compare

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 400)


def predicting(labels, wrong, classes=4):
    """Probabilities of a model that predicts the next class for the samples ``wrong``."""
    predicted = np.where(np.isin(np.arange(len(labels)), wrong), (labels + 1) % classes, labels)
    return np.eye(classes)[predicted]


def test_mcnemar_counts_the_samples_that_only_one_predicts_correctly():
    found = compare(predicting(LABELS, range(30)), predicting(LABELS, range(20, 32)), LABELS)
    assert (found.n, found.only_a, found.only_b) == (400, 2, 20)
    assert found.p_value == pytest.approx(2 * binom.cdf(2, 22, 0.5))


def test_the_difference_is_b_minus_a_and_lies_in_its_interval():
    found = compare(predicting(LABELS, range(80)), predicting(LABELS, range(20)), LABELS)
    difference, (low, high) = found.differences["accuracy"]
    assert difference == pytest.approx(60 / 400)
    assert low < difference < high and low > 0
    assert set(found.differences) == {"accuracy", "balanced_accuracy", "macro_f1"}


def test_the_interval_is_that_of_pairs_not_of_two_models_apart():
    """Where both err on the same faces, resampling faces changes neither's lead."""
    a, b = predicting(LABELS, range(200)), predicting(LABELS, range(198))
    _, (low, high) = compare(a, b, LABELS).differences["accuracy"]
    assert high - low < 0.02  # apart, each accuracy of .5 alone would span 0.1


def test_equal_models_do_not_differ():
    found = compare(predicting(LABELS, range(9)), predicting(LABELS, range(9)), LABELS)
    assert found.p_value == 1 and found.differences["macro_f1"] == (0, (0, 0))


@pytest.mark.parametrize(
    ("a", "b", "labels"),
    [((3, 2), (2, 2), 3), ((3, 2), (3, 2), 2), ((0, 2), (0, 2), 0)],
)
def test_predictions_that_do_not_fit_together_are_refused(a, b, labels):
    with pytest.raises(DataInvalid, match="expected"):
        compare(np.zeros(a), np.zeros(b), np.zeros(labels, int))
