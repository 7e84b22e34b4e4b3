"""From pixels to network input: the only place where pixels are scaled.

Training, scoring and the demos all call the same ``Preprocess``, and it is
stored in the checkpoint's card, so that they cannot disagree. It needs no torch;
``fer.training.preprocess`` does the same to tensors wherever they are.
"""

from dataclasses import dataclass
from numbers import Integral

import cv2
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from fer.errors import DataInvalid
from fer.threads import for_each

LARGEST = 4096
"""Pixels a side of the largest input."""


@dataclass(frozen=True)
class Preprocess:
    """uint8 image(s) (..., 1 or 3, H, W), RGB order, to a float32 array (..., channels, size, size).

    An image is anything that ``np.asarray`` takes, also a tensor on the CPU.

    Args:
        size: side of the square input of the network, in pixels.
        channels: 1 (grey, BT.601 weights) or 3 (grey images are repeated).
        scaling: ``"image"``: each image to mean 0 and standard deviation 1, which removes most
            differences of light and camera; ``"fixed"``: to 0-1, minus ``mean``, over ``std``;
            ``"raw"``: 0-255 as it is (the published student checkpoint was trained so).
        mean, std: for ``"fixed"``, one value for all channels or one each, on the 0-1 scale.

    Raises:
        DataInvalid: a value is out of its range; the image is not uint8, or has another number of channels.
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
            (isinstance(self.size, Integral) and 1 <= self.size <= LARGEST)
            and {len(self.mean), len(self.std)} <= {1, self.channels}
            and all(-10 <= value <= 10 for value in self.mean)
            and all(0.001 <= value <= 10 for value in self.std)
        )
        if not valid:
            raise DataInvalid(
                f"{self}: expected a size of 1 to {LARGEST}, and one mean (-10 to 10) and std (0.001 to 10) or three."
            )

    def __call__(self, image: ArrayLike) -> np.ndarray:
        """Return the network input."""
        pixels = np.asarray(image)
        check(pixels.dtype, pixels.shape)
        x = to_grey(pixels) if self.channels == 1 and pixels.shape[-3] == 3 else pixels
        if x.shape[-2:] != (self.size, self.size):
            x = self._resize(x)
        if self.scaling == "image":
            x = _standardize(x)
        elif self.scaling == "fixed":
            mean, std = (np.array(values, np.float32).reshape(-1, 1, 1) for values in (self.mean, self.std))
            x = (x.astype(np.float32) / 255 - mean) / std
        x = x.astype(np.float32, copy=False)
        # Last, because scaling one grey channel is a third of the work and gives the same numbers.
        return x if x.shape[-3] == self.channels else np.repeat(x, self.channels, axis=-3)

    def _resize(self, x: np.ndarray) -> np.ndarray:
        """Return float32 (..., C, size, size): bilinear, smoothed where it shrinks, not rounded."""
        planes = x.reshape(-1, *x.shape[-2:])
        resized = np.empty((len(planes), self.size, self.size), np.float32)

        def resize(k: int) -> None:
            plane = Image.fromarray(planes[k].astype(np.float32))
            resized[k] = np.asarray(plane.resize((self.size, self.size), Image.Resampling.BILINEAR))

        for_each(len(planes), resize)
        return resized.reshape(*x.shape[:-2], self.size, self.size)


def check(dtype: object, shape: tuple[int, ...]) -> None:
    """Raise DataInvalid for what is no uint8 image or images (..., 1 or 3, H, W); the dtype is numpy's or torch's."""
    if not str(dtype).endswith("uint8") or len(shape) < 3 or shape[-3] not in (1, 3):
        raise DataInvalid(
            f"Found an image of {dtype} {tuple(shape)}; expected uint8 (..., 1 or 3, H, W). "
            "Scale and reorder nowhere else: give Preprocess the pixels as they were read."
        )


def _standardize(images: np.ndarray) -> np.ndarray:
    """Return each image of uint8 or float32 (..., C, H, W) at mean 0 and deviation 1, float32."""
    channels, height, width = images.shape[-3:]
    pixels = np.ascontiguousarray(images).reshape(-1, channels * height, width)
    scaled = np.empty(pixels.shape, np.float32)

    def scale(k: int) -> None:
        mean, std = (value.item() for value in cv2.meanStdDev(pixels[k]))
        gain = 1 / max(std, 1.0)  # a flat image stays near 0 instead of becoming noise
        cv2.addWeighted(pixels[k], gain, pixels[k], 0, -mean * gain, scaled[k], cv2.CV_32F)

    for_each(len(pixels), scale)
    return scaled.reshape(images.shape)


def to_grey(image: np.ndarray) -> np.ndarray:
    """Return RGB uint8 (..., 3, H, W) as float32 (..., 1, H, W), by ITU-R BT.601, as in PIL and OpenCV."""
    red, green, blue = np.moveaxis(image, -3, 0)
    grey = red * np.float32(0.299)
    grey += green * np.float32(0.587)
    grey += blue * np.float32(0.114)
    return np.expand_dims(grey, -3)
