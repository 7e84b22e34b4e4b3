"""The script, on a tiny FER+ and a small network."""

import json

import pytest
import torch
from helpers import small_net, votes, write_ferplus
from torch import nn

from fer import evaluate
from fer.card import read_card
from fer.checkpoint import save
from fer.errors import DataInvalid
from fer.evaluate import EvaluateConfig
from fer.labels import EMOTIONS
from fer.model import build

pytestmark = pytest.mark.usefixtures("no_export")


@pytest.fixture
def world(tmp_path):
    rows = [votes(**{name: 10}) for name in EMOTIONS] + [votes(fear=4, surprise=3, anger=3)]
    write_ferplus(tmp_path / "data", {split: rows for split in ("train", "valid", "test")})
    model = small_net()
    nn.init.constant_(model.head[1].bias[6], 5.0)  # predicts anger for every face
    save(tmp_path / "model", model, {"flip": True, "class_shares": [0.65] + [0.05] * 7})
    return tmp_path


def config(world, **options):
    usual = {"model": world / "model", "data": "ferplus", "root": world / "data"}
    return EvaluateConfig(**usual | options)


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
    """Their probabilities were made with a temperature that is no longer in the card."""
    evaluate.main(config(world, record=True))
    evaluate.main(config(world, calibrate=True, split="valid"))
    assert "have been removed: score each split again" in capsys.readouterr().err
    assert not list((world / "model").glob("predictions-*")) and not (world / "model/metrics.json").exists()


@pytest.mark.parametrize("split", ["valid", "val"])
def test_calibrating_anew_writes_the_card_and_uses_it(world, capsys, split):
    before = read_card(world / "model")
    evaluate.main(config(world, calibrate=True, split=split))
    after = read_card(world / "model")
    assert set(after) - set(before) == {"temperature", "temperature_degraded", "prior_strength"}
    assert f"temperature {after['temperature']}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        # Nothing is fitted to what is reported.
        ({"calibrate": True, "split": "test"}, "worthless"),
        ({"calibrate": True, "split": "valid", "limit": 3}, "worthless"),
        ({"calibrate": True}, "worthless"),
        # Only full results of the trained model are recorded, and only in a folder.
        ({"record": True, "untrained": True}, "leave out"),
        ({"record": True, "limit": 3}, "leave out"),
        ({"record": True, "prior": "uniform"}, "leave out"),
        ({"record": True, "arch": "baseline", "model": "bare.pt"}, "folder"),
    ],
)
def test_options_that_contradict_each_other(world, options, message):
    before = read_card(world / "model")
    if "model" in options:
        options = options | {"model": world / options["model"]}
        torch.save(build("baseline").state_dict(), options["model"])
    with pytest.raises(DataInvalid, match=message):
        evaluate.main(config(world, **options))
    assert read_card(world / "model") == before


def test_a_folder_that_cannot_be_written_to_is_noticed_first(world, monkeypatch):
    """Before the data are opened: there are none."""

    def refuse(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("fer.files.TemporaryFile", refuse)
    with pytest.raises(DataInvalid, match=r"--model .*cannot be written to \(.*: Read-only file system\)"):
        evaluate.main(config(world, root=world / "nowhere", record=True))
