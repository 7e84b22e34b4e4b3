"""The networks: a plain five-layer CNN, a compact residual one, and torchvision's ResNet18.

Each carries the ``Preprocess`` it expects as ``model.preprocess``; scoring and
the demos take it from there.
"""

from collections.abc import Sequence
from types import MethodType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer.errors import DataInvalid, DataMissing
from fer.labels import EMOTIONS
from fer.preprocess import Preprocess


class BaselineCNN(nn.Module):
    """Five 3x3 convolutions and one linear layer: (N, 3, 224, 224) to logits (N, classes).

    52,316 parameters for eight classes. Layer names and shapes are those of the
    student project of 2022, so its state_dict loads with strict keys.
    """

    def __init__(self, num_classes: int = len(EMOTIONS)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 12, 3, padding=1)
        self.conv2 = nn.Conv2d(12, 12, 3, padding=1)
        self.conv3 = nn.Conv2d(12, 24, 3, padding=1)
        self.conv4 = nn.Conv2d(24, 24, 3, padding=1)
        self.conv5 = nn.Conv2d(24, 24, 3, padding=1)
        self.fc = nn.Linear(24 * 14 * 14, num_classes)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        # Pooling before ReLU gives the same numbers as after it, at a quarter of the work.
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(F.max_pool2d(conv(x), 2))
        x = F.relu(self.conv5(x))
        return self.fc(x.flatten(1))  # keeps the batch axis: a wrong image size fails


