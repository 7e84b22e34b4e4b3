"""Optimizer, learning rate, running mean of the weights, and blending of faces, by the names of TrainConfig."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import AveragedModel
from torchvision.transforms import v2

from fer.training.config import TrainConfig


def optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer over what is learned; only weights of two dimensions or more decay."""
    learned = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, config.lr, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, config.lr)


def schedule(optimizer: torch.optim.Optimizer, config: TrainConfig, steps: int) -> LRScheduler:
    """Return the course of the learning rate over so many steps."""
    one_cycle = config.schedule == "one_cycle"  # as a cosine up, too; torch's own fails on short runs
    risen = max(config.warmup, 0.1 if one_cycle else 0.0) * steps

    def rate(step: int) -> float:
        if step < risen:
            up = (step + 1) / (risen + 1)
            return 0.5 * (1 - math.cos(math.pi * up)) if one_cycle else up
        if config.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - risen) / max(1.0, steps - risen))))

    return LambdaLR(optimizer, rate)


def running_mean(model: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of the network that follows it as a running mean of its weights.

    The decay rises to its value over the first steps, so that a short run is
    not stuck at the weights it began with.
    """

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        if not averaged[0].is_floating_point():  # batch normalisation's counters
            for mean, now in zip(averaged, current, strict=True):
                mean.copy_(now)
            return
        share = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - share)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def mixers(kind: str, classes: int | None) -> list[v2.Transform]:
    """Return the transforms that blend pairs of faces and their labels, none for ``"none"``.

    Without ``classes`` they are for ``blend``.
    """
    makers = {"mixup": [v2.MixUp], "cutmix": [v2.CutMix], "both": [v2.MixUp, v2.CutMix]}.get(kind, [])
    alpha = {v2.MixUp: 0.2, v2.CutMix: 1.0}
    return [make(alpha=alpha[make], num_classes=classes) for make in makers]


def blend(
    mixer: v2.Transform, x: Tensor, labels: Tensor, pairs: Tensor, classes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Blend pairs of faces, their labels, and valence and arousal (N, 2) alike; what one lacks (NaN), both lack."""
    shares = F.one_hot(labels, classes) if labels.ndim == 1 else labels
    x, together = mixer(x, torch.cat([shares.float(), pairs], 1))
    return x, together[:, :classes], together[:, classes:]
