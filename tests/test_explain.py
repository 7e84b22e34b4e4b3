import numpy as np
import pytest
import torch
from torch import nn

from fer.explain import first_convolution, grad_cam
from fer.model import FaceNetwork, build
from fer.preprocess import Preprocess


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
