"""Optimizer, learning rate and exponential moving average of the weights, by the names of TrainConfig."""

import math

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import AveragedModel

from fer.training.config import TrainConfig

_Tensors = tuple[Tensor, ...] | list[Tensor]


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
    """Return the course of the learning rate over all ``steps`` of a run."""
    one_cycle = config.schedule == "one_cycle"  # as a cosine up, too; torch's own fails on short runs
    risen = max(config.warmup, 0.1 if one_cycle else 0.0) * steps

    def rate(step: int) -> float:
        if step < risen:
            up = (step + 1) / (risen + 1)
            return 0.5 * (1 - math.cos(math.pi * up)) if one_cycle else up
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - risen) / max(1.0, steps - risen))))

    return LambdaLR(optimizer, rate)


def ema(model: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of the network that follows it as an exponential moving average of its weights.

    The decay rises at first: a short run would be stuck at the weights it began with.
    """

    def update(averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        if not averaged[0].is_floating_point():  # batch normalisation's counters
            for mean, now in zip(averaged, current, strict=True):
                mean.copy_(now)
            return
        kept = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - kept)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
