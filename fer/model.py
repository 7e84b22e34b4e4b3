"""The networks: a plain five-layer CNN, a compact residual one, and torchvision's ResNet18."""

import inspect
import sys
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer.errors import DataInvalid, DataMissing, UsageError
from fer.labels import EMOTIONS
from fer.preprocess import Preprocess


class FaceNetwork(nn.Module):
    """Preprocessed faces, float32 (N, channels, size, size), to logits (N, num_classes).

    ``model(x, both=True)`` gives logits, and valence and arousal (N, 2) from -1 to 1, or None in
    place of these from a network that was made without ``valence_arousal``.

    Attributes:
        arch: name in ``ARCHITECTURES``; a network without one cannot be saved with a card.
        preprocess: what turns uint8 images into the input; scoring and the demos take it from here.
        sizes: sides of the faces that it can use; no smaller ones leave something after the last halving.
        last_maps: name of the last layer that knows places in the image, for Grad-CAM.
        started_from: card of the trained network whose weights this one began with.
        options: arguments of the constructor, where they differ from its defaults.
    """

    arch: str = ""
    preprocess: Preprocess
    sizes: range = range(1, sys.maxsize)
    last_maps: str
    started_from: dict | None = None

    def __init__(self, num_classes: int, valence_arousal: bool = False, **options: Any) -> None:
        super().__init__()
        self.num_classes, self.valence_arousal = num_classes, valence_arousal
        self.n_outputs = num_classes + 2 * valence_arousal
        defaults = inspect.signature(type(self)).parameters
        self.options = {key: value for key, value in options.items() if value != defaults[key].default}
        self.options |= {"valence_arousal": True} if valence_arousal else {}

    def outputs(self, x: Tensor) -> Tensor:
        """Return the logits, followed by two outputs for valence and arousal: (N, n_outputs)."""
        raise NotImplementedError

    def forward(self, x: Tensor, both: bool = False) -> Tensor | tuple[Tensor, Tensor | None]:  # noqa: D102
        outputs = self.outputs(x)
        if not self.valence_arousal:
            return (outputs, None) if both else outputs
        logits, valence_arousal = outputs[:, :-2], outputs[:, -2:].tanh()
        return (logits, valence_arousal) if both else logits

    def blank(self, n: int = 1) -> Tensor:
        """Return an input of zeros for ``n`` faces, on the network's device."""
        side, channels = self.preprocess.size, self.preprocess.channels
        return torch.zeros(n, channels, side, side, device=next(self.parameters()).device)


