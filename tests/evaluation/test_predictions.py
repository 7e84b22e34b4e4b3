"""Predicting a data set in its order."""

import numpy as np
import pytest
import torch
from helpers import Spots, plain_network, small_net

from fer.errors import DataInvalid
from fer.evaluation.predictions import Predictions, predict


def test_predictions_are_in_the_order_of_the_data_set():
    model, faces = plain_network().eval(), Spots(21)
    predictions = predict(model, faces, batch_size=8)
    with torch.no_grad():
        expected = model(torch.from_numpy(model.preprocess(faces.images))).numpy()
    np.testing.assert_allclose(predictions.logits, expected, rtol=1e-5, atol=1e-6)
    assert predictions.names == faces.keys
    assert np.array_equal(predictions.labels, faces.labels)


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_put_back_and_batch_statistics_are_not_touched(training):
    model = small_net().train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = predict(model, Spots(9)).logits, predict(model, Spots(9), batch_size=2).logits
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-6)  # no batch statistics, no dropout


def test_mode_is_put_back_after_an_error():
    model = small_net().train()
    model.stem.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict(model, Spots(9))
    assert model.training


def test_flip_is_the_mean_of_both_views():
    model, faces, mirrored = plain_network(), Spots(5), Spots(5)
    mirrored.images = mirrored.images.flip(-1)
    mean = (predict(model, faces).logits + predict(model, mirrored).logits) / 2
    np.testing.assert_allclose(predict(model, faces, flip=True).logits, mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [10, 2])
def test_parts_of_three_processes_are_merged(n):
    model, faces = small_net(valence_arousal=True), Spots(n)
    faces.valence = faces.arousal = np.linspace(-1, 1, n)
    merged = Predictions.merge([predict(model, faces, 4, part=(rank, 3)) for rank in range(3)], faces.keys)
    together = predict(model, faces, 4)
    assert merged.names == together.names
    assert np.array_equal(merged.labels, together.labels)
    np.testing.assert_allclose(merged.logits, together.logits, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(merged.valence_arousal, together.valence_arousal, atol=1e-3)
    assert np.array_equal(merged.true_valence_arousal, together.true_valence_arousal)


def test_no_batch_size():
    with pytest.raises(DataInvalid, match="1 or more"):
        predict(plain_network(), Spots(8), batch_size=0)


def test_the_prior_is_taken_from_the_card_unless_another_is_asked_for():
    card = {"class_shares": [0.65] + [0.05] * 7, "prior_strength": 0.5}
    predictions = predict(plain_network(), Spots(16))
    training, chosen, uniform = (
        predictions.probabilities(card, p) for p in ("training", "chosen", "uniform")
    )
    ratio = (uniform[:, 0] / uniform[:, 1]) / (training[:, 0] / training[:, 1])
    assert ratio == pytest.approx(np.full(16, 0.05 / 0.65))
    halfway = np.sqrt(training * uniform)
    np.testing.assert_allclose(chosen, halfway / halfway.sum(1, keepdims=True), atol=1e-9)
    assert (predictions.probabilities(card) == chosen).all()
