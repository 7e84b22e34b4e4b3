"""What is kept in a model's folder, and read again without any data set."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from fer import checkpoint
from fer.errors import DataInvalid, DataMissing
from fer.evaluation.predictions import Predictions
from fer.evaluation.recorded import preferred_set, record, recorded_models
from fer.evaluation.scores import score
from fer.labels import EMOTIONS
from fer.model import build
from fer.probabilities import to_probabilities

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 8, 60)
LOGITS = RNG.normal(size=(60, 8)).astype(np.float32) * 3
CARD = {"arch": "emotion_net", "options": {"widths": [8, 16]}, "temperature": 2.0}
CARD |= {"class_shares": [0.3, *[0.1] * 7], "prior_strength": 0.6}

SETS = ("ferplus-valid", "ferplus-test", "affectnet8-val")


@pytest.fixture
def folder(tmp_path):
    """models/ with one recorded model, and one that is still in training."""
    for name in ("done", "unfinished"):
        checkpoint.save(tmp_path / name, build("emotion_net", widths=(8, 16)), CARD)
    predictions = Predictions([f"test/{i}" for i in range(60)], LOGITS, LABELS)
    for name in (*SETS, SETS[0]):
        record(tmp_path / "done", name, predictions, CARD)
    assert list(json.loads((tmp_path / "done/metrics.json").read_text())) == [*SETS]  # the others stay
    return tmp_path


def test_only_recorded_models_are_listed(folder):
    assert [model.name for model in recorded_models(folder)] == ["done"]
    assert recorded_models(folder / "nowhere") == []


def test_recorded_predictions_have_the_recorded_scores(folder):
    (model,) = recorded_models(folder)
    found = model.predictions("ferplus-test")
    assert found.names[3] == "test/3" and found.labels.tolist() == LABELS.tolist()
    assert score(found.probabilities, found.labels).ece == model.metrics["ferplus-test"]["ece"]
    assert found.card["temperature"] == 2


def test_temperature_and_prior_can_be_undone(folder):
    found = recorded_models(folder)[0].predictions("ferplus-test")
    assert np.allclose(found.uncalibrated, to_probabilities(LOGITS), atol=2e-3)
    assert (found.uncalibrated.argmax(1) == LOGITS.argmax(1)).mean() > 0.98


def test_faces_that_chose_neither_epoch_nor_calibration_come_first(folder):
    models = recorded_models(folder)
    assert models[0].sets == ["ferplus-test", "affectnet8-val", "ferplus-valid"]
    assert preferred_set(models) == "ferplus-test"
    (models[0].folder / "predictions-ferplus-test.npz").unlink()
    assert preferred_set(models) == "affectnet8-val"
    with pytest.raises(DataMissing, match=r"python -m fer\.train"):
        preferred_set([])


def test_missing_and_damaged_predictions(folder):
    model = recorded_models(folder)[0]
    with pytest.raises(DataMissing, match=r"done has recorded predictions on: ferplus-test.*\n?.*--record"):
        model.predictions("nothing-test")
    (model.folder / "predictions-ferplus-test.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(DataInvalid, match="is damaged"):
        model.predictions("ferplus-test")


def test_record_can_be_read_and_scored_again(tmp_path):
    names = [f"test/{i}" for i in range(60)]
    written = record(tmp_path, "toy-test", Predictions(names, LOGITS, LABELS), CARD, {"flip": False})
    with np.load(tmp_path / "predictions-toy-test.npz") as file:
        assert sorted(file) == ["labels", "names", "probabilities"]
        assert file["probabilities"].dtype == np.float16
        assert file["labels"].dtype == np.int64
        assert file["names"].tolist() == names
        assert score(file["probabilities"], file["labels"]) == written
    metrics = json.loads((tmp_path / "metrics.json").read_text())["toy-test"]
    assert metrics == {"flip": False, **json.loads(json.dumps(asdict(written)))}
    wanted = {"n", "accuracy", "balanced_accuracy", "macro_f1", "ece", "per_class", "intervals"}
    assert wanted <= set(metrics)
    assert list(metrics["per_class"]) == list(EMOTIONS)


def test_nothing_is_recorded_of_weights_that_have_overflowed(tmp_path):
    logits = np.full((1, 8), np.nan, np.float32)
    with pytest.raises(DataInvalid, match="not finite"):
        record(tmp_path, "toy-test", Predictions(["test/0"], logits, np.array([0])), CARD)
    assert not list(tmp_path.iterdir())
