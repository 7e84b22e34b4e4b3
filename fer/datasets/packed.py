"""Read a pack: faces that were decoded once and are kept as plain pixels.

    PACK/train/pack.json       what it is, and the SHA-256 of every other file
    PACK/train/faces.npz       keys, labels, valence and arousal, and where each face's pixels are
    PACK/train/00000.npy …     uint8 (2048, 3, size, size), RGB, in the order of the data set

    python -m fer.datasets.packed PACK [--split val]        read all of it, compare with the sums

Training asks for single faces all over the set, the same ones in the same order
for any number of processes. WebDataset's tars are read in sequence; LitData and
Arrow bring a dependency, and a record around each picture. Pixels of one size
need neither: an .npy file that is mapped into memory finds any of them at once,
is shared by all processes of a machine, and any program can read it.
"""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class Options:
    """Read a whole pack and compare it with the check sums that were noted when it was made."""

    pack: Positional[Path]
    """The folder that python -m fer.datasets.pack wrote."""
    split: str = "train"
    """train or val."""


if __name__ == "__main__":
    from fer import cli

    cli.run("fer.datasets.packed", Options)

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from fer.datasets.affectnet8.dataset import Annotations
from fer.datasets.collate import Batch, block, position
from fer.datasets.folders import PACK_PLAN as PLAN
from fer.datasets.folders import pack_splits
from fer.datasets.splits import representative, requested
from fer.errors import DataInvalid, DataMissing
from fer.files import replacing
from fer.labels import EMOTIONS

FORMAT = 1
MANIFEST, FACES = "pack.json", "faces.npz"


class Packed(Dataset):
    """Faces of a pack; items and attributes as those of the data set that was packed.

    Faces that could not be used were left out when it was made, so there is no ``on_error``.

    Args:
        root: the folder given to ``fer.datasets.pack``, or one split's folder in it.
        split: ``"train"`` or ``"val"``.
        transform: applied to the image.
        limit: as for ``AffectNet8``: the same faces as of the data set that was packed.
        classes: 8, or 7 to leave out contempt.

    Attributes:
        labels: int64 (N,).
        keys: N names such as ``"train/42"``.
        valence, arousal: float32 (N,), -1 to 1; NaN where not known.
        name, title: the packed data set's.
        size: side of the pictures in pixels.

    Raises:
        DataMissing: no pack of that split there, or one that is not finished.
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
        self.manifest = read_manifest(self.folder)
        self.name, self.title, self.size = (self.manifest[key] for key in ("name", "title", "size"))
        self._maps: dict[int, np.ndarray] = {}
        for shard in self.manifest["shards"]:
            self._same_size(shard)
        faces = _faces(self.folder, self.manifest)
        keys = faces["keys"].tobytes().decode("utf-8", "surrogateescape").split("\n")
        kept = np.flatnonzero(faces["labels"] < classes)
        if limit is not None and limit < len(kept):
            kept = kept[representative(faces["labels"][kept], [keys[i] for i in kept], limit)]
        if not len(kept):
            raise DataInvalid(f"{self.folder} holds no face of these classes.")
        self.keys = keys if len(kept) == len(keys) else [keys[i] for i in kept]
        self.labels = faces["labels"][kept].astype(np.int64)
        self.valence, self.arousal = faces["valence"][kept], faces["arousal"][kept]
        self._places = faces["rows"][kept]

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
        for place, i in zip(images.numpy(), rows, strict=True):
            place[:] = self._pixels(i)
        return Batch(images, self.labels[rows])

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_maps": {}}  # a pickled map would be all of its pixels

    def __repr__(self) -> str:
        size = f"{self.size}x{self.size}"
        return (
            f"Packed({str(self.folder.parent)!r}, split={self.split!r}): {len(self):,} faces of {size} pixels"
        )

    def annotations(self, i: int) -> Annotations:
        """Return what the pack knows about a face; landmarks are not kept."""
        scores = (float(values[i]) for values in (self.valence, self.arousal))
        valence, arousal = (None if np.isnan(score) else score for score in scores)
        return Annotations(int(self.labels[i]), valence, arousal, None)

    def verify(self, workers: int | None = None) -> list[str]:
        """Read every shard, in threads, with a progress bar; return the names of the damaged ones."""
        shards = self.manifest["shards"]
        total = sum(shard["bytes"] for shard in shards)
        bar = tqdm(total=total, desc=f"checking {self.split}", unit="B", unit_scale=True, disable=None)
        damaged = []
        with ThreadPoolExecutor(workers or os.cpu_count()) as pool, bar:
            sums = pool.map(lambda shard: sha256_of(self.folder / shard["file"]), shards)
            for shard, found in zip(shards, sums, strict=True):
                bar.update(shard["bytes"])
                if found != shard["sha256"]:
                    damaged.append(shard["file"])
        return damaged

    def _pixels(self, i: int) -> np.ndarray:
        number, row = divmod(int(self._places[i]), self.manifest["shard_rows"])
        pixels = self._maps.get(number)
        if pixels is None:
            pixels = self._maps[number] = self._map(number)
        return pixels[row]

    def _map(self, number: int) -> np.ndarray:
        """Map a shard; a slice of the plain array costs a fifth of one of ``np.memmap``."""
        shard = self.manifest["shards"][number]
        self._same_size(shard)  # else a shard that was cut since would kill the process when read
        expected = (shard["rows"], 3, self.size, self.size)
        try:
            pixels = np.load(self.folder / shard["file"], mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise self._damaged(shard, str(error)) from error
        if pixels.dtype != np.uint8 or pixels.shape != expected:
            raise self._damaged(shard, f"{pixels.dtype} {pixels.shape}, expected uint8 {expected}")
        return pixels.view(np.ndarray)

    def _same_size(self, shard: dict) -> None:
        try:
            found = os.stat(self.folder / shard["file"]).st_size
        except FileNotFoundError:
            raise self._damaged(shard, "it is missing") from None
        if found != shard["bytes"]:
            raise self._damaged(shard, f"{found:,} bytes, expected {shard['bytes']:,}")

    def _damaged(self, shard: dict, what: str) -> DataInvalid:
        path = self.folder / shard["file"]
        return DataInvalid(f"{path} is damaged: {what}. {_again(self.folder.parent, self.split)}")


def splits(root: str | Path) -> tuple[str, ...]:
    """Return the splits of a pack that are there, finished or not."""
    return tuple(folder.name for folder in pack_splits(root))


def pack_name(root: str | Path) -> str:
    """Return the name of the data set that a pack holds."""
    return read_json(pack_splits(root)[0] / PLAN)["name"]


def read_manifest(folder: Path) -> dict:
    """Return what the manifest of a split says, after checking that it is whole and of this version."""
    if not (folder / MANIFEST).is_file():
        plan = read_json(folder / PLAN)
        done = len([path for path in folder.glob("*.json") if path.stem.isdigit()])
        shards = -(-plan["faces"] // plan["shard_rows"])
        raise DataMissing(
            f"The pack {folder} is not finished: {done} of {shards} shards are there. "
            f"{_again(folder.parent, folder.name)}"
        )
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT or manifest.get("emotions") != list(EMOTIONS):
        raise DataInvalid(
            f"{folder / MANIFEST} is of format {manifest.get('format')} with the emotions "
            f"{manifest.get('emotions')}; expected {FORMAT} and {list(EMOTIONS)}. Pack again into another folder."
        )
    return manifest


def read_json(path: Path) -> dict:
    """Return a JSON file that ``write_json`` wrote: it ends with a sum over the rest.

    Raises:
        DataInvalid: it is not what was written.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content.pop("sha256") == json_sum(content):
            return content
        found = "its check sum is not that of its contents"
    except (ValueError, KeyError, AttributeError) as error:
        found = repr(error)
    raise DataInvalid(
        f"{path} is damaged: {found}. Delete it; {_again(path.parent.parent, path.parent.name)}"
    )


