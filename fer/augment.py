"""Random changes to a batch of faces, each face its own: uint8 in, uint8 out.

They imitate what a face detector and a cheap camera do to a face: shifted,
turned and scaled boxes, other light, little resolution, hidden parts. Done on
the whole batch at once, this costs a fraction of one transform per image.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augment:
    """Change uint8 faces (N, C, H, W); every amount is a largest one, drawn evenly up to it.

    Args:
        flip: chance of mirroring left and right.
        degrees: rotation either way.
        scale: smallest and largest size of the face.
        shear: slant either way, as a share of the height.
        shift: move either way, as a share of the side.
        light: change of brightness and contrast either way, as a share.
        blur: chance of losing resolution, down to a third.
        noise: largest deviation of added noise, in grey levels.
        erase: chance of covering a rectangle of 2-20 % of the face with noise.
    """

    flip: float = 0.5
    degrees: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shear: float = 0.0
    shift: float = 0.0
    light: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    erase: float = 0.0

    def __call__(self, images: Tensor) -> Tensor:
        """Return changed copies, uint8 (N, C, H, W)."""
        x = images.float()
        x = self._move(x)
        x = self._lose_resolution(x)
        x = self._relight(x)
        return self._erase(x).round_().clamp_(0, 255).to(torch.uint8)

    def _move(self, x: Tensor) -> Tensor:
        n = len(x)
        if (self.degrees, self.scale, self.shear, self.shift) == (0, (1, 1), 0, 0):
            mirrored = torch.rand(n, device=x.device) < self.flip
            return torch.where(mirrored.view(n, 1, 1, 1), x.flip(-1), x)

        def either(most: float) -> Tensor:
            return torch.empty(n, device=x.device).uniform_(-most, most)

        turn, slant = either(math.radians(self.degrees)), either(self.shear)
        size = torch.empty(n, device=x.device).uniform_(*self.scale)
        mirror = 1 - 2 * (torch.rand(n, device=x.device) < self.flip).float()
        # From a pixel of the new picture back to the old one, in units of half a side.
        matrix = torch.stack(
            [
                torch.stack([mirror * turn.cos(), slant - turn.sin(), 2 * size * either(self.shift)], 1),
                torch.stack([mirror * turn.sin(), turn.cos(), 2 * size * either(self.shift)], 1),
            ],
            1,
        ) / size.view(n, 1, 1)
        grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    def _lose_resolution(self, x: Tensor) -> Tensor:
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
        def draw(low: float, high: float) -> Tensor:
            return torch.empty(len(x), 1, 1, 1, device=x.device).uniform_(low, high)

        if self.light:
            mean = x.mean((1, 2, 3), keepdim=True)
            x = (x - mean) * draw(1 - self.light, 1 + self.light) + mean * draw(
                1 - self.light, 1 + self.light
            )
        if self.noise:
            x = x + torch.randn_like(x) * draw(0, self.noise)
        return x

    def _erase(self, x: Tensor) -> Tensor:
        if not self.erase:
            return x
        n, _, height, width = x.shape
        chosen = torch.rand(n, device=x.device) < self.erase
        area = torch.empty(n, device=x.device).uniform_(0.02, 0.20)
        aspect = torch.empty(n, device=x.device).uniform_(math.log(0.4), math.log(2.5)).exp()
        h, w = (area * aspect).sqrt() * height, (area / aspect).sqrt() * width
        top, left = (
            torch.rand(n, device=x.device) * (height - h),
            torch.rand(n, device=x.device) * (width - w),
        )
        rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
        inside_rows = (rows >= top[:, None]) & (rows < (top + h)[:, None])
        inside_columns = (columns >= left[:, None]) & (columns < (left + w)[:, None])
        hole = chosen[:, None, None] & inside_rows[:, :, None] & inside_columns[:, None, :]
        return torch.where(hole[:, None], torch.randint_like(x, 0, 256), x)


STRENGTHS = {
    "none": None,
    "flip": Augment(),
    "light": Augment(degrees=10, scale=(0.9, 1.1), shift=0.05, light=0.2),
    "strong": Augment(
        degrees=20, scale=(0.8, 1.15), shear=0.1, shift=0.07, light=0.3, blur=0.15, noise=8.0, erase=0.4
    ),
}
"""What ``--augment`` offers."""
