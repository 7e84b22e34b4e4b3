"""The training loop: what is learned, with which loss, and which epoch is chosen."""

import copy
import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from helpers import SIZE, PlainNetwork, Spots, plain_network, small_net
from torch import nn
from training_support import QUICK, run, same, untimed

from fer.checkpoint import load
from fer.errors import DataInvalid, DataMissing
from fer.evaluation.predictions import predict
from fer.model import FaceNetwork, build
from fer.preprocess import Preprocess
from fer.training import History, TrainConfig, fit, optim
from fer.training.batches import epoch_order

# Learning.


class Stripes(Spots):
    """Stripes across or along, of four widths, which a network that averages over all places can tell apart."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        for image, label in zip(self.images, self.labels, strict=True):
            bright = torch.arange(SIZE) // (1, 2, 4, 8)[label % 4] % 2 == 0
            image[0, bright if label < 4 else slice(None), slice(None) if label < 4 else bright] = 255


def test_a_simple_problem_is_learned(tmp_path):
    model = small_net()
    train, valid = Stripes(48), Stripes(16, "valid", seed=1)
    history = run(model, train, valid, epochs=10, batch_size=8, ema=0.9, lr=0.03, out=tmp_path)
    assert history.rows[-1]["train_loss"] < 0.8 < history.rows[0]["train_loss"]
    assert max(history.column("valid_macro_f1")) > 0.9
    assert predict(model, Stripes(80, "test", seed=2)).score().accuracy > 0.9
    assert not model.training


def test_the_seed_decides_everything():
    first, second, other = (small_net() for _ in range(3))
    options = {"augment": "strong", "degrade": 0.5, "mix": "both", "seed": 3}
    assert untimed(run(first, **options)) == untimed(run(second, **options))
    assert same(first.state_dict(), second.state_dict())
    run(other, **options | {"seed": 4})
    assert not same(first.state_dict(), other.state_dict())


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_optimizers_and_schedules(optimizer, schedule):
    history = run(plain_network(), optimizer=optimizer, schedule=schedule, epochs=5)
    assert history.rows[-1]["train_loss"] < history.rows[0]["train_loss"]
    rates = history.column("lr")
    assert rates.max() <= 0.01 + 1e-12
    assert rates[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("steps", [2, 10, 100])  # torch's OneCycleLR divides by zero for 10
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_learning_rate_rises_and_falls(steps, schedule):
    config = TrainConfig(schedule=schedule, lr=1.0, warmup=0.2)
    optimizer = torch.optim.SGD(plain_network().parameters(), 1.0)
    scheduler, rates = optim.schedule(optimizer, config, steps), []
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
    decaying, free = optim.optimizer(small_net(), TrainConfig(weight_decay=0.1)).param_groups
    assert {p.ndim for p in decaying["params"]} == {2, 4}
    assert {p.ndim for p in free["params"]} == {1}
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.1, 0)


@pytest.mark.parametrize("mix", ["mixup", "cutmix", "both"])
def test_faces_are_mixed_with_hard_and_soft_labels(mix):
    for kind in (Spots, Soft):
        plain, mixed = run(plain_network(), kind()), run(plain_network(), kind(), mix=mix)
        assert np.isfinite(mixed.column("train_loss")).all()
        assert untimed(mixed) != untimed(plain)


@pytest.mark.parametrize("parts", [2, 3, 16, 99])
def test_accumulating_gives_the_same_weights(parts):
    whole, cut = plain_network(), plain_network()
    run(whole, Spots(45))
    run(cut, Spots(45), accumulate=parts)
    torch.testing.assert_close(cut.state_dict(), whole.state_dict(), rtol=1e-4, atol=1e-5)


def test_a_frozen_resnet_keeps_its_features_and_statistics(tmp_path):
    """Also in the moving average of the weights, which is what gets scored and saved."""
    model = build("resnet18", frozen=True, preprocess=Preprocess(size=32, channels=3))
    before = copy.deepcopy(model.state_dict())
    history = run(model, ema=0.9, epochs=1, metric="loss", out=tmp_path)
    loaded, card = load(tmp_path)
    changed = [name for name, value in loaded.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["fc.weight", "fc.bias"]
    assert card["options"] == {"frozen": True}
    nll = predict(loaded, Spots(16, "valid", seed=1)).score(resamples=0).nll
    assert nll == pytest.approx(history.rows[0]["valid_loss"], rel=1e-4)


# The loss, by hand: a network that predicts the same for every face, and a learning rate of 0.

BIAS = torch.tensor([1.0, 0.5, 0.0, -0.5, 0.2, -1.0, 0.3, -0.2])
SKEWED = np.repeat(np.arange(8), [20, 10, 6, 4, 3, 2, 2, 1])
PRIOR = torch.tensor(np.bincount(SKEWED) / len(SKEWED))


class Constant(FaceNetwork):
    preprocess = PlainNetwork.preprocess

    def __init__(self):
        super().__init__(8)
        self.bias = nn.Parameter(BIAS.clone())

    def outputs(self, x):
        return self.bias + 0 * x.flatten(1)[:, :1]


class Soft(Spots):
    """Each face has three quarters of its label and a quarter of the next one."""

    def __getitem__(self, i):
        image, label = super().__getitem__(i)
        return image, torch.tensor([0.75, 0.25]) @ torch.eye(8)[[label, (label + 1) % 8]]


def nll(labels, logits=BIAS):
    return -torch.log_softmax(logits, 0)[torch.as_tensor(labels)]


EVEN = Spots(16).labels
SOFT = 0.75 * nll(EVEN) + 0.25 * nll((EVEN + 1) % 8)


@pytest.mark.parametrize(
    ("train", "options", "expected"),
    [
        (Spots(labels=SKEWED), {}, nll(SKEWED)),
        (Spots(labels=SKEWED), {"imbalance": "class_weights"}, nll(range(8))),  # each class counts alike
        (Spots(labels=SKEWED), {"imbalance": "logit_adjustment"}, nll(SKEWED, BIAS + PRIOR.log())),
        (Soft(16), {}, SOFT),
        (Soft(16), {"label_smoothing": 0.1}, 0.9 * SOFT + 0.1 * nll(range(8)).mean()),
    ],
)
def test_loss_by_hand(train, options, expected):
    row = run(Constant(), train, epochs=1, lr=0.0, **options).rows[0]
    assert row["train_loss"] == pytest.approx(expected.mean().item(), rel=1e-5)


def test_resampling_shows_rare_classes_more_often():
    train = Spots(labels=np.repeat([0, 7], [760, 40]))
    run(Constant(), train, epochs=1, imbalance="balanced_sampling")
    assert len(train.seen) == 800
    assert 330 < sum(train.labels[i] == 7 for i in train.seen) < 470


@pytest.mark.parametrize(
    ("imbalance", "power"), [("none", 1.0), ("square_root_sampling", 0.5), ("logit_adjustment", 0.0)]
)
@pytest.mark.parametrize("missing", [False, True])
def test_the_card_has_the_prior_that_was_learned(tmp_path, imbalance, power, missing):
    """Of a class without training faces it is 0."""
    labels = SKEWED[SKEWED < 7] if missing else SKEWED
    run(small_net(), Spots(labels=labels), epochs=1, imbalance=imbalance, out=tmp_path)
    counts = np.bincount(labels, minlength=8)
    expected = np.where(counts > 0, counts**power, 0)
    assert load(tmp_path)[1]["class_shares"] == pytest.approx(expected / expected.sum(), abs=1e-6)


# The moving average of the weights, precision, and growing faces.


def test_moving_average_by_hand():
    """One step an epoch, so that the weights of each step can be kept."""
    model, steps = plain_network(), []
    options = {"epochs": 4, "batch_size": 48, "metric": "loss", "lr": 0.003}
    keep = lambda _: steps.append(copy.deepcopy(model.state_dict()))  # noqa: E731
    assert run(model, ema=0.25, on_epoch=keep, **options).best_epoch == 4
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
    x = torch.from_numpy(model.preprocess(Spots(4).images))
    assert model(x).dtype == torch.float32
    assert notes == [(False, torch.float32)]
    fresh = PlainNetwork()
    fresh.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(x), fresh(x))


def test_fits_in_one_process_may_differ_in_precision():
    """As cells of a notebook do, with an Accelerator of the caller's around, too."""
    Accelerator()
    for precision, dtype in (("no", torch.float32), ("bf16", torch.bfloat16), ("no", torch.float32)):
        notes = []
        model = Spy(notes)
        run(model, precision=precision)
        run(model, precision=precision)  # going on with the same network
        assert {dtype for training, dtype in notes if training} == {dtype}


