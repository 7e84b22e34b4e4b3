"""Predicting a data set in its order."""

import numpy as np
import pytest
import torch
from helpers import Spots, plain_network, small_net

from fer.errors import DataInvalid
from fer.evaluation.predictions import Predictions, predict


def test_predictions_are_in_the_order_of_the_data_set():
    model, faces = plain_network().eval(), Spots(21)
    found = predict(model, faces, batch_size=8)
    with torch.no_grad():
        expected = model(model.preprocess(faces.images)).numpy()
    np.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-6)
    assert found.names == faces.keys
    assert np.array_equal(found.labels, faces.labels)


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_put_back_and_batch_statistics_are_not_touched(training):
    model = small_net().train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = predict(model, Spots(9)), predict(model, Spots(9), batch_size=2)
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    np.testing.assert_allclose(
        first.logits, second.logits, rtol=1e-4, atol=1e-6
    )  # no batch statistics, no dropout


def test_mode_is_put_back_after_an_error():
    model = small_net().train()
    model.stem.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict(model, Spots(9))
    assert model.training


def test_flip_is_the_mean_of_both_views():
    model, faces = plain_network(), Spots(5)
    mirrored = Spots(5)
    mirrored.images = mirrored.images.flip(-1)
    mean = (predict(model, faces).logits + predict(model, mirrored).logits) / 2
    np.testing.assert_allclose(predict(model, faces, flip=True).logits, mean, rtol=1e-4, atol=1e-5)


def test_flip_is_of_the_picture_not_of_its_height():
    model, faces = plain_network(), Spots(5)
    upside_down = Spots(5)
    upside_down.images = upside_down.images.flip(-2)
    flipped, same = (predict(model, data, flip=True).logits for data in (upside_down, faces))
    assert np.abs(flipped - same).max() > 0.01


def test_parts_of_several_processes_make_the_whole():
    model, faces = plain_network(), Spots(10)
    parts = [predict(model, faces, 4, part=(rank, 3)) for rank in range(3)]
    merged = Predictions.merge(parts, faces.keys)
    whole = predict(model, faces, 4)
    assert merged.names == whole.names
    assert np.array_equal(merged.labels, whole.labels)
    np.testing.assert_allclose(merged.logits, whole.logits, rtol=1e-5, atol=1e-6)


def test_more_processes_than_faces():
    parts = [predict(plain_network(), Spots(2), part=(rank, 3)) for rank in range(3)]
    assert Predictions.merge(parts, Spots(2).keys).logits.shape == (2, 8)


class Lossy(Spots):
    """Hands out fewer faces than it says it has."""

    def __getitems__(self, indices):
        return [self[i] for i in indices[:-1]]


def test_missing_faces_are_noticed():
    with pytest.warns(UserWarning, match="7 faces were predicted, but the data set has 8"):
        predict(plain_network(), Lossy(8), batch_size=8)


def test_no_batch_size():
    with pytest.raises(DataInvalid, match="1 or more"):
        predict(plain_network(), Spots(8), batch_size=0)


def test_uniform_prior_favours_rare_emotions():
    predictions = predict(plain_network(), Spots(16))
    card = {"class_shares": [0.65] + [0.05] * 7}
    learned, even = predictions.probabilities(card), predictions.probabilities(card, "uniform")
    assert (even[:, 0] < learned[:, 0]).all()
    assert even.sum(1) == pytest.approx(np.ones(16))
    ratio = (even[:, 0] / even[:, 1]) / (learned[:, 0] / learned[:, 1])
    assert ratio == pytest.approx(np.full(16, 0.05 / 0.65))


def test_the_chosen_prior_is_the_one_of_the_card():
    card = {"class_shares": [0.65] + [0.05] * 7, "prior_strength": 0.5}
    predictions = predict(plain_network(), Spots(16))
    learned, chosen, even = (predictions.probabilities(card, p) for p in ("training", "chosen", "uniform"))
    halfway = np.sqrt(learned * even)
    np.testing.assert_allclose(chosen, halfway / halfway.sum(1, keepdims=True), atol=1e-9)
    assert (predictions.probabilities(card) == chosen).all()
