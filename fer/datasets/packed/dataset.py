"""The data set ``Packed``, and ``pack``, which writes one."""

import io
import json
import math
import operator
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from fer.datasets.affectnet8.dataset import AffectNet8, Annotations
from fer.datasets.collate import Batch, block, resized
from fer.datasets.splits import representative, requested
from fer.errors import DataInvalid, DataMissing, UsageError, reading
from fer.files import check_same_options, locked, naming, replacing
from fer.labels import EMOTIONS
from fer.preprocess import LARGEST

FORMAT = 3
PACK = "pack.json"
"""In each split's folder of a pack."""
AGAIN = "Delete its folder and pack again."
FACES, PIXELS = "faces.npz", "pixels.npy"
BLOCK = 2048
"""Faces that are written together, and share a check sum."""


class Packed(Dataset):
    """Faces of a pack, uint8 (3, size, size), with labels, keys, valence, arousal, name and title of what was packed.

    Args:
        root: the folder of the pack, or one split's folder in it.
        split, transform, limit, classes: as for ``AffectNet8``, and with the same faces.

    Raises:
        DataMissing: the pack has no such split, or it is not finished.
        DataInvalid: damaged, or made by another version; a wrong argument.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        transform: Callable[[Tensor], Tensor] | None = None,
        limit: int | None = None,
        classes: int = 8,
    ) -> None:
        self.split, self.transform = requested(split, classes, limit), transform
        root = Path(root)
        self.folder = (root.parent if (root / PACK).is_file() else root) / self.split
        if not (self.folder / PACK).is_file():
            raise DataMissing(
                f"{root} holds no pack of the {self.split} split. To make one: "
                f"python -m fer.datasets.packed write DATASET {self.folder.parent} --split {self.split}"
            )
        manifest = read_manifest(self.folder)
        self.name, self.title, self.size = (manifest[key] for key in ("name", "title", "size"))
        self._sums, self._shape = manifest["pixels_sha256"], (manifest["faces"], 3, self.size, self.size)
        if (written := BLOCK * len(self._sums)) < manifest["faces"]:
            raise DataMissing(
                f"The pack {self.folder} is not finished: {written:,} of {manifest['faces']:,} faces are written. "
                "Run the command that began it again."
            )
        path = self.folder / FACES
        with reading(path, AGAIN):
            table = path.read_bytes() if path.is_file() else b""
            if sha256(table).hexdigest() != manifest["faces_sha256"]:
                raise ValueError("its check sum differs" if table else "it is missing")
            with np.load(io.BytesIO(table), allow_pickle=False) as faces:
                arrays = [faces[name] for name in ("keys", "labels", "valence", "arousal")]
            kinds, shapes = "".join(array.dtype.kind for array in arrays), {array.shape for array in arrays}
            if kinds != "Uiff" or shapes != {(manifest["faces"],)} or not np.isin(arrays[1], range(8)).all():
                raise ValueError(f"arrays of kinds {kinds} and shapes {shapes}")
            "".join(arrays[0].tolist()).encode("utf-8", "surrogateescape")  # refuses what is no text
            keys, labels, valence, arousal = arrays
        kept = np.setdiff1d(np.arange(len(self._pixels)), manifest["broken"])
        kept = kept[labels[kept] < classes]
        self._rows = rows = kept[representative(labels[kept], keys[kept].tolist(), limit)]
        if not len(rows):
            raise DataInvalid(f"{self.folder} holds no face of these classes.")
        self.keys, self.labels = keys[rows].tolist(), labels[rows]
        self.valence, self.arousal = valence[rows], arousal[rows]

    @cached_property
    def _pixels(self) -> np.ndarray:
        path = self.folder / PIXELS
        with reading(path, AGAIN):
            if not path.is_file():
                raise ValueError("No such file")
            pixels = np.load(path, mmap_mode="r", allow_pickle=False)
            if pixels.dtype != np.uint8 or pixels.shape != self._shape or not pixels.flags.c_contiguous:
                raise ValueError(f"{pixels.dtype} {pixels.shape}, expected uint8 {self._shape}")
        return pixels.view(np.ndarray)  # indexing it takes a fifth of the time of np.memmap

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        i = operator.index(i)
        image = torch.from_numpy(self._pixels[self._rows[i]].copy())
        return image if self.transform is None else self.transform(image), int(self.labels[i])

    def __getitems__(self, rows: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Return ``[self[i] for i in rows]``, each face copied once, into the memory of the batch."""
        if self.transform is not None:
            return [self[i] for i in rows]
        images = block((len(rows), 3, self.size, self.size))
        np.take(self._pixels, self._rows[rows], 0, images.numpy(), mode="clip")  # mode "raise" copies twice
        return Batch(images, self.labels[rows])

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in vars(self).items() if k != "_pixels"}  # a map is pickled with all its pixels

    def __repr__(self) -> str:
        pixels = f"{self.size}x{self.size} pixels"
        return f"Packed({str(self.folder.parent)!r}, split={self.split!r}): {len(self):,} faces of {pixels}"

    def annotations(self, i: int) -> Annotations:
        """Return what the pack holds of a face; landmarks are not kept."""
        values = (float(of_all[i]) for of_all in (self.valence, self.arousal))
        valence, arousal = (None if np.isnan(value) else value for value in values)
        return Annotations(int(self.labels[i]), valence, arousal, None)

    def verify(self) -> None:
        """Compare all pixels with their check sums, in threads, with a progress bar; DataInvalid where they differ."""
        blocks = (self._pixels[first : first + BLOCK] for first in range(0, len(self._pixels), BLOCK))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            sums = pool.map(lambda pixels: sha256(pixels.data).hexdigest(), blocks)
            bar = tqdm(sums, f"checking {self.split}", len(self._sums), unit="block", disable=None)
            if list(bar) != self._sums:
                raise DataInvalid(f"{self.folder / PIXELS} is damaged: its check sums differ. {AGAIN}")


