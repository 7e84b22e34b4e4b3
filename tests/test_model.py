"""The networks: sizes, names, what is trained."""

import copy
import urllib.error

import pytest
import torch
import torch.nn.functional as F
from helpers import small_net

from fer.errors import DataInvalid, DataMissing
from fer.model import BaselineCNN, EmotionNet, build, count_multiply_adds, count_parameters, resnet18
from fer.preprocess import Preprocess


def test_baseline_is_the_students_network():
    """Its state_dict must load with strict keys, so names and shapes are fixed."""
    shapes = {name: tuple(value.shape) for name, value in BaselineCNN().state_dict().items()}
    widths = {"conv1": (3, 12), "conv2": (12, 12), "conv3": (12, 24), "conv4": (24, 24), "conv5": (24, 24)}
    expected = {}
    for name, (before, after) in widths.items():
        expected |= {f"{name}.weight": (after, before, 3, 3), f"{name}.bias": (after,)}
    assert shapes == expected | {"fc.weight": (8, 24 * 14 * 14), "fc.bias": (8,)}
    assert count_parameters(BaselineCNN()) == 52_316


def test_baseline_computes_relu_then_pooling():
    """The documented order; the code pools first, which must not change a number."""
    torch.manual_seed(0)
    model, x = BaselineCNN(), torch.rand(2, 3, 224, 224) * 255
    y = x
    for conv in (model.conv1, model.conv2, model.conv3, model.conv4):
        y = F.max_pool2d(F.relu(conv(y)), 2)
    y = model.fc(F.relu(model.conv5(y)).reshape(2, -1))
    torch.testing.assert_close(model(x), y)


@pytest.mark.parametrize("size", [112, 208, 448])
def test_baseline_refuses_another_image_size(size):
    """Eight images of 112 hold as many numbers as two of 224: they must not pass for them."""
    with pytest.raises(RuntimeError):
        BaselineCNN()(torch.zeros(8, 3, size, size))


def test_emotion_net_is_compact():
    model = build("emotion_net")
    assert model.preprocess == Preprocess(size=48, channels=1, scaling="image")
    assert count_parameters(model) <= 5_000_000
    assert 100e6 < count_multiply_adds(model) <= 350e6
    assert model.training  # counting puts the mode back


@pytest.mark.parametrize("size", [16, 47, 48, 64])
def test_emotion_net_takes_other_sizes(size):
    model, x = EmotionNet(widths=(8, 16, 16)).eval(), torch.zeros(2, 1, size, size)
    assert model(x).shape == (2, 8)
    assert model.stem(x).shape == (2, 8, size, size)  # the full resolution


@pytest.mark.parametrize(
    ("name", "classes"),
    [("baseline", 2), ("baseline", 7), ("emotion_net", 2), ("emotion_net", 7), ("resnet18", 7)],
)
def test_any_number_of_classes(name, classes):
    model = build(name, num_classes=classes).eval()
    image = torch.zeros(2, 3, 60, 60, dtype=torch.uint8)
    with torch.no_grad():
        assert model(torch.from_numpy(model.preprocess(image))).shape == (2, classes)


@pytest.mark.parametrize(
    "model",
    [
        BaselineCNN(3),
        EmotionNet(5, widths=[8, 16], drop=0.1, valence_arousal=True),
        resnet18(frozen=True),
        small_net(),
    ],
    ids=lambda model: model.arch,
)
def test_a_network_carries_how_to_build_it_again(model):
    """Also one that was made without ``build``."""
    again = build(model.arch, model.num_classes, model.preprocess, **model.options)
    again.load_state_dict(model.state_dict())
    assert (type(again), again.options) == (type(model), model.options)


def test_multiply_adds_by_hand():
    model = build("baseline")
    convolutions = [(224, 3, 12), (112, 12, 12), (56, 12, 24), (28, 24, 24), (14, 24, 24)]
    by_hand = sum(side * side * 9 * before * after for side, before, after in convolutions) + 24 * 14 * 14 * 8
    assert count_multiply_adds(model) == by_hand


def frozen_resnet():
    torch.manual_seed(0)
    return build("resnet18", frozen=True, preprocess=Preprocess(size=32, channels=3))


def test_a_copy_of_a_frozen_resnet_has_a_mode_of_its_own():
    """The EMA of the weights is a deep copy; it must not switch the original instead of itself."""
    model = frozen_resnet().train()
    twin = copy.deepcopy(model).eval()
    assert model.training and model.fc.training and not model.bn1.training
    assert not (twin.training or twin.fc.training or twin.bn1.training)


def test_pretrained_weights_offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setattr("torch.hub.get_dir", lambda: "/nowhere")
    monkeypatch.setattr("torch.hub.os.makedirs", lambda *args, **kwargs: None)
    with pytest.raises(DataMissing, match=r"save https://.*resnet18.*\.pth in"):
        build("resnet18", pretrained=True)


@pytest.mark.parametrize(
    ("name", "seen", "expected"),
    [
        ("vgg", {}, "baseline, emotion_net, resnet18"),
        ("emotion_net", {"size": 15}, "15 pixels a side; expected 16 or more"),
        ("resnet18", {"size": 31, "channels": 3}, "31 pixels a side; expected 32 or more"),
        ("baseline", {"size": 240, "channels": 3}, "240 pixels a side; expected 224 alone"),
        ("emotion_net", {"channels": 3}, "needs channels=1; found 3"),
        ("resnet18", {"size": 224, "channels": 1}, "needs channels=3; found 1"),
    ],
)
def test_unknown_names_and_input_that_a_network_cannot_use_are_refused(name, seen, expected):
    with pytest.raises(DataInvalid, match=expected):
        build(name, preprocess=Preprocess(**seen))
