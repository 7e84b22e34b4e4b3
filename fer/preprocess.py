"""From pixels to network input: the only place where pixels are scaled.

Training, scoring and the demos all call the same ``Preprocess``, and it is
stored in the checkpoint's card, so that they cannot disagree.
"""

import math
from dataclasses import dataclass
from numbers import Integral

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fer.errors import DataInvalid
from fer.threads import for_each


@dataclass(frozen=True)
class Preprocess:
    """uint8 image(s) (..., 1 or 3, H, W), RGB order, to float32 (..., channels, size, size).

    Args:
        size: side of the square input of the network, in pixels.
        channels: 1 (grey, BT.601 weights) or 3 (grey images are repeated).
        scaling: ``"image"``: each image to mean 0 and standard deviation 1, which removes most
            differences of light and camera; ``"fixed"``: to 0-1, minus ``mean``, over ``std``;
            ``"raw"``: 0-255 as it is (the published student checkpoint was trained so).
        mean, std: for ``"fixed"``, one value for all channels or one each, on the 0-1 scale.

    Raises:
        DataInvalid: the image is not uint8, or has another number of channels.
    """

    size: int = 48
    channels: int = 1
    scaling: str = "image"
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise DataInvalid(f"Preprocess(channels={self.channels}): expected 1 (grey) or 3 (RGB).")
        if self.scaling not in ("image", "fixed", "raw"):
            raise DataInvalid(f"Preprocess(scaling={self.scaling!r}): expected 'image', 'fixed' or 'raw'.")
        object.__setattr__(self, "mean", tuple(self.mean))  # JSON brings lists
        object.__setattr__(self, "std", tuple(self.std))
        valid = (
            (isinstance(self.size, Integral) and self.size >= 1)
            and {len(self.mean), len(self.std)} <= {1, self.channels}
            and all(map(math.isfinite, (*self.mean, *self.std)))
            and min(self.std) > 0
        )
        if not valid:
            raise DataInvalid(
                f"{self}: expected a size of 1 or more, and a mean and an std above 0, for all or each channel."
            )

    def __call__(self, image: Tensor) -> Tensor:
        """Return the network input."""
        check(image)
        x = to_grey(image) if self.channels == 1 and image.shape[-3] == 3 else image
        x = self._scale(self._resize(x))
        # Last, because scaling one grey channel is a third of the work and gives the same numbers.
        return x.expand(*x.shape[:-3], self.channels, self.size, self.size)

    def _resize(self, x: Tensor) -> Tensor:
        if x.shape[-2:] == (self.size, self.size):
            return x
        batch = x.float().reshape(-1, *x.shape[-3:])
        shrinks = self.size < max(x.shape[-2:])  # smoothing matters only then, and costs time
        batch = F.interpolate(batch, (self.size, self.size), mode="bilinear", antialias=shrinks)
        return batch.reshape(*x.shape[:-2], self.size, self.size)

    def _scale(self, x: Tensor) -> Tensor:
        if self.scaling == "image" and x.dtype == torch.uint8 and x.device.type == "cpu":
            return _standardize(x)
        x = x.float()
        if self.scaling == "raw":
            return x
        if self.scaling == "fixed":
            return (x / 255 - x.new_tensor(self.mean).view(-1, 1, 1)) / x.new_tensor(self.std).view(-1, 1, 1)
        dims = (-3, -2, -1)
        x = x - x.mean(dims, keepdim=True)
        # The norm of what is left is the deviation, in a fraction of the time of torch.std.
        std = torch.linalg.vector_norm(x, dim=dims, keepdim=True) / math.prod(x.shape[-3:]) ** 0.5
        return x.div_(std.clamp_(min=1.0))  # a flat image stays near 0 instead of becoming noise


def check(image: Tensor) -> None:
    """Raise DataInvalid for what is no uint8 image or images (..., 1 or 3, H, W)."""
    if image.dtype != torch.uint8 or image.ndim < 3 or image.shape[-3] not in (1, 3):
        raise DataInvalid(
            f"Found an image of {image.dtype} {tuple(image.shape)}; expected uint8 (..., 1 or 3, H, W). "
            "Scale and reorder nowhere else: give Preprocess the pixels as they were read."
        )


def _standardize(images: Tensor) -> Tensor:
    """Return what ``_scale`` gives for uint8 (..., C, H, W) on the CPU: OpenCV takes two passes, torch seven."""
    faces = images.reshape(-1, *images.shape[-3:])
    n, channels, height, width = faces.shape
    channels_last = faces.is_contiguous(memory_format=torch.channels_last)
    pixels = (faces.permute(0, 2, 3, 1) if channels_last else faces.contiguous()).numpy()
    pixels = pixels.reshape(n, height, width * channels)
    scaled = np.empty(pixels.shape, np.float32)

    def scale(k: int) -> None:
        mean, std = (value.item() for value in cv2.meanStdDev(pixels[k]))
        gain = 1 / max(std, 1.0)
        cv2.addWeighted(pixels[k], gain, pixels[k], 0, -mean * gain, scaled[k], cv2.CV_32F)

    for_each(n, scale)
    x = torch.from_numpy(scaled)
    x = x.view(n, height, width, channels).permute(0, 3, 1, 2) if channels_last else x.view(faces.shape)
    return x.reshape(images.shape)


def to_grey(image: Tensor) -> Tensor:
    """Return RGB uint8 (..., 3, H, W) as float32 (..., 1, H, W), by ITU-R BT.601, as in PIL and OpenCV."""
    red, green, blue = image.unbind(-3)  # a sum over the channels takes up to three times as long
    return (red * 0.299).add_(green, alpha=0.587).add_(blue, alpha=0.114).unsqueeze(-3)
