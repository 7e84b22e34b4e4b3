"""How networks fare on FER+ when faces are dark, blurred, small, turned or covered, as webcams and photos have them.

python -m benchmarks.robustness --root dataset/ferplus
python -m benchmarks.robustness --split valid --seed 1 --models outputs/mine --out outputs/mine.json    # to choose by

Twelve changes with five severities each, the same changed faces for each network. fer.train --degrade has nine
kinds of them (tight and wide crops are one); side light and JPEG it has not, so they show what carries over. FER+
has no pixels around the face: where a wide crop or a turn needs them, the border is repeated. Glasses and mask sit
at the same place of every picture, wherever the eyes are. Results of other models stay in the JSON, which is of one
split and seed. Confidence is that of the scores, and that of photos and demos, whose temperature is fitted to the votes
on changed faces of Valid, so that it should be near the part of the annotators who agree.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from tqdm import tqdm

from benchmarks import record
from fer import cli
from fer.card import preprocess_of, read_card
from fer.errors import DataInvalid, DataMissing, UsageError, reading
from fer.probabilities import outputs_of
from fer.runtime import ONNX, OpenVinoNetwork

if TYPE_CHECKING:
    from torch import Tensor

    from fer.datasets import FERPlus
    from fer.training.degrade import Change


@dataclass
class RobustnessOptions:
    """Score models on changed faces of FER+."""

    root: Path = Path("dataset/ferplus")
    """Where FER+ is."""
    models: tuple[Path, ...] = (
        Path("models/emotion_net"),
        Path("models/baseline_cnn"),
        Path("models/resnet18"),
    )
    """Folders of trained models."""
    split: Literal["valid", "test"] = "test"
    """valid is there to choose by: with another seed."""
    seed: int = 0
    """Of the noise, the directions and the brightness of the covers."""
    limit: int | None = None
    """Use at most N faces."""
    out: Path = Path(__file__).parent / "results" / "robustness.json"
    """Where the numbers go."""


BATCH = 256
SIDE = 48
SEVERITIES: dict[str, tuple[float, ...]] = {
    "darkness": (0.6, 0.4, 0.25, 0.15, 0.1),  # part of the light that is left, beside the noise of the sensor
    "side light": (0.5, 0.6, 0.7, 0.8, 0.9),  # part of the light that the dark side lacks
    "overexposure": (1.3, 1.6, 1.9, 2.2, 2.5),  # gain, cut off at white
    "defocus": (0.015, 0.025, 0.035, 0.045, 0.055),  # deviation of the Gaussian, of the side
    "motion blur": (0.03, 0.04, 0.05, 0.06, 0.075),  # the same, along a line
    "JPEG": (50, 30, 20, 10, 5),  # quality
    "low resolution": tuple(side / SIDE for side in (40, 32, 24, 20, 16)),  # of the side
    "turn": (10, 20, 28, 35, 45),  # degrees, to either side
    "tight crop": (1.1, 1.2, 1.3, 1.4, 1.5),  # size of the face
    "wide crop": (0.9, 0.8, 0.7, 0.6, 0.5),
    "glasses": (0.6, 0.7, 0.8, 0.9, 1.0),  # opacity
    "mask": (0.25, 0.3, 0.4, 0.45, 0.5),  # part of the height
}

COLUMNS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "confidence": "confidence",
    "confidence_degraded": "confidence in photos and demos",
    "agreement": "part of the annotators who agree",
}
BELIEVED = {"confidence": "accuracy", "confidence_degraded": "agreement"}
"""What each confidence should match."""


def changed(images: Tensor, name: str, amount: float, seed: int) -> Tensor:
    """Return changed copies of uint8 faces (N, 1, H, W)."""
    import torch

    from fer.training.degrade import CHANGES, apply

    own: dict[str, Change] = {
        "side light": side_light,
        "JPEG": jpeg,
        "tight crop": CHANGES["crop"][0],
        "wide crop": CHANGES["crop"][0],
    }
    change = own.get(name) or CHANGES[name][0]
    torch.manual_seed(seed)
    amounts = torch.full((len(images), 1, 1, 1), float(amount))
    if name == "turn":
        amounts[::2] *= -1
    batches = zip(images.split(BATCH), amounts.split(BATCH), strict=True)
    return torch.cat([apply(change, *batch) for batch in batches])


def side_light(x: Tensor, dark: Tensor) -> Tensor:
    """Let the light decrease from one side to the other, which lacks the part ``dark`` of it."""
    import torch

    ramp = torch.linspace(0, 1, x.shape[-1])
    return x * (1 - dark * torch.where(torch.rand_like(dark) < 0.5, ramp, ramp.flip(0)))


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """Encode and decode each face."""
    import cv2
    import torch

    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality[0])]
    faces = [cv2.imencode(".jpg", face, options)[1] for face in x[:, 0].byte().numpy()]
    return torch.from_numpy(np.stack([cv2.imdecode(face, cv2.IMREAD_GRAYSCALE) for face in faces]))[:, None]


def main(options: RobustnessOptions) -> None:
    """Print the table and write the JSON."""
    from fer.datasets import FERPlus

    names = sorted(folder.resolve().name for folder in options.models)
    if not names or len(set(names)) < len(names):
        raise UsageError(
            f"--models {' '.join(names)}; expected one folder or more, each with a name of its own."
        )
    faces = FERPlus(options.root, options.split, limit=options.limit)
    settings = {"split": options.split, "seed": options.seed, "faces": len(faces)}
    rows = [row for row in earlier(options.out, settings) if row["model"] not in names]
    models = {folder.resolve().name: Scorer(folder, faces) for folder in options.models}
    cases = [("clean", 0.0), *((name, amount) for name, amounts in SEVERITIES.items() for amount in amounts)]
    for number, (name, amount) in enumerate(tqdm(cases)):
        same = name == "clean"
        images = faces.images if same else changed(faces.images, name, amount, 1000 * options.seed + number)
        for label, scores in models.items():
            rows.append({"model": label, "change": name, "amount": amount, **scores(images)})
    names = sorted({row["model"] for row in rows})
    means = {name: summary([row for row in rows if row["model"] == name]) for name in names}
    print(table(rows, means))
    record.save(options.out, **settings, means=means, rows=rows)


def earlier(out: Path, settings: dict) -> list[dict]:
    """Return the rows of an earlier call, which must have scored the same changed faces."""
    if not out.exists():
        return []
    with reading(out, "Expected a JSON of this program: name another file with --out."):
        found = json.loads(out.read_text("utf-8"))
        rows, others = found["rows"], {key: found[key] for key in settings}
    if others != settings:
        raise DataInvalid(f"{out} is of {others}, this call of {settings}. Name another file with --out.")
    return rows


class Scorer:
    """A network with the calibration of its card, which scores changed images of ``faces``."""

    def __init__(self, folder: Path, faces: FERPlus) -> None:
        self.card, self.faces = read_card(folder), faces
        self.preprocess = preprocess_of(folder, self.card)
        if not (folder / ONNX).exists():
            raise DataMissing(f"{folder} has no {ONNX}. Make it: python -m fer.export {folder}")
        self.network = OpenVinoNetwork(folder / ONNX, exact=True)  # in half of torch's time

    def __call__(self, images: Tensor) -> dict[str, float]:
        """Return the means of ``COLUMNS`` on uint8 faces (N, 1, H, W)."""
        from fer.evaluation.predictions import Predictions

        flip, logits = self.card.get("flip", False), []
        for batch in images.split(BATCH):
            logits.append(outputs_of(self.network, self.preprocess(batch.numpy()), flip)[0])
        predictions = Predictions(self.faces.keys, np.concatenate(logits), self.faces.labels)
        scores = predictions.score(self.card, resamples=0)
        temperature = self.card.get("temperature_degraded", self.card.get("temperature", 1.0))
        degraded = self.card | {"temperature": temperature}
        numbers = [scores.accuracy, scores.balanced_accuracy]
        numbers += [predictions.probabilities(card).max(1).mean() for card in (self.card, degraded)]
        named = predictions.probabilities(self.card).argmax(1, keepdims=True)
        numbers.append(np.take_along_axis(self.faces.vote_distribution, named, 1).mean())
        return {key: round(float(value), 5) for key, value in zip(COLUMNS, numbers, strict=True)}


def summary(rows: Sequence[dict]) -> dict[str, float]:
    """Return a model's scores on clean faces, their means over all changes, and how often it is overconfident."""
    means = {f"clean_{key}": rows[0][key] for key in COLUMNS}
    means |= {key: round(float(np.mean([row[key] for row in rows[1:]])), 5) for key in COLUMNS}
    for key, true in BELIEVED.items():
        means[f"over_{key}"] = sum(row[key] - row[true] > 0.05 for row in rows[1:])
    return means


def table(rows: Sequence[dict], means: dict[str, dict[str, float]]) -> str:
    """Return the accuracies in percent as Markdown: each change, from its lowest severity to its highest."""
    lines = [f"| change | {' | '.join(means)} |", f"| --- |{' --- |' * len(means)}"]
    for change in ("clean", *SEVERITIES):
        own = [[row for row in rows if (row["change"], row["model"]) == (change, name)] for name in means]
        cells = [" ".join(f"{100 * row['accuracy']:.0f}" for row in rows) for rows in own]
        lines.append(f"| {change} | {' | '.join(cells)} |")
    for key, label in COLUMNS.items():
        cells = [f"{100 * own[key]:.1f} (clean {100 * own[f'clean_{key}']:.1f})" for own in means.values()]
        lines.append(f"| mean {label} | {' | '.join(cells)} |")
    for key, true in BELIEVED.items():
        cells = [f"{own[f'over_{key}']} of {sum(map(len, SEVERITIES.values()))}" for own in means.values()]
        lines.append(f"| {COLUMNS[key]} over 5 points above {COLUMNS[true]} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, RobustnessOptions)
