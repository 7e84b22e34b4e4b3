"""Decode every face once, at one size, so that training reads pixels instead of decoding them every epoch.

    python -m fer.datasets.pack dataset dataset/packed --size 112
    python -m fer.train --data affectnet8 --root dataset/packed …

A stopped run goes on with the same command. Several processes, on one machine or
on many that share the folder, pack at the same time when each is given a part
of its own: ``--part 1/4`` … ``--part 4/4``. Whichever ends last writes the
manifest. Every file is written under another name and renamed: half a shard
never stays. ``fer.datasets.packed`` says what the files are.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


@dataclass(frozen=True)
class Options:
    """Write a data set as uint8 pixels of one size."""

    source: Positional[Path]
    """AffectNet8, as --root of fer.train, or the synthetic sample."""
    out: Positional[Path]
    """Folder of the pack; each split gets a folder in it."""
    size: int = 224
    """Side in pixels; 287,651 faces take 43 GB at 224, 11 GB at 112."""
    split: str = "train"
    """train or val."""
    on_error: Literal["raise", "skip"] = "raise"
    """skip: leave out faces that cannot be used, and say how many; scores that cannot be read are not known."""
    part: str = "1/1"
    """K/N: every N-th shard from the K-th on, where N processes share the work."""
    check: bool = False
    """Read the shards that are there and make those anew that are damaged."""
    limit: int | None = None
    """Pack so many faces only, as for AffectNet8."""
    workers: int | None = None
    """Threads; as many as there are cores by default."""


if __name__ == "__main__":
    from fer import cli

    cli.run("fer.datasets.pack", Options)

import hashlib
import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
from tqdm.auto import tqdm

from fer.datasets.affectnet8.dataset import AffectNet8
from fer.datasets.collate import resized
from fer.datasets.folders import PACK_PLAN as PLAN
from fer.datasets.folders import is_synthetic
from fer.datasets.packed import (
    FACES,
    FORMAT,
    MANIFEST,
    Packed,
    encoded,
    json_sum,
    read_json,
    sha256_of,
    write_json,
)
from fer.datasets.synthetic import SyntheticFaces
from fer.errors import DataInvalid
from fer.files import check_same_options, replacing
from fer.labels import EMOTIONS

SHARD_ROWS = 2048
_SCORES = {"valence": "val", "arousal": "aro"}
_CHUNK = 32  # faces that a thread takes at a time
_STALE = (
    3600  # seconds after which a file under a temporary name is taken for one of a process that was killed
)


def pack(
    source: AffectNet8,
    out: str | Path,
    size: int = 224,
    part: tuple[int, int] = (1, 1),
    on_error: str = "raise",
    check: bool = False,
    workers: int | None = None,
    shard_rows: int = SHARD_ROWS,
) -> Packed | None:
    """Write this process's part of the shards of a data set, and the manifest when all are there.

    Args:
        source: what to pack.
        out: the folder of the pack.
        size: side of the pictures; they are resized as ``Preprocess`` does.
        part: (k, n): every n-th shard from the k-th on, which counts from 1.
        on_error: ``"skip"`` leaves out images that cannot be decoded.
        check: compare shards that are there with their sums, not only their sizes.
        workers: threads.
        shard_rows: faces in a shard.

    Returns:
        The pack; None while other processes have shards to write.

    Raises:
        DataInvalid: ``out`` holds a pack of something else; an image or a score cannot be read; a wrong argument.
    """
    if size < 1 or not 1 <= part[0] <= part[1]:
        raise DataInvalid(f"size={size}, part={part}; expected a size of 1 or more, and a part k of n.")
    if workers is not None and workers < 1:
        raise DataInvalid(f"workers={workers}; expected a number of threads, or None for one a core.")
    folder = Path(out) / source.split
    plan = _plan(source, size, shard_rows)
    _begin(folder, plan)
    shards = [range(k, min(k + shard_rows, len(source))) for k in range(0, len(source), shard_rows)]
    mine = list(enumerate(shards))[part[0] - 1 :: part[1]]
    total = sum(len(rows) for _, rows in mine)
    bar = tqdm(total=total, desc=f"packing {source.split}", unit="face", disable=None)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool, bar:
        for number, rows in mine:
            record = _record(folder, number, plan, check)
            if record is None or _mended(source, rows, record["shard"]["broken"], on_error):
                _write_shard(folder, number, plan, source, rows, on_error, pool, bar)
            else:
                bar.update(len(rows))
    return _finish(folder, plan, source)


def _plan(source: AffectNet8, size: int, shard_rows: int) -> dict:
    """Return what all processes must agree on."""
    faces = hashlib.sha256(encoded(source.keys))
    faces.update(source.labels.astype("<i8").tobytes())
    return {
        "format": FORMAT,
        "emotions": list(EMOTIONS),
        "name": source.name,
        "title": source.title,
        "split": source.split,
        "size": size,
        "faces": len(source),
        "shard_rows": shard_rows,
        "keys_and_labels_sha256": faces.hexdigest(),
    }


def _begin(folder: Path, plan: dict) -> None:
    """Make the folder of a split, or see that the one that is there is of the same plan."""
    names = {path.name for path in folder.glob("*") if path.name[0] != "."}
    if (folder / PLAN).is_file():
        check_same_options(folder, read_json(folder / PLAN), plan, "folder")
    elif names:
        raise DataInvalid(f"{folder} holds {min(names)}, but no pack. Choose another folder.")
    else:
        write_json(folder / PLAN, plan)
    for path in folder.glob(".*.tmp*"):
        with suppress(FileNotFoundError):  # another process has just renamed it
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink()


def _record(folder: Path, number: int, plan: dict, check: bool = False) -> dict | None:
    """Return what was noted of a shard; None where it is missing, of another plan, or damaged."""
    path = folder / f"{number:05}.json"
    if not path.is_file():
        return None
    try:
        record = read_json(path)
    except DataInvalid:
        return None
    shard = record["shard"]
    pixels = folder / shard["file"]
    if record["plan"] != json_sum(plan) or not pixels.is_file() or pixels.stat().st_size != shard["bytes"]:
        return None
    return None if check and sha256_of(pixels) != shard["sha256"] else record


def _mended(source: AffectNet8, rows: range, broken: list[int], on_error: str) -> bool:
    """Whether faces that a shard left out must be tried again: one can be read now, or none may be left out."""
    for k in broken:
        if on_error != "skip":
            return True
        with suppress(DataInvalid):
            source.image(rows[k])
            return True
    return False


def _write_shard(
    folder: Path,
    number: int,
    plan: dict,
    source: AffectNet8,
    rows: range,
    on_error: str,
    pool: ThreadPoolExecutor,
    bar: tqdm,
) -> None:
    pixels = np.zeros((len(rows), 3, plan["size"], plan["size"]), np.uint8)
    faces: list[dict] = []
    chunks = [rows[k : k + _CHUNK] for k in range(0, len(rows), _CHUNK)]
    places = [pixels[k : k + _CHUNK] for k in range(0, len(rows), _CHUNK)]
    for found in pool.map(lambda chunk, place: _fill(place, source, chunk, on_error), chunks, places):
        faces += found
        bar.update(len(found))
    file = f"{number:05}.npy"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(pixels))
    total = hashlib.sha256(header.getvalue())
    total.update(pixels)
    with replacing(folder / file) as temporary, temporary.open("wb") as written:
        written.write(header.getvalue())
        written.write(pixels)
    shard = {
        "file": file,
        "rows": len(rows),
        "bytes": header.tell() + pixels.nbytes,
        "sha256": total.hexdigest(),
        "source_sha256": hashlib.sha256(b"".join(face["source"] for face in faces)).hexdigest(),
        "broken": [k for k, face in enumerate(faces) if face["broken"]],
    }
    scores = {kind: [face[kind] for face in faces] for kind in _SCORES}
    write_json(folder / f"{number:05}.json", {"plan": json_sum(plan), "shard": shard, **scores})


def _fill(place: np.ndarray, source: AffectNet8, rows: range, on_error: str) -> list[dict]:
    """Put faces into their place; return what else is kept of each."""
    faces = []
    for k, i in enumerate(rows):
        face = {"source": b"", "broken": False}
        try:
            face["source"] = hashlib.sha256(source.jpeg(i)).digest()
            place[k] = resized(source.image(i), place.shape[-2:]).numpy()
        except DataInvalid as error:
            if on_error != "skip":
                raise DataInvalid(f"{error} --on-error skip leaves them out of the pack.") from error
            face["broken"] = True
        faces.append(face | {name: _score(source, i, kind, on_error) for name, kind in _SCORES.items()})
    return faces


def _score(source: AffectNet8, i: int, kind: str, on_error: str) -> float | None:
    try:
        return source.score(i, kind)
    except DataInvalid:
        if on_error != "skip":
            raise
        return None  # the face itself can be used


def _finish(folder: Path, plan: dict, source: AffectNet8) -> Packed | None:
    """Write the table of faces and the manifest, if every shard is there."""
    count = -(-plan["faces"] // plan["shard_rows"])
    records = [record for number in range(count) if (record := _record(folder, number, plan))]
    if len(records) < count:
        return None
    broken = np.concatenate([np.isin(range(r["shard"]["rows"]), r["shard"]["broken"]) for r in records])
    rows = np.flatnonzero(~broken)
    scores = {
        kind: np.array([v for record in records for v in record[kind]], np.float32)[rows]  # None: NaN
        for kind in _SCORES
    }
    keys = encoded([source.keys[i] for i in rows])
    labels = source.labels[rows].astype(np.int8)
    table = io.BytesIO()
    np.savez(table, keys=np.frombuffer(keys, np.uint8), labels=labels, rows=rows, **scores)
    with replacing(folder / FACES) as temporary:
        temporary.write_bytes(table.getvalue())
    manifest = {
        **plan,
        "usable": len(rows),
        "faces_sha256": hashlib.sha256(table.getvalue()).hexdigest(),
        "shards": [record["shard"] for record in records],
    }
    write_json(folder / MANIFEST, manifest)
    return Packed(folder.parent, source.split)


def main(options: Options, shard_rows: int = SHARD_ROWS) -> None:
    """Pack, and say what is there now."""
    part, _, parts = options.part.partition("/")
    if not (part.isdecimal() and parts.isdecimal()):
        raise DataInvalid(f"--part {options.part}: expected K/N, for example 1/4.")
    synthetic = is_synthetic(options.source)
    own = {} if synthetic else {"on_error": options.on_error}
    source = (SyntheticFaces if synthetic else AffectNet8)(
        options.source, options.split, limit=options.limit, **own
    )
    began = time.perf_counter()
    made = pack(
        source,
        options.out,
        options.size,
        (int(part), int(parts)),
        options.on_error,
        options.check,
        options.workers,
        shard_rows,
    )
    seconds = time.perf_counter() - began
    if made is None:
        print(f"part {options.part} is packed in {seconds:.0f} s; other parts are not finished")
        return
    total = sum(shard["bytes"] for shard in made.manifest["shards"])
    left_out = len(source) - len(made)
    print(
        f"{made}, {total / 1e9:.1f} GB, {seconds:.0f} s"
        + f"; {left_out:,} broken images left out" * bool(left_out)
    )
