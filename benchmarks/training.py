"""How fast training is: end to end, beside what the network alone could do and beside the naive loop.

    python -m benchmarks.training
    python -m benchmarks.training --data affectnet8 --root dataset --workers 8          your own data, and a GPU if any

Images a second. *Limit*: the network with its optimizer on faces that lie in
memory, ready. *End to end*: ``fer.training.fit``, augmentation and all, on JPEG
files and on a pack of them (``fer.datasets.packed``), which is written into
outputs/. *Naive*: a PyTorch loop as tutorials have it, in fp32, that opens a
JPEG and a npy file for each face in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from benchmarks import record
from fer import cli
from fer.errors import DataInvalid

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from fer.preprocess import Preprocess
    from fer.training import TrainConfig


@dataclass
class TrainingOptions:
    """Measure the speed of training."""

    models: tuple[Literal["baseline", "emotion_net", "resnet18"], ...] = (
        "baseline",
        "emotion_net",
        "resnet18",
    )
    """Which architectures."""
    precisions: tuple[Literal["no", "bf16"], ...] = ("no", "bf16")
    """fp32 is called no, as in fer.train."""
    data: Literal["affectnet8", "sample"] = "sample"
    """Faces to train on; the sample is rendered when it is missing."""
    root: Path = Path("outputs/bench")
    """Where they are."""
    faces: int = 2048
    """How many of them, at most, make an epoch."""
    batch_size: int = 128
    """Faces per step."""
    workers: int = 0
    """Processes that read images, of fer.train and of the naive loop alike."""
    augment: Literal["none", "flip", "light", "strong"] = "light"
    """Of the end-to-end run; see fer/training/augment.py."""
    seconds: float = 20.0
    """How long the limit and the naive loop are each measured, at least; end to end it is at least two epochs."""
    out: Path = Path(__file__).parent / "results" / "training.json"
    """Where the numbers go."""


PIXELS = 224
"""Side of AffectNet8's faces, and of those in the pack."""


class OneByOne:
    """Faces as most code reads them: an item is a float array (3, H, W) from a JPEG, and a label from a npy file."""

    def __init__(self, root: Path, ids: list[str], preprocess: Preprocess) -> None:
        self.root, self.ids = root, ids
        self.preprocess = replace(preprocess, scaling="raw")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        image = Image.open(self.root / "images" / f"{self.ids[i]}.jpg").convert("RGB")
        label = int(np.load(self.root / "annotations" / f"{self.ids[i]}_exp.npy"))
        return self.preprocess(np.array(image).transpose(2, 0, 1)), label


