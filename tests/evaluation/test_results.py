"""The tables of results are made from the records, and the records from the weights."""

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
    scores |= {"nll": 1.0, "confusion": [[0] * 8] * 8}
    scores["intervals"] = {key: [0.1, 0.9] for key in METRICS}
    scores["per_class"] = {
        emotion: {"precision": 0.25, "recall": 0.125, "f1": 0.17, "support": 1} for emotion in EMOTIONS
    }
    save(models / name, BaselineCNN(), {})
    (models / name / "metrics.json").write_text(json.dumps({"ferplus-test": scores, "ferplus-valid": scores}))


def test_tables_have_one_row_for_each_model_and_reported_split(tmp_path):
    write_record(tmp_path, "one", 0.8125)
    write_record(tmp_path, "two", 0.5)
    first, all_of_them = results.tables(tmp_path)
    assert [line.split(" | ")[1] for line in first.splitlines()[2:]] == ["`one`", "`two`"]
    assert (
        sum("| `one` |" in line for line in all_of_them.splitlines()) == 2
    )  # scores, recall; not validation
    assert "| `one` | 52,316 | 10 | 81.2 (10.0–90.0) | 50.0 (10.0–90.0)" in all_of_them


def test_a_model_of_seven_classes_has_a_row_with_a_gap(tmp_path):
    write_record(tmp_path, "seven", 0.5)
    file = tmp_path / "seven/metrics.json"
    metrics = json.loads(file.read_text("utf-8"))
    for scores in metrics.values():
        del scores["per_class"]["contempt"]
    file.write_text(json.dumps(metrics))
    rows = [line for line in results.tables(tmp_path)[1].splitlines() if "`seven`" in line]
    assert all(row.startswith("| FER+ test, 7 classes, majority labels |") for row in rows)
    assert rows[1].endswith("| 12.5 |  |")


def test_only_the_table_of_a_page_is_replaced():
    page = f"before\n{results.BEGIN}\nold\n{results.END}\nafter\n"
    new = results.replaced(page, "| table |")
    assert (
        new.startswith("before\n")
        and new.endswith("\nafter\n")
        and "old" not in new
        and "\n\n| table |\n\n" in new
    )
    assert results.replaced(new, "| table |") == new
    with pytest.raises(DataInvalid, match="no table to replace"):
        results.replaced("no marks", "")


def test_pages_show_what_is_recorded():
    for page, table in zip(results.PAGES, results.tables(ROOT / "models"), strict=True):
        text = (ROOT / page).read_text("utf-8")
        assert results.replaced(text, table) == text, "run: python -m fer.evaluation.results --write"


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
