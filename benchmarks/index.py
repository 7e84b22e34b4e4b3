"""How long AffectNet8 takes to open: the first time and later, from a folder and from a tar.

    python -m benchmarks.index --images 287651 --root DIR

The data are made by ``benchmarks.make_affectnet8`` if DIR does not hold them.
Each opening runs in a process of its own; *memory* is how far its peak rises
from before the opening to after. The files are in the system's cache (they were
just written or read), as for everything that is compared. The naive way, one
``np.load`` for each annotation, is timed on a sample and scaled to all faces.
"""

from dataclasses import dataclass
from pathlib import Path


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
    out: Path = Path(__file__).parent / "results" / "index.json"
    """Where the numbers go."""


if __name__ == "__main__":
    from fer import cli

    cli.run("benchmarks.index", IndexOptions)

import json
import os
import subprocess
import sys
import time

import numpy as np

from benchmarks import record
from benchmarks.make_affectnet8 import MakeOptions, counts, make
from fer.datasets.affectnet8_index import ANNOTATIONS
from fer.datasets.affectnet8_locate import locate

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
    drawn = MakeOptions.drawn if options.full_images else 16
    make(MakeOptions(root, options.images, tar=True, tiny=not options.full_images, drawn=drawn))
    naive = {kinds: naive_seconds(root, kinds, options) for kinds in (("exp",), ANNOTATIONS)}
    places = {"folder": root / "train_set", "tar": root / "train_set.tar"}
    rows = [measure(name, place, options.repeats) for name, place in places.items()]
    for row in rows:
        row["times_naive_labels"] = naive["exp",] / row["first_s"]
        row["times_naive_all"] = naive[ANNOTATIONS] / row["first_s"]
    print(table(rows, naive, options))
    record.save(
        options.out,
        faces=options.images,
        tiny_jpegs=not options.full_images,
        naive_sample=min(options.sample, options.images),
        naive_labels_s=naive["exp",],
        naive_all_annotations_s=naive[ANNOTATIONS],
        cases=rows,
    )


def measure(name: str, place: Path, repeats: int) -> dict:
    """Return seconds and bytes of the first opening and of later ones."""
    index = locate(place, "train").index_path
    first = []
    for _ in range(repeats):
        index.unlink(missing_ok=True)
        first.append(opening(place))
    later = [opening(place) for _ in range(repeats)]
    return {
        "source": name,
        "faces": first[0]["faces"],
        "first_s": min(one["seconds"] for one in first),
        "first_mb": max(one["bytes"] for one in first) / 1e6,
        "later_s": min(one["seconds"] for one in later),
        "later_mb": max(one["bytes"] for one in later) / 1e6,
        "index_mb": index.stat().st_size / 1e6,
    }


def opening(place: Path) -> dict:
    """Open a place in a process of its own."""
    command = [sys.executable, "-c", _OPENING, str(place)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def naive_seconds(root: Path, kinds: tuple[str, ...], options: IndexOptions) -> float:
    """Return how long one ``np.load`` for each annotation of these kinds takes for all faces."""
    folder = root / "train_set"
    ids = sorted(name[:-4] for name in os.listdir(folder / "images"))
    sample = np.random.default_rng(0).permutation(ids)[: options.sample].tolist()
    best = np.inf
    for _ in range(options.repeats):
        began = time.perf_counter()
        for one in sample:
            for kind in kinds:
                np.load(folder / f"annotations/{one}_{kind}.npy")
        best = min(best, time.perf_counter() - began)
    return best * int(counts(options.images)["train"].sum()) / len(sample)


def table(rows: list[dict], naive: dict, options: IndexOptions) -> str:
    """The cases as a Markdown table."""
    lines = [
        "| source | faces | first opening | memory | later | memory | index file |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r['source']} | {r['faces']:,} | {r['first_s']:.2f} s | {r['first_mb']:.0f} MB "
            f"| {r['later_s']:.3f} s | {r['later_mb']:.0f} MB | {r['index_mb']:.1f} MB |"
        )
    scaled = f"scaled from {min(options.sample, options.images):,} faces"
    for kinds, seconds in naive.items():
        what = "labels alone" if len(kinds) == 1 else "all four annotations"
        times = " / ".join(f"{seconds / r['first_s']:.1f}" for r in rows)
        lines.append(
            f"| np.load, {what}, {scaled} | {options.images:,} | {seconds:.1f} s ({times} times the first opening) "
            "| | every time | | |"
        )
    return "\n".join(lines)
