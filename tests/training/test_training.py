"""Training: what is learned, what is chosen, what is kept, and going on after a stop."""

import copy
import csv
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from helpers import (
    SIZE,
    Interrupting,
    PlainNetwork,
    Spots,
    ended,
    launch,
    plain_network,
    small_net,
    votes,
    write_ferplus,
)
from torch import nn
from two_processes import PLAIN, data

from fer import evaluate
from fer.checkpoint import load, save
from fer.errors import DataInvalid, DataMissing
from fer.evaluation.predictions import Predictions, predict
from fer.labels import EMOTIONS
from fer.model import ARCHITECTURES, FaceNetwork, build
from fer.preprocess import Preprocess
from fer.train import main
from fer.training import History, Stopped, TrainConfig, fit, new_model
from fer.training import loop as trainer
from fer.training.batches import epoch_order

TESTS = Path(__file__).parents[1]
QUICK = {"epochs": 2, "batch_size": 16, "augment": "none", "lr": 0.01, "ema": 0.0}


def run(model, config=None, train=None, valid=None, on_epoch=None, **options):
    """Fit on spots; options override the quick configuration."""
    config = config or TrainConfig(**(QUICK | options))
    return fit(model, train or Spots(48), valid or Spots(16, "valid", seed=1), config, on_epoch)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def untimed(history):
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in history.rows
    ]


# Learning.


