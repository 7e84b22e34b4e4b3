"""Images a second out of the DataLoader: folder, tar and pack, beside the naive item and the limits.

    python -m benchmarks.loading --images 20000 --seconds 10

The data are made by ``benchmarks.make_affectnet8``. Every case reads in a
shuffled order, in batches of 128, with the files in the system's cache, and with
one thread in each process; workers are running before the clock starts. The
naive item opens its label with ``np.load`` and decodes its image in full, in
the main process. At 112 px all but the pack decode 224 px and make it smaller.

The limits: *decode* is ``cv2.imdecode`` alone, of the same bytes in memory;
*copy* moves the same number of pixels from random places of an array in memory.
Each is measured again just before every case, since a machine that is shared
changes its speed by the minute. *Of the limit* is per core used: images a second
over limit times workers.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks import record
from benchmarks.make_affectnet8 import MakeOptions, make
from fer import cli, threads

if TYPE_CHECKING:
    from torch import Tensor

    from fer.datasets import AffectNet8


@dataclass
class LoadingOptions:
    """Measure how fast images are read."""

    images: int = 4000
    """Training faces to make and read."""
    root: Path | None = None
    """Folder of the data, made if it is missing; by default outputs/affectnet8-IMAGES."""
    workers: tuple[int, ...] = (0, 1, 2)
    """Processes that read; 0: the main process reads."""
    sizes: tuple[int, ...] = (224, 112)
    """Sides of the images in pixels."""
    seconds: float = 3.0
    """How long each case runs at least."""
    faces: int = 300
    """Different faces that the data are made from."""
    out: Path = Path(__file__).parent / "results" / "loading.json"
    """Where the numbers go."""


BATCH = 128


class Naive:
    """The item of a first attempt: a label by ``np.load``, an image in full, each time."""

    def __init__(self, root: Path, ids: list[str], size: int) -> None:
        self.root, self.ids, self.size = root / "train_set", ids, size

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        label = int(np.load(self.root / f"annotations/{self.ids[i]}_exp.npy"))
        pixels = cv2.cvtColor(cv2.imread(str(self.root / f"images/{self.ids[i]}.jpg")), cv2.COLOR_BGR2RGB)
        if self.size != pixels.shape[0]:
            pixels = cv2.resize(pixels, (self.size, self.size), interpolation=cv2.INTER_AREA)
        import torch

        return torch.from_numpy(pixels).permute(2, 0, 1), label


def main(options: LoadingOptions) -> None:
    """Print the table and write the JSON."""
    import torch

    from fer.datasets import AffectNet8
    from fer.training.start import keep_freed_memory

    torch.set_num_threads(1)
    threads.limit(1)
    cv2.setNumThreads(1)
    keep_freed_memory()  # as training does
    root = options.root or Path(f"outputs/affectnet8-{options.images}")
    make(MakeOptions(root, options.images, tar=True, faces=options.faces))
    folder = AffectNet8(root / "train_set")
    rows = [row for size in options.sizes for row in measure(root, folder, size, options)]
    print(table(rows))
    record.save(
        options.out,
        faces=len(folder),
        mean_jpeg_bytes=float(np.mean([len(data) for data in jpegs(root)])),
        cases=rows,
    )


def measure(root: Path, folder: AffectNet8, size: int, options: LoadingOptions) -> list[dict]:
    """All cases of one size."""
    from torch.utils.data import default_collate

    from fer.datasets import AffectNet8
    from fer.datasets.collate import collate, resized
    from fer.datasets.packed import pack

    began = time.perf_counter()
    packed = pack(folder, f"{root}-pack-{size}", size)
    pack_s = time.perf_counter() - began  # next to nothing when it was there
    smaller = None if size == 224 else functools.partial(resized, size=(size, size))
    sources = {
        "folder": AffectNet8(root / "train_set", transform=smaller),
        "tar": AffectNet8(root / "train_set.tar", transform=smaller),
        "pack": packed,
    }
    cases = [("naive", Naive(root, [key.removeprefix("train/") for key in folder.keys], size), 0)]
    cases += [(*source, workers) for source, workers in itertools.product(sources.items(), options.workers)]
    rows = []
    for name, dataset, workers in cases:
        seconds = options.seconds / 4
        limit = copy_limit(size, seconds) if name == "pack" else decode_limit(root, seconds)
        collate_fn = default_collate if name == "naive" else collate
        row = {"source": name, "size": size, "workers": workers, "limit_per_s": limit}
        row |= rate(dataset, workers, options.seconds, collate_fn)
        row["of_limit"] = row["per_s"] / limit / max(1, workers)
        rows.append(row)
        row["times_naive"] = row["per_s"] / rows[0]["per_s"]
        if name == "pack":
            row["pack_s"] = pack_s
    return rows


def rate(dataset: object, workers: int, seconds: float, collate_fn: object) -> dict[str, float]:
    """Return the images a second of whole epochs, the best of those that fit in, and the processor time of each.

    Processor time is that of the main process, so it is left out where others work.
    """
    from torch.utils.data import DataLoader

    loader = DataLoader(
        dataset,
        BATCH,
        shuffle=True,
        num_workers=workers,
        collate_fn=collate_fn,
        persistent_workers=workers > 0,
    )
    best, cpu = 0.0, float("inf")
    for warm in _rounds(seconds):
        began, used = time.perf_counter(), time.process_time()
        count = sum(len(labels) for _, labels in loader)
        if warm:
            best = max(best, count / (time.perf_counter() - began))
            cpu = min(cpu, (time.process_time() - used) / count)
    return {"per_s": best} | ({} if workers else {"cpu_us": 1e6 * cpu})


def _rounds(seconds: float) -> Iterator[bool]:
    """Yield False once, to warm up, then True for ``seconds``, at least twice."""
    yield False
    began, done = time.perf_counter(), 0
    while done < 2 or time.perf_counter() - began < seconds:
        yield True
        done += 1


def jpegs(root: Path) -> list[bytes]:
    """Return the files of up to a thousand images."""
    return [path.read_bytes() for path in itertools.islice((root / "train_set/images").iterdir(), 1000)]


def decode_limit(root: Path, seconds: float) -> float:
    """Return the images a second that one core decodes from memory."""
    from fer.datasets.affectnet8.dataset import decode

    files = jpegs(root)
    best = 0.0
    for _ in _rounds(seconds):
        began = time.perf_counter()
        for data in files:
            decode(data)
        best = max(best, len(files) / (time.perf_counter() - began))
    return best


def copy_limit(size: int, seconds: float) -> float:
    """Return the images a second that one core copies, in batches, from random places in memory."""
    n = (1 << 28) // (3 * size * size)  # 256 MiB: more than caches hold
    pixels = np.ones((n, 3, size, size), np.uint8)
    order = np.random.default_rng(0).permutation(n)
    best = 0.0
    for _ in _rounds(seconds):
        began = time.perf_counter()
        for k in range(0, n, BATCH):
            pixels[order[k : k + BATCH]]
        best = max(best, n / (time.perf_counter() - began))
    return best


def table(rows: list[dict]) -> str:
    """The cases as a Markdown table."""
    lines = [
        "| source | px | workers | images/s | limit | of the limit | times naive | processor time an image |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        cpu = f"{r['cpu_us']:.0f} µs" if "cpu_us" in r else ""
        lines.append(
            f"| {r['source']} | {r['size']} | {r['workers']} | {r['per_s']:,.0f} | {r['limit_per_s']:,.0f} "
            f"| {r['of_limit']:.0%} | {r['times_naive']:.1f} | {cpu} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, LoadingOptions)
