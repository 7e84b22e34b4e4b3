"""Valence and arousal of a whole split: read once from hundreds of thousands of small files, then kept in one."""

import json
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from tqdm.auto import tqdm

from fer.datasets.affectnet8.index import Index
from fer.datasets.affectnet8.source import Source
from fer.errors import DataInvalid
from fer.files import replacing

KINDS = ("val", "aro")


def scores(source: Source, index: Index, on_error: str, keep: bool) -> np.ndarray:
    """Return valence and arousal of the faces of an index, float32 (N, 2); NaN where there is none.

    Args:
        source: where the files are.
        index: of the faces.
        on_error: ``"raise"``, or ``"skip"``: what cannot be read is NaN, and counted in a printed line.
        keep: write what was read beside the index, for the next time; files changed in place go unnoticed then.

    Raises:
        DataInvalid: values cannot be read.
    """
    if (found := _kept(source, index)) is not None:
        return found
    parts = [range(start, min(start + 1000, len(index))) for start in range(0, len(index), 1000)]
    values, faults = np.full((len(index), 2), np.nan, np.float32), []
    bar = tqdm(
        total=len(index), desc="reading valence, arousal", unit="face", delay=1, leave=False, disable=None
    )
    with ThreadPoolExecutor(8) as pool, bar:
        for part, (read, wrong) in zip(parts, pool.map(partial(_read, source, index), parts), strict=True):
            values[part.start : part.stop] = read
            faults += wrong
            bar.update(len(part))
    if faults and on_error != "skip":
        raise DataInvalid(
            f"{len(faults):,} values of valence or arousal cannot be read, the first one: {faults[0]}. "
            'Restore the files from the archive, or open the data set with on_error="skip".'
        )
    if faults:
        print(f"{source.title} {source.split}: {len(faults):,} values of valence or arousal cannot be read")
    elif keep:
        _keep(source, index, values)
    return values


def _read(source: Source, index: Index, rows: range) -> tuple[np.ndarray, list[str]]:
    values, faults = np.full((len(rows), 2), np.nan, np.float32), []
    for k, i in enumerate(rows):
        for column, kind in enumerate(KINDS):
            try:
                value = source.values(index, i, kind)
                if value is None:
                    continue
                if value.size != 1:
                    raise ValueError(f"{value.size} values, expected 1")
            except ValueError as error:
                faults.append(f"{source.where(source.annotation_file(index.ids[i], kind))}: {error}")
                continue
            if abs(value[0]) <= 1:  # -2: no score
                values[k, column] = value[0]
    return values, faults


def _kept(source: Source, index: Index) -> np.ndarray | None:
    path = source.index_path.with_suffix(".scores.npz")
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ids, values, stamp = arrays["ids"], arrays["values"], arrays["stamp"].tobytes()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataInvalid(f"{path} is damaged ({error}). Delete it; it is made anew.") from error
    if stamp != _stamp(source):
        return None
    order = np.argsort(ids)
    rows = order[np.searchsorted(ids, index.ids, sorter=order).clip(max=len(ids) - 1)]
    return values[rows] if np.array_equal(ids[rows], index.ids) else None


def _keep(source: Source, index: Index, values: np.ndarray) -> None:
    path = source.index_path.with_suffix(".scores.npz")
    try:
        with replacing(path) as temporary:
            np.savez(temporary, ids=index.ids, values=values, stamp=np.frombuffer(_stamp(source), np.uint8))
    except OSError as error:
        print(
            f"note: {path} cannot be written ({error.strerror}): valence and arousal are read at every start."
        )


def _stamp(source: Source) -> bytes:
    return json.dumps(source.stamp(None), sort_keys=True).encode()