class Stripes(Spots):
    """Stripes across or along, of four widths: a network that looks at the mean over all places can tell them."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        for image, label in zip(self.images, self.labels, strict=True):
            bright = torch.arange(SIZE) // (1, 2, 4, 8)[label % 4] % 2 == 0
            image[0, bright if label < 4 else slice(None), slice(None) if label < 4 else bright] = 255


def test_a_simple_problem_is_learned(tmp_path):
    model = small_net()
    train, valid = Stripes(48), Stripes(16, "valid", seed=1)
    history = run(model, train=train, valid=valid, epochs=10, batch_size=8, ema=0.9, lr=0.03, out=tmp_path)
    assert history.rows[-1]["train_loss"] < 0.8 < history.rows[0]["train_loss"]
    assert max(history.column("valid_macro_f1")) > 0.9
    scores = predict(model, Stripes(80, "test", seed=2)).score()
    assert scores.accuracy > 0.9
    assert not model.training


def test_the_seed_decides_everything():
    first, second = small_net(), small_net()
    options = {"augment": "strong", "mix": "both", "seed": 3}
    assert untimed(run(first, **options)) == untimed(run(second, **options))
    assert same(first.state_dict(), second.state_dict())
    other = small_net()
    run(other, **options | {"seed": 4})
    assert not same(first.state_dict(), other.state_dict())


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant"])
def test_optimizers_and_schedules(optimizer, schedule):
    history = run(plain_network(), optimizer=optimizer, schedule=schedule, epochs=5)
    assert history.rows[-1]["train_loss"] < history.rows[0]["train_loss"]
    rates = history.column("lr")
    assert rates.max() <= 0.01 + 1e-12
    assert rates[-1] == pytest.approx(0.01 if schedule == "constant" else 0, abs=1e-6)


@pytest.mark.parametrize("steps", [2, 10, 100])  # torch's OneCycleLR divides by zero for 10
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_learning_rate_rises_and_falls(steps, schedule):
    config = TrainConfig(schedule=schedule, lr=1.0, warmup=0.2)
    optimizer = torch.optim.SGD(plain_network().parameters(), 1.0)
    scheduler, rates = trainer.optim.schedule(optimizer, config, steps), []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    top = int(np.argmax(rates))
    assert 0.5 < rates[top] <= 1
    assert top <= 0.2 * steps
    assert all(np.diff(rates[: top + 1]) > 0)
    assert all(np.diff(rates[top:]) < 0)
    assert scheduler.get_last_lr()[0] == pytest.approx(0, abs=1e-12)


def test_biases_and_normalisation_do_not_decay():
    config = TrainConfig(weight_decay=0.1)
    decaying, free = trainer.optim.optimizer(small_net(), config).param_groups
    assert {p.ndim for p in decaying["params"]} == {2, 4}
    assert {p.ndim for p in free["params"]} == {1}
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.1, 0)


@pytest.mark.parametrize("mix", ["mixup", "cutmix", "both"])
def test_blending_runs_and_is_seeded(mix):
    plain, mixed = run(plain_network()), run(plain_network(), mix=mix)
    assert np.isfinite(mixed.column("train_loss")).all()
    assert untimed(mixed) != untimed(plain)
    assert untimed(mixed) == untimed(run(plain_network(), mix=mix))


def test_blending_soft_labels():
    assert np.isfinite(run(plain_network(), mix="both", train=Soft()).column("train_loss")).all()


@pytest.mark.parametrize("parts", [2, 3, 16, 99])
def test_accumulating_gives_the_same_weights(parts):
    whole, cut = plain_network(), plain_network()
    run(whole, train=Spots(45))
    run(cut, train=Spots(45), accumulate=parts)
    torch.testing.assert_close(cut.state_dict(), whole.state_dict(), rtol=1e-4, atol=1e-5)


def test_a_frozen_resnet_keeps_its_features_and_statistics(tmp_path):
    """Also in the running mean of the weights, which is what gets scored and saved."""
    preprocess = trainer.checkpoint.Preprocess(size=32, channels=3)
    model = trainer.checkpoint.models.build("resnet18", frozen=True, preprocess=preprocess)
    before = copy.deepcopy(model.state_dict())
    history = run(model, ema=0.9, epochs=1, metric="loss", out=tmp_path)
    loaded, card = load(tmp_path)
    changed = [name for name, value in loaded.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["fc.weight", "fc.bias"]
    assert card["options"] == {"frozen": True}
    nll = predict(loaded, Spots(16, "valid", seed=1)).score(resamples=0).nll
    assert nll == pytest.approx(history.rows[0]["valid_loss"], rel=1e-4)


# Going on from a trained network.


def trained(folder, name="emotion_net", size=None, **options):
    torch.manual_seed(1)
    usual = ARCHITECTURES[name].preprocess
    preprocess = Preprocess(**usual.to_dict() | {"size": size or usual.size, "scaling": "fixed"})
    model = build(name, preprocess=preprocess, **options)
    save(folder, model, {"known_by": "this"})
    return model


def test_going_on_begins_with_the_weights_and_the_eyes_of_the_other(tmp_path):
    other = trained(tmp_path, size=24)
    model = new_model(TrainConfig(model="emotion_net", init=tmp_path))
    assert same(model.state_dict(), other.state_dict())
    assert model.preprocess == other.preprocess and model.preprocess.scaling == "fixed"
    assert model.started_from["known_by"] == "this"
    wider = new_model(TrainConfig(model="emotion_net", init=tmp_path, size=32))
    assert wider.preprocess == Preprocess(**other.preprocess.to_dict() | {"size": 32})


def test_the_card_keeps_that_of_the_one_before(tmp_path):
    model = small_net()
    model.started_from = {"known_by": "this"}
    run(model, epochs=1, out=tmp_path)
    assert load(tmp_path)[1]["started_from"] == {"known_by": "this"}


def test_the_last_layer_first_then_all(tmp_path):
    trained(tmp_path, "resnet18", size=32, frozen=True)
    model = new_model(TrainConfig(model="resnet18", init=tmp_path))
    assert all(p.requires_grad for p in model.parameters())
    assert model.options == {}


def test_another_architecture_is_no_beginning(tmp_path):
    trained(tmp_path)
    with pytest.raises(DataInvalid, match=r"holds emotion_net .*expected baseline"):
        new_model(TrainConfig(model="baseline", init=tmp_path))
    with pytest.raises(DataInvalid, match=r"expected emotion_net with .*valence_arousal"):
        new_model(TrainConfig(model="emotion_net", init=tmp_path, targets="expression,valence-arousal"))


# The loss, by hand: a network whose answer is the same for every face, and a learning rate of 0.

BIAS = torch.tensor([1.0, 0.5, 0.0, -0.5, 0.2, -1.0, 0.3, -0.2])
SKEWED = np.repeat(np.arange(8), [20, 10, 6, 4, 3, 2, 2, 1])


class Constant(FaceNetwork):
    preprocess = PlainNetwork.preprocess

    def __init__(self):
        super().__init__(len(BIAS))
        self.bias = nn.Parameter(BIAS.clone())

    def outputs(self, x):
        return self.bias + 0 * x.flatten(1)[:, :1]


class Soft(Spots):
    """Each face has three quarters of its label and a quarter of the next one."""

    def __getitem__(self, i):
        image, label = super().__getitem__(i)
        return image, 0.75 * F.one_hot(torch.tensor(label), 8) + 0.25 * F.one_hot(
            torch.tensor((label + 1) % 8), 8
        )


def first_loss(train, **options):
    return run(Constant(), train=train, epochs=1, lr=0.0, **options).rows[0]["train_loss"]


def nll(labels, logits=BIAS):
    return -torch.log_softmax(logits, 0)[torch.as_tensor(labels)]


def test_plain_loss_is_a_mean_over_samples():
    assert first_loss(Spots(labels=SKEWED)) == pytest.approx(nll(SKEWED).mean().item(), rel=1e-5)


def test_class_weights_count_each_class_alike():
    per_class = nll(range(8)).mean().item()
    assert first_loss(Spots(labels=SKEWED), imbalance="class_weights") == pytest.approx(per_class, rel=1e-5)


def test_logit_adjustment_adds_the_prior_while_learning():
    prior = torch.tensor(np.bincount(SKEWED) / len(SKEWED)).log()
    expected = nll(SKEWED, BIAS + prior).mean().item()
    assert first_loss(Spots(labels=SKEWED), imbalance="logit_adjustment") == pytest.approx(expected, rel=1e-5)


def test_balanced_sampling_shows_rare_classes_as_often():
    train = Spots(labels=np.repeat([0, 7], [760, 40]))
    run(Constant(), train=train, epochs=1, imbalance="balanced_sampling")
    assert len(train.seen) == 800
    assert 330 < sum(train.labels[i] == 7 for i in train.seen) < 470


def test_square_root_sampling_shows_rare_classes_more_often():
    train = Spots(labels=np.repeat([0, 7], [720, 80]))  # by the roots: 3 to 1
    run(Constant(), train=train, epochs=1, imbalance="square_root_sampling")
    assert len(train.seen) == 800
    assert 160 < sum(train.labels[i] == 7 for i in train.seen) < 240


def test_soft_labels_and_smoothing():
    train = Soft(16)
    soft = (0.75 * nll(train.labels) + 0.25 * nll((train.labels + 1) % 8)).mean().item()
    assert first_loss(train) == pytest.approx(soft, rel=1e-5)
    smooth = 0.9 * soft + 0.1 * nll(range(8)).mean().item()
    assert first_loss(train, label_smoothing=0.1) == pytest.approx(smooth, rel=1e-5)


@pytest.mark.parametrize(
    ("imbalance", "power"),
    [
        *[("none", 1.0), ("square_root_sampling", 0.5)],
        *[("class_weights", 0.0), ("balanced_sampling", 0.0), ("logit_adjustment", 0.0)],
    ],
)
def test_card_tells_which_shares_were_learned(tmp_path, imbalance, power):
    run(small_net(), train=Spots(labels=SKEWED), epochs=1, imbalance=imbalance, out=tmp_path)
    counted = np.bincount(SKEWED) ** power
    assert load(tmp_path)[1]["class_shares"] == pytest.approx(counted / counted.sum(), abs=1e-6)


# The running mean of the weights.


def test_running_mean_by_hand():
    """One step an epoch, so that the weights of each step can be kept."""
    model, steps = plain_network(), []
    options = {
        "epochs": 4,
        "batch_size": 48,
        "metric": "loss",
        "schedule": "constant",
        "lr": 0.003,
        "clip": 0.0,
    }
    history = run(
        model, ema=0.25, on_epoch=lambda _: steps.append(copy.deepcopy(model.state_dict())), **options
    )
    assert history.best_epoch == 4
    mean = steps[0]
    for count, weights in enumerate(steps[1:], 1):
        decay = min(0.25, (1 + count) / (10 + count))
        mean = {name: decay * mean[name] + (1 - decay) * weights[name] for name in mean}
    torch.testing.assert_close(model.state_dict(), mean)


class Spy(PlainNetwork):
    """Notes for each forward pass whether it was training, and in what precision."""

    def __init__(self, notes):
        super().__init__()
        self.note = notes.append

    def outputs(self, x):
        out = super().outputs(x)
        self.note((self.training, out.dtype))
        return out


def test_training_in_bf16_scores_in_fp32():
    notes = []
    model = Spy(notes)
    run(model, ema=0.9, precision="bf16")
    assert set(notes) == {(True, torch.bfloat16), (False, torch.float32)}
    notes.clear()
    x = model.preprocess(Spots(4).images)
    assert model(x).dtype == torch.float32
    assert notes == [(False, torch.float32)]
    fresh = PlainNetwork()
    fresh.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(x), fresh(x))


def test_fits_in_one_process_may_differ_in_precision():
    """As cells of a notebook do, with an Accelerator of the caller's around, too."""
    Accelerator()
    for precision in ("no", "bf16", "no"):
        notes = []
        model = Spy(notes)
        run(model, precision=precision)
        run(model, precision=precision)  # going on with the same network
        assert {dtype for training, dtype in notes if training} == {
            torch.bfloat16 if precision == "bf16" else torch.float32
        }


