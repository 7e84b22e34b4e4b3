"""What a run writes, and going on after a stop to the same weights."""

import csv
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import Interrupting, Spots, plain_network, small_net
from training_support import run, same, untimed

from fer.checkpoint import load
from fer.errors import DataInvalid, DataMissing, Stopped, UsageError
from fer.files import locked
from fer.labels import EMOTIONS
from fer.training import loop

TESTS = Path(__file__).parents[1]

# What is written.


def test_files_of_a_run(tmp_path):
    """Given by hand, as in a notebook, the network is the one in the card, whatever the configuration's default."""
    seen = []
    history = run(small_net(), epochs=3, out=tmp_path, on_epoch=lambda h: seen.append(len(h.rows)))
    assert seen == [1, 2, 3]
    assert sorted(os.listdir(tmp_path)) == ["card.json", "history.csv", "model.safetensors"]
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert float(rows[-1]["valid_macro_f1"]) == pytest.approx(history.rows[-1]["valid_macro_f1"], rel=1e-5)
    card = json.loads((tmp_path / "card.json").read_text())
    wanted = {"emotions", "preprocess", "crop_margins", "temperature", "config", "seed", "git", "versions"}
    assert wanted <= set(card)
    assert (card["arch"], card["train_data"], card["train_size"]) == ("emotion_net", "spots", 48)
    assert card["config"]["model"] == "baseline"
    assert not any(str(tmp_path) in str(value) for value in card.values())  # no paths of this machine


def test_networks_of_other_makers_can_be_trained_but_not_saved(tmp_path):
    run(plain_network())
    with pytest.raises(DataInvalid, match=r"fer\.model\.build"):
        run(plain_network(), out=tmp_path)


def test_seven_classes(tmp_path):
    train, valid = (Spots(labels=np.arange(28) % 7, split=split) for split in ("train", "valid"))
    run(small_net(num_classes=7), train, valid, imbalance="logit_adjustment", mix="both", out=tmp_path)
    assert load(tmp_path)[1]["emotions"] == list(EMOTIONS[:7])


def test_a_trained_model_is_replaced_when_asked_only(tmp_path):
    """Together with its old scores, which would stand beside weights that they are not of."""
    run(small_net(), out=tmp_path)
    for name in ("metrics.json", "predictions-toy-test.npz", "notes.txt"):
        (tmp_path / name).write_text("{}")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(DataInvalid, match="already holds a trained model"):
        run(small_net(), out=tmp_path)
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    run(small_net(), out=str(tmp_path), overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["card.json", "history.csv", "model.safetensors", "notes.txt"]


def test_a_full_disk_names_the_file(tmp_path):
    """In a process of its own, because a limit on the size of files cannot be raised again."""
    code = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from helpers import small_net\n"
        "from training_support import run\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "try: run(small_net(), out=sys.argv[2])\n"
        "except OSError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(TESTS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert re.search(r"Errno 27.*state\.pt", done.stdout), done.stderr
    assert not any(file.name.startswith(".") for file in tmp_path.iterdir())


# Stopping and going on.

FULL = {"epochs": 3, "augment": "strong", "mix": "both", "ema": 0.9, "precision": "bf16", "accumulate": 2}
FULL |= {"schedule": "one_cycle"}


@pytest.mark.parametrize(
    ("optimizer", "after", "number", "where"),
    [
        ("adam", 5, signal.SIGINT, "epoch 1 after 16 of 48"),
        ("adamw", 48 + 20, signal.SIGTERM, "epoch 2 after 32 of 48"),
        ("sgd", 48, signal.SIGINT, "epoch 1 after 48 of 48"),
        ("sgd", 3 * 48, signal.SIGTERM, "epoch 3 after 48 of 48"),
    ],
)
def test_resumed_is_the_same_as_unbroken(tmp_path, optimizer, after, number, where):
    """To the last bit, wherever it was stopped: weights, moving average, best epoch, history."""
    options = FULL | {"optimizer": optimizer}
    unbroken = small_net()
    history = run(unbroken, out=tmp_path / "unbroken", **options)
    handlers = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped, match=where):
        run(small_net(), Interrupting(after, number), out=tmp_path / "cut", **options)
    assert handlers == [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]

    model = small_net()
    with torch.no_grad():
        model.head[1].bias.fill_(99)  # what it starts from must not matter
    again = run(model, out=tmp_path / "cut", resume=True, **options)
    assert same(model.state_dict(), unbroken.state_dict())
    assert untimed(again) == untimed(history)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("unbroken", "cut")]
    assert weights[0] == weights[1]
    assert not (tmp_path / "cut" / "state.pt").exists()


class Failing(Spots):
    """Fails when a certain number of faces has been read, as a process that is killed: no signal handler runs."""

    after = 0

    def __getitem__(self, i):
        if len(self.seen) == self.after:
            raise MemoryError
        return super().__getitem__(i)