def test_faces_grow_while_training_and_are_scored_at_full_size():
    model, sides = build("emotion_net", widths=(8, 16)), []
    model.stem.register_forward_hook(lambda net, x, y: sides.append((net.training, x[0].shape[-1])))
    run(model, epochs=10, batch_size=48, start_size=32)
    assert [side for training, side in sides if training] == [32] * 3 + [40] * 3 + [48] * 4
    assert {side for training, side in sides if not training} == {48}


# The choice of the epoch.


def scripted(model, *answers):
    """Let a network give these logits in validation, one set an epoch; return the validation faces."""
    queue = [torch.tensor(logits, dtype=torch.float32) for logits in answers]
    model.register_forward_hook(lambda net, x, outputs: None if net.training else (queue.pop(0), None))
    return Spots(8, "valid")


def answer(correct, confidence):
    """Logits for eight faces of which the first ones are predicted correctly."""
    predicted = np.where(np.arange(8) < correct, np.arange(8), (np.arange(8) + 1) % 8)
    return confidence * np.eye(8)[predicted]


BAD, GOOD, SURE, OK = answer(2, 1.0), answer(6, 9.0), answer(4, 1.0), answer(5, 5.0)


@pytest.mark.parametrize(
    ("metric", "best"), [("macro_f1", 2), ("accuracy", 2), ("balanced_accuracy", 2), ("loss", 3)]
)
def test_best_epoch_by_the_chosen_metric_not_the_last(tmp_path, metric, best):
    """Epoch 2 predicts most faces correctly, but is so sure of the others that epoch 3 has a lower loss."""
    model, weights = small_net(), []
    valid = scripted(model, BAD, GOOD, SURE, OK)
    keep = lambda _: weights.append(copy.deepcopy(model.state_dict()))  # noqa: E731
    history = run(model, valid=valid, epochs=4, metric=metric, out=tmp_path, on_epoch=keep)
    assert history.best_epoch == best
    assert same(model.state_dict(), weights[best - 1])
    loaded, card = load(tmp_path)
    assert same(loaded.state_dict(), weights[best - 1])
    assert (card["epoch"], card["epochs"]) == (best, 4)
    assert list(history.column("chosen")) == [int(epoch == best) for epoch in (1, 2, 3, 4)]
    assert History.load(tmp_path / "history.csv").best_epoch == best