def test_faces_grow_while_training_and_are_scored_at_full_size():
    model, sides = build("emotion_net", widths=(8, 16)), []
    model.stem.register_forward_hook(lambda net, x, y: sides.append((net.training, x[0].shape[-1])))
    run(model, epochs=10, batch_size=48, start_size=32)
    assert [side for training, side in sides if training] == [32] * 3 + [40] * 3 + [48] * 4
    assert {side for training, side in sides if not training} == {48}


# The choice of the epoch.


def scripted(monkeypatch, answers):
    """Let validation give these logits, one set an epoch."""
    labels = np.arange(8)
    queue = [Predictions([f"valid/{i}" for i in range(8)], np.asarray(a, float), labels) for a in answers]
    monkeypatch.setattr(trainer, "predict", lambda *args, **kwargs: queue.pop(0))
    return Spots(8, "valid")


def answer(right, confidence):
    """So many of eight named rightly, each with a logit of this height."""
    named = np.where(np.arange(8) < right, np.arange(8), (np.arange(8) + 1) % 8)
    return confidence * np.eye(8)[named]


BAD, GOOD, SURE, OK = answer(2, 1.0), answer(6, 9.0), answer(4, 1.0), answer(5, 5.0)


@pytest.mark.parametrize(
    ("metric", "best"), [("macro_f1", 2), ("accuracy", 2), ("balanced_accuracy", 2), ("loss", 3)]
)
def test_best_epoch_by_the_chosen_metric_not_the_last(monkeypatch, tmp_path, metric, best):
    """Epoch 2 names most faces rightly, but is so sure of the others that epoch 3 has a lower loss."""
    valid = scripted(monkeypatch, [BAD, GOOD, SURE, OK])
    model, weights = small_net(), []
    keep = lambda _: weights.append(copy.deepcopy(model.state_dict()))  # noqa: E731
    history = run(model, valid=valid, epochs=4, metric=metric, out=tmp_path, on_epoch=keep)
    assert history.best_epoch == best
    assert same(model.state_dict(), weights[best - 1])
    loaded, card = load(tmp_path)
    assert same(loaded.state_dict(), weights[best - 1])
    assert (card["epoch"], card["epochs"]) == (best, 4)
    assert list(history.column("chosen")) == [int(epoch == best) for epoch in (1, 2, 3, 4)]
    assert History.load(tmp_path / "history.csv").best_epoch == best


