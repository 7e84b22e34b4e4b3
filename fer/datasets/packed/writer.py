"""Write a pack, shard by shard, by one process or by several at once; a shard is done when its .json file is there."""

import hashlib
import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from fer.datasets.affectnet8.dataset import AffectNet8
from fer.datasets.collate import resized
from fer.datasets.folders import PACK_PLAN
from fer.datasets.packed import reader
from fer.datasets.packed.reader import Packed, json_sum, read_json, sha256_of, write_json
from fer.errors import DataInvalid
from fer.files import check_same_options, replacing
from fer.labels import EMOTIONS

SHARD_ROWS = 2048
_STALE_S = 3600  # a temporary file of this age was left by a process that was killed


def pack(
    source: AffectNet8,
    out: str | Path,
    size: int = 224,
    part: tuple[int, int] = (1, 1),
    on_error: str = "raise",
    check: bool = False,
    shard_rows: int = SHARD_ROWS,
) -> Packed | None:
    """Write this process's part of the shards of a data set, and the manifest when all shards are complete.

    Args:
        source: what to pack.
        out: the folder of the pack.
        size: side of the images; they are resized as ``Preprocess`` does.
        part: (k, n): every n-th shard from the k-th on, which counts from 1.
        on_error: ``"skip"`` leaves out images that cannot be decoded.
        check: compare existing shards with their check sums, not only their sizes.
        shard_rows: faces in a shard.

    Returns:
        The pack; None while other processes have shards to write.

    Raises:
        DataInvalid: ``out`` holds a pack of something else; an image or an annotation cannot be read; a wrong argument.
    """
    if size < 1 or not 1 <= part[0] <= part[1]:
        raise DataInvalid(f"size={size}, part={part}; expected a size of 1 or more, and a part k of n.")
    writer = _Writer(source, Path(out) / source.split, size, shard_rows, on_error)
    writer.begin()
    numbers = range(part[0] - 1, len(writer.shards), part[1])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number in tqdm(numbers, f"packing {source.split}", unit="shard", disable=None):
            record = writer.record(number, check)
            if record is None or writer.can_add(number, record["shard"]["broken"]):
                writer.write(number, pool)
    return writer.finish()


class _Writer:
    """The steps of one process; all processes have the same ``plan``, and ``shards``: the rows in each of them."""

    def __init__(self, source: AffectNet8, folder: Path, size: int, shard_rows: int, on_error: str) -> None:
        self.source, self.folder, self.size, self.on_error = source, folder, size, on_error
        n = len(source)
        self.shards = [range(k, min(k + shard_rows, n)) for k in range(0, n, shard_rows)]
        faces = hashlib.sha256(reader.encoded(source.keys) + source.labels.astype("<i8").tobytes())
        self.plan = {
            "format": reader.FORMAT,
            "emotions": list(EMOTIONS),
            "name": source.name,
            "title": source.title,
            "split": source.split,
            "size": size,
            "faces": n,
            "shard_rows": shard_rows,
            "keys_and_labels_sha256": faces.hexdigest(),
        }

    def begin(self) -> None:
        """Make the folder, or check that an existing one is of the same plan."""
        names = {path.name for path in self.folder.glob("*") if path.name[0] != "."}
        if (self.folder / PACK_PLAN).is_file():
            check_same_options(self.folder, read_json(self.folder / PACK_PLAN), self.plan, "folder")
        elif names:
            raise DataInvalid(f"{self.folder} holds {min(names)}, but no pack. Choose another folder.")
        else:
            write_json(self.folder / PACK_PLAN, self.plan)
        for path in self.folder.glob(".*.tmp*"):
            with suppress(FileNotFoundError):  # another process has just renamed it
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()

    def record(self, number: int, check: bool = False) -> dict | None:
        """Return the contents of a shard's .json file; None if the shard is missing, of another plan, or damaged."""
        try:
            record = read_json(self.folder / f"{number:05}.json")
            shard = record["shard"]
            pixels = self.folder / shard["file"]
            same = record["plan"] == json_sum(self.plan) and pixels.stat().st_size == shard["bytes"]
        except (FileNotFoundError, DataInvalid):
            return None
        return record if same and not (check and sha256_of(pixels) != shard["sha256"]) else None

    def can_add(self, number: int, broken: list[int]) -> bool:
        """Whether to read faces again that a shard left out: an image was replaced, or no face may be left out."""
        for k in broken:
            if self.on_error != "skip":
                return True
            with suppress(DataInvalid):
                self.source.image(self.shards[number][k])
                return True
        return False

    def write(self, number: int, pool: ThreadPoolExecutor) -> None:
        """Write one shard, then its .json file."""
        rows, file = self.shards[number], f"{number:05}.npy"
        pixels = np.zeros((len(rows), 3, self.size, self.size), np.uint8)
        broken = [k for k, decoded in enumerate(pool.map(self._decode, rows, pixels)) if not decoded]
        with replacing(self.folder / file) as temporary:
            np.save(temporary, pixels, allow_pickle=False)
            shard = {
                "file": file,
                "rows": len(rows),
                "bytes": temporary.stat().st_size,
                "sha256": sha256_of(temporary),
                "broken": broken,
            }
        write_json(self.folder / f"{number:05}.json", {"plan": json_sum(self.plan), "shard": shard})

    def _decode(self, i: int, pixels: np.ndarray) -> bool:
        """Decode face ``i`` into ``pixels``, uint8 (3, size, size); return False for a broken image that is skipped."""
        try:
            pixels[:] = resized(self.source.image(i), pixels.shape[1:]).numpy()
        except DataInvalid as error:
            if self.on_error != "skip":
                raise DataInvalid(f"{error} --on-error skip leaves them out of the pack.") from error
            return False
        return True

    def finish(self) -> Packed | None:
        """Write the table of faces and the manifest, if every shard is complete."""
        source, records = self.source, [self.record(number) for number in range(len(self.shards))]
        shards = [record["shard"] for record in records if record is not None]
        if len(shards) < len(records):
            return None
        broken = [rows[k] for rows, shard in zip(self.shards, shards, strict=True) for k in shard["broken"]]
        rows = np.setdiff1d(np.arange(len(source)), np.array(broken, np.int64))
        keys = np.frombuffer(reader.encoded([source.keys[i] for i in rows]), np.uint8)
        labels, valence, arousal = source.labels[rows].astype(np.int8), source.valence, source.arousal
        table = io.BytesIO()
        np.savez(table, keys=keys, labels=labels, rows=rows, valence=valence[rows], arousal=arousal[rows])
        with replacing(self.folder / reader.FACES) as temporary:
            temporary.write_bytes(table.getvalue())
        faces = {"usable": len(rows), "faces_sha256": hashlib.sha256(table.getvalue()).hexdigest()}
        write_json(self.folder / reader.MANIFEST, {**self.plan, **faces, "shards": shards})
        return Packed(self.folder.parent, source.split)
