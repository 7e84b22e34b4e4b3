"""README's table is made from the records, and the records from the weights."""

import contextlib
import json
import os
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from fer.card import preprocess_of, read_card
from fer.checkpoint import load, save
from fer.datasets import FERPlus
from fer.errors import DataInvalid, DataMissing
from fer.evaluation import results
from fer.evaluation.predictions import Predictions, predict
from fer.evaluation.scores import score
from fer.labels import EMOTIONS
from fer.model import BaselineCNN
from fer.probabilities import outputs_of
from fer.runtime import ONNX, OnnxNetwork, OpenVinoNetwork

ROOT = Path(__file__).parents[2]
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "ece")
RECORDED = sorted(file.parent for file in (ROOT / "models").glob("*/metrics.json"))


def write_record(models, name, accuracy):
    scores = {"n": 10, "accuracy": accuracy, "balanced_accuracy": 0.5, "macro_f1": 0.25, "ece": 0.031}
    scores["intervals"] = {key: [0.1, 0.9] for key in METRICS}
    scores["per_class"] = {emotion: {"recall": 0.125} for emotion in EMOTIONS}
    save(models / name, BaselineCNN(), {})
    (models / name / "metrics.json").write_text(json.dumps({"ferplus-test": scores, "ferplus-valid": scores}))


def test_table_has_one_row_for_each_model_and_reported_split(tmp_path):
    write_record(tmp_path, "one", 0.8125)
    write_record(tmp_path, "two", 0.5)
    lines = results.table(tmp_path).splitlines()
    assert sum("| `one` |" in line for line in lines) == 2  # scores, recall; validation is not reported
    assert any(line.startswith("| POSTER++ | 92.3 |") for line in lines)
    assert "| `one` | 52,316 | 10 | 81.2 (10.0–90.0) | 50.0 (10.0–90.0)" in "\n".join(lines)


def test_only_the_table_of_the_readme_is_replaced(tmp_path):
    write_record(tmp_path, "one", 0.8125)
    text = f"before\n{results.BEGIN}\nold\n{results.END}\nafter\n"
    new = results.with_new_table(text, tmp_path)
    assert new.startswith("before\n") and new.endswith("\nafter\n") and "old" not in new and "`one`" in new
    assert results.with_new_table(new, tmp_path) == new
    with pytest.raises(DataInvalid, match="no table to replace"):
        results.with_new_table("no marks", tmp_path)


def test_readme_shows_what_is_recorded():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert results.with_new_table(readme, ROOT / "models") == readme, (
        "run: python -m fer.evaluation.results --write"
    )


@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
def test_recorded_scores_follow_from_recorded_predictions(folder):
    """Notebook 03 and README rest on these files, so they must agree with each other."""
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert metrics
    for name, recorded in metrics.items():
        with np.load(folder / f"predictions-{name}.npz", allow_pickle=False) as record:
            again = score(record["probabilities"], record["labels"], resamples=0)
            assert len(set(record["names"].tolist())) == recorded["n"]
        assert recorded["confusion"] == again.confusion
        for key in METRICS:
            assert recorded[key] == pytest.approx(getattr(again, key), abs=1e-9), (name, key)


def by_the_weights(folder, data, flip):
    return predict(load(folder)[0], data, flip=flip, progress=False)


def by_the_exported_network(runtime, folder, data, flip):
    network, preprocess = runtime(folder / ONNX), preprocess_of(folder, read_card(folder))
    parts = [outputs_of(network, preprocess(images), flip)[0] for images in data.images.split(128)]
    return Predictions(data.keys, np.concatenate(parts), data.labels)


@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
@pytest.mark.parametrize(
    "predictions_of",
    [
        pytest.param(by_the_weights, id="torch"),
        pytest.param(partial(by_the_exported_network, OnnxNetwork), id="onnxruntime"),
        pytest.param(partial(by_the_exported_network, partial(OpenVinoNetwork, exact=True)), id="openvino"),
    ],
)
def test_recorded_test_scores_follow_from_the_network(folder, predictions_of):
    """Needs the faces of FER+, which are not shipped; says so where they are not found."""
    recorded = json.loads((folder / "metrics.json").read_text("utf-8"))["ferplus-test"]
    predictions = predictions_of(folder, ferplus(), recorded["flip"])
    probabilities = predictions.probabilities(read_card(folder)).astype(np.float16)
    again = score(probabilities, predictions.labels, resamples=0)
    for key in ("n", "accuracy", "balanced_accuracy", "macro_f1"):
        assert round(recorded[key], 3) == round(getattr(again, key), 3), key
    assert again.ece == pytest.approx(recorded["ece"], abs=1e-3)


@cache
def ferplus():
    for place in (os.environ.get("FER_DATA"), ROOT / "dataset"):
        with contextlib.suppress(DataMissing):
            if place:
                return FERPlus(place, "test")
    pytest.skip(
        "FER+ was not found, so the recorded scores were NOT computed again: set FER_DATA to its folder"
    )