def test_a_tie_goes_to_the_earlier_epoch(monkeypatch):
    assert run(plain_network(), valid=scripted(monkeypatch, [BAD, GOOD, GOOD]), epochs=3).best_epoch == 2


def test_a_network_that_gives_no_numbers_is_not_chosen(monkeypatch):
    with pytest.raises(DataInvalid, match="8 of 8 rows of probabilities are no numbers"):
        run(plain_network(), valid=scripted(monkeypatch, [BAD, np.full((8, 8), np.nan)]))


def test_early_stop_waits_for_its_patience(monkeypatch):
    valid = scripted(monkeypatch, [BAD, OK, SURE, GOOD, BAD, SURE, GOOD, GOOD])
    history = run(plain_network(), valid=valid, epochs=8, patience=2)
    assert (history.best_epoch, len(history.rows)) == (4, 6)


# What is written.


def test_files_of_a_run(tmp_path):
    seen = []
    history = run(small_net(), epochs=3, out=tmp_path, on_epoch=lambda h: seen.append(len(h.rows)))
    assert seen == [1, 2, 3]
    assert sorted(os.listdir(tmp_path)) == ["card.json", "history.csv", "model.safetensors"]
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert float(rows[-1]["valid_macro_f1"]) == pytest.approx(history.rows[-1]["valid_macro_f1"], rel=1e-5)
    card = json.loads((tmp_path / "card.json").read_text())
    wanted = {"arch", "emotions", "preprocess", "crop_margin", "temperature", "train_data", "train_size"}
    assert wanted | {"config", "seed", "git", "versions"} <= set(card)
    assert (card["arch"], card["train_data"], card["train_size"]) == ("emotion_net", "spots", 48)
    assert not any(str(tmp_path) in str(value) for value in card.values())  # no paths of this machine


def test_card_describes_the_network_given_not_the_one_configured(tmp_path):
    """In a notebook the network is made by hand; TrainConfig.model keeps its default."""
    run(small_net(num_classes=8), out=tmp_path)
    assert TrainConfig().model == "baseline"
    assert load(tmp_path)[1]["arch"] == "emotion_net"


def test_networks_of_other_makers_can_be_trained_but_not_saved(tmp_path):
    run(plain_network())
    with pytest.raises(DataInvalid, match=r"fer\.model\.build"):
        run(plain_network(), out=tmp_path)


def test_seven_classes(tmp_path):
    train, valid = (Spots(labels=np.arange(28) % 7, split=split) for split in ("train", "valid"))
    options = QUICK | {"imbalance": "logit_adjustment", "mix": "both", "out": tmp_path}
    fit(small_net(num_classes=7), train, valid, TrainConfig(**options))
    assert load(tmp_path)[1]["emotions"] == list(EMOTIONS[:7])