def test_a_tie_goes_to_the_earlier_epoch():
    model = plain_network()
    assert run(model, valid=scripted(model, BAD, GOOD, GOOD), epochs=3).best_epoch == 2


def test_a_network_that_gives_no_numbers_is_not_chosen():
    model = plain_network()
    with pytest.raises(DataInvalid, match="8 of 8 rows of probabilities"):
        run(model, valid=scripted(model, BAD, np.full((8, 8), np.nan)))


def test_early_stopping_waits_for_its_patience():
    model = plain_network()
    valid = scripted(model, BAD, OK, SURE, GOOD, BAD, SURE, GOOD, GOOD)
    history = run(model, valid=valid, epochs=8, patience=2)
    assert (history.best_epoch, len(history.rows)) == (4, 6)


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


class OnePixel(PlainNetwork):
    """Ends in batch normalisation of one pixel."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(self.num_classes)

    def outputs(self, x):
        return self.norm(super().outputs(x))


def test_batch_normalisation_of_a_single_face_is_explained():
    with pytest.raises(DataInvalid, match=r"single small face.*Raise --batch-size"):
        run(OnePixel(), batch_size=1)


@pytest.mark.parametrize(("train", "valid"), [(0, 8), (8, 0)])
def test_no_faces(train, valid):
    with pytest.raises(DataInvalid, match="expected some of both"):
        fit(plain_network(), Spots(train), Spots(valid), TrainConfig(**QUICK))


@pytest.mark.parametrize("wrong", ["float", "four channels"])
@pytest.mark.parametrize("augment", ["none", "flip", "light"])
def test_images_that_are_not_uint8_are_refused_before_they_are_changed(wrong, augment):
    """OpenCV would write nothing for them, and uninitialised memory be learned from."""
    train = Spots(48)
    train.images = train.images.float() if wrong == "float" else train.images.repeat(1, 4, 1, 1)
    with pytest.raises(DataInvalid, match="expected uint8"):
        run(small_net(), train, augment=augment)
    assert len(train.seen) <= 16


def test_more_classes_than_the_network_has_are_named():
    seven = small_net(num_classes=7)
    with pytest.raises(DataInvalid, match=r"class 7 \(contempt\).*0 to 6"):
        run(seven)
    with pytest.raises(DataInvalid, match="class 7"):
        run(seven, Spots(labels=np.arange(42) % 7))


def test_a_refused_run_leaves_the_network_as_it_was(tmp_path):
    run(small_net(), epochs=1, out=tmp_path)
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
