"""What the network sees of an image."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from fer.errors import DataInvalid
from fer.preprocess import Preprocess
from fer.training.preprocess import on_accelerator, preprocess_tensor


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_grey_uses_the_weights_of_rgb_order():
    """Red, green and blue weigh .299, .587, .114: with BGR taken for RGB, red and blue would change places."""
    red, blue = np.zeros((2, 3, 4, 4), np.uint8)
    red[0], blue[2] = 200, 200
    grey = Preprocess(size=4, channels=1, scaling="raw")
    np.testing.assert_allclose(grey(red), np.full((1, 4, 4), 0.299 * 200), rtol=1e-6)
    np.testing.assert_allclose(grey(blue), np.full((1, 4, 4), 0.114 * 200), rtol=1e-6)


def test_raw_pixels_are_left_as_they_are():
    image = noise(3, 224, 224)
    x = Preprocess(size=224, channels=3, scaling="raw")(image)
    assert x.dtype == np.float32
    assert np.array_equal(x, image)


def test_image_scaling_takes_out_brightness_and_contrast():
    image = noise(1, 48, 48) // 2 + 20
    scale = Preprocess(size=48, channels=1, scaling="image")
    x = scale(image)
    assert abs(x.mean()) < 1e-5
    assert abs(x.std() - 1) < 1e-5
    brighter = np.rint(image * 1.5 + 10).astype(np.uint8)
    np.testing.assert_allclose(scale(brighter), x, atol=0.02)


@pytest.mark.parametrize("shape", [(7, 3, 20, 20), (7, 1, 20, 20), (3, 20, 20), (2, 4, 3, 20, 20)])
@pytest.mark.parametrize("layout", ["planes", "channels last", "mirrored"])
def test_each_image_is_scaled_by_its_own_mean_and_deviation(shape, layout):
    """However the pixels lie in memory, and as exactly as float32 can say."""
    image = noise(*shape) // 4 + 100
    if layout == "channels last":
        image = np.moveaxis(np.ascontiguousarray(np.moveaxis(image, -3, -1)), -1, -3)
    elif layout == "mirrored":
        image = image.swapaxes(-1, -2)[..., ::-1]
    before = image.copy()
    x = Preprocess(size=20, channels=shape[-3], scaling="image")(image)
    exact, axes = image.astype(np.float64), (-3, -2, -1)
    expected = (exact - exact.mean(axes, keepdims=True)) / exact.std(axes, keepdims=True)
    np.testing.assert_allclose(x, expected, atol=2e-6, rtol=1e-6)
    assert np.array_equal(image, before)


def test_no_images_at_all_stay_none():
    assert Preprocess(size=20, channels=3)(noise(0, 3, 20, 20)).shape == (0, 3, 20, 20)


def test_a_flat_image_stays_flat():
    """Dividing by its deviation would turn the noise of one grey level into a picture."""
    image = np.full((1, 48, 48), 100, np.uint8)
    image[0, 0, 0] = 101
    assert np.abs(Preprocess(size=48)(image)).max() <= 1


def test_fixed_scaling_by_hand():
    image = np.broadcast_to(np.array([0, 255], np.uint8), (3, 2, 2))
    x = Preprocess(size=2, channels=3, scaling="fixed", mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.1))(image)
    np.testing.assert_allclose(x[:, 0], [[-1.0, 1.0], [-2.0, 3.0], [-3.0, 7.0]], rtol=1e-5)


def test_a_grey_image_becomes_three_equal_channels():
    x = Preprocess(size=8, channels=3, scaling="fixed", mean=(0.5,), std=(0.5,))(noise(1, 8, 8))
    assert x.shape == (3, 8, 8)
    assert np.array_equal(x[0], x[1]) and np.array_equal(x[0], x[2])


@pytest.mark.parametrize("shape", [(3, 30, 40), (2, 1, 30, 40), (5, 2, 3, 30, 40)])
def test_any_leading_axes(shape):
    image = noise(*shape)
    preprocess = Preprocess(size=16, channels=1)
    x = preprocess(image)
    assert x.shape == (*shape[:-3], 1, 16, 16)
    alone = preprocess(image.reshape(-1, *shape[-3:])[-1])
    np.testing.assert_allclose(x.reshape(-1, 1, 16, 16)[-1], alone, atol=1e-6)


def test_shrinking_smooths_like_pil():
    """Without smoothing, fine texture would alias into coarse patterns."""
    image = noise(1, 96, 96)
    ours = Preprocess(size=24, channels=1, scaling="raw")(image)[0]
    pil = np.asarray(Image.fromarray(image[0]).resize((24, 24), Image.Resampling.BILINEAR), np.float32)
    assert np.abs(ours - pil).max() <= 1
    assert ours.std() < 25  # plain picking of pixels keeps the deviation of the noise, 74


@pytest.mark.parametrize(
    "image",
    [
        np.float32(noise(3, 8, 8)),
        noise(8, 8),
        noise(8, 8, 3),
        noise(4, 8, 8),
        noise(3, 8, 8).astype(np.int16),
    ],
    ids=["float", "no channel axis", "channels last", "four channels", "int16"],
)
def test_other_pixels_are_refused(image):
    with pytest.raises(DataInvalid, match=r"expected uint8 \(\.\.\., 1 or 3, H, W\)"):
        Preprocess(size=8)(image)
    with pytest.raises(DataInvalid, match=r"expected uint8 \(\.\.\., 1 or 3, H, W\)"):
        on_accelerator(Preprocess(size=8), torch.from_numpy(image))


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


@pytest.mark.parametrize("scaling", ["image", "fixed", "raw"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "side", [(64, 64), (20, 20), (48, 48), (100, 30)], ids=["shrinks", "grows", "stays", "both"]
)
def test_batches_on_an_accelerator_get_the_same_numbers(scaling, channels, side):
    """The network input that training sees is the one that the demos give, to 1e-4 of its range."""
    preprocess = Preprocess(size=48, channels=channels, scaling=scaling)
    for colours in (1, 3):
        images = noise(4, colours, *side)
        expected = preprocess(images)
        x = on_accelerator(preprocess, torch.from_numpy(images))
        assert x.shape == expected.shape
        np.testing.assert_allclose(x, expected, atol=1e-4 * (255 if scaling == "raw" else 1))


def test_tensors_on_the_cpu_are_images_too():
    images = noise(2, 3, 30, 30)
    preprocess = Preprocess(size=20)
    x = preprocess_tensor(preprocess, torch.from_numpy(images))
    assert isinstance(x, torch.Tensor)
    np.testing.assert_array_equal(x, preprocess(torch.from_numpy(images)))
    np.testing.assert_array_equal(x, preprocess(images))