def test_a_trained_model_is_not_overwritten(tmp_path):
    run(small_net(), out=tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(DataInvalid, match="already holds a trained model"):
        run(small_net(), out=tmp_path)
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_overwriting_takes_the_old_scores_away(tmp_path):
    """They would stand beside weights that they are not of."""
    run(small_net(), out=tmp_path)
    for name in ("metrics.json", "predictions-toy-test.npz", "notes.txt"):
        (tmp_path / name).write_text("{}")
    run(small_net(), out=str(tmp_path), overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["card.json", "history.csv", "model.safetensors", "notes.txt"]


# Stopping and going on.


FULL = {
    "epochs": 3,
    "augment": "strong",
    "mix": "both",
    "ema": 0.9,
    "precision": "bf16",
    "schedule": "one_cycle",
    "batch_size": 16,
    "accumulate": 2,
}


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
    """To the last bit, wherever it was stopped: weights, running mean, best epoch, history."""
    options = FULL | {"optimizer": optimizer}
    unbroken = small_net()
    history = run(unbroken, out=tmp_path / "unbroken", **options)
    handlers = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped, match=where):
        run(small_net(), train=Interrupting(after, number), out=tmp_path / "cut", **options)
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


def test_killed_without_warning_it_goes_on_from_the_last_saving(tmp_path):
    """No signal handler runs: the state saved every so many steps is all there is."""

    class Killed(Spots):
        def __getitem__(self, i):
            if len(self.seen) == 48 + 40:
                raise MemoryError
            return super().__getitem__(i)

    unbroken, resumed = small_net(), small_net()
    run(unbroken, out=tmp_path / "unbroken", **FULL)
    with pytest.raises(MemoryError):
        run(small_net(), train=Killed(48), out=tmp_path / "cut", save_steps=1, **FULL)
    train = Spots(48)
    run(resumed, train=train, out=tmp_path / "cut", resume=True, **FULL)
    assert len(train.seen) == 16 + 48  # two steps of epoch 2 were kept
    assert same(resumed.state_dict(), unbroken.state_dict())


def test_stopped_without_a_folder_the_network_is_still_usable():
    notes = []
    model = Spy(notes)
    with pytest.raises(Stopped, match="nothing was kept"):
        run(model, train=Interrupting(5, signal.SIGINT), precision="bf16")
    assert model(model.preprocess(Spots(4).images)).dtype == torch.float32
    assert not model.training


class Told(Spots):
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
        run(small_net(), train=Told(48), out=tmp_path, **options)
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


def test_sigterm_may_come_twice(tmp_path):
    """From the system and from torchrun: the state must be saved all the same."""
    with pytest.raises(Stopped, match="epoch 1 after 16 of 48"):
        run(small_net(), train=Impatient(signal.SIGTERM, 2), out=tmp_path)
    assert (tmp_path / "state.pt").is_file()


def test_a_third_ctrl_c_acts_as_usual():
    with pytest.raises(KeyboardInterrupt):
        run(plain_network(), train=Impatient(signal.SIGINT, 3))


def test_seconds_of_an_epoch_count_from_its_beginning(tmp_path, monkeypatch):
    now = itertools.count()
    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: 10 * next(now)))
    with pytest.raises(Stopped):
        run(small_net(), train=Interrupting(20, signal.SIGINT), out=tmp_path, epochs=1)
    history = run(small_net(), out=tmp_path, epochs=1, resume=True)
    # Began at 0, saved at 10; began again at 20, ended at 30.
    assert history.rows[0]["seconds"] == 20
    assert history.rows[0]["images_per_second"] == 16 / 10


def test_what_is_overwritten_is_not_resumed(stopped):
    """A run that dies before its first saving must leave nothing that looks like its own state."""

    class Killed(Spots):
        def __getitem__(self, i):
            raise MemoryError

    with pytest.raises(MemoryError):
        run(small_net(), train=Killed(48), out=stopped, overwrite=True)
    with pytest.raises(DataMissing, match="Nothing to resume"):
        run(small_net(), out=stopped, resume=True)


@pytest.mark.parametrize("name", ["init", "teachers"])
def test_a_run_does_not_replace_what_it_learns_from(tmp_path, name):
    save(tmp_path, small_net(), {})
    wanted = {"init": tmp_path, "teachers": (tmp_path / ".." / tmp_path.name,)}[name]
    with pytest.raises(DataInvalid, match=f"--{name} .* is --out, too"):
        run(small_net(), out=tmp_path, overwrite=True, **{name: wanted})


def test_a_refused_run_leaves_the_network_as_it_was(tmp_path):
    save(tmp_path, small_net(), {})
    model, x = small_net().eval(), torch.randn(4, 1, SIZE, SIZE)
    before = model(x)
    for options, error in (
        ({"out": tmp_path}, DataInvalid),
        ({"out": tmp_path / "new", "resume": True}, DataMissing),
        ({"teachers": (tmp_path / "nobody",)}, DataMissing),
    ):
        with pytest.raises(error):
            run(model, precision="bf16", **options)
        torch.testing.assert_close(model(x), before, atol=1e-6, rtol=1e-6)
        assert not hasattr(model, "_is_accelerate_prepared")


