"""A batch of images in one block of memory, from the data set to the training step without another copy.

A ``DataLoader`` asks a data set that has ``__getitems__`` for a whole batch. Its
usual collation then copies every image into a new block; ``collate`` takes the
block that the data set filled.
"""

import math
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from fer.datasets.face_dataset import FaceDataset
from fer.errors import READER_KILLED, UserError
from fer.interrupt import leave_to_the_main_process


class Batch(list):
    """Items ``(image, label)`` as any list of them, whose ``images`` are one block, uint8 (N, C, H, W)."""

    def __init__(self, images: Tensor, labels: np.ndarray) -> None:
        super().__init__(zip(images, labels.tolist(), strict=True))
        self.images, self.labels = images, torch.from_numpy(labels)


def block(shape: Sequence[int]) -> Tensor:
    """Return a new uint8 tensor, not filled; in a worker it is memory that the main process can read."""
    if get_worker_info() is None:
        return torch.from_numpy(np.empty(shape, np.uint8))  # NumPy asks for large pages, torch does not
    # What torch's own collation does; share_memory_() would write everything a second time.
    memory = torch.UntypedStorage._new_shared(math.prod(shape))
    return torch.empty(0, dtype=torch.uint8).set_(memory).view(*shape)


def resized(image: Tensor, size: Sequence[int]) -> Tensor:
    """Return a uint8 image (C, H, W) at another height and width, as ``Preprocess`` would, but rounded."""
    if image.shape[-2:] == tuple(size):
        return image
    smaller = max(size) < max(image.shape[-2:])
    return F.interpolate(image[None], tuple(size), mode="bilinear", antialias=smaller)[0]


def collate(items: Sequence) -> list[Tensor]:
    """Return ``[images, labels]`` of a batch: for ``DataLoader(collate_fn=collate)``, whatever the data set."""
    if isinstance(items, Batch):
        return [items.images, items.labels]
    return default_collate(list(items))


def load_batches(
    dataset: FaceDataset, batches: Sequence[list[int]], workers: int = 0
) -> Iterator[list[Tensor]]:
    """Yield ``[images, labels]`` of each batch of indices: uint8 (N, C, H, W), and int64 (N,) or float32 (N, classes).

    ``workers`` are processes that read images; UserError as from the data set, or where one was killed.
    """
    iterator = iter(
        DataLoader(
            cast(Dataset, dataset),
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=leave_to_the_main_process,
        )
    )
    try:
        yield from iterator
    except UserError as error:  # of another process, with its traceback as text in front
        start = f"{type(error).__module__}.{type(error).__qualname__}: "
        raise type(error)(str(error).rpartition(start)[2].strip()) from None
    except ConnectionError as error:
        raise UserError(READER_KILLED) from error
    finally:
        # Else an error, whose traceback holds the iterator, leaves processes to be waited for, which know no signal.
        getattr(iterator, "_shutdown_workers", int)()
