"""How long a network takes for one face on a CPU: torch, OpenVINO, ONNX Runtime, OpenCV.

python -m benchmarks.runtimes --ferplus dataset/ferplus

*Network* is the forward pass alone, *crop* all that ``EmotionPredictor`` does
with a crop of 160x160 pixels: resize, scale, network, probabilities. Medians.
*Otherwise* counts the faces of FER+ Valid with another prediction than torch's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks import record
from fer import cli

if TYPE_CHECKING:
    from torch import Tensor

    from fer.model import FaceNetwork
    from fer.probabilities import Network


@dataclass
class RuntimesOptions:
    """Time the networks of some models for one face."""

    models: tuple[Path, ...] = (
        Path("models/emotion_net"),
        Path("models/baseline_cnn"),
        Path("models/resnet18"),
    )
    """Folders of trained models."""
    repeats: int = 300
    """How often each is timed, after a tenth of that to warm up."""
    ferplus: Path | None = None
    """Where FER+ is, to compare the names that they give."""
    out: Path = Path(__file__).parent / "results" / "runtimes.json"
    """Where the numbers go."""


CROP = 160


def main(options: RuntimesOptions) -> None:
    """Print the table and write the JSON."""
    import torch

    from fer import checkpoint
    from fer.datasets import FERPlus
    from fer.runtime import ONNX

    faces = options.ferplus and FERPlus(options.ferplus, "valid").images
    rows = []
    for folder in options.models:
        model, _ = checkpoint.load(folder)
        networks = runtimes(model, folder / ONNX)
        asked = networks if faces is not None else {}
        named = {name: names(model, network, faces) for name, network in asked.items()}
        for name, network in networks.items():
            row = {"model": folder.name, "runtime": name, **times(folder, network, options.repeats)}
            if named:
                row["otherwise"] = int((named[name] != named["torch"]).sum())
            rows.append(row)
    print("| model | runtime | network | with mirror image | crop | otherwise |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        print(
            "| {model} | {runtime} | {network_ms:.1f} ms | {mirrored_ms:.1f} ms | {crop_ms:.1f} ms |".format(
                **row
            ),
            f"{row['otherwise']} of {len(faces):,} |" if "otherwise" in row else "|",
        )
    record.save(options.out, threads=torch.get_num_threads(), repeats=options.repeats, cases=rows)


def names(model: FaceNetwork, network: Network, faces: Tensor) -> np.ndarray:
    """Return the likeliest class of each face, int64 (N,), with its mirror image."""
    from fer.probabilities import outputs_of

    parts = faces.split(64)
    logits = [outputs_of(network, model.preprocess(part), flip=True)[0] for part in parts]
    return np.concatenate(logits).argmax(1)


def times(folder: Path, network: Network, repeats: int) -> dict[str, float]:
    """Return milliseconds for one face."""
    from fer.predictor import EmotionPredictor

    predictor = EmotionPredictor(folder, runtime="torch")
    predictor.network = network
    preprocess, random = predictor.preprocess, np.random.default_rng(0)
    face = random.standard_normal((1, preprocess.channels, preprocess.size, preprocess.size), np.float32)
    mirrored = np.concatenate([face, face[..., ::-1]])
    photo, box = (
        random.integers(0, 256, (2 * CROP, 2 * CROP, 3), np.uint8),
        np.array([[CROP // 2] * 2 + [CROP] * 2]),
    )
    return {
        "network_ms": median(lambda: network(face), repeats),
        "mirrored_ms": median(lambda: network(mirrored), repeats),
        "crop_ms": median(lambda: predictor.classify(photo, box), repeats),
    }


def runtimes(model: FaceNetwork, file: Path) -> dict[str, Network]:
    """Return the same network in each runtime."""
    from fer.model import TorchNetwork
    from fer.runtime import OnnxNetwork, OpenVinoNetwork

    opencv = cv2.dnn.readNetFromONNX(str(file))

    def by_opencv(faces: np.ndarray) -> tuple[np.ndarray, None]:
        opencv.setInput(faces)
        return opencv.forward(), None

    return {
        "torch": TorchNetwork(model),
        "OpenVINO": OpenVinoNetwork(file),
        "OpenVINO, float32": OpenVinoNetwork(file, exact=True),
        "ONNX Runtime": OnnxNetwork(file),
        "OpenCV": by_opencv,
    }


def median(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of ``work`` in milliseconds."""
    times = []
    for i in range(-(repeats // 10), repeats):
        begin = time.perf_counter()
        work()
        if i >= 0:
            times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


if __name__ == "__main__":
    cli.run(main, RuntimesOptions)