@pytest.mark.parametrize("wrong", ["float", "four channels"])
@pytest.mark.parametrize("augment", ["none", "flip", "light"])
def test_pixels_that_are_none_are_refused_before_they_are_changed(wrong, augment):
    """OpenCV would write nothing for them, and memory as it was be learned from."""
    train = Spots(48)
    train.images = train.images.float() if wrong == "float" else train.images.repeat(1, 4, 1, 1)
    with pytest.raises(DataInvalid, match="expected uint8"):
        run(small_net(), train=train, augment=augment)
    assert len(train.seen) <= 16


def test_more_classes_than_the_network_has_are_named(tmp_path):
    seven = small_net(num_classes=7)
    with pytest.raises(DataInvalid, match=r"class 7 \(contempt\).*0 to 6"):
        run(seven)
    with pytest.raises(DataInvalid, match="class 7"):
        run(seven, train=Spots(labels=np.arange(42) % 7))
    save(tmp_path, build("emotion_net", num_classes=7), {})
    with pytest.raises(DataInvalid, match="has 7 classes; expected 8"):
        new_model(TrainConfig(model="emotion_net", init=tmp_path))


def test_a_class_that_was_never_seen_has_no_share(tmp_path):
    for imbalance in ("none", "class_weights", "square_root_sampling"):
        labels = np.arange(42) % 7
        run(small_net(), train=Spots(labels=labels), out=tmp_path / imbalance, imbalance=imbalance)
        shares = load(tmp_path / imbalance)[1]["class_shares"]
        assert shares[7] == 0 and sum(shares) == pytest.approx(1, abs=1e-5)


@pytest.fixture
def stopped(tmp_path):
    """A folder with an unfinished run."""
    with pytest.raises(Stopped):
        run(small_net(), train=Interrupting(20, signal.SIGINT), out=tmp_path)
    return tmp_path


@pytest.mark.parametrize("change", [{"lr": 0.02}, {"epochs": 9}, {"seed": 5}, {"augment": "light"}])
def test_resuming_with_other_options_is_refused(stopped, change):
    (name, value), *_ = change.items()
    with pytest.raises(DataInvalid, match=f"{name} was .*, is {value}"):
        run(small_net(), out=stopped, resume=True, **change)


def test_resuming_with_other_data_is_refused(stopped):
    with pytest.raises(DataInvalid, match="train_size was 48, is 40"):
        run(small_net(), train=Spots(40), out=stopped, resume=True)


@pytest.mark.parametrize("change", [{"workers": 1}, {"save_steps": 3}, {"accumulate": 1}])
def test_options_that_do_not_matter_may_change(stopped, change):
    assert len(run(small_net(), out=stopped, resume=True, **change).rows) == 2


def test_an_unfinished_run_is_not_started_over_unasked(stopped):
    with pytest.raises(DataInvalid, match=r"unfinished run \(state\.pt\).*--resume"):
        run(small_net(), out=stopped)


def test_nothing_to_resume(tmp_path):
    with pytest.raises(DataMissing, match="Nothing to resume"):
        run(small_net(), out=tmp_path, resume=True)


def test_a_damaged_state(stopped):
    file = stopped / "state.pt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataInvalid, match="damaged"):
        run(small_net(), out=stopped, resume=True)


# What cannot go well.


class Breaking(PlainNetwork):
    """Gives no numbers from the third batch on."""

    calls = 0

    def outputs(self, x):
        self.calls += self.training
        return super().outputs(x) * (math.nan if self.calls >= 3 else 1)


def test_a_loss_that_is_no_number_names_the_batch():
    first = [f"train/{i}" for i in epoch_order(Spots(48).labels, 0, 0)[32:35]]
    with pytest.raises(
        DataInvalid, match=f"loss is nan at epoch 1, batch 3, which begins with {', '.join(first)}"
    ):
        run(Breaking())


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"accumulate": 0},
        {"save_steps": 0},
        {"lr": -1.0},
        {"synthetic": -1},
        {"seed": -1},
        {"ema": 1.0},
        {"warmup": 1.5},
        {"label_smoothing": 2.0},
        {"teachers_weight": 1.5},
        {"patience": 0},
        {"imbalance": "balanced"},
        {"augment": "weak"},
        {"metric": "f1"},
    ],
)
def test_options_out_of_range_are_refused(options):
    (name,) = options
    with pytest.raises(DataInvalid, match=f"{name.replace('_', '.')}.*expected"):
        run(plain_network(), **options)


@pytest.mark.parametrize(("train", "valid"), [(0, 8), (8, 0)])
def test_no_faces(train, valid):
    with pytest.raises(DataInvalid, match="expected some of both"):
        fit(plain_network(), Spots(train), Spots(valid), TrainConfig(**QUICK))


# The script.


@pytest.fixture
def ferplus(tmp_path):
    rows = [votes(**{name: 10}) for name in EMOTIONS] * 2
    return write_ferplus(tmp_path / "data", {"train": rows, "valid": rows[:8]})


