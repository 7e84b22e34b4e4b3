"""Look inside a network: its first convolution, and where in an image it looks."""

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from torch import Tensor, nn

from fer.model import FaceNetwork


def first_convolution(model: FaceNetwork) -> nn.Conv2d:
    """Return the convolution that sees the image."""
    return next(module for module in model.modules() if isinstance(module, nn.Conv2d))


def grad_cam(model: FaceNetwork, image: Tensor, target: int | None = None) -> tuple[np.ndarray, int]:
    """Return where in an image a network finds evidence for a class (Grad-CAM, Selvaraju et al. 2017).

    Args:
        model, image: in eval mode, and uint8 (C, H, W), RGB or grey.
        target: class index; by default the predicted one.

    Returns:
        The map, float32 (H, W), 1 at its strongest place, or all 0 without any evidence; and the class.
    """
    device = next(model.parameters()).device
    x = torch.from_numpy(model.preprocess(image))[None].to(device)
    x.requires_grad_()  # also where all weights are frozen
    if target is None:
        with torch.no_grad():
            target = int(model(x).argmax())
    layer = model.get_submodule(model.last_maps)
    strength = LayerGradCam(model, layer).attribute(x, target=target, relu_attributions=True).detach()
    strength = F.interpolate(strength, image.shape[-2:], mode="bilinear")[0, 0]
    return (strength / strength.max().clamp(min=1e-12)).cpu().numpy(), target
