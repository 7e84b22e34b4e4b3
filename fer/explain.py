"""Look inside a network: its layers one by one, and where in an image it looks."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from torch import Tensor, nn

from fer.model import FaceNetwork, count_parameters


@dataclass(frozen=True)
class Layer:
    """One layer as an image passes through it; the shape of its output is without the batch axis."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int


def layers(model: FaceNetwork) -> list[Layer]:
    """Return the layers of a network in the order in which an image passes them, except plain functions (ReLU)."""
    found: list[Layer] = []

    def note(name: str, module: nn.Module, output: Tensor) -> None:
        shape = tuple(output.shape[1:])
        found.append(Layer(name, type(module).__name__, shape, count_parameters(module)))

    hooks = [
        module.register_forward_hook(lambda m, _, output, name=name: note(name, m, output))
        for name, module in model.named_modules()
        if not list(module.children())
    ]
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(model.blank())
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return found


def first_convolution(model: FaceNetwork) -> nn.Conv2d:
    """Return the convolution that sees the image."""
    return next(module for module in model.modules() if isinstance(module, nn.Conv2d))


def grad_cam(model: FaceNetwork, image: Tensor, target: int | None = None) -> tuple[np.ndarray, int]:
    """Return where in an image a network finds evidence for a class (Grad-CAM, Selvaraju et al. 2017).

    Args:
        model: in eval mode.
        image: uint8 (C, H, W), RGB or grey.
        target: class index; by default the predicted one.

    Returns:
        The map, float32 (H, W), 1 at its strongest place, or all 0 without any evidence; and the class.
    """
    device = next(model.parameters()).device
    x = (
        torch.from_numpy(model.preprocess(image))[None].to(device).requires_grad_()
    )  # also where all weights are frozen
    if target is None:
        with torch.no_grad():
            target = int(model(x).argmax())
    layer = model.get_submodule(model.last_maps)
    strength = LayerGradCam(model, layer).attribute(x, target=target, relu_attributions=True).detach()
    strength = F.interpolate(strength, image.shape[-2:], mode="bilinear")[0, 0]
    return (strength / strength.max().clamp(min=1e-12)).cpu().numpy(), target