def test_script_trains_calibrates_and_records(ferplus, tmp_path, capsys):
    out = tmp_path / "model"
    config = TrainConfig(data="ferplus", root=ferplus, out=out, epochs=1, batch_size=8, augment="none")
    main(config)
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
        {"model": "resnet18", "size": 2, "batch_size": 1},
        {"model": "emotion_net", "start_size": 8},
        {"epochs": 0},
    ],
)
def test_script_refuses_options_that_do_not_fit(ferplus, tmp_path, options):
    with pytest.raises(DataInvalid):
        main(TrainConfig(data="ferplus", root=ferplus, out=tmp_path / "model", **options))
    assert not (tmp_path / "model").exists()


def test_batch_normalisation_needs_more_than_one_pixel():
    model = build("resnet18", preprocess=Preprocess(size=32, channels=3))
    with pytest.raises(DataInvalid, match=r"a single small face.*--batch-size"):
        run(model, batch_size=1, epochs=1)


@pytest.mark.parametrize(
    "out", ["/proc/none", "data/FER2013Train/label.csv", "data/FER2013Train/label.csv/model"]
)
def test_where_nothing_can_be_written_nothing_is_begun(ferplus, tmp_path, out):
    """/proc, because tests may be run by root, whom no rights keep from writing. The missing data is not noticed."""
    with pytest.raises(DataInvalid, match=r"--out .*(cannot be written to|is a file).*folder"):
        main(TrainConfig(data="ferplus", root=tmp_path / "nowhere", out=tmp_path / out))


def test_a_full_disk_names_the_file(tmp_path):
    """In a process of its own, because a limit on the size of files cannot be raised again."""
    code = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from helpers import Spots, small_net\n"
        "from fer.training import TrainConfig, fit\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "config = TrainConfig(epochs=2, batch_size=16, augment='none', ema=0.0, out=sys.argv[2])\n"
        "try: fit(small_net(), Spots(48), Spots(16, 'valid', seed=1), config)\n"
        "except OSError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(TESTS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert re.search(r"Errno 27.*state\.pt", done.stdout), done.stderr
    assert not any(file.name.startswith(".") for file in tmp_path.iterdir())


@pytest.mark.parametrize("step", ["predict", "calibrate", "record"])
def test_stopped_after_the_last_epoch_it_can_be_finished(ferplus, tmp_path, monkeypatch, step):
    """The epochs are done, but there is no temperature and no record: --resume goes straight to these."""
    options = {
        "data": "ferplus",
        "root": ferplus,
        "model": "emotion_net",
        "size": 16,
        "epochs": 1,
        "batch_size": 8,
    }
    main(TrainConfig(**options, out=tmp_path / "unbroken"))
    work = getattr(evaluate, step)

    def terminated(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)  # the handler runs in between
        return work(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, step, terminated)
        with pytest.raises(Stopped, match=r"after the last epoch.*--resume to go on from .*cut"):
            main(TrainConfig(**options, out=tmp_path / "cut"))
    history = tmp_path / "cut" / "history.csv"
    before = history.read_text()  # with the seconds that each epoch took
    history.unlink()  # it is written after the state
    main(TrainConfig(**options, out=tmp_path / "cut", resume=True))
    assert history.read_text() == before
    assert sorted(os.listdir(tmp_path / "cut")) == sorted(os.listdir(tmp_path / "unbroken"))
    cards = [load(tmp_path / name)[1] for name in ("cut", "unbroken")]
    for key in ("weights_sha256", "temperature", "prior_strength", "epoch"):
        assert cards[0][key] == cards[1][key], key
    metrics = [(tmp_path / name / "metrics.json").read_text() for name in ("cut", "unbroken")]
    assert metrics[0] == metrics[1]


INTERRUPTED = """
import signal, sys
from fer import cli, train
from fer.datasets import FERPlus
from fer.training import TrainConfig

read, count = FERPlus.__getitem__, 0

def interrupted(faces, i):
    global count
    count += faces.split == "train"
    if count == 16 + 1:
        signal.raise_signal(signal.SIGINT)
    return read(faces, i)

FERPlus.__getitem__ = interrupted
cli.run(train.main, TrainConfig, sys.argv[1:])
"""


def test_ctrl_c_and_resume_in_a_process_of_its_own(ferplus, tmp_path):
    """Stopped, it exits with 130 and one line; the same command with --resume ends at the same weights."""
    options = {"data": "ferplus", "root": ferplus, "epochs": 3, "batch_size": 8}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-c", INTERRUPTED, *words, "--out", str(tmp_path / "cut")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    said = process.stderr
    assert process.returncode == 130, said
    assert "error: Stopped in epoch 2 after 8 of 16 faces" in said
    assert "Add --resume to go on" in said
    assert "Traceback" not in said
    main(TrainConfig(**options, out=tmp_path / "cut", resume=True))
    main(TrainConfig(**options, out=tmp_path / "unbroken"))
    cut, unbroken = (load(tmp_path / name) for name in ("cut", "unbroken"))
    assert same(cut[0].state_dict(), unbroken[0].state_dict())
    assert cut[1]["weights_sha256"] == unbroken[1]["weights_sha256"]
    assert cut[1]["temperature"] == unbroken[1]["temperature"]


