"""The training script: its options, what it leaves, and the same command with --resume after a stop."""

import itertools
import json
import os
import signal
import time

import pytest
from helpers import small_net, votes, write_ferplus

from fer.checkpoint import load, save
from fer.datasets import FERPlus
from fer.errors import DataInvalid, Stopped
from fer.evaluation import calibration, predictions, recorded
from fer.labels import EMOTIONS
from fer.train import main
from fer.training import TrainConfig

pytestmark = pytest.mark.usefixtures("no_export")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("epochs", 0), ("batch_size", 0), ("accumulate", 0), ("patience", 0), ("size", 0), ("lr", -1.0)],
        *[("seed", -1), ("ema", 1.0), ("degrade", 1.5), ("imbalance", "balanced"), ("augment", "weak")],
    ],
)
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(DataInvalid, match=f"{name.replace('_', '.')}.*expected"):
        TrainConfig(**{name: value}).check_values()


@pytest.mark.parametrize("name", ["init", "teachers"])
def test_a_run_does_not_replace_what_it_learns_from(tmp_path, name):
    save(tmp_path, small_net(), {})
    source = {"init": tmp_path, "teachers": (tmp_path / ".." / tmp_path.name,)}[name]
    with pytest.raises(DataInvalid, match=r"would replace .*, which it learns from"):
        TrainConfig(out=tmp_path, overwrite=True, **{name: source}).check_values()


@pytest.fixture
def ferplus(tmp_path):
    rows = [votes(**{name: 10}) for name in EMOTIONS] * 2
    return write_ferplus(tmp_path / "data", {"train": rows, "valid": rows[:8]})


def test_script_trains_calibrates_and_records(ferplus, tmp_path, capsys):
    out = tmp_path / "model"
    main(TrainConfig(data="ferplus", root=ferplus, out=out, epochs=1, batch_size=8, augment="none"))
    files = ["card.json", "history.csv", "metrics.json", "model.safetensors", "predictions-ferplus-valid.npz"]
    assert sorted(os.listdir(out)) == files
    metrics = json.loads((out / "metrics.json").read_text())
    assert {name: entry["n"] for name, entry in metrics.items()} == {"ferplus-valid": 8}
    assert load(out)[1]["temperature"] != 1
    assert "macro_f1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        {"size": 48},
        {"start_size": 112},
        {"pretrained": True},
        {"model": "emotion_net", "frozen": True},
        {"model": "emotion_net", "size": 15},
        {"model": "emotion_net", "start_size": 8},
        {"epochs": 0},
    ],
)
def test_script_refuses_options_that_do_not_fit(ferplus, tmp_path, options):
    with pytest.raises(DataInvalid):
        main(TrainConfig(data="ferplus", root=ferplus, out=tmp_path / "model", **options))
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "out", ["/proc/none", "data/FER2013Train/label.csv", "data/FER2013Train/label.csv/model"]
)
def test_where_nothing_can_be_written_nothing_is_begun(ferplus, tmp_path, out):
    """/proc, because tests may be run by root, whom no rights keep from writing. That data is missing comes later."""
    with pytest.raises(DataInvalid, match=r"--out .*(cannot be written to|is a file).*folder"):
        main(TrainConfig(data="ferplus", root=tmp_path / "nowhere", out=tmp_path / out))


@pytest.mark.parametrize(
    ("module", "step"), [(predictions, "predict"), (calibration, "calibrate"), (recorded, "record")]
)
def test_stopped_after_the_last_epoch_it_can_be_finished(ferplus, tmp_path, monkeypatch, module, step):
    """The epochs are done, but there is no temperature and no record: --resume goes straight to these."""
    options = {"data": "ferplus", "root": ferplus, "model": "emotion_net", "size": 16, "epochs": 1}
    options |= {"batch_size": 8}
    unbroken, cut = tmp_path / "unbroken", tmp_path / "cut"
    main(TrainConfig(**options, out=unbroken))
    work = getattr(module, step)

    def terminated(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)  # the handler runs in between
        return work(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, step, terminated)
        with pytest.raises(Stopped, match=r"after the last epoch.*--resume to go on from .*cut"):
            main(TrainConfig(**options, out=cut))
    before = (cut / "history.csv").read_text()  # with the seconds that the epoch took
    main(TrainConfig(**options, out=cut, resume=True))
    assert (cut / "history.csv").read_text() == before
    assert sorted(os.listdir(cut)) == sorted(os.listdir(unbroken))
    cards = [load(folder)[1] for folder in (cut, unbroken)]
    for key in ("weights_sha256", "temperature", "prior_strength", "epoch"):
        assert cards[0][key] == cards[1][key], key
    assert (cut / "metrics.json").read_text() == (unbroken / "metrics.json").read_text()


def test_the_same_command_with_resume_ends_at_the_same_model(ferplus, tmp_path, monkeypatch):
    """Stopped with Ctrl-C in the second epoch."""
    options = {"data": "ferplus", "root": ferplus, "epochs": 3, "batch_size": 8}
    read, faces = FERPlus.__getitem__, itertools.count()

    def interrupted(dataset, i):
        if dataset.split == "train" and next(faces) == 16:
            signal.raise_signal(signal.SIGINT)
        return read(dataset, i)

    with monkeypatch.context() as patch:
        patch.setattr(FERPlus, "__getitem__", interrupted)
        with pytest.raises(Stopped, match=r"epoch 2 after 8 of 16 faces. Add --resume to go on"):
            main(TrainConfig(**options, out=tmp_path / "cut"))
    main(TrainConfig(**options, out=tmp_path / "cut", resume=True))
    main(TrainConfig(**options, out=tmp_path / "unbroken"))
    cut, unbroken = (load(tmp_path / name)[1] for name in ("cut", "unbroken"))
    for key in ("weights_sha256", "temperature"):
        assert cut[key] == unbroken[key]
