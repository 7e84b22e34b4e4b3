"""Learn also from the probabilities that trained networks predict for the training faces.

These give how much a face resembles each emotion, and vary less than a handful of
votes (Hinton et al. 2015, arXiv:1503.02531).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate.utils import gather_object
from torch import Tensor

from fer import checkpoint
from fer.datasets.face_dataset import FaceDataset
from fer.errors import DataInvalid
from fer.evaluation.predictions import Predictions, predict


def teacher_probabilities(
    teachers: Sequence[Path],
    dataset: FaceDataset,
    classes: int,
    batch_size: int,
    part: tuple[int, int],
    device: torch.device,
) -> Tensor | None:
    """Return the mean of the teachers' probabilities for each face and its mirror image, float32 (N, classes), or None.

    Temperature and prior are left out: they were fitted to majorities, not to
    votes. Each process predicts its ``part``, (rank, world), on its device, and all get the whole, on the CPU.

    Raises:
        DataMissing, DataInvalid: as ``fer.checkpoint.load``, or a teacher of other classes.
    """
    if not teachers:
        return None
    total = torch.zeros(len(dataset), classes, dtype=torch.float64)
    for folder in teachers:
        teacher, _ = checkpoint.load(folder)
        if teacher.num_classes != classes:
            raise DataInvalid(f"--teachers {folder} has {teacher.num_classes} classes; expected {classes}.")
        mine = predict(teacher.to(device), dataset, batch_size, flip=True, progress=part[0] == 0, part=part)
        predictions = Predictions.merge(gather_object([mine]), dataset.keys)
        total += torch.from_numpy(predictions.probabilities())
    return (total / len(teachers)).float()


def soft_targets(labels: Tensor, probabilities: Tensor) -> Tensor:
    """Return the mean of probabilities (N, C) and labels, int64 (N,) or soft (N, C): float32 (N, C)."""
    if labels.ndim == 1:
        labels = F.one_hot(labels, probabilities.shape[1])
    return 0.5 * labels + 0.5 * probabilities