def test_killed_without_warning_it_goes_on_from_the_last_saving(tmp_path):
    unbroken, resumed, failing, train = small_net(), small_net(), Failing(48), Spots(48)
    failing.after = 48 + 40
    run(unbroken, out=tmp_path / "unbroken", **FULL)
    with pytest.raises(MemoryError):
        run(small_net(), failing, out=tmp_path / "cut", save_steps=1, **FULL)
    run(resumed, train, out=tmp_path / "cut", resume=True, **FULL)
    assert len(train.seen) == 16 + 48  # two steps of epoch 2 were kept
    assert same(resumed.state_dict(), unbroken.state_dict())


def test_stopped_without_a_folder_the_network_is_still_usable():
    model = plain_network()
    with pytest.raises(Stopped, match="nothing was kept"):
        run(model, Interrupting(5, signal.SIGINT), precision="bf16")
    assert model(torch.from_numpy(model.preprocess(Spots(4).images))).dtype == torch.float32
    assert not model.training


class TerminatingAll(Spots):
    """Sends SIGTERM to all that take part, as torchrun does: this process reads for its parent."""

    def __getitem__(self, i):
        if i == 20:
            for process in (os.getppid(), os.getpid()):
                os.kill(process, signal.SIGTERM)
        return super().__getitem__(i)


def test_processes_that_read_leave_signals_to_the_one_that_trains(tmp_path):
    """A worker that ended would leave the main process without its batch: nothing would be saved."""
    options = FULL | {"augment": "none", "workers": 1, "save_steps": 1000}
    with pytest.raises(Stopped, match=r"epoch 1 after \d+ of 48"):
        run(small_net(), TerminatingAll(48), out=tmp_path, **options)
    model, unbroken = small_net(), small_net()
    run(model, out=tmp_path, resume=True, **options)
    run(unbroken, **options)
    assert same(model.state_dict(), unbroken.state_dict())


class Impatient(Interrupting):
    """Sends its signal several times, in the same step."""

    def __init__(self, number, times):
        super().__init__(5, number)
        self.times = times

    def __getitem__(self, i):
        item = super().__getitem__(i)
        if self.after < len(self.seen) < self.after + self.times:
            os.kill(os.getpid(), self.number)
        return item


def test_two_runs_do_not_train_into_one_folder(tmp_path):
    out = tmp_path / "model"
    with locked(out), pytest.raises(UsageError, match="model is being written by process"):
        run(small_net(), Spots(48), out=out)
    assert list(tmp_path.iterdir()) == []


def test_sigterm_may_come_twice(tmp_path):
    """From the system and from torchrun: the state must be saved all the same."""
    with pytest.raises(Stopped, match="epoch 1 after 16 of 48"):
        run(small_net(), Impatient(signal.SIGTERM, 2), out=tmp_path)
    assert (tmp_path / "state.pt").is_file()


def test_a_third_ctrl_c_acts_as_usual():
    with pytest.raises(KeyboardInterrupt):
        run(plain_network(), Impatient(signal.SIGINT, 3))


def test_seconds_of_an_epoch_count_from_its_beginning(tmp_path, monkeypatch):
    now = itertools.count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: 10 * next(now)))
    with pytest.raises(Stopped):
        run(small_net(), Interrupting(20, signal.SIGINT), out=tmp_path, epochs=1)
    history = run(small_net(), out=tmp_path, epochs=1, resume=True)
    # Began at 0, saved at 10; began again at 20, ended at 30.
    assert history.rows[0]["seconds"] == 20
    assert history.rows[0]["images_per_second"] == 16 / 10


@pytest.fixture
def stopped(tmp_path):
    """A folder with an unfinished run."""
    with pytest.raises(Stopped):
        run(small_net(), Interrupting(20, signal.SIGINT), out=tmp_path)
    return tmp_path


def test_what_is_overwritten_is_not_resumed(stopped):
    """A run that dies before its first saving must leave nothing that looks like its own state."""
    with pytest.raises(MemoryError):
        run(small_net(), Failing(48), out=stopped, overwrite=True)
    with pytest.raises(DataMissing, match="Nothing to resume"):
        run(small_net(), out=stopped, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.02}, "lr was 0.01, is 0.02"),
        ({"epochs": 9}, "epochs was 2, is 9"),
        ({"seed": 5}, "seed was 0, is 5"),
        ({"augment": "light"}, "augment was none, is light"),
        ({"train": Spots(40)}, "train_size was 48, is 40"),
        ({"resume": False}, r"unfinished run .*--resume"),
    ],
)
def test_another_run_does_not_go_on_with_the_state(stopped, change, message):
    with pytest.raises(DataInvalid, match=message):
        run(small_net(), **{"out": stopped, "resume": True} | change)


@pytest.mark.parametrize("change", [{"workers": 1}, {"save_steps": 3}, {"accumulate": 1}])
def test_options_that_do_not_matter_may_change(stopped, change):
    assert len(run(small_net(), out=stopped, resume=True, **change).rows) == 2


def test_a_state_that_is_missing_or_damaged(stopped):
    file = stopped / "state.pt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataInvalid, match="damaged"):
        run(small_net(), out=stopped, resume=True)
    file.unlink()
    with pytest.raises(DataMissing, match="Nothing to resume"):
        run(small_net(), out=stopped, resume=True)