def write_json(path: Path, content: dict) -> None:
    """Write what ``read_json`` reads."""
    with replacing(path) as temporary:
        text = json.dumps({**content, "sha256": json_sum(content)}, indent=1)
        temporary.write_text(text + "\n", "utf-8")


def encoded(keys: Sequence[str]) -> bytes:
    """Return keys as the table of faces holds them; they may be file names in any encoding."""
    return "\n".join(keys).encode("utf-8", "surrogateescape")


def json_sum(content: dict) -> str:
    """Return the SHA-256 of what a JSON file says."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; empty where it is missing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def main(options: Options) -> int:
    """Print the damaged files; 1 if there are any."""
    pack = Packed(options.pack, options.split)
    damaged = pack.verify()
    for name in damaged:
        print(f"{pack.folder / name} is damaged")
    print(f"{pack}: {len(damaged)} of {len(pack.manifest['shards'])} shards damaged")
    if damaged:
        print(f"Delete {'it' if len(damaged) == 1 else 'them'}. {_again(pack.folder.parent, pack.split)}")
    return 1 if damaged else 0


def _folder(root: Path, split: str) -> Path:
    bases = [root, *([root.parent] if (root / PLAN).is_file() else [])]
    for base in bases:
        if (base / split / PLAN).is_file():
            return base / split
    raise DataMissing(
        f"{root} holds no pack of the {split} split. To make one: "
        f"python -m fer.datasets.pack SRC {bases[-1]} --split {split}"
    )


def _faces(folder: Path, manifest: dict) -> dict[str, np.ndarray]:
    path = folder / FACES
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != manifest["faces_sha256"]:
        raise DataInvalid(
            f"{path} is {'damaged' if data else 'missing'}: its check sum is not the one in {MANIFEST}. "
            f"{_again(folder.parent, folder.name)}"
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def _again(pack: Path, split: str) -> str:
    return (
        f"To make what is missing: python -m fer.datasets.pack SRC {pack} --split {split}, with the data set "
        "as SRC; what is whole stays."
    )
