"""What the network sees of an image."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from fer.errors import DataInvalid
from fer.preprocess import Preprocess


def noise(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_grey_uses_the_weights_of_rgb_order():
    """Red, green and blue weigh .299, .587, .114: with BGR taken for RGB, red and blue would change places."""
    red, blue = torch.zeros(3, 4, 4, dtype=torch.uint8), torch.zeros(3, 4, 4, dtype=torch.uint8)
    red[0], blue[2] = 200, 200
    grey = Preprocess(size=4, channels=1, scaling="raw")
    torch.testing.assert_close(grey(red), torch.full((1, 4, 4), 0.299 * 200))
    torch.testing.assert_close(grey(blue), torch.full((1, 4, 4), 0.114 * 200))


def test_raw_pixels_are_left_as_they_are():
    image = noise(3, 224, 224)
    x = Preprocess(size=224, channels=3, scaling="raw")(image)
    assert x.dtype == torch.float32
    assert torch.equal(x, image.float())


def test_image_scaling_takes_out_brightness_and_contrast():
    image = noise(1, 48, 48) // 2 + 20
    scale = Preprocess(size=48, channels=1, scaling="image")
    x = scale(image)
    assert x.mean().abs() < 1e-5
    assert (x.std(correction=0) - 1).abs() < 1e-5
    brighter = (image.float() * 1.5 + 10).round().to(torch.uint8)
    torch.testing.assert_close(scale(brighter), x, atol=0.02, rtol=0)


@pytest.mark.parametrize("shape", [(7, 3, 20, 20), (7, 1, 20, 20), (3, 20, 20), (2, 4, 3, 20, 20)])
@pytest.mark.parametrize("layout", ["planes", "channels last", "mirrored"])
def test_each_image_is_scaled_by_its_own_mean_and_deviation(shape, layout):
    """However the pixels lie in memory, and as exactly as float32 can say."""
    image = noise(*shape) // 4 + 100
    if layout == "channels last":
        image = image.movedim(-3, -1).contiguous().movedim(-1, -3)
    elif layout == "mirrored":
        image = image.mT
    before = image.clone()
    x = Preprocess(size=20, channels=shape[-3], scaling="image")(image)
    exact, axes = image.double(), (-3, -2, -1)
    expected = (exact - exact.mean(axes, keepdim=True)) / exact.std(axes, correction=0, keepdim=True)
    torch.testing.assert_close(x, expected.float(), atol=2e-6, rtol=1e-6)
    assert torch.equal(image, before)


def test_no_images_at_all_stay_none():
    assert Preprocess(size=20, channels=3)(noise(0, 3, 20, 20)).shape == (0, 3, 20, 20)


def test_a_flat_image_stays_flat():
    """Dividing by its deviation would turn the noise of one grey level into a picture."""
    image = torch.full((1, 48, 48), 100, dtype=torch.uint8)
    image[0, 0, 0] = 101
    assert Preprocess(size=48)(image).abs().max() <= 1


def test_fixed_scaling_by_hand():
    image = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2).expand(3, 2, 2)
    x = Preprocess(size=2, channels=3, scaling="fixed", mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.1))(image)
    expected = torch.tensor([[-1.0, 1.0], [-2.0, 3.0], [-3.0, 7.0]])
    torch.testing.assert_close(x[:, 0], expected)


def test_a_grey_image_becomes_three_equal_channels():
    x = Preprocess(size=8, channels=3, scaling="fixed", mean=(0.5,), std=(0.5,))(noise(1, 8, 8))
    assert x.shape == (3, 8, 8)
    assert torch.equal(x[0], x[1]) and torch.equal(x[0], x[2])


@pytest.mark.parametrize("shape", [(3, 30, 40), (2, 1, 30, 40), (5, 2, 3, 30, 40)])
def test_any_leading_axes(shape):
    image = noise(*shape)
    preprocess = Preprocess(size=16, channels=1)
    x = preprocess(image)
    assert x.shape == (*shape[:-3], 1, 16, 16)
    alone = preprocess(image.reshape(-1, *shape[-3:])[-1])
    torch.testing.assert_close(x.reshape(-1, 1, 16, 16)[-1], alone)


def test_shrinking_smooths_like_pil():
    """Without smoothing, fine texture would alias into coarse patterns."""
    image = noise(1, 96, 96)
    ours = Preprocess(size=24, channels=1, scaling="raw")(image)[0].numpy()
    pil = np.asarray(
        Image.fromarray(image[0].numpy()).resize((24, 24), Image.Resampling.BILINEAR), np.float32
    )
    assert np.abs(ours - pil).max() <= 1
    assert ours.std() < 25  # plain picking of pixels keeps the deviation of the noise, 74


@pytest.mark.parametrize(
    "image",
    [noise(3, 8, 8).float(), noise(8, 8), noise(8, 8, 3), noise(4, 8, 8), noise(3, 8, 8).short()],
    ids=["float", "no channel axis", "channels last", "four channels", "int16"],
)
def test_other_pixels_are_refused(image):
    with pytest.raises(DataInvalid, match=r"expected uint8 \(\.\.\., 1 or 3, H, W\)"):
        Preprocess(size=8)(image)


@pytest.mark.parametrize(
    "options",
    [
        {"channels": 2},
        {"scaling": "none"},
        {"size": 0},
        {"mean": (0.1, 0.2, 0.3)},
        {"channels": 3, "std": (1, 2)},
    ],
)
def test_settings_that_cannot_work_are_refused(options):
    with pytest.raises(DataInvalid):
        Preprocess(**options)


def test_settings_survive_json():
    preprocess = Preprocess(size=64, channels=3, scaling="fixed", mean=(0.1, 0.2, 0.3), std=(1, 2, 3))
    assert Preprocess(**json.loads(json.dumps(asdict(preprocess)))) == preprocess