# Several processes.


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """The files of two_processes.py, run once by two processes together."""
    out = tmp_path_factory.mktemp("launched")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, str(TESTS / "two_processes.py"), str(out)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def results(launched, name):
    return [torch.load(launched / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1)]


def assert_alike(rows, others):
    for theirs, ours in zip(rows, others, strict=True):
        for name in set(ours) - {"seconds", "images_per_second"}:
            assert theirs[name] == pytest.approx(ours[name], rel=1e-3), name


def test_two_processes_see_each_sample_once_an_epoch(launched):
    seen = [result["seen"] for result in results(launched, "plain")]
    for epoch in (0, 1):
        halves = [part[epoch * len(part) // 2 : (epoch + 1) * len(part) // 2] for part in seen]
        assert Counter(halves[0] + halves[1]) == dict.fromkeys(range(45), 1)
        assert abs(len(halves[0]) - len(halves[1])) <= 5  # one of each batch at most


def test_two_processes_learn_what_one_learns(launched):
    model = plain_network()
    history = fit(model, *data(), TrainConfig(**PLAIN))
    first, second = results(launched, "plain")
    assert same(first["weights"], second["weights"])
    torch.testing.assert_close(first["weights"], model.state_dict(), rtol=1e-4, atol=1e-5)
    assert_alike(first["rows"], history.rows)


def test_metrics_of_two_processes_are_those_of_the_saved_model(launched):
    """Batch statistics differ between processes; those that are saved must be those that are scored."""
    model, card = load(launched / "shared")
    first, second = results(launched, "shared")
    assert same(first, second)
    assert same(first, model.state_dict())
    assert card["processes"] == 2
    history = History.load(launched / "shared" / "history.csv")
    scores = predict(model, data()[1]).score(resamples=0)
    row = history.rows[history.best_epoch - 1]
    assert row["valid_loss"] == pytest.approx(scores.nll, rel=1e-4)
    assert row["valid_accuracy"] == pytest.approx(scores.accuracy, rel=1e-4)


def test_two_processes_learn_from_a_teacher_what_one_learns(launched):
    """Each asks the teacher about its part of the faces, and needs the answers to other parts."""
    model = plain_network("plain")
    fit(model, *data(), TrainConfig(**PLAIN, teachers=(launched / "teacher-0",)))
    first, second = results(launched, "taught")
    assert same(first, second)
    torch.testing.assert_close(first, model.state_dict(), rtol=1e-4, atol=1e-5)
    untaught, _ = results(launched, "plain")
    assert not same(first, untaught["weights"])


@pytest.fixture(scope="module")
def handed_on(launched):
    """The same folder after three_processes.py: they went on where the two had stopped, and were stopped."""
    said = ended(launch([sys.executable, str(TESTS / "three_processes.py"), str(launched)], 3))
    assert [code for code, _, _ in said] == [0, -signal.SIGKILL, 0], said
    return launched


def test_two_then_three_then_one_process_go_on_with_the_same_faces(handed_on):
    unbroken, model, train = plain_network(), plain_network("plain"), Spots(45)
    history = fit(unbroken, *data(), TrainConfig(**PLAIN))
    again = fit(model, train, data()[1], TrainConfig(**PLAIN, out=handed_on / "handed_on", resume=True))
    second = [result["stopped"] for result in results(handed_on, "plain")]
    third = [torch.load(handed_on / f"third-{rank}.pt", weights_only=True) for rank in range(3)]
    assert min(map(len, [*second, *third, train.seen])) > 5
    assert Counter(itertools.chain(*second, *third, train.seen)) == dict.fromkeys(range(45), PLAIN["epochs"])
    torch.testing.assert_close(model.state_dict(), unbroken.state_dict(), rtol=1e-4, atol=1e-5)
    assert_alike(again.rows, history.rows)


def test_when_one_process_is_killed_the_others_end_and_say_so(handed_on):
    for rank in (0, 2):
        said = (handed_on / f"lost-{rank}.txt").read_text()
        assert re.search(r"Another process of this run ended .*--resume to go on from .*lost", said)
    unbroken, model, train = plain_network(), plain_network("plain"), Spots(45)
    fit(unbroken, *data(), TrainConfig(**PLAIN))
    fit(model, train, data()[1], TrainConfig(**PLAIN, out=handed_on / "lost", resume=True))
    assert len(train.seen) < 40  # the first of two epochs was kept, and more
    torch.testing.assert_close(model.state_dict(), unbroken.state_dict(), rtol=1e-4, atol=1e-5)


def test_size_of_the_tiny_world():
    assert Spots(1)[0][0].shape == (1, SIZE, SIZE)
