"""Random changes to a batch of faces: each face its own (``Augment``), or pairs of them mixed (``Mix``).

The first imitate what a face detector and a cheap camera do to a face. On a CPU
OpenCV does most of it, several times faster than torch; on a GPU torch does.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from fer.threads import for_each
from fer.training.preprocess import to_grey


@dataclass(frozen=True)
class Augment:
    """Change uint8 faces (N, C, H, W); every amount is the largest one, sampled uniformly up to it, either way."""

    flip: float = 0.5  # probability of mirroring left and right
    degrees: float = 0.0  # rotation
    scale: tuple[float, float] = (1.0, 1.0)  # smallest and largest size of the face
    shear: float = 0.0  # slant, relative to the height
    shift: float = 0.0  # move, relative to the side
    light: float = 0.0  # relative change of brightness and contrast
    blur: float = 0.0  # probability of losing resolution, down to a third
    noise: float = 0.0  # standard deviation of added noise, in grey levels
    erase: float = 0.0  # probability of covering a rectangle of 2-20 % of the face with noise

    def __call__(self, images: Tensor) -> Tensor:
        """Return changed copies."""
        x = self._move(images)
        if self.blur:
            x = self._lose_resolution(x)
        if self.light:
            x = self._relight(x)
        if self.noise:
            x = x + torch.randn_like(x, dtype=torch.float32) * uniform(x, 0, self.noise)
        if self.erase:
            x = self._erase(x)
        return x if x.dtype == torch.uint8 else x.round_().clamp_(0, 255).to(torch.uint8)

    def _move(self, images: Tensor) -> Tensor:
        """Return uint8 (N, C, H, W), or float32 of what was between two levels."""
        n, device = len(images), images.device
        if (self.degrees, self.scale, self.shear, self.shift) == (0, (1, 1), 0, 0):
            mirrored = torch.rand(n, device=device) < self.flip
            return torch.where(mirrored.view(n, 1, 1, 1), images.flip(-1), images)

        def sample(low: float, high: float) -> np.ndarray:
            return torch.empty(n).uniform_(low, high).numpy()

        # NumPy's sines: after torch's, its threads wait for more work where OpenCV wants the cores.
        turn = sample(-math.radians(self.degrees), math.radians(self.degrees))
        slant, size = sample(-self.shear, self.shear), sample(*self.scale)
        mirror = np.where(torch.rand(n).numpy() < self.flip, np.float32(-1), np.float32(1))
        right, down = (2 * size * sample(-self.shift, self.shift) for _ in range(2))
        # From a pixel of the new image back to the old one, in units of half a side.
        first = [mirror * np.cos(turn), slant - np.sin(turn), right]
        second = [mirror * np.sin(turn), np.cos(turn), down]
        matrix = np.array([first, second]).transpose(2, 0, 1) / size[:, None, None]
        if device.type == "cpu":
            return _warp(images, matrix)
        grid = F.affine_grid(torch.from_numpy(matrix).to(device), list(images.shape), align_corners=False)
        return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)

    def _lose_resolution(self, x: Tensor) -> Tensor:
        x = x.float().contiguous()  # resizing takes three times as long where channels come last
        # The batch is sorted into four sizes; one resize for each keeps it one call per size.
        factor = torch.rand(len(x), device=x.device)
        for k, divisor in enumerate((1.5, 2.0, 3.0)):
            chosen = (factor >= self.blur * k / 3) & (factor < self.blur * (k + 1) / 3)
            if chosen.any():
                side = max(1, round(x.shape[-1] / divisor))
                small = F.interpolate(x[chosen], (side, side), mode="bilinear", antialias=True)
                x[chosen] = F.interpolate(small, x.shape[-2:], mode="bilinear")
        return x

    def _relight(self, x: Tensor) -> Tensor:
        contrast, brightness = (uniform(x, 1 - self.light, 1 + self.light) for _ in range(2))
        if x.dtype == torch.uint8 and x.device.type == "cpu":
            return _scale(x, contrast, brightness)
        mean = x.mean((1, 2, 3), keepdim=True, dtype=torch.float32)
        return x * contrast + mean * (brightness - contrast)  # about the mean, which is moved itself

    def _erase(self, x: Tensor) -> Tensor:
        x = x.float()
        height, width = x.shape[-2:]
        chosen, area = uniform(x, 0, 1) < self.erase, uniform(x, 0.02, 0.20)
        aspect = uniform(x, math.log(0.4), math.log(2.5)).exp()
        h, w = (area * aspect).sqrt() * height, (area / aspect).sqrt() * width
        top, left = uniform(x, 0, 1) * (height - h), uniform(x, 0, 1) * (width - w)
        row, column = (torch.arange(side, device=x.device) for side in (height, width))
        row = row[:, None]
        hole = (chosen & (row >= top) & (row < top + h)) & ((column >= left) & (column < left + w))
        return torch.where(hole, torch.randint_like(x, 0, 256), x)


def to_grey_uint8(images: Tensor) -> Tensor:
    """Return RGB or grey uint8 (N, 3 or 1, H, W) as grey (N, 1, H, W), a third of the work for what changes it."""
    if images.shape[1] == 1:
        return images
    if images.device.type != "cpu":
        return to_grey(images).round_().to(torch.uint8)
    return _by_opencv(images, lambda _, face, new: cv2.cvtColor(face, cv2.COLOR_RGB2GRAY, new), channels=1)


def uniform(x: Tensor, low: float, high: float) -> Tensor:
    """Return a number for each face, sampled uniformly, (N, 1, 1, 1)."""
    return torch.empty(len(x), 1, 1, 1, device=x.device).uniform_(low, high)


def _warp(images: Tensor, matrix: np.ndarray) -> Tensor:
    """Do what ``grid_sample`` does, bilinear and with repeated borders; ``matrix`` (N, 2, 3) as for ``affine_grid``."""
    height, width = images.shape[-2:]
    # From units of half a side, 0 in the middle, to pixels, 0 in the middle of the first one.
    half = np.array([width, height]) / 2
    linear = matrix[:, :, :2] * (half[:, None] / half)
    middle = half - 0.5
    offset = matrix[:, :, 2] * half + middle - linear @ middle
    pixels = np.concatenate([linear, offset[:, :, None]], 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def warp(k: int, face: np.ndarray, new: np.ndarray) -> None:
        cv2.warpAffine(face, pixels[k], (width, height), new, flags, cv2.BORDER_REPLICATE)

    return _by_opencv(images, warp)


def _scale(images: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    """Return faces whose distances from their mean and whose mean are multiplied by (N, 1, 1, 1) each."""
    gain, factor = contrast.flatten().tolist(), (brightness - contrast).flatten().tolist()

    def scale(k: int, face: np.ndarray, new: np.ndarray) -> None:
        mean = cv2.mean(face.reshape(len(face), -1))[0]  # as one channel: a third of the time
        cv2.addWeighted(face, gain[k], face, 0, mean * factor[k], new)

    return _by_opencv(images, scale)


def _by_opencv(
    images: Tensor, change: Callable[[int, np.ndarray, np.ndarray], object], channels: int | None = None
) -> Tensor:
    """Call ``change(k, face, new)`` for each face, uint8 (H, W, C); return what it writes into ``new``, (N, C, H, W).

    ``cv2.merge`` takes a fraction of the time of a permuted copy of the batch, which is left channels last.
    """
    n, _, height, width = images.shape
    last = images.is_contiguous(memory_format=torch.channels_last)
    old = images.permute(0, 2, 3, 1).numpy() if last else images.numpy()
    new = np.empty((n, height, width, channels or images.shape[1]), np.uint8)
    for_each(n, lambda k: change(k, old[k] if last else cv2.merge(old[k]), new[k]))
    return torch.from_numpy(new).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Mix:
    """Mix pairs of preprocessed faces, and their targets alike; ``kind`` as ``TrainConfig.mix``."""

    kind: str
    classes: int
    probability: float = 0.5  # of mixing a batch

    def __call__(
        self, x: Tensor, labels: Tensor, annotations: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return faces (N, C, H, W), targets, int64 (N,) or float32 (N, classes), and annotations (N, 2).

        Mixed, the targets are float32; the valence or arousal that one face of a pair lacks (NaN), both lack.
        """
        if self.kind == "none" or torch.rand(()) >= self.probability:
            return x, labels, annotations
        mixers = {"mixup": v2.MixUp(alpha=0.2), "cutmix": v2.CutMix(alpha=1.0)}
        kinds = list(mixers) if self.kind == "both" else [self.kind]
        mixer = mixers[kinds[int(torch.randint(len(kinds), ()))]]
        targets = (F.one_hot(labels, self.classes) if labels.ndim == 1 else labels).float()
        if annotations is None:
            return *mixer(x, targets), None
        x, both = mixer(x, torch.cat([targets, annotations], 1))
        return x, both[:, : self.classes], both[:, self.classes :]


STRENGTHS: dict[str, Augment | None] = {
    "none": None,
    "flip": Augment(),
    "light": Augment(degrees=10, scale=(0.9, 1.1), shift=0.05, light=0.2),
    "strong": Augment(
        degrees=20, scale=(0.8, 1.15), shear=0.1, shift=0.07, light=0.3, blur=0.15, noise=8.0, erase=0.4
    ),
}
"""What ``--augment`` offers."""
