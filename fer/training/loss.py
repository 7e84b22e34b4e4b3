"""The loss of a step, and the class prior that a network learns from it."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fer.training.batches import SAMPLING
from fer.training.config import TrainConfig


class Loss:
    """Cross-entropy, with what ``imbalance`` does about rare classes, plus the loss of valence and arousal.

    ``counts`` are the numbers of training faces of each class, int64 (C,).
    """

    def __init__(self, counts: np.ndarray, config: TrainConfig, device: torch.device) -> None:
        n = counts.sum()
        priors = torch.tensor(counts / n, dtype=torch.float32).clamp(min=1 / n)
        self.log_prior = self.class_weights = None
        if config.imbalance == "logit_adjustment":  # Menon et al. 2021: learn what is left beside the prior
            self.log_prior = priors.log().to(device)
        if config.imbalance == "class_weights":
            self.class_weights = (1 / (priors * len(priors))).clamp(max=20).to(device)
        self.label_smoothing = config.label_smoothing

    def __call__(
        self, logits: Tensor, targets: Tensor, predicted: Tensor | None, annotated: Tensor | None
    ) -> Tensor:
        """Return the sum of the losses of some faces, float32 ().

        Targets are int64 (N,) or float32 (N, C); valence and arousal, predicted and annotated, float32 (N, 2).
        """
        if self.log_prior is not None:
            logits = logits + self.log_prior
        loss = F.cross_entropy(
            logits, targets, self.class_weights, label_smoothing=self.label_smoothing, reduction="sum"
        )
        if predicted is None or annotated is None:
            return loss
        return loss + len(logits) * ccc_loss(predicted.float(), annotated)


def ccc_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the mean over valence and arousal of 1 - CCC, 0 for one with fewer than two annotated faces.

    Args:
        predicted: float32 (N, 2).
        true: the same, NaN where not annotated.
    """
    mask = ~true.isnan()
    n = mask.sum(0)
    weight = mask / n.clamp(min=1)
    true = true.where(mask, 0)  # also keeps NaN out of the gradient
    means = (predicted * weight).sum(0), (true * weight).sum(0)
    p, t = predicted - means[0], true - means[1]
    covariance, spread = (p * t * weight).sum(0), ((p**2 + t**2) * weight).sum(0)
    ccc = 2 * covariance / (spread + (means[0] - means[1]) ** 2 + 1e-8)
    counted = n > 1
    return ((1 - ccc) * counted).sum() / counted.sum().clamp(min=1)


def learned_prior(counts: np.ndarray, imbalance: str) -> np.ndarray:
    """Return the class frequencies that such training teaches: more alike than ``counts``, float64 (C,)."""
    adjusted = imbalance in ("class_weights", "logit_adjustment")
    exponent = 0.0 if adjusted else SAMPLING.get(imbalance, 1.0)
    prior = np.where(counts > 0, (counts / counts.sum()) ** exponent, 0)
    return prior / prior.sum()
