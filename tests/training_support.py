"""A quick run of training, for the tests of fer.training."""

import torch
from helpers import Spots

from fer.training import TrainConfig, fit

QUICK = {"epochs": 2, "batch_size": 16, "augment": "none", "lr": 0.01, "ema": 0.0}


def run(model, train=None, valid=None, on_epoch=None, **options):
    """Fit on spots; options override the quick configuration."""
    config = TrainConfig(**QUICK | options)
    return fit(model, train or Spots(48), valid or Spots(16, "valid", seed=1), config, on_epoch)


def same(a, b):
    """Whether two state_dicts are the same to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def untimed(history):
    """The rows of a history without what differs from run to run."""
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in history.rows
    ]
