"""Find images that two data sets share: equal pixels, and near copies by a perceptual hash.

Near copies are found with ImageHash's ``phash``: most of its 64 bits stay when
an image is rescaled, recompressed, brightened or watermarked. Pairs of FER+,
valid against test (majority, 10.0 million pairs), looked at one by one:

    bits that differ   0    2    4    6    8
    pairs             46   12   20   22   58
    other images       0    0    0    2   about half

So ``threshold=6`` finds 100 pairs there of which 2 are wrong, one in five
million of those compared. For ten billion pairs take 4, and look at the result.
"""

import hashlib
from typing import NamedTuple

import imagehash
import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from fer.datasets.face_dataset import FaceDataset
from fer.errors import DataInvalid


class Leak(NamedTuple):
    """Sample ``i`` of one set is in the other as sample ``j``."""

    i: int
    j: int
    distance: int  # bits of the perceptual hash that differ
    exact: bool  # all pixels are equal


class Leaks(list[Leak]):
    """Pairs of samples with the same image, ordered by ``i``."""

    def __str__(self) -> str:
        exact = sum(leak.exact for leak in self)
        return f"{exact:,} pairs of equal images, {len(self) - exact:,} of near copies"


def leaks(a: FaceDataset, b: FaceDataset, threshold: int = 6) -> Leaks:
    """Compare the images of two data sets, or of one with itself, by their contents.

    Args:
        a, b: data sets of uint8 images, i.e. opened without ``transform``. When they are
            the same object, pairs within it are returned, each once.
        threshold: near copies differ in at most this many of 64 bits; -1 for equal pixels only.
    """
    within = a is b
    digests_a, hashes_a = _hashes(a)
    digests_b, hashes_b = (digests_a, hashes_a) if within else _hashes(b)
    found = Leaks()
    step = max(1, (1 << 24) // max(1, len(b)))  # 16 million pairs at a time
    for start in tqdm(range(0, len(a), step), "comparing", delay=1, leave=False, disable=None):
        distance = np.bitwise_count(hashes_a[start : start + step, None] ^ hashes_b[None])
        i, j = np.nonzero(distance <= max(threshold, 0))  # equal pixels have equal hashes
        i, distance = i + start, distance[i, j]
        exact = (digests_a[i] == digests_b[j]).all(1)
        kept = (exact | (distance <= threshold)) & ((i < j) | (not within))
        rows = zip(*(values[kept].tolist() for values in (i, j, distance, exact)), strict=True)
        found += [Leak(*row) for row in rows]
    return found


def _hashes(samples: FaceDataset) -> tuple[np.ndarray, np.ndarray]:
    """Return SHA-256 of size and pixels, uint64 (N, 4), and the perceptual hash, uint64 (N,)."""
    digests, hashes = [], []
    for i in tqdm(range(len(samples)), "hashing", delay=1, leave=False, disable=None):
        image = samples[i][0]
        if (kind := getattr(image, "dtype", type(image).__name__)) != torch.uint8:
            raise DataInvalid(f"Found images of {kind}; leaks() compares uint8: open without transform.")
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        digests.append(hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest())
        pil_image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        hashes.append(np.packbits(imagehash.phash(pil_image).hash.ravel()).tobytes())
    return (
        np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 4),
        np.frombuffer(b"".join(hashes), np.uint64),
    )
