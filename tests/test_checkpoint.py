"""A trained model comes back as it was saved, or not at all."""

import json
import math
import os
import pickle
import stat
import traceback

import pytest
import safetensors.torch
import torch
from helpers import small_net

from fer.checkpoint import load, save
from fer.errors import DataInvalid, DataMissing
from fer.labels import EMOTIONS
from fer.model import BaselineCNN
from fer.preprocess import Preprocess


@pytest.fixture
def folder(tmp_path):
    """A saved model, its weights all different from a new network's."""
    model = small_net()
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(1)
    save(tmp_path / "model", model, {"train_data": "toy"})
    return tmp_path / "model"


def edit_card(folder, **changes):
    card = json.loads((folder / "card.json").read_text())
    card = {key: value for key, value in (card | changes).items() if value is not None}
    (folder / "card.json").write_text(json.dumps(card))


def test_round_trip(folder):
    """Nothing temporary stays, and others than the owner can read the files."""
    assert sorted(os.listdir(folder)) == ["card.json", "model.safetensors"]
    assert len({stat.S_IMODE((folder / name).stat().st_mode) for name in os.listdir(folder)}) == 1
    model, card = load(folder)
    assert not model.training
    assert model.preprocess == Preprocess(size=16)
    assert card["train_data"] == "toy"
    assert card["emotions"] == list(EMOTIONS)
    assert card["arch"] == "emotion_net"
    for name, value in small_net().state_dict().items():
        assert torch.equal(model.state_dict()[name], value + 1), name


def test_channels_last_weights_come_back_the_same(tmp_path):
    model = small_net().to(memory_format=torch.channels_last)
    save(tmp_path, model, {})
    for name, value in load(tmp_path)[0].state_dict().items():
        assert torch.equal(value, model.state_dict()[name])


def test_fewer_classes(tmp_path):
    save(tmp_path, small_net(num_classes=7), {})
    model, card = load(tmp_path)
    assert card["emotions"] == list(EMOTIONS[:7])
    assert model.head[1].out_features == 7


def test_more_outputs_than_emotions_cannot_be_named(tmp_path):
    with pytest.raises(DataInvalid, match="9 outputs; expected 8 at most"):
        save(tmp_path, small_net(num_classes=9), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["missing", "extra", "misshaped"])
def test_weights_that_do_not_fit_are_refused(folder, kind):
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    if kind == "missing":
        del weights["head.1.bias"]
    elif kind == "extra":
        weights["head.2.bias"] = torch.zeros(8)
    else:
        weights["head.1.bias"] = torch.zeros(7)
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    edit_card(folder, weights_sha256=None)
    with pytest.raises(DataInvalid, match=r"does not fit emotion_net: .*head\.[12]\.bias"):
        load(folder)


def test_weights_of_another_card_are_refused(folder):
    """They fit, but are not those of which the card gives scores and temperature."""
    weights = small_net().state_dict()
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    with pytest.raises(DataInvalid, match="sha256 differs"):
        load(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "card.json"])
@pytest.mark.parametrize("keep", [None, 0, 9, 200])
def test_a_missing_or_cut_file(folder, name, keep):
    if keep is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((folder / name).read_bytes()[:keep])
    with pytest.raises(DataMissing if keep is None else DataInvalid, match=f"{name} is (missing|damaged)"):
        load(folder)


WRONG_PREPROCESSING = (
    *({"crop": 3}, {"channels": 3}, {"channels": 2}, {"scaling": "none"}, {"std": [0.0]}, {"mean": ["a"]}),
    *({"size": 1}, {"size": "a"}, {"size": 16.5}, {"size": 10**9}, {"std": [math.nan]}, {"mean": [1e300]}),
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": None}, "lacks"),
        ({"emotions": None}, "is damaged"),
        ({"emotions": 8}, "is damaged"),
        # FER+'s own order: every face would get a wrong name.
        ({"emotions": [EMOTIONS[i] for i in (0, 1, 3, 2, 6, 5, 4, 7)]}, "names its outputs .*wrong name"),
        ({"preprocess": None}, "lacks"),
        *[
            (changes, "describes no network .*source again")
            for changes in (
                *({"preprocess": {"size": 16} | wrong} for wrong in WRONG_PREPROCESSING),
                *({"options": {"depth": 5}}, {"options": {"widths": [10**9]}}, {"options": {"widths": []}}),
                {"arch": "vgg"},
            )
        ],
    ],
)
def test_a_card_that_is_not_of_this_code(folder, changes, message):
    edit_card(folder, **changes)
    with pytest.raises(DataInvalid, match=rf"card\.json {message}"):
        load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("temperature_degraded", value) for value in ("a", 0, -1.0, math.nan, math.inf, True, [1.0])],
        *[
            ("class_shares", value)
            for value in ([0.5, 0.5], [1 / 9] * 9, ["a"] * 8, [math.nan] * 8, "12345678", 3)
        ],
        *[("prior_strength", math.nan), ("crop_margins", "wide"), ("flip", "no")],
        *[
            ("crop_margins", [0.0, 1e6]),
            ("crop_margins", [-0.5]),
            ("temperature", 10**400),
            ("parameters", "many"),
        ],
        *[("weights_sha256", 3), ("options", [1]), ("options", {"pretrained": True})],
    ],
)
def test_a_card_whose_numbers_cannot_be(folder, key, value):
    edit_card(folder, **{key: value})
    with pytest.raises(DataInvalid) as refused:
        load(folder)
    assert f"{folder / 'card.json'} is damaged: {key} is {value!r}; expected" in str(refused.value)


