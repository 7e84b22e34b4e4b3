import numpy as np
import pytest
import torch
from torch import nn

from fer.explain import first_convolution, grad_cam, layers
from fer.model import FaceNetwork, build, count_parameters
from fer.preprocess import Preprocess


def test_the_layers_of_the_baseline():
    found = layers(build("baseline"))
    assert [layer.name for layer in found] == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc"]
    assert found[0].output == (12, 224, 224) and found[4].output == (24, 14, 14) and found[5].output == (8,)
    assert sum(layer.parameters for layer in found) == 52_316


def test_looking_at_layers_leaves_no_trace():
    model = build("emotion_net", widths=(8, 16)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert sum(layer.parameters for layer in layers(model)) == count_parameters(model)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_first_convolution_sees_the_picture():
    assert first_convolution(build("baseline")).in_channels == 3
    assert first_convolution(build("emotion_net")).in_channels == 1


@pytest.mark.parametrize(
    ("name", "options"),
    [("baseline", {}), ("emotion_net", {"widths": (8, 16)}), ("resnet18", {"frozen": True})],
)
def test_every_network_has_a_map_of_the_picture_own_size(name, options):
    torch.manual_seed(0)
    model = build(name, **options).eval()
    image = torch.randint(0, 256, (3, 70, 60), dtype=torch.uint8)
    strength, target = grad_cam(model, image)
    assert strength.shape == (70, 60) and strength.dtype == np.float32
    assert strength.min() >= 0 and strength.max() <= 1
    with torch.no_grad():
        assert target == model(torch.from_numpy(model.preprocess(image))[None]).argmax()
    assert all(parameter.grad is None for parameter in model.parameters())


class Corner(FaceNetwork):
    """Class 1 is as likely as the top left of the picture is bright, class 0 is the rest."""

    preprocess, last_maps = Preprocess(size=16, channels=1, scaling="raw"), "conv5"

    def __init__(self):
        super().__init__(2)
        self.conv5 = nn.Conv2d(1, 2, 1, bias=False)
        nn.init.constant_(self.conv5.weight, 1.0)

    def outputs(self, x):
        maps = self.conv5(x)
        return torch.stack([maps[:, 0].mean((1, 2)), 4 * maps[:, 1].mean((1, 2))], 1)


def test_the_map_is_bright_where_the_class_is_found():
    image = torch.zeros(1, 16, 16, dtype=torch.uint8)
    image[:, :4, :4] = 200
    strength, target = grad_cam(Corner(), image)
    assert target == 1
    assert strength[:4, :4].min() == 1 and strength[8:, 8:].max() == 0
    assert grad_cam(Corner(), image, target=0)[1] == 0
