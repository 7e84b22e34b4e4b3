"""What webcams see and FER+ hardly has: faces in the dark, out of focus, small, turned, half covered.

Training changes some faces by random amounts, calibration all; ``benchmarks.robustness`` changes all by fixed ones.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fer.datasets.face_dataset import FaceDataset
from fer.datasets.ferplus import FERPlus
from fer.evaluation.predictions import Predictions, predict
from fer.model import FaceNetwork
from fer.training.augment import uniform


def darken(x: Tensor, light: Tensor) -> Tensor:
    """Leave a part of the light, and add a sensor's noise, which does not get weaker with it."""
    return x * light + torch.randn_like(x) * (5 - 4 * light)


def blur(x: Tensor, along: Tensor, across: Tensor) -> Tensor:
    """Convolve each face with a Gaussian of its own, in a random direction; deviations are parts of the side."""
    n, channels, _, side = x.shape
    radius = math.ceil(2.5 * side * float(torch.maximum(along, across).max()))
    v, u = torch.meshgrid(*[torch.arange(-radius, radius + 1, device=x.device) / side] * 2, indexing="ij")
    angle = uniform(x, 0, math.pi)
    first, second = u * angle.cos() + v * angle.sin(), v * angle.cos() - u * angle.sin()
    kernel = torch.exp(-0.5 * ((first / along) ** 2 + (second / across) ** 2))
    kernel = (kernel / kernel.sum((2, 3), keepdim=True)).repeat_interleave(channels, 0)
    padded = F.pad(x, (radius,) * 4, mode="replicate").flatten(0, 1)[None]
    return F.conv2d(padded, kernel, groups=n * channels).view(x.shape)


def lose_resolution(x: Tensor, part: Tensor) -> Tensor:
    """Shrink each face to a part of its side, and enlarge it again."""
    new = torch.empty_like(x)
    for k, side in enumerate((part.flatten() * x.shape[-1]).round().int().tolist()):
        small = F.interpolate(x[k : k + 1], (max(1, side),) * 2, mode="bilinear", antialias=True)
        new[k] = F.interpolate(small, x.shape[-2:], mode="bilinear")[0]
    return new


def move(x: Tensor, degrees: Tensor, zoom: Tensor) -> Tensor:
    """Turn in the picture's plane, and crop more tightly or, below 1, more widely; the border is repeated."""
    cos, sin = ((function(degrees.deg2rad()) / zoom).flatten() for function in (torch.cos, torch.sin))
    matrix = torch.stack([cos, -sin, 0 * cos, sin, cos, 0 * cos], 1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def wear_glasses(x: Tensor, opacity: Tensor) -> Tensor:
    """Put dark glasses where FER+ has eyes, at (±0.4, -0.27) from the middle in half sides."""
    v, u = (torch.linspace(-1, 1, side, device=x.device) for side in x.shape[-2:])
    lenses = ((u.abs() - 0.4) / 0.3) ** 4 + ((v[:, None] + 0.25) / 0.23) ** 4 < 1
    frame = ((v[:, None] + 0.32).abs() < 0.06) & (u.abs() < 0.9)
    return torch.lerp(x, uniform(x, 0, 50).expand_as(x), (lenses | frame) * opacity)


def wear_mask(x: Tensor, height: Tensor) -> Tensor:
    """Cover a part of the height, from the chin up, in any grey."""
    v, u = (torch.linspace(-1, 1, side, device=x.device) for side in x.shape[-2:])
    covered = (v[:, None] > 1 - 2 * height + 0.3 * u**2) & (u.abs() < 0.85)
    return torch.where(covered, uniform(x, 0, 255), x)


Change = Callable[[Tensor, Tensor], Tensor]
"""Takes faces, float32 (N, C, H, W) from 0 to 255, and the amount for each, (N, 1, 1, 1)."""

CHANGES: dict[str, tuple[Change, float, float]] = {
    "darkness": (darken, 0.8, 0.1),  # part of the light that is left
    "overexposure": (torch.mul, 1.3, 2.5),  # brighter than white is cut off
    "defocus": (lambda x, deviation: blur(x, deviation, deviation), 0.01, 0.055),  # part of the side
    "motion blur": (lambda x, deviation: blur(x, deviation, 0 * deviation + 0.006), 0.015, 0.075),
    "low resolution": (lose_resolution, 0.8, 0.3),  # part of the side
    "turn": (lambda x, degrees: move(x, degrees, 0 * degrees + 1), -45, 45),
    "crop": (lambda x, zoom: move(x, 0 * zoom, zoom), 0.65, 1.4),
    "glasses": (wear_glasses, 0.5, 1.0),  # opacity
    "mask": (wear_mask, 0.2, 0.55),  # part of the height
}
"""Each change, with the smallest and the largest amount in training."""

MOST = 4000
"""Faces, about, that are degraded to fit a temperature, which needs no more."""


def apply(change: Change, images: Tensor, amount: Tensor) -> Tensor:
    """Return changed copies of uint8 faces (N, C, H, W)."""
    return change(images.float(), amount).round().clamp(0, 255).to(torch.uint8)


def degrade(images: Tensor, probability: float) -> Tensor:
    """Return copies of uint8 faces (N, C, H, W), each changed with this probability, in one of these ways."""
    x, n = images.clone(), len(images)
    kind = torch.where(torch.rand(n) < probability, torch.randint(len(CHANGES), (n,)), -1).to(x.device)
    for k, (change, least, most) in enumerate(CHANGES.values()):
        if (rows := kind == k).any():
            faces = x[rows]
            x[rows] = apply(change, faces, least + (most - least) * uniform(faces, 0, 1))
    return x


def predict_degraded(model: FaceNetwork, dataset: FaceDataset, flip: bool) -> Predictions:
    """Predict a validation split, of a large one some thousand faces, each changed in one of these ways, seeded.

    Of FER+ ambiguous faces are among them, with their votes: a webcam sees such faces, too.
    """
    if isinstance(dataset, FERPlus):
        dataset = FERPlus(dataset.root, dataset.split, "soft", limit=dataset.limit)
    every = max(1, len(dataset) // MOST)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return predict(model, dataset, flip=flip, part=(0, every), change=lambda x: degrade(x, 1.0))
