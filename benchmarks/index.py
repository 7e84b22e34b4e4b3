"""How long AffectNet8 takes to open: the first time and later, from a folder and from a tar.

    python -m benchmarks.index --images 287651 --root DIR

The data are made by ``benchmarks.make_affectnet8`` if DIR does not hold them.
Each opening runs in a process of its own; *memory* is how far its peak rises
from before the opening to after. The files are in the system's cache (they were
just written or read), as for everything that is compared; with ``--cold`` both
ways are timed also without. The naive way, one ``np.load`` for each annotation,
is timed on a sample and scaled to all faces.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import record
from benchmarks.make_affectnet8 import MakeOptions, make
from fer import cli
from fer.datasets.affectnet8.index import ANNOTATIONS
from fer.datasets.affectnet8.releases import find
from fer.errors import DataInvalid


@dataclass
class IndexOptions:
    """Measure the opening of AffectNet8."""

    images: int = 5000
    """Training faces; AffectNet8 has 287651."""
    root: Path | None = None
    """Folder of the data, made if it is missing; by default outputs/affectnet8-IMAGES-tiny."""
    full_images: bool = False
    """Make real JPEGs instead of tiny ones; the index opens none of either."""
    sample: int = 3000
    """Faces that the naive way is timed on."""
    repeats: int = 3
    """Openings of each kind; the fastest counts."""
    cold: bool = False
    """Measure also with nothing in the system's cache, which is emptied before each opening: Linux, as root."""
    out: Path = Path(__file__).parent / "results" / "index.json"
    """Where the numbers go."""


_OPENING = """
import json, pathlib, sys, time
from fer.datasets import AffectNet8

def peak():  # not ru_maxrss: it is inherited from the process that started this one
    try:
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0  # not Linux
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

before, began = peak(), time.perf_counter()
faces = AffectNet8(sys.argv[1], "train")
labels = faces.labels
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "bytes": peak() - before, "faces": len(labels)}))
"""


def main(options: IndexOptions) -> None:
    """Print the table and write the JSON."""
    kind = "" if options.full_images else "-tiny"
    root = options.root or Path(f"outputs/affectnet8-{options.images}{kind}")
    # Tiny JPEGs show no face, so a few do for the labels and landmarks.
    faces = MakeOptions.faces if options.full_images else 16
    make(MakeOptions(root, options.images, tar=True, tiny=not options.full_images, faces=faces))
    places = {"folder": root / "train_set", "tar": root / "train_set.tar"}
    rows = []
    for cold in (False, True)[: 1 + options.cold]:
        naive = {kinds: naive_seconds(root, kinds, cold, options) for kinds in (("exp",), ANNOTATIONS)}
        for name, place in places.items():
            row = measure(name, place, cold, options.repeats)
            row["naive_labels_s"], row["naive_all_s"] = naive["exp",], naive[ANNOTATIONS]
            rows.append(row)
    print(table(rows))
    record.save(
        options.out,
        faces=options.images,
        tiny_jpegs=not options.full_images,
        naive_sample=min(options.sample, options.images),
        cases=rows,
    )


def measure(name: str, place: Path, cold: bool, repeats: int) -> dict:
    """Return seconds and bytes of the first opening and of later ones."""
    index = find(place).source("train").index_path
    first = []
    for _ in range(repeats):
        index.unlink(missing_ok=True)
        first.append(opening(place, cold))
    later = [opening(place, cold) for _ in range(repeats)]
    return {
        "source": name,
        "in_memory": not cold,
        "faces": first[0]["faces"],
        "first_s": min(one["seconds"] for one in first),
        "first_mb": max(one["bytes"] for one in first) / 1e6,
        "later_s": min(one["seconds"] for one in later),
        "later_mb": max(one["bytes"] for one in later) / 1e6,
        "index_mb": index.stat().st_size / 1e6,
    }


def opening(place: Path, cold: bool) -> dict:
    """Open a place in a process of its own."""
    if cold:
        forget()
    command = [sys.executable, "-c", _OPENING, str(place)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def naive_seconds(root: Path, kinds: tuple[str, ...], cold: bool, options: IndexOptions) -> float:
    """Return how long one ``np.load`` for each annotation of these kinds takes for all faces."""
    folder = root / "train_set"
    ids = sorted(name[:-4] for name in os.listdir(folder / "images"))
    sample = ids[: options.sample]  # neighbours, which come from a disk together
    best = np.inf
    for _ in range(options.repeats):
        if cold:
            forget()
        began = time.perf_counter()
        for one in sample:
            for kind in kinds:
                np.load(folder / f"annotations/{one}_{kind}.npy")
        best = min(best, time.perf_counter() - began)
    return best * len(ids) / len(sample)


def forget() -> None:
    """Empty the system's cache of files."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError as error:
        raise DataInvalid(
            f"--cold: the system's cache cannot be emptied ({error}); expected Linux, and root. "
            "Run it as root, or without --cold."
        ) from error


def table(rows: list[dict]) -> str:
    """The cases as a Markdown table."""
    lines = [
        "| source | first opening | memory | later | memory | index file | np.load of labels | of all four |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        naive = [r["naive_labels_s"], r["naive_all_s"]]
        lines.append(
            f"| {r['source']}{'' if r['in_memory'] else ', not in memory'} | {r['first_s']:.2f} s "
            f"| {r['first_mb']:.0f} MB | {r['later_s']:.3f} s | {r['later_mb']:.0f} MB | {r['index_mb']:.1f} MB | "
            + " | ".join(f"{one:.1f} s, {one / r['first_s']:.1f} times as long" for one in naive)
            + " |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, IndexOptions)
