"""Augmentation: each face its own change, in the direction of its name."""

import math

import pytest
import torch
import torch.nn.functional as F

from fer.preprocess import Preprocess
from fer.training.augment import STRENGTHS, Augment, _scale, _warp, to_grey_uint8

OFF = {"flip": 0.0}
SIDE = 33  # odd, so that there is a pixel in the middle


def noise(n=16, channels=1, side=32):
    return torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8)


def spot(x, y, n=64, radius=1):
    """Black faces with a white square around (x, y), counted in pixels from the middle."""
    images = torch.zeros(n, 1, SIDE, SIDE, dtype=torch.uint8)
    row, column = SIDE // 2 + y - radius, SIDE // 2 + x - radius
    images[:, :, row : row + 2 * radius + 1, column : column + 2 * radius + 1] = 255
    return images


def centres(images):
    """x and y of the centre of brightness of each face, in pixels from the middle."""
    weight = images.float().squeeze(1)
    along = torch.arange(SIDE) - SIDE // 2
    total = weight.sum((1, 2))
    return (weight.sum(1) * along).sum(1) / total, (weight.sum(2) * along).sum(1) / total


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", [name for name, augment in STRENGTHS.items() if augment])
def test_faces_stay_uint8_and_the_input_stays_as_it_was(name):
    images = noise(channels=3)
    before = images.clone()
    changed = STRENGTHS[name](images)
    assert changed.dtype == torch.uint8
    assert changed.shape == images.shape
    assert torch.equal(images, before)
    assert not torch.equal(changed, images)


def test_each_face_changes_in_its_own_way():
    same = noise(1).expand(32, -1, -1, -1)
    changed = STRENGTHS["strong"](same)
    different = {changed[i].numpy().tobytes() for i in range(len(changed))}
    assert len(different) == len(changed)


def test_flip_mirrors_left_and_right():
    images = noise(400, channels=3, side=8)
    assert torch.equal(Augment(flip=0.0)(images), images)
    assert torch.equal(Augment(flip=1.0)(images), images.flip(-1))
    flipped = (Augment(flip=0.5)(images) == images.flip(-1)).flatten(1).all(1)
    assert 160 < flipped.sum() < 240


def test_shift_moves_both_ways_up_to_its_amount():
    x, y = centres(Augment(**OFF, shift=0.2)(spot(0, 0, n=300)))
    for moved in (x, y):
        assert 0.19 * SIDE < moved.max() < 0.21 * SIDE
        assert -0.21 * SIDE < moved.min() < -0.19 * SIDE
    assert torch.corrcoef(torch.stack([x, y]))[0, 1].abs() < 0.2  # independent of each other


def test_scale_above_one_makes_the_face_larger():
    x, y = centres(Augment(**OFF, scale=(1.5, 1.5))(spot(8, -6)))
    torch.testing.assert_close(x, torch.full_like(x, 12.0), atol=0.3, rtol=0)
    torch.testing.assert_close(y, torch.full_like(y, -9.0), atol=0.3, rtol=0)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_rotation_keeps_the_distance_and_stays_within_its_angle(flip):
    """Flipped, the face is on the other side, whatever the angle."""
    x, y = centres(Augment(flip=flip, degrees=30)(spot(10, 0, n=300)))
    torch.testing.assert_close((x**2 + y**2).sqrt(), torch.full_like(x, 10.0), atol=0.3, rtol=0)
    angle = torch.atan2(y, -x if flip else x) * 180 / math.pi
    assert 28 < angle.max() < 31
    assert -31 < angle.min() < -28


def test_shear_slants_by_height():
    top, _ = centres(Augment(**OFF, shear=0.3)(spot(0, -10, n=300)))
    middle, _ = centres(Augment(**OFF, shear=0.3)(spot(0, 0, n=300)))
    assert middle.abs().max() < 0.1
    assert 2.7 < top.abs().max() < 3.2


def test_light_changes_brightness_and_contrast_within_its_amount():
    images = noise(300) // 4 + 96  # far from black and white, so that nothing is cut off
    changed = Augment(**OFF, light=0.2)(images).float()
    brightness = changed.mean((1, 2, 3)) / images.float().mean((1, 2, 3))
    contrast = changed.std((1, 2, 3)) / images.float().std((1, 2, 3))
    for ratio in (brightness, contrast):
        assert 1.17 < ratio.max() < 1.22
        assert 0.78 < ratio.min() < 0.83


def test_blur_takes_fine_detail_from_some_faces():
    images = noise(400)
    changed = Augment(**OFF, blur=0.5)(images)
    untouched = (changed == images).flatten(1).all(1)
    assert 160 < untouched.sum() < 240
    before = images[~untouched].float().std((1, 2, 3))
    assert (changed[~untouched].float().std((1, 2, 3)) < 0.8 * before).all()


def test_noise_has_up_to_its_deviation():
    images = torch.full((300, 1, 32, 32), 128, dtype=torch.uint8)
    deviation = Augment(**OFF, noise=8.0)(images).float().std((1, 2, 3))
    assert 7.5 < deviation.max() < 8.7
    assert deviation.min() < 0.7


def test_erasing_covers_a_rectangle():
    images = torch.full((400, 1, 40, 40), 128, dtype=torch.uint8)
    hidden = (Augment(**OFF, erase=0.5)(images) != 128).squeeze(1)
    touched = hidden.flatten(1).any(1)
    assert 160 < touched.sum() < 240
    for mask in hidden[touched]:
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        box = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert box.float().mean() > 0.9  # all of it, but for noise that happens to be 128
        assert 0.01 < box.numel() / mask.numel() < 0.25


@pytest.mark.parametrize(("channels", "shape"), [(1, (48, 48)), (3, (40, 56))])
def test_opencv_moves_pixels_as_grid_sample_does(channels, shape):
    """Each by its own rounding: OpenCV counts places in 1/32 of a pixel."""
    smooth = F.interpolate(torch.rand(24, channels, 6, 6) * 255, shape, mode="bicubic")
    images = smooth.clamp(0, 255).to(torch.uint8)
    matrix = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) + 0.2 * torch.randn(24, 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    expected = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    moved = _warp(images, matrix.numpy())
    assert moved.shape == images.shape
    assert (moved.float() - expected).abs().max() < 2
    assert (moved.float() - expected).abs().mean() < 0.4


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("last", [False, True])
def test_opencv_changes_light_as_torch_does(channels, last):
    images = noise(8, channels) // 2 + 50
    images = images.to(memory_format=torch.channels_last if last else torch.contiguous_format)
    contrast, brightness = (0.8 + 0.4 * torch.rand(8, 1, 1, 1) for _ in range(2))
    mean = images.float().mean((1, 2, 3), keepdim=True)
    expected = (images - mean) * contrast + mean * brightness
    torch.testing.assert_close(_scale(images, contrast, brightness).float(), expected, atol=0.51, rtol=0)


@pytest.mark.parametrize("last", [False, True])
def test_grey_faces_are_what_the_network_would_have_seen(last):
    """But for rounding: grey comes before the changes, whose input is uint8."""
    images = noise(8, 3).to(memory_format=torch.channels_last if last else torch.contiguous_format)
    expected = Preprocess(size=32, channels=1, scaling="raw")(images)
    assert to_grey_uint8(images).dtype == torch.uint8
    torch.testing.assert_close(to_grey_uint8(images).float(), torch.from_numpy(expected), atol=0.51, rtol=0)
    assert torch.equal(to_grey_uint8(images[:, :1]), images[:, :1])