def main(options: TrainingOptions) -> None:
    """Print the table and write the JSON."""
    from fer.datasets import open_split
    from fer.datasets.packed import pack
    from fer.training import TrainConfig
    from fer.training.start import keep_freed_memory

    per_class = {"per_class": options.faces // 8} if options.data == "sample" else {}
    train = open_split(options.data, options.root, "train", limit=options.faces, **per_class)
    valid = open_split(options.data, options.root, "val", limit=64)
    folder = annotated_folder(options.root)
    packed = pack(train, Path("outputs") / f"{options.data}-{len(train)}-pack", PIXELS)
    configs = {name: TrainConfig(model=name, batch_size=options.batch_size) for name in options.models}
    # First, because what follows sets the allocator of this process for good.
    ids = [key.partition("/")[2] for key in train.keys]
    loops = {name: naive(folder, ids, config, options) for name, config in configs.items()}
    keep_freed_memory()
    rows = []
    for name, config in configs.items():
        for config.precision in options.precisions:
            row = {"model": name, "precision": "fp32" if config.precision == "no" else config.precision}
            row["limit"] = limit(config, options)
            row["naive"] = loops[name]
            for kind, faces in {"files": train, "pack": packed}.items():
                row[kind] = end_to_end(config, faces, valid, options)
                row[f"{kind}_of_limit"] = row[kind] / row["limit"]
                row[f"{kind}_times_naive"] = row[kind] / row["naive"]
            rows.append(row)
            print(f"{name} {row['precision']}: {row['files']:.0f} images a second", flush=True)
    print("\n" + table(rows))
    record.save(
        options.out,
        data=options.data,
        faces=len(train),
        batch_size=options.batch_size,
        workers=options.workers,
        augment=options.augment,
        cases=rows,
    )


def annotated_folder(root: Path) -> Path:
    """Return the folder of the train split with ``images/`` and ``annotations/``.

    Raises:
        DataInvalid: the faces are not there as single files.
    """
    for folder in (
        root / "train_set",
        root / "extracted_train_tar/train_set",
        root / "synthetic/train_set",
        root,
    ):
        if (folder / "annotations").is_dir():
            return folder
    raise DataInvalid(
        f"{root} has no train_set/annotations/: the naive loop reads single files. Extract the archive first."
    )


def rate(step: Callable[[], int], seconds: float) -> float:
    """Return images a second of a step that returns how many it took, after two steps to warm up."""
    for _ in range(2):
        step()
    synchronize()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += step()
    synchronize()
    return count / (time.perf_counter() - start)


def synchronize() -> None:
    """Wait for what the GPU still has to do."""
    import torch

    if record.device().type != "cpu":
        torch.accelerator.synchronize()


def limit(config: TrainConfig, options: TrainingOptions) -> float:
    """Images a second of network and optimizer alone."""
    import torch

    from fer.training import new_model, optim

    device = record.device()
    model = new_model(config).to(device, memory_format=torch.channels_last).train()
    optimizer = optim.optimizer(model, config)
    shape = (config.batch_size, model.preprocess.channels, model.preprocess.size, model.preprocess.size)
    x = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(config.batch_size, device=device) % 8

    def step() -> int:
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            logits = model(x)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        return len(x)

    return rate(step, options.seconds)


def end_to_end(config: TrainConfig, train: Dataset, valid: Dataset, options: TrainingOptions) -> float:
    """Images a second of whole epochs of ``fit``: the best one after the first, which warms up."""
    from fer.training import fit, new_model

    epochs = replace(config, workers=options.workers, augment=options.augment, epochs=3)
    return float(fit(new_model(epochs), train, valid, epochs).column("images_per_second")[1:].max())


def naive(folder: Path, ids: list[str], config: TrainConfig, options: TrainingOptions) -> float:
    """Images a second of the plain loop."""
    import torch
    from torch.utils.data import DataLoader

    from fer.training import new_model

    device, model = record.device(), new_model(config)
    dataset = OneByOne(folder, ids, model.preprocess)
    loader = DataLoader(dataset, config.batch_size, shuffle=True, num_workers=options.workers, drop_last=True)
    model.to(device).train()
    optimizer, loss_of = torch.optim.Adam(model.parameters(), 5e-4), torch.nn.CrossEntropyLoss()

    def endlessly():
        while True:
            yield from loader

    batches = endlessly()

    def step() -> int:
        images, labels = (part.to(device) for part in next(batches))
        optimizer.zero_grad()
        logits = model(images)
        loss = loss_of(logits, labels)
        loss.backward()
        optimizer.step()
        loss.item()
        return len(images)

    return rate(step, options.seconds)


def table(rows: list[dict]) -> str:
    """Return the cases as a Markdown table."""
    lines = [
        "| model | precision | limit | from JPEG files | of the limit | from a pack | of the limit "
        "| naive fp32 loop | times faster |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        lines.append(
            f"| `{r['model']}` | {r['precision']} | {r['limit']:.0f} | {r['files']:.0f} | {r['files_of_limit']:.0%} | "
            f"{r['pack']:.0f} | {r['pack_of_limit']:.0%} | {r['naive']:.0f} | "
            f"{r['files_times_naive']:.1f}, {r['pack_times_naive']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, TrainingOptions)
