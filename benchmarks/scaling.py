"""What more processes give: images a second of fer.train and fer.predict with one process, two, and so on.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --processes 1 2 4 8 --data affectnet8 --root dataset --workers 8       on many GPUs

The commands are those of TRAINING.md, started with torchrun. Without a GPU the
processes share the cores: each of k gets a k-th of them. Training counts the
epochs after the first, from history.csv; prediction the time from the first
photo to the finished table.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2

from benchmarks import record
from fer import cli
from fer.errors import UserError
from fer.training import History
from synthetic_faces.actor import Actor


@dataclass
class ScalingOptions:
    """Measure training and prediction with several numbers of processes."""

    processes: tuple[int, ...] = (1, 2)
    """How many, each in turn; the first is what the others are compared with."""
    model: Literal["baseline", "emotion_net", "resnet18"] = "baseline"
    """Architecture to train."""
    data: Literal["affectnet8", "sample"] = "sample"
    """Faces to train on; the sample is rendered when it is missing."""
    root: Path = Path("outputs/bench")
    """Where they are."""
    faces: int = 2048
    """How many of them, at most, make an epoch."""
    batch_size: int = 128
    """Faces per step, over all processes."""
    workers: int = 0
    """Processes that read images, for each training process."""
    photos: int = 400
    """Photos of 640x480 with two synthetic faces each, for the prediction."""
    out: Path = Path(__file__).parent / "results" / "scaling.json"
    """Where the numbers go."""


def main(options: ScalingOptions) -> None:
    """Print the table and write the JSON."""
    from fer.datasets import open_split

    if options.data == "sample":
        open_split("sample", options.root, "train", per_class=options.faces // 8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder / "photos", options.photos)
        rows = []
        for processes in options.processes:
            row = {"processes": processes}
            row["train"] = train(processes, folder / f"model-{processes}", options)
            row["predict"] = predict(
                processes, folder / "photos", folder / f"{processes}.csv", options.photos
            )
            for kind in ("train", "predict"):
                row[f"{kind}_times"] = row[kind] / (rows[0] if rows else row)[kind]
            rows.append(row)
            print(
                f"{processes} processes: {row['train']:.0f} faces, {row['predict']:.1f} photos a second",
                flush=True,
            )
    print("\n" + table(rows))
    record.save(
        options.out,
        model=options.model,
        data=options.data,
        batch_size=options.batch_size,
        workers=options.workers,
        cases=rows,
    )


def write_photos(folder: Path, count: int) -> None:
    """Write photos of a pair of synthetic actors."""
    folder.mkdir()
    actor = Actor((640, 480), faces=2)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:06}.jpg"), actor.frame(number / 5))


def torchrun(processes: int, *command: str) -> subprocess.Popen:
    """Start a module in several processes that share the cores."""
    threads = max(1, (os.cpu_count() or 1) // processes)
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        str(processes),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(
        [*launcher, "-m", *command],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen) -> None:
    """Wait for a command.

    Raises:
        UserError: it failed; with the end of its stderr.
    """
    errors = process.communicate()[1]
    if process.returncode:
        raise UserError(f"{' '.join(process.args)} ended with {process.returncode}: {errors[-2000:]}")


def train(processes: int, out: Path, options: ScalingOptions) -> float:
    """Images a second of the best epoch after the first."""
    given = {"data": options.data, "root": options.root, "model": options.model, "limit": options.faces}
    given |= {"batch-size": options.batch_size, "workers": options.workers, "epochs": 3, "out": out}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    finished(torchrun(processes, "fer.train", *words))
    return float(History.load(out / "history.csv").column("images_per_second")[1:].max())


def predict(processes: int, photos: Path, out: Path, count: int) -> float:
    """Photos a second from the moment when all processes have opened their parts."""
    process = torchrun(processes, "fer.predict", str(photos), "--csv", str(out))
    parts = out.with_name(f"{out.name}.parts")
    while len(list(parts.glob("*.csv"))) < processes and process.poll() is None:
        time.sleep(0.02)
    start = time.perf_counter()
    while not out.exists() and process.poll() is None:
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    finished(process)
    return count / seconds


def table(rows: list[dict]) -> str:
    """Return the cases as a Markdown table."""
    lines = [
        "| processes | training, faces/s | times | prediction, photos/s | times |",
        "|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        lines.append(
            f"| {r['processes']} | {r['train']:.0f} | {r['train_times']:.2f} | {r['predict']:.1f} | "
            f"{r['predict_times']:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, ScalingOptions)
