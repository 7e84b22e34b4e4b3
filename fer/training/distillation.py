"""Learn also from what trained networks say of the training faces.

Ten people rarely agree on a face. A network that has learned from all of them
adds an opinion that varies less than a handful of votes, and tells how much a
face looks like each emotion (Hinton et al. 2015, arXiv:1503.02531).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import Dataset

from fer import checkpoint
from fer.errors import DataInvalid
from fer.evaluation.predictions import Predictions, predict


def opinions(
    teachers: Sequence[Path],
    dataset: Dataset,
    classes: int,
    batch_size: int = 128,
    part: tuple[int, int] = (0, 1),
) -> Tensor:
    """Return the mean of the teachers' probabilities for each face, float32 (N, classes).

    A teacher sees each face once as it is and once mirrored. Its temperature
    and prior are left out: they were fitted to majorities, not to votes.

    Args:
        teachers: folders of trained models, of any architecture.
        dataset: the training faces, unchanged.
        classes: how many the new network tells apart.
        batch_size: faces per forward pass.
        part: (rank, world); each process asks for its part, and all get the whole.

    Raises:
        DataMissing, DataInvalid: as ``fer.checkpoint.load``, or a teacher of other classes.
    """
    total = torch.zeros(len(dataset), classes, dtype=torch.float64)
    for folder in teachers:
        teacher, _ = checkpoint.load(folder)
        if teacher.num_classes != classes:
            raise DataInvalid(
                f"--teachers {folder} tells {teacher.num_classes} emotions apart; expected {classes}, as the "
                "network that shall learn from it."
            )
        mine = predict(teacher, dataset, batch_size, flip=True, progress=part[0] == 0, part=part)
        said = Predictions.merge(gather_object([mine]), dataset.keys)
        total += torch.from_numpy(said.probabilities())
    return (total / len(teachers)).float()


def blend(labels: Tensor, opinions: Tensor, weight: float) -> Tensor:
    """Return ``weight`` opinions (N, C) and the rest labels, int64 (N,) or shares (N, C): float32 (N, C)."""
    if labels.ndim == 1:
        labels = F.one_hot(labels, opinions.shape[1])
    return (1 - weight) * labels + weight * opinions