class EmotionNet(nn.Module):
    """Compact residual network for small grey faces: (N, 1, H, W) to logits (N, classes).

    A stem at full resolution, then residual blocks with squeeze-excitation
    (Hu et al. 2018), halving the picture at each change of width, then the mean
    over what is left. Any H, W from 16 up; made for 48.

    Args:
        num_classes: length of the output.
        widths: channels of each residual block, in order.
        drop: share of the pooled features that are zeroed while training.
    """

    def __init__(
        self,
        num_classes: int = len(EMOTIONS),
        widths: Sequence[int] = (32, 64, 64, 128, 128, 256, 256),
        drop: float = 0.2,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(1, widths[0]), nn.ReLU())
        pairs = zip([widths[0], *widths[:-1]], widths, strict=True)
        self.blocks = nn.Sequential(*(Residual(before, after) for before, after in pairs))
        self.head = nn.Sequential(nn.Dropout(drop), nn.Linear(widths[-1], num_classes))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Residual(nn.Module):
    """Two 3x3 convolutions, squeeze-excitation, shortcut; halves H and W where the width changes.

    The shortcut averages before it halves (ResNet-D, He et al. 2019), so that
    no pixel is dropped and a shifted face gives nearly the same answer.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        stride = 1 if c_in == c_out else 2
        last = conv_bn(c_out, c_out)
        nn.init.zeros_(last[1].weight)  # a block starts as its shortcut, which steadies the first steps
        self.body = nn.Sequential(conv_bn(c_in, c_out, stride), nn.ReLU(), last, SqueezeExcitation(c_out))
        halve = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), conv_bn(c_in, c_out, kernel=1))
        self.shortcut = nn.Identity() if stride == 1 else halve

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return F.relu(self.body(x) + self.shortcut(x))


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate computed from all channel means: (N, C, H, W) to the same."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        gate = self.gate(x.mean((2, 3)))
        return x * gate.view(-1, x.shape[1], 1, 1)  # not [:, :, None, None], which cv2.dnn misreads in ONNX


def conv_bn(c_in: int, c_out: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution without bias, padded to (H / stride, W / stride), then batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(c_out)
    )


def resnet18(num_classes: int = len(EMOTIONS), pretrained: bool = False, frozen: bool = False) -> nn.Module:
    """torchvision's ResNet18 with a new last layer: (N, 3, H, W) to logits (N, classes).

    Args:
        num_classes: length of the output.
        pretrained: start from torchvision's ImageNet weights, fetched once.
        frozen: train only the new last layer (its batch statistics stay too).

    Raises:
        DataMissing: the weights are not on this machine and cannot be fetched.
    """
    from torchvision.models import ResNet18_Weights
    from torchvision.models import resnet18 as torchvision_resnet18

    weights = ResNet18_Weights.IMAGENET1K_V1 if pretrained else None
    try:
        model = torchvision_resnet18(weights=weights)
    except OSError as error:  # URLError is one
        raise DataMissing(
            f"ResNet18's ImageNet weights could not be fetched ({error}). Expected them online or in "
            f"{torch.hub.get_dir()}/checkpoints: on a machine with internet, save {weights.url} there, "
            "or train from scratch, without --pretrained."
        ) from error
    if frozen:
        model.requires_grad_(False)
    model.fc = nn.Linear(model.fc.in_features, num_classes)
    if frozen:
        model.train = MethodType(_train_last_layer, model)  # bound, so that a deep copy gets its own
    return model


def _train_last_layer(model: nn.Module, mode: bool = True) -> nn.Module:
    """Like model.train, but frozen batch statistics stay as they are."""
    nn.Module.train(model, False)
    model.training = mode
    model.fc.train(mode)
    return model


class WithValenceArousal:
    """Mixed into a network whose last layer has two outputs more: valence and arousal, from -1 to 1.

    ``model(x)`` gives logits (N, classes), as of any network, and
    ``model(x, both=True)`` these and valence and arousal (N, 2).
    """

    def forward(self, x: Tensor, both: bool = False) -> Tensor | tuple[Tensor, Tensor]:  # noqa: D102
        outputs = super().forward(x)
        logits, valence_arousal = outputs[:, :-2], outputs[:, -2:].tanh()
        return (logits, valence_arousal) if both else logits


IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

ARCHITECTURES = {
    "baseline": (BaselineCNN, Preprocess(size=224, channels=3, scaling="image")),
    "emotion_net": (EmotionNet, Preprocess(size=48, channels=1, scaling="image")),
    "resnet18": (resnet18, Preprocess(size=224, channels=3, scaling="fixed", **IMAGENET)),
}
"""Name to maker and the preprocessing it is made for."""

SMALLEST = {"baseline": 224, "emotion_net": 16, "resnet18": 32}
"""Sides of the smallest faces that leave each something to see after its last halving."""


def build(
    name: str,
    num_classes: int = len(EMOTIONS),
    preprocess: Preprocess | None = None,
    valence_arousal: bool = False,
    **options,
) -> nn.Module:
    """Return a new network by name.

    It carries what a card needs to build it again: ``preprocess``, ``arch``,
    ``num_classes`` and ``options`` (without ``pretrained``, which is a download).

    Args:
        name: ``"baseline"``, ``"emotion_net"`` or ``"resnet18"``.
        num_classes: length of the output.
        preprocess: instead of the one the architecture is made for.
        valence_arousal: tell these, too: see ``WithValenceArousal``.
        options: for the architecture, e.g. ``pretrained=True`` or ``widths=(32, 64)``.

    Raises:
        DataInvalid: there is no such architecture, or it cannot use what the preprocessing gives.
    """
    if name not in ARCHITECTURES:
        raise DataInvalid(f"No model is called {name!r}; expected one of {', '.join(ARCHITECTURES)}.")
    make, usual = ARCHITECTURES[name]
    if preprocess:
        _check_input(name, preprocess)
    model = make(num_classes=num_classes + 2 * valence_arousal, **options)
    if valence_arousal:  # a class of its own, so that layers and weights keep their names
        model.__class__ = type(type(model).__name__, (WithValenceArousal, type(model)), {})
        options["valence_arousal"] = True
    model.preprocess = preprocess or usual
    model.arch, model.num_classes = name, num_classes
    model.options = {key: value for key, value in options.items() if key != "pretrained"}
    return model


def _check_input(name: str, preprocess: Preprocess) -> None:
    usual = ARCHITECTURES[name][1]
    if preprocess.channels != usual.channels:
        raise DataInvalid(
            f"{name} cannot use Preprocess(channels={preprocess.channels}); expected channels={usual.channels}."
        )
    check_size(name, preprocess.size)


def check_size(name: str, size: int) -> None:
    """Refuse faces that an architecture cannot use.

    Raises:
        DataInvalid: ``size`` is too small, or for the baseline not its own.
    """
    smallest = SMALLEST.get(name, 1)
    if size < smallest or (name == "baseline" and size != smallest):
        what = "alone" if name == "baseline" else "or more"
        raise DataInvalid(f"{name} cannot use faces of {size} pixels a side; expected {smallest} {what}.")


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers the network learns or keeps frozen; buffers do not count."""
    return sum(p.numel() for p in model.parameters())


def count_multiply_adds(model: nn.Module) -> int:
    """Return the multiply-adds of one image in convolutions and linear layers, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    size, channels = model.preprocess.size, model.preprocess.channels
    was_training = model.training
    device = next(model.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, channels, size, size, device=device))
    model.train(was_training)
    return counter.get_total_flops() // 2
