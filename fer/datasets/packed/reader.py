"""The data set ``Packed``, and the JSON files of a pack, each of which ends with a check sum of its contents."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from fer.datasets.affectnet8.dataset import Annotations
from fer.datasets.collate import Batch, block, position
from fer.datasets.folders import PACK_PLAN
from fer.datasets.splits import representative, requested
from fer.errors import DataInvalid, DataMissing
from fer.files import replacing
from fer.labels import EMOTIONS

FORMAT = 1
MANIFEST, FACES = "pack.json", "faces.npz"


class Packed(Dataset):
    """Faces of a pack; items and attributes as those of the data set that was packed.

    Args:
        root: the folder of the pack, or one split's folder in it.
        split: ``"train"`` or ``"val"``.
        transform: applied to the image.
        limit: as for ``AffectNet8``: the same faces as of the data set that was packed.
        classes: 8, or 7 to leave out contempt.

    Attributes:
        labels: int64 (N,).
        keys: N names such as ``"train/42"``.
        valence, arousal: float32 (N,), -1 to 1; NaN where unknown.
        name, title: the packed data set's.
        size: side of the images in pixels.

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
        self.folder = _folder(Path(root), self.split)
        self.manifest = _manifest(self.folder)
        self.name, self.title, self.size = (self.manifest[key] for key in ("name", "title", "size"))
        self._maps: dict[int, np.ndarray] = {}
        for shard in self.manifest["shards"]:
            self._check_size(shard)
        faces = _faces(self.folder, self.manifest)
        keys = faces["keys"].tobytes().decode("utf-8", "surrogateescape").split("\n")
        kept = np.flatnonzero(faces["labels"] < classes)
        kept = kept[representative(faces["labels"][kept], [keys[i] for i in kept], limit)]
        if not len(kept):
            raise DataInvalid(f"{self.folder} holds no face of these classes.")
        self.keys = [keys[i] for i in kept]
        self.labels = faces["labels"][kept].astype(np.int64)
        self.valence, self.arousal = faces["valence"][kept], faces["arousal"][kept]
        self._rows = faces["rows"][kept]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        i = position(i)
        image = torch.from_numpy(self._pixels(i).copy())
        return image if self.transform is None else self.transform(image), int(self.labels[i])

    def __getitems__(self, rows: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Return ``[self[i] for i in rows]``, each face copied once, into the memory of the batch."""
        if self.transform is not None:
            return [self[i] for i in rows]
        images = block((len(rows), 3, self.size, self.size))
        for image, i in zip(images.numpy(), rows, strict=True):
            image[:] = self._pixels(i)
        return Batch(images, self.labels[rows])

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_maps": {}}  # a pickled map would be all of its pixels

    def __repr__(self) -> str:
        pixels = f"{self.size}x{self.size} pixels"
        return f"Packed({str(self.folder.parent)!r}, split={self.split!r}): {len(self):,} faces of {pixels}"

    def annotations(self, i: int) -> Annotations:
        """Return what the pack holds of a face; landmarks are not kept."""
        values = (float(of_all[i]) for of_all in (self.valence, self.arousal))
        valence, arousal = (None if np.isnan(value) else value for value in values)
        return Annotations(int(self.labels[i]), valence, arousal, None)

    def verify(self) -> list[str]:
        """Read every shard, in threads, with a progress bar; return the names of the damaged ones."""
        shards = self.manifest["shards"]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            sums = pool.map(lambda shard: sha256_of(self.folder / shard["file"]), shards)
            bar = tqdm(sums, f"checking {self.split}", len(shards), unit="shard", disable=None)
            return [
                shard["file"] for shard, found in zip(shards, bar, strict=True) if found != shard["sha256"]
            ]

    def _pixels(self, i: int) -> np.ndarray:
        """Return the pixels of a face, uint8 (3, size, size), a view of its shard."""
        number, row = divmod(int(self._rows[i]), self.manifest["shard_rows"])
        if number not in self._maps:
            self._maps[number] = self._map(self.manifest["shards"][number])
        return self._maps[number][row]

    def _map(self, shard: dict) -> np.ndarray:
        """Map a shard; a slice of the plain array costs a fifth of one of ``np.memmap``."""
        self._check_size(shard)  # reading a shard that has shrunk would kill the process
        expected = (shard["rows"], 3, self.size, self.size)
        try:
            pixels = np.load(self.folder / shard["file"], mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise self._damaged(shard, str(error)) from error
        if pixels.dtype != np.uint8 or pixels.shape != expected:
            raise self._damaged(shard, f"{pixels.dtype} {pixels.shape}, expected uint8 {expected}")
        return pixels.view(np.ndarray)

    def _check_size(self, shard: dict) -> None:
        path = self.folder / shard["file"]
        found = f"{path.stat().st_size:,} bytes" if path.is_file() else "it is missing"
        if found != (expected := f"{shard['bytes']:,} bytes"):
            raise self._damaged(shard, f"{found}, expected {expected}")

    def _damaged(self, shard: dict, what: str) -> DataInvalid:
        return DataInvalid(f"{self.folder / shard['file']} is damaged: {what}. {how_to_write(self.folder)}")


def read_json(path: Path) -> dict:
    """Return the contents of a JSON file that ``write_json`` wrote.

    Raises:
        DataInvalid: its contents are not what was written.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content.pop("sha256") == json_sum(content):
            return content
        found = "its check sum is not that of its contents"
    except (ValueError, KeyError, AttributeError) as error:
        found = repr(error)
    raise DataInvalid(f"{path} is damaged: {found}. Delete it. {how_to_write(path.parent)}")


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file for ``read_json``."""
    with replacing(path) as temporary:
        text = json.dumps({**content, "sha256": json_sum(content)}, indent=1)
        temporary.write_text(text + "\n", "utf-8")


def json_sum(content: dict) -> str:
    """Return the SHA-256 of the contents of a JSON file."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def encoded(keys: Sequence[str]) -> bytes:
    """Return keys as the table of faces holds them; they may be file names in any encoding."""
    return "\n".join(keys).encode("utf-8", "surrogateescape")


def how_to_write(folder: Path, option: str = "") -> str:
    """Return, for the end of a message, the command that writes what is missing of a split's folder."""
    command = f"python -m fer.datasets.packed write SRC {folder.parent} --split {folder.name}{option}"
    return f"To write what is missing: {command}, with the data set as SRC; complete shards stay."


def _folder(root: Path, split: str) -> Path:
    bases = [root, *([root.parent] if (root / PACK_PLAN).is_file() else [])]
    for base in bases:
        if (base / split / PACK_PLAN).is_file():
            return base / split
    raise DataMissing(f"{root} holds no pack of the {split} split. {how_to_write(bases[-1] / split)}")


def _manifest(folder: Path) -> dict:
    """Return the manifest of a split, after checking that the split is complete and of this version."""
    if not (folder / MANIFEST).is_file():
        plan = read_json(folder / PACK_PLAN)
        done = sum(path.stem.isdigit() for path in folder.glob("*.json"))
        shards = -(-plan["faces"] // plan["shard_rows"])
        raise DataMissing(
            f"The pack {folder} is not finished: {done} of {shards} shards are written. {how_to_write(folder)}"
        )
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT or manifest.get("emotions") != list(EMOTIONS):
        raise DataInvalid(
            f"{folder / MANIFEST} is of format {manifest.get('format')} with the emotions "
            f"{manifest.get('emotions')}; expected {FORMAT} and {list(EMOTIONS)}. Pack again into another folder."
        )
    return manifest


def _faces(folder: Path, manifest: dict) -> dict[str, np.ndarray]:
    path = folder / FACES
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != manifest["faces_sha256"]:
        raise DataInvalid(
            f"{path} is {'damaged' if data else 'missing'}: its check sum is not the one in {MANIFEST}. "
            f"{how_to_write(folder)}"
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)