def test_no_such_model(tmp_path):
    with pytest.raises(
        DataMissing, match=r"expected a model's folder, with card\.json and model\.safetensors"
    ):
        load(tmp_path / "nothing")


# Bare weights, such as the published checkpoint of the student project.


@pytest.fixture
def student(tmp_path):
    torch.manual_seed(0)
    model = BaselineCNN()
    torch.save(model.state_dict(), tmp_path / "student.pt")
    return tmp_path / "student.pt", model


def test_student_weights_load_strictly_and_see_raw_pixels(student):
    path, original = student
    model, card = load(path, arch="baseline")
    assert model.preprocess == Preprocess(size=224, channels=3, scaling="raw")
    assert card["emotions"] == list(EMOTIONS)
    image = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(model(torch.from_numpy(model.preprocess(image))), original(image.float()))


@pytest.mark.parametrize(
    ("arch", "without", "message"),
    [
        (None, "", 'arch="baseline"'),
        ("emotion_net", "", "does not fit emotion_net"),
        ("vgg", "", "expected one of baseline"),
        ("baseline", "fc.bias", r"does not fit baseline: .*fc\.bias"),
    ],
)
def test_bare_weights_without_their_network(student, arch, without, message):
    path, model = student
    torch.save({key: value for key, value in model.state_dict().items() if key != without}, path)
    with pytest.raises(DataInvalid, match=message):
        load(path, arch=arch)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_weights_inside_a_training_checkpoint(student, key):
    path, original = student
    torch.save({key: original.state_dict(), "epoch": 3}, path)
    model, _ = load(path, arch="baseline")
    assert torch.equal(model.fc.weight, original.fc.weight)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("key", [None, "net"])
def test_weights_of_wrapped_networks_and_of_seven_classes(tmp_path, prefix, key):
    """DataParallel and torch.compile put a word before each name; who trains without contempt has seven outputs."""
    original = BaselineCNN(num_classes=7)
    weights = {f"{prefix}{name}": value for name, value in original.state_dict().items()}
    torch.save({key: weights} if key else weights, tmp_path / "x.pt")
    model, card = load(tmp_path / "x.pt", arch="baseline")
    assert card["emotions"] == list(EMOTIONS[:7])
    assert torch.equal(model.fc.weight, original.fc.weight)


class Malice:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("how", ["torch", "plain pickle", "inside a state_dict"])
def test_a_pickle_never_runs(tmp_path, how):
    proof, path = tmp_path / "proof", tmp_path / "model.pt"
    if how == "torch":
        torch.save(Malice(proof), path)
    elif how == "plain pickle":
        path.write_bytes(pickle.dumps(Malice(proof)))
    else:
        torch.save({**BaselineCNN().state_dict(), "fc.bias": Malice(proof)}, path)
    with pytest.raises(DataInvalid, match="a pickle can run any program"):
        load(path, arch="baseline")
    assert not proof.exists()
    pickle.loads(pickle.dumps(Malice(proof)))
    assert proof.exists()  # so the test can fail


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>Not found</html>", "or is damaged"),
        (BaselineCNN(), "whole pickled models are never loaded"),
        ([1, 2, 3], "holds a list; expected a state_dict"),
        ({"epoch": 3}, "holds a dict; expected a state_dict"),
    ],
)
def test_a_file_without_a_state_dict(tmp_path, content, message):
    """torch advises to unpickle it without the check: that must not be passed on."""
    file = tmp_path / "model.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(DataInvalid, match=message) as refused:
        load(file, arch="baseline")
    printed = "".join(traceback.format_exception(refused.value))
    assert str(file) in printed
    assert not any(word in printed for word in ("trust", "set to", "safe_globals"))