def pack(
    source: AffectNet8,
    out: str | Path,
    size: int = 224,
    on_error: str = "raise",
    allow_unlocked: bool = False,
) -> Packed:
    """Decode every face of a data set, or those that a stopped run has left; return the pack.

    Args:
        out: the folder of the pack, in which each split has one.
        size: side of the images in pixels; they are resized as ``Preprocess`` does.
        on_error: ``"skip"`` leaves out images that cannot be decoded.
        allow_unlocked: as for ``fer.files.locked``.

    Raises:
        DataInvalid: ``out`` holds a pack of something else, or another run writes there; an image or an annotation
            cannot be read; a wrong argument.
    """
    if not 1 <= size <= LARGEST:
        raise UsageError(f"size={size}; expected a side of 1 to {LARGEST} pixels.")
    folder, table = Path(out) / source.split, io.BytesIO()
    keys = np.array(source.keys)
    np.savez(table, keys=keys, labels=source.labels, valence=source.valence, arousal=source.arousal)
    plan = {"format": FORMAT, "emotions": list(EMOTIONS), "name": source.name, "title": source.title}
    plan |= {"size": size, "faces": len(source), "faces_sha256": sha256(table.getvalue()).hexdigest()}
    with locked(folder, allow_unlocked):
        if (folder / PACK).is_file():
            manifest = read_manifest(folder)
            check_same_options(folder, manifest, plan, "folder")
        elif foreign := sorted({path.name for path in folder.glob("[!.]*")} - {FACES, PIXELS}):
            raise DataInvalid(f"{folder} holds {foreign[0]}, but no pack. Choose another folder.")
        else:
            manifest = plan | {"pixels_sha256": [], "broken": []}
        if BLOCK * len(manifest["pixels_sha256"]) < len(source):
            with replacing(folder / FACES) as temporary:
                temporary.write_bytes(table.getvalue())
            _write_pixels(source, folder, manifest, on_error)
    return Packed(out, source.split)


def _write_pixels(source: AffectNet8, folder: Path, manifest: dict, on_error: str) -> None:
    """Write the blocks that are missing; pack.json has a block's check sum once its pixels are on the disk."""
    path, size, sums = folder / PIXELS, manifest["size"], manifest["pixels_sha256"]
    written = BLOCK * len(sums)
    skipped = (DataInvalid,) if on_error == "skip" else ()

    def decode(i: int, pixels: np.ndarray) -> bool:
        with suppress(*skipped):
            pixels[:] = resized(source.image(i), (size, size)).numpy()
            return True
        return False

    path.touch()
    with naming(path), path.open("r+b") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(source), 3, size, size)}
        np.lib.format.write_array_header_1_0(file, header)
        begin = file.tell() + written * 3 * size * size
        if file.seek(0, os.SEEK_END) < begin:
            raise DataInvalid(f"{path} is damaged: it is too short. {AGAIN}")
        file.seek(begin)
        file.truncate()  # half a block, which a killed process leaves
        for first in tqdm(range(written, len(source), BLOCK), f"packing {source.split}", disable=None):
            part = range(first, min(first + BLOCK, len(source)))
            pixels = np.zeros((len(part), 3, size, size), np.uint8)
            decoded = pool.map(decode, part, pixels)
            manifest["broken"] += [i for i, done in zip(part, decoded, strict=True) if not done]
            file.write(pixels.data)
            file.flush()
            os.fsync(file.fileno())
            sums.append(sha256(pixels.data).hexdigest())
            with replacing(folder / PACK) as temporary:
                text = json.dumps(manifest | {"sha256": _sum(manifest)}, indent=1)
                temporary.write_text(text + "\n", "utf-8")


def pack_splits(root: Path) -> list[Path]:
    """Return the folders of the splits that a pack has, finished or not: ``root`` itself, or those in it."""
    return [path.parent for path in (root / PACK, *sorted(root.glob(f"*/{PACK}"))) if path.is_file()]


def read_manifest(folder: Path) -> dict:
    """Return the contents of pack.json in the folder of a split; DataInvalid for damage or another version."""
    path = folder / PACK
    with reading(path, AGAIN):
        manifest = dict(json.loads(path.read_text("utf-8")))
        found, expected = (manifest.get("format"), manifest.get("emotions")), (FORMAT, list(EMOTIONS))
        if found != expected:
            raise DataInvalid(f"{path} has format and emotions {found}; expected {expected}. {AGAIN}")
        if manifest.pop("sha256", "") != _sum(manifest):
            raise ValueError("its check sum differs")
        n, size, sums, broken = (manifest[key] for key in ("faces", "size", "pixels_sha256", "broken"))
        texts = (manifest["name"], manifest["title"], manifest["faces_sha256"], *sums)
        if not all(type(i) is int for i in (n, size, *broken)) or not all(isinstance(t, str) for t in texts):
            raise ValueError("an entry is of another type")
        blocks = math.ceil(n / BLOCK)
        if not (1 <= size <= LARGEST and all(0 <= i < n for i in broken) and len(sums) <= blocks):
            raise ValueError("a number is out of its range")
    return manifest


def _sum(manifest: dict) -> str:
    return sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
