"""``fer.preprocess.Preprocess`` for batches of tensors, which stay on the accelerator that they are on."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fer.preprocess import Preprocess, check


def preprocess_tensor(preprocess: Preprocess, images: Tensor) -> Tensor:
    """Return the network input, float32 (N, channels, size, size), of uint8 images (N, 1 or 3, H, W), RGB order.

    Raises:
        DataInvalid: as ``Preprocess``.
    """
    if images.device.type == "cpu":
        return torch.from_numpy(preprocess(images))
    return on_accelerator(preprocess, images)


def on_accelerator(preprocess: Preprocess, images: Tensor) -> Tensor:
    """Return the same, to 1e-4, computed by torch."""
    check(images.dtype, tuple(images.shape))
    x = to_grey(images) if preprocess.channels == 1 and images.shape[1] == 3 else images.float()
    size = preprocess.size, preprocess.size
    if x.shape[-2:] != size:
        shrinks = preprocess.size < max(x.shape[-2:])  # smoothing matters only then, and costs time
        x = F.interpolate(x, size, mode="bilinear", antialias=shrinks)
    x = _scale(preprocess, x)
    return x.expand(-1, preprocess.channels, *size)


def _scale(preprocess: Preprocess, x: Tensor) -> Tensor:
    if preprocess.scaling == "raw":
        return x
    if preprocess.scaling == "fixed":
        mean, std = (x.new_tensor(values).view(-1, 1, 1) for values in (preprocess.mean, preprocess.std))
        return (x / 255 - mean) / std
    x = x - x.mean((1, 2, 3), keepdim=True)
    # The norm of what is left is the deviation, in a fraction of the time of torch.std.
    std = torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True) / math.prod(x.shape[1:]) ** 0.5
    return x.div_(std.clamp_(min=1.0))  # a flat image stays near 0 instead of becoming noise


def to_grey(images: Tensor) -> Tensor:
    """Return RGB uint8 (N, 3, H, W) as float32 (N, 1, H, W), by ITU-R BT.601."""
    red, green, blue = images.unbind(1)  # a sum over the channels takes up to three times as long
    return (red * 0.299).add_(green, alpha=0.587).add_(blue, alpha=0.114).unsqueeze(1)