class TorchNetwork:
    """A network as scoring and the demos run it: arrays in, arrays out, computed on the network's device."""

    def __init__(self, model: FaceNetwork) -> None:
        self.model, self.valence_arousal = model, model.valence_arousal

    @torch.inference_mode()
    def __call__(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return logits (N, C), and valence and arousal (N, 2) or None, float32, of preprocessed faces (N, C, S, S)."""
        device = next(self.model.parameters()).device
        x = torch.from_numpy(faces).to(device).contiguous(memory_format=torch.channels_last)
        logits, valence_arousal = self.model(x, both=True)
        if valence_arousal is not None:
            valence_arousal = valence_arousal.float().cpu().numpy()
        return logits.float().cpu().numpy(), valence_arousal


class BaselineCNN(FaceNetwork):
    """Five 3x3 convolutions and one linear layer: (N, 3, 224, 224) to logits (N, classes); 52,316 parameters.

    Layer names and shapes are those of the student project of 2022, so its state_dict loads with strict keys.
    """

    arch, preprocess = "baseline", Preprocess(size=224, channels=3, scaling="image")
    last_maps, sizes = "conv5", range(224, 225)

    def __init__(self, num_classes: int = len(EMOTIONS), valence_arousal: bool = False) -> None:
        super().__init__(num_classes, valence_arousal)
        self.conv1 = nn.Conv2d(3, 12, 3, padding=1)
        self.conv2 = nn.Conv2d(12, 12, 3, padding=1)
        self.conv3 = nn.Conv2d(12, 24, 3, padding=1)
        self.conv4 = nn.Conv2d(24, 24, 3, padding=1)
        self.conv5 = nn.Conv2d(24, 24, 3, padding=1)
        self.fc = nn.Linear(24 * 14 * 14, self.n_outputs)

    def outputs(self, x: Tensor) -> Tensor:  # noqa: D102
        # Pooling before ReLU gives the same numbers as after it, at a quarter of the work.
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(F.max_pool2d(conv(x), 2))
        x = F.relu(self.conv5(x))
        return self.fc(x.flatten(1))  # keeps the batch axis: a wrong image size fails


class EmotionNet(FaceNetwork):
    """Compact residual network for small grey faces: (N, 1, H, W) to logits (N, classes).

    A stem at full resolution, then residual blocks with squeeze-excitation (Hu et al. 2018), halving
    the image at each change of width, then the mean over all positions. Any H, W from 16 up; made for 48.

    Args:
        widths: channels of each residual block.
        drop: dropout probability of the pooled features.
    """

    arch, preprocess = "emotion_net", Preprocess(size=48, channels=1, scaling="image")
    last_maps, sizes = "blocks", range(16, sys.maxsize)

    def __init__(
        self,
        num_classes: int = len(EMOTIONS),
        widths: Sequence[int] = (32, 64, 64, 128, 128, 256, 256),
        drop: float = 0.2,
        valence_arousal: bool = False,
    ) -> None:
        super().__init__(num_classes, valence_arousal, widths=tuple(widths), drop=drop)
        self.stem = nn.Sequential(conv_bn(1, widths[0]), nn.ReLU())
        pairs = zip([widths[0], *widths[:-1]], widths, strict=True)
        self.blocks = nn.Sequential(*(Residual(before, after) for before, after in pairs))
        self.head = nn.Sequential(nn.Dropout(drop), nn.Linear(widths[-1], self.n_outputs))

    def outputs(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Residual(nn.Module):
    """Two 3x3 convolutions, squeeze-excitation, shortcut; halves H and W where the width changes.

    The shortcut averages before it halves (ResNet-D, He et al. 2019): a shifted face gives nearly the same answer.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        stride = 1 if c_in == c_out else 2
        last = conv_bn(c_out, c_out)
        # The block starts as its shortcut, which steadies the first steps.
        nn.init.zeros_(last[1].get_parameter("weight"))
        self.body = nn.Sequential(conv_bn(c_in, c_out, stride), nn.ReLU(), last, SqueezeExcitation(c_out))
        halve = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), conv_bn(c_in, c_out, kernel=1))
        self.shortcut = nn.Identity() if stride == 1 else halve

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return F.relu(self.body(x) + self.shortcut(x))


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate computed from all channel means: (N, C, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeeze, excite = nn.Linear(channels, channels // 8), nn.Linear(channels // 8, channels)
        self.gate = nn.Sequential(squeeze, nn.ReLU(), excite, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        gate = self.gate(x.mean((2, 3)))
        return x * gate.view(-1, x.shape[1], 1, 1)  # not [:, :, None, None], which cv2.dnn misreads in ONNX


def conv_bn(c_in: int, c_out: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution without bias, padded to (H / stride, W / stride), then batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(c_out)
    )


class ResNet18(FaceNetwork):
    """torchvision's ResNet18 with a new last layer: (N, 3, H, W) to logits (N, classes).

    Args:
        pretrained: start from torchvision's ImageNet weights, downloaded once.
        frozen: train only the last layer; the batch statistics of the others stay, too.

    Raises:
        DataMissing: the weights are not on this machine and cannot be downloaded.
    """

    arch, last_maps, sizes = "resnet18", "layer4", range(32, sys.maxsize)
    preprocess = Preprocess(
        size=224, channels=3, scaling="fixed", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    fc: nn.Linear

    def __init__(
        self,
        num_classes: int = len(EMOTIONS),
        pretrained: bool = False,
        frozen: bool = False,
        valence_arousal: bool = False,
    ) -> None:
        super().__init__(num_classes, valence_arousal, frozen=frozen)  # ``pretrained`` is not needed again
        from torchvision import models  # as slow to import as torch, and the demos do without it

        weights = models.ResNet18_Weights.IMAGENET1K_V1
        try:
            original = models.resnet18(weights=weights if pretrained else None)
        except OSError as error:  # URLError is one
            raise DataMissing(
                f"ResNet18's ImageNet weights could not be fetched ({error}): save {weights.url} in "
                f"{torch.hub.get_dir()}/checkpoints, or train from scratch, without --pretrained."
            ) from error
        self.frozen = frozen
        for name, layer in original.named_children():
            self.add_module(name, layer.requires_grad_(not frozen))
        self.fc = nn.Linear(original.fc.in_features, self.n_outputs)

    def outputs(self, x: Tensor) -> Tensor:  # noqa: D102
        *layers, last = self.children()
        for layer in layers:
            x = layer(x)
        return last(x.flatten(1))

    def train(self, mode: bool = True) -> Self:
        """Switch to training (or evaluation), but for the batch statistics of frozen layers."""
        super().train(mode and not self.frozen)
        self.training = mode
        self.fc.train(mode)
        return self


resnet18 = ResNet18  # as torchvision spells it

ARCHITECTURES: dict[str, type[FaceNetwork]] = {
    make.arch: make for make in (BaselineCNN, EmotionNet, ResNet18)
}


def architecture(name: str) -> type[FaceNetwork]:
    """Return the class of a name in ``ARCHITECTURES``; raise UsageError for another name."""
    if name not in ARCHITECTURES:
        raise UsageError(f"No model is called {name!r}; expected one of {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[name]


def build(
    name: str, num_classes: int = len(EMOTIONS), preprocess: Preprocess | None = None, **options: Any
) -> FaceNetwork:
    """Return a new network.

    Args:
        name: ``"baseline"``, ``"emotion_net"`` or ``"resnet18"``.
        preprocess: instead of the one that the architecture is made for.
        options: of the architecture, e.g. ``valence_arousal=True``, ``pretrained=True`` or ``widths=(32, 64)``.

    Raises:
        DataInvalid: there is no such architecture, or it cannot use what the preprocessing gives.
    """
    make = architecture(name)
    if preprocess:
        if preprocess.channels != (expected := make.preprocess.channels):
            raise DataInvalid(f"{name} needs channels={expected}; found {preprocess.channels}.")
        check_size(name, preprocess.size)
    model = make(num_classes, **options)
    model.preprocess = preprocess or model.preprocess
    return model


def check_size(name: str, size: int) -> None:
    """Raise UsageError for faces that are too small for an architecture, or for the baseline not its own size."""
    sizes = architecture(name).sizes
    if size not in sizes:
        expected = f"{sizes[0]} {'alone' if len(sizes) == 1 else 'or more'}"
        raise UsageError(f"{name} cannot use faces of {size} pixels a side; expected {expected}.")


def count_parameters(model: nn.Module) -> int:
    """Return the number of weights, frozen ones included, without buffers."""
    return sum(p.numel() for p in model.parameters())


def count_multiply_adds(model: FaceNetwork) -> int:
    """Return the multiply-adds of one image in convolutions and linear layers, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    was_training = model.training
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(model.blank())
    model.train(was_training)
    return counter.get_total_flops() // 2
