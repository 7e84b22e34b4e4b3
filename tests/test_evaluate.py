"""Predicting a data set in its order, and what is written down of it."""

import json

import numpy as np
import pytest
import torch
from helpers import PlainNetwork, Spots, plain_network, small_net, votes, write_ferplus
from torch import nn

from fer import evaluate
from fer.checkpoint import read_card, save
from fer.errors import DataInvalid
from fer.evaluate import EvaluateConfig, Predictions, calibrate, predict, record
from fer.evaluation.scores import score
from fer.labels import EMOTIONS
from fer.model import FaceNetwork, build


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


class Known(FaceNetwork):
    """Reads the spots: sure of the right class for all but every fourth face."""

    preprocess = PlainNetwork.preprocess

    def __init__(self):
        super().__init__(8)
        self.scale = nn.Parameter(torch.tensor(3.0))

    def outputs(self, x):
        cells = nn.functional.avg_pool2d(x, (8, 4)).flatten(1)
        return self.scale * nn.functional.one_hot(cells.argmax(1), 8)


def spoilt():
    """Spots with every fourth label wrong."""
    faces = Spots(64)
    faces.labels[::4] = (faces.labels[::4] + 1) % 8
    return faces


def test_record_can_be_read_and_scored_again(tmp_path):
    predictions = predict(Known(), spoilt())
    card = calibrate({"class_shares": [1 / 8] * 8}, predictions)
    written = record(tmp_path, "toy-test", predictions, card, {"flip": False})
    with np.load(tmp_path / "predictions-toy-test.npz") as file:
        assert file["probabilities"].dtype == np.float16
        assert file["labels"].dtype == np.int64
        assert file["names"].tolist() == spoilt().keys
        again = score(file["probabilities"], file["labels"])
    metrics = json.loads((tmp_path / "metrics.json").read_text())["toy-test"]
    assert again == written
    assert metrics == {"flip": False, **json.loads(json.dumps(written.to_dict()))}
    assert metrics["accuracy"] == 0.75
    wanted = {"n", "accuracy", "balanced_accuracy", "macro_f1", "ece", "per_class", "intervals"}
    assert wanted <= set(metrics)
    assert list(metrics["per_class"]) == list(EMOTIONS)


def test_records_of_other_splits_stay(tmp_path):
    for name in ("toy-valid", "toy-test", "toy-test"):
        record(tmp_path, name, predict(Known(), Spots(8)), {})
    assert list(json.loads((tmp_path / "metrics.json").read_text())) == ["toy-valid", "toy-test"]
    assert len(list(tmp_path.iterdir())) == 3


def test_calibration_finds_how_sure_to_be():
    """Right in three of four cases: the mean confidence should be .75."""
    predictions = predict(Known(), spoilt())
    card = calibrate({}, predictions)
    assert predictions.probabilities(card).max(1) == pytest.approx(np.full(64, 0.75), abs=0.001)
    assert predictions.score(card).ece < 0.001 < predictions.score().ece


def test_uniform_prior_favours_rare_emotions():
    predictions = predict(plain_network(), Spots(16))
    card = {"class_shares": [0.65] + [0.05] * 7}
    learned, even = predictions.probabilities(card), predictions.probabilities(card, "uniform")
    assert (even[:, 0] < learned[:, 0]).all()
    assert even.sum(1) == pytest.approx(np.ones(16))
    ratio = (even[:, 0] / even[:, 1]) / (learned[:, 0] / learned[:, 1])
    assert ratio == pytest.approx(np.full(16, 0.05 / 0.65))


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
    best = max(lopsided().score({**free, "prior_strength": s}).accuracy for s in evaluate.STRENGTHS)
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


def test_the_chosen_prior_is_the_one_of_the_card():
    card = {"class_shares": [0.65] + [0.05] * 7, "prior_strength": 0.5}
    predictions = predict(plain_network(), Spots(16))
    learned, chosen, even = (predictions.probabilities(card, p) for p in ("training", "chosen", "uniform"))
    halfway = np.sqrt(learned * even)
    np.testing.assert_allclose(chosen, halfway / halfway.sum(1, keepdims=True), atol=1e-9)
    assert (predictions.probabilities(card) == chosen).all()


# The script, on a tiny FER+ and a small network.


@pytest.fixture
def world(tmp_path, monkeypatch):
    rows = [votes(**{name: 10}) for name in EMOTIONS] + [votes(fear=4, surprise=3, anger=3)]
    write_ferplus(tmp_path / "data", {split: rows for split in ("train", "valid", "test")})
    model = small_net()
    nn.init.constant_(model.head[1].bias[6], 5.0)  # it has learned that all are angry
    save(tmp_path / "model", model, {"flip": True, "class_shares": [0.65] + [0.05] * 7})
    return tmp_path


