"""Tiny worlds that several test files share."""

import csv
import os
import socket
import subprocess

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from fer.datasets.ferplus import FOLDERS, VOTES
from fer.labels import EMOTIONS
from fer.model import FaceNetwork, build
from fer.preprocess import Preprocess

SIZE = 16


class Spots(Dataset):
    """Noise with a bright spot whose place tells the class: grey uint8 (1, 16, 16), labels 0, 1, 2 … 7, 0 …"""

    name = "spots"

    def __init__(self, n=48, split="train", seed=0, labels=None):
        rng = np.random.default_rng(seed)
        self.split, self.seen = split, []
        self.labels = np.arange(n) % len(EMOTIONS) if labels is None else np.asarray(labels)
        n = len(self.labels)
        self.keys = [f"{split}/{i}" for i in range(n)]
        self.images = torch.from_numpy(rng.integers(0, 90, (n, 1, SIZE, SIZE), np.uint8))
        for image, label in zip(self.images, self.labels, strict=True):
            row, column = divmod(int(label), 4)
            image[0, 8 * row + 1 : 8 * row + 7, 4 * column : 4 * column + 4] = 255

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        self.seen.append(i)
        return self.images[i], int(self.labels[i])


class Interrupting(Spots):
    """Sends this process a signal when a certain number of faces has been read."""

    def __init__(self, after, number, n=48):
        super().__init__(n)
        self.after, self.number = after, number

    def __getitem__(self, i):
        item = super().__getitem__(i)
        if len(self.seen) == self.after:
            os.kill(os.getpid(), self.number)
        return item


class PlainNetwork(FaceNetwork):
    """One convolution and one linear layer, no batch statistics: (N, 1, 16, 16) to logits (N, 8)."""

    preprocess = Preprocess(size=SIZE)

    def __init__(self):
        super().__init__(len(EMOTIONS))
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 8 * 8, len(EMOTIONS))

    def outputs(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(nn.functional.max_pool2d(self.conv(x), 2)).flatten(1))


def plain_network(arch=""):
    """PlainNetwork with the same weights every time; with a name it can be saved, though not loaded again."""
    torch.manual_seed(0)
    model = PlainNetwork()
    model.arch = arch
    return model


def small_net(**options):
    """EmotionNet with a few thousand parameters for 16x16 pixels, always with the same weights."""
    torch.manual_seed(0)
    options = {"widths": (8, 16), "drop": 0.1} | options
    return build("emotion_net", preprocess=Preprocess(size=SIZE), **options)


def votes(**counts):
    """A row of FER+ votes from names, e.g. votes(fear=7, NF=1)."""
    return [counts.get(name, 0) for name in VOTES]


def write_ferplus(root, rows):
    """Write a FER+ tree: ``rows`` gives for each split a list of votes; picture i of a split is all shade i."""
    for split, folder in FOLDERS.items():
        (root / folder).mkdir(parents=True)
        with (root / folder / "label.csv").open("w", newline="") as file:
            table = csv.writer(file)
            for i, row in enumerate(rows.get(split, [])):
                Image.new("L", (48, 48), i).save(root / folder / f"fer{i}.png")
                table.writerow([f"fer{i}.png", "(0, 0, 48, 48)", *row])
    return root


def write_face(folder, number, label, image=24, **annotations):
    """Write a face as AffectNet8 has it: an image, or the side of a grey one, and what np.array takes for each .npy.

    ``val``, ``aro`` and ``lnd`` may be given, None for no file; ``exp`` is the label, written as text.
    """
    for name in ("images", "annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if isinstance(image, int):
        image = np.full((image, image, 3), 20 * int(label), np.uint8)
    cv2.imwrite(str(folder / f"images/{number}.jpg"), image)
    usual = {"exp": str(label), "val": "-0.392238", "aro": "0.5", "lnd": np.arange(136) * 1.5}
    for kind, value in (usual | annotations).items():
        if value is not None:
            np.save(folder / f"annotations/{number}_{kind}.npy", np.array(value))


def launch(command, world):
    """Start the processes that torchrun would start, without a supervisor that ends the others when one dies."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    alike = {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    alike |= {"OMP_NUM_THREADS": 1, "CUDA_VISIBLE_DEVICES": ""}
    return [
        subprocess.Popen(
            command,
            env=os.environ | {k: str(v) for k, v in (alike | {"RANK": rank, "LOCAL_RANK": rank}).items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def ended(processes, seconds=300):
    """Wait for started processes; return the exit code, stdout and stderr of each. None is left behind."""
    try:
        said = [process.communicate(timeout=seconds) for process in processes]
        return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]
    finally:
        for process in processes:
            process.kill()
