"""What one training step makes smaller: faces are changed, prepared and blended, then the network's loss is taken."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from fer import preprocess
from fer.evaluation import valence_arousal
from fer.model import FaceNetwork
from fer.training import optim
from fer.training.augment import STRENGTHS, to_grey
from fer.training.config import TrainConfig


class Objective:
    """The loss of some faces, as a configuration asks for it.

    Args:
        model: with its ``preprocess``.
        shares: of each class in the training faces, float64 (C,).
        n: number of training faces.
        config: augmentation, blending, sizes, what is done about rare classes.
        accelerator: precision and device.
        paired: valence and arousal are learned, too.
    """

    def __init__(
        self,
        model: FaceNetwork,
        shares: np.ndarray,
        n: int,
        config: TrainConfig,
        accelerator: Accelerator,
        paired: bool,
    ) -> None:
        self.config, self.accelerator, self.preprocess = config, accelerator, model.preprocess
        self.classes = len(shares)
        self.augment = STRENGTHS[config.augment]
        self.mixers = optim.mixers(config.mix, None if paired else self.classes)
        priors = torch.tensor(shares, dtype=torch.float32).clamp(min=1 / n)
        self.log_prior = priors.log().to(accelerator.device)
        self.class_weights = (1 / (priors * self.classes)).clamp(max=20).to(accelerator.device)

    def __call__(
        self, network: nn.Module, epoch: int, images: Tensor, labels: Tensor, pairs: Tensor | None = None
    ) -> tuple[Tensor, int]:
        """Return the sum of the losses of some faces, and how many were named rightly.

        Args:
            network: in training; float32 (N, channels, H, W) to logits (N, C).
            epoch: from 0; faces grow with it.
            images: uint8 (N, channels, H, W).
            labels: int64 (N,), or shares of the classes, float32 (N, C).
            pairs: valence and arousal, float32 (N, 2), where they are learned, too.
        """
        config = self.config
        preprocess.check(images)  # before they are changed: what is no uint8 would become noise
        if self.augment is not None:
            images = self.augment(to_grey(images) if self.preprocess.channels == 1 else images)
        x, side = self.preprocess(images), self.side(epoch)
        if side < x.shape[-1]:
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
        top = labels if labels.ndim == 1 else labels.argmax(1)
        if self.mixers and torch.rand(()) < 0.5:
            mixer = self.mixers[int(torch.randint(len(self.mixers), ()))]
            if pairs is None:
                x, labels = mixer(x, labels)
            else:
                x, labels, pairs = optim.blend(mixer, x, labels, pairs, self.classes)
        x = x.contiguous(memory_format=torch.channels_last)
        with self.accelerator.autocast():
            logits, told = (network(x), None) if pairs is None else network(x, both=True)
        logits = logits.float()
        hits = int((logits.argmax(1) == top).sum())
        if config.imbalance == "logit_adjustment":  # Menon et al. 2021: learn what is left beside the prior
            logits = logits + self.log_prior
        weight = self.class_weights if config.imbalance == "class_weights" else None
        loss = F.cross_entropy(
            logits, labels, weight=weight, label_smoothing=config.label_smoothing, reduction="sum"
        )
        if pairs is not None:
            loss = loss + len(x) * valence_arousal.ccc_loss(told.float(), pairs)
        return loss, hits

    def side(self, epoch: int) -> int:
        """Return the side of an epoch's faces: from ``start_size`` up to the full one, in steps of 8 pixels."""
        full = self.preprocess.size
        start = min(self.config.start_size or full, full)
        grown = epoch / (0.6 * self.config.epochs)
        return full if grown >= 1 else start + math.floor(grown * (full - start) / 8) * 8