def config(world, **options):
    return EvaluateConfig(model=world / "model", data="ferplus", root=world / "data", **options)


def test_script_prints_and_writes_nothing_unasked(world, capsys):
    evaluate.main(config(world))
    printed = capsys.readouterr().out
    assert "on ferplus-test, flip on" in printed
    assert f"{'n':18}{8:>8}" in printed
    assert sorted(f.name for f in (world / "model").iterdir()) == ["card.json", "model.safetensors"]


def test_script_records_by_kind_of_label(world, capsys):
    evaluate.main(config(world, record=True))
    evaluate.main(config(world, record=True, labels="argmax", split="val", flip=False))
    metrics = json.loads((world / "model" / "metrics.json").read_text())
    assert {name: entry["n"] for name, entry in metrics.items()} == {
        "ferplus-test": 8,
        "ferplus-valid-argmax": 9,
    }
    assert [entry["flip"] for entry in metrics.values()] == [True, False]


def test_untrained_network_is_another_one(world, capsys):
    evaluate.main(config(world))
    trained = capsys.readouterr().out
    evaluate.main(config(world, untrained=True))
    untrained = capsys.readouterr().out
    assert "(untrained)" in untrained
    assert "anger                  0.125     1.000" in trained
    assert "anger                  0.125     1.000" not in untrained


def test_an_untrained_network_has_as_many_classes(world):
    save(world / "model", build("emotion_net", num_classes=7), {"flip": False})
    with pytest.raises(DataInvalid, match="labels 0 to 7; expected 0 to 6"):
        evaluate.main(config(world, untrained=True))


def test_records_of_another_calibration_are_removed(world, capsys):
    """Their probabilities were made with a temperature that the card no longer tells."""
    evaluate.main(config(world, record=True))
    evaluate.main(config(world, calibrate=True, split="valid"))
    assert "have been removed: score each split again" in capsys.readouterr().err
    assert not list((world / "model").glob("predictions-*")) and not (world / "model/metrics.json").exists()
    evaluate.main(config(world, record=True))
    evaluate.main(config(world, calibrate=True, split="valid"))  # to the same temperature
    assert list((world / "model").glob("predictions-*")) and (world / "model/metrics.json").exists()


@pytest.mark.parametrize("split", ["valid", "val"])
def test_calibrating_anew_writes_the_card_and_uses_it(world, capsys, split):
    before = read_card(world / "model")
    evaluate.main(config(world, calibrate=True, split=split))
    after = read_card(world / "model")
    assert set(after) - set(before) == {"temperature", "prior_strength"}
    assert f"temperature {after['temperature']}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "split"), [("ferplus", "valid"), ("affectnet8", "held-out"), ("affectnet2017", "held-out")]
)
def test_the_split_to_calibrate_on_follows_from_what_was_trained_on(data, split):
    assert evaluate.chosen_on({"train_data": data}) == split


@pytest.mark.parametrize("options", [{"split": "test"}, {"split": "valid", "limit": 3}, {"split": None}])
def test_nothing_is_fitted_to_what_is_reported(world, options):
    before = read_card(world / "model")
    with pytest.raises(DataInvalid, match="worthless"):
        evaluate.main(config(world, calibrate=True, **options))
    assert read_card(world / "model") == before


@pytest.mark.parametrize("options", [{"untrained": True}, {"limit": 3}, {"prior": "uniform"}])
def test_only_full_results_of_the_model_are_recorded(world, options):
    with pytest.raises(DataInvalid, match="leave out"):
        evaluate.main(config(world, record=True, **options))


def test_where_nothing_can_be_recorded_nothing_is_predicted(world, monkeypatch):
    monkeypatch.setattr(evaluate, "predict", lambda *_: pytest.fail("predicted"))

    def refuse(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("fer.files.TemporaryFile", refuse)
    with pytest.raises(DataInvalid, match=r"--model .*cannot be written to \(.*: Read-only file system\)"):
        evaluate.main(config(world, record=True))


def test_bare_weights_have_no_folder_to_record_in(world):
    torch.save(build("baseline").state_dict(), world / "bare.pt")
    options = config(world, record=True, arch="baseline")
    options.model = world / "bare.pt"
    with pytest.raises(DataInvalid, match="folder"):
        evaluate.main(options)
