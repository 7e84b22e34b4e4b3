"""Predict a data set, score it, and write the record.

python -m fer.evaluate --model models/emotion_net --data ferplus --root dataset/ferplus --split test
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal


@dataclass
class EvaluateConfig:
    """Score a trained model on one split of a data set."""

    model: Path = Path("models/emotion_net")
    """Folder of the model, or a bare state_dict together with --arch."""
    data: Literal["affectnet8", "ferplus", "sample"] = "sample"
    """Which data set."""
    root: Path = Path("dataset")
    """Where the data set is."""
    split: str | None = None
    """Which part: train, val or test; by default FER+'s test, the others' val (they have no test).
    held-out is the tenth of the others' train that fer.train chooses the epoch on."""
    labels: Literal["majority", "argmax"] = "majority"
    """FER+ only: the official protocol's labels, or the top vote of every face."""
    arch: str | None = None
    """Architecture of a bare state_dict."""
    flip: bool | None = None
    """Average each face with its mirror image; by default as the model's card says."""
    prior: Literal["chosen", "training", "uniform"] = "chosen"
    """Expect emotions as often as in training, all equally often, or in between as the model's card says."""
    untrained: bool = False
    """Score the same architecture with random weights, for reference."""
    limit: int | None = None
    """Score only so many faces, every emotion among them."""
    on_error: Literal["raise", "skip"] = "raise"
    """AffectNet8 only: stop at faces that cannot be used, or leave them out and say how many."""
    batch_size: int = 128
    """Faces per forward pass."""
    calibrate: bool = False
    """First fit temperature and prior anew to this split, and write the card. It must be the one that chooses,
    not one that is reported: FER+'s valid, the others' held-out."""
    record: bool = False
    """Write metrics.json and predictions-*.npz into the model's folder."""


if __name__ == "__main__":
    from fer import cli

    cli.run("fer.evaluate", EvaluateConfig)

import json
import sys
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from fer import checkpoint
from fer.datasets.collate import collate
from fer.errors import DataInvalid
from fer.evaluation import valence_arousal
from fer.evaluation.scores import RESAMPLES, Scores, fit_temperature, score
from fer.evaluation.valence_arousal import ValenceArousalScores
from fer.files import check_output_folder, replacing
from fer.interrupt import leave_to_the_main_process
from fer.labels import EMOTIONS
from fer.model import FaceNetwork, build
from fer.probabilities import class_shift, outputs_of, to_probabilities

METRICS = "metrics.json"
STRENGTHS = sorted((round(0.05 * step, 2) for step in range(-20, 21)), key=abs)
"""Weakest first. Below 0 is for networks that were trained on classes made more even than they are."""
PRICE = 0.005
"""Half a point of accuracy."""
_PAIRS = ("valence_arousal", "true_valence_arousal")


@dataclass(frozen=True)
class Predictions:
    """What a network said of each face.

    Attributes:
        names: N unique sample names.
        logits: float32 (N, C), before temperature and prior.
        labels: int64 (N,), the true classes.
        valence_arousal: float16 (N, 2), of a network that tells them.
        true_valence_arousal: float32 (N, 2), NaN where not known; None where the data set has none.
    """

    names: list[str]
    logits: np.ndarray
    labels: np.ndarray
    valence_arousal: np.ndarray | None = None
    true_valence_arousal: np.ndarray | None = None

    def probabilities(self, card: Mapping | None = None, prior: str = "chosen") -> np.ndarray:
        """Return float64 (N, C) after the card's temperature and the chosen prior."""
        card = card or {}
        return to_probabilities(self.logits, card.get("temperature", 1.0), class_shift(card, prior))

    def score(self, card: Mapping | None = None, prior: str = "chosen", resamples: int = RESAMPLES) -> Scores:
        """Return the scores of these predictions; no intervals with 0 ``resamples``."""
        return score(self.probabilities(card, prior), self.labels, resamples)

    def score_valence_arousal(self) -> ValenceArousalScores | None:
        """Return the scores of valence and arousal, where the network and the data set have them."""
        if self.valence_arousal is None:
            return None
        return valence_arousal.score(self.valence_arousal, self.true_valence_arousal)

    @classmethod
    def merge(cls, parts: Sequence["Predictions"], order: Sequence[str]) -> "Predictions":
        """Join the parts of several processes in the order of the data set's names."""
        names = [name for part in parts for name in part.names]
        place = {name: i for i, name in enumerate(names)}
        chosen = [place[name] for name in order]

        def joined(name: str) -> np.ndarray | None:
            values = [getattr(part, name) for part in parts]
            return None if values[0] is None else np.concatenate(values)[chosen]

        return cls(list(order), *map(joined, [field.name for field in fields(cls)][1:]))


def predict(
    model: FaceNetwork,
    dataset: Dataset,
    batch_size: int = 128,
    flip: bool = False,
    workers: int = 0,
    progress: bool = True,
    part: tuple[int, int] = (0, 1),
) -> Predictions:
    """Run a network over a data set, in its order.

    Args:
        model: with its ``preprocess``; its mode is put back afterwards.
        dataset: gives uint8 images of one size; has ``labels`` (N,) and ``keys``.
        batch_size: faces per forward pass.
        flip: average with the mirrored faces.
        workers: processes that read images.
        progress: show a bar.
        part: (rank, world): take every world-th face from rank on.

    Raises:
        DataInvalid: a batch size below 1.

    Warns:
        when the number of faces that came is not ``len(dataset)``.
    """
    if batch_size < 1:
        raise DataInvalid(f"batch_size={batch_size}; expected 1 or more faces per forward pass.")
    mine = range(part[0], len(dataset), part[1])
    device = next(model.parameters()).device
    loader = DataLoader(
        Subset(dataset, mine),
        batch_size,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=leave_to_the_main_process,
    )
    was_training = model.training
    model.eval()
    outputs, told = [], []
    try:
        for images, _ in tqdm(loader, "predicting", leave=False, disable=not progress, delay=1):
            logits, pairs = outputs_of(model, model.preprocess(images.to(device)), flip)
            outputs.append(logits.cpu().numpy())
            told += [] if pairs is None else [pairs.cpu().numpy()]
    finally:
        model.train(was_training)
    logits = np.concatenate(outputs) if outputs else np.zeros((0, len(EMOTIONS)), np.float32)
    if len(logits) != len(mine):
        warnings.warn(f"{len(logits)} faces were predicted, but the data set has {len(mine)}.", stacklevel=2)
    predictions = Predictions([dataset.keys[i] for i in mine], logits, np.asarray(dataset.labels)[list(mine)])
    if not model.valence_arousal:
        return predictions
    true = valence_arousal.known(dataset)
    return replace(
        predictions,
        # As it is recorded, so that anybody can compute the same scores from the file.
        valence_arousal=np.concatenate([np.zeros((0, 2)), *told]).astype(np.float16),
        true_valence_arousal=None if true is None else true[list(mine)],
    )


def calibrate(card: dict, predictions: Predictions) -> dict:
    """Return the card with what is fitted to these predictions; use a validation split.

    ``temperature`` makes confidences right. ``prior_strength`` trades accuracy
    for balanced accuracy: of all strengths that cost at most ``PRICE`` of the
    best accuracy, the one with the best balanced accuracy, the weakest on a tie.
    """
    card = card | {"temperature": round(fit_temperature(predictions.logits, predictions.labels), 4)}
    if not card.get("class_shares"):
        return card
    tried = [card | {"prior_strength": strength} for strength in STRENGTHS]
    scores = [predictions.score(one, resamples=0) for one in tried]
    best = max(one.accuracy for one in scores)
    affordable = [i for i, one in enumerate(scores) if one.accuracy >= best - PRICE]
    return tried[max(affordable, key=lambda i: scores[i].balanced_accuracy)]


def record(
    folder: Path, name: str, predictions: Predictions, card: Mapping, notes: Mapping | None = None
) -> Scores:
    """Write ``predictions-<name>.npz`` and the entry ``<name>`` of metrics.json; return the scores.

    The scores are those of the probabilities as they are written (float16), so
    that anybody can compute them again from the file.
    """
    probabilities = predictions.probabilities(card).astype(np.float16)
    scores = score(probabilities, predictions.labels)
    with replacing(folder / f"predictions-{name}.npz") as temporary:
        np.savez_compressed(
            temporary,
            names=np.array(predictions.names),
            probabilities=probabilities,
            labels=predictions.labels.astype(np.int64),
            **{name: values for name in _PAIRS if (values := getattr(predictions, name)) is not None},
        )
    file = folder / METRICS
    metrics = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    metrics[name] = {**(notes or {}), **scores.to_dict()}
    if (pairs := predictions.score_valence_arousal()) is not None:
        metrics[name]["valence_arousal"] = pairs.to_dict()
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(metrics, indent=1) + "\n", "utf-8")
    return scores


def drop_records(folder: Path) -> None:
    """Remove what ``record`` wrote, because its weights or their calibration are being replaced."""
    for file in (folder / METRICS, *folder.glob("predictions-*.npz")):
        file.unlink(missing_ok=True)


def _differ(before: Mapping, now: Mapping) -> bool:
    """Whether two cards calibrate otherwise, by more than two computers round."""
    warmer = abs(before.get("temperature", 1.0) - now["temperature"]) > 0.001
    return warmer or before.get("prior_strength", 0.0) != now.get("prior_strength", 0.0)


def chosen_on(card: Mapping) -> str:
    """Return the ``--split`` to ``--calibrate`` a model on: the one that chose its epoch."""
    from fer.datasets.finding import CHOSEN_ON, HELD_OUT

    return CHOSEN_ON.get(card.get("train_data"), HELD_OUT)  # releases of AffectNet have names of their own


def main(config: EvaluateConfig) -> None:
    """Score a model as asked, print the table, and write the record when asked."""
    from fer.datasets.finding import CHOSEN_ON, HELD_OUT, chooses, open_held_out, open_split

    if config.record and (config.untrained or config.limit or config.prior != "chosen"):
        raise DataInvalid(
            "--record keeps full results of the trained model only: leave out "
            "--untrained, --limit and --prior, or leave out --record."
        )
    if (config.record or config.calibrate) and not config.model.is_dir():
        raise DataInvalid(
            f"--record and --calibrate write into the model's folder, and {config.model} is none."
        )
    if config.record or config.calibrate:
        check_output_folder("--model", config.model)
    if config.calibrate and (not chooses(config.data, config.split) or config.untrained or config.limit):
        raise DataInvalid(
            f"--calibrate with --data {config.data} needs --split {CHOSEN_ON[config.data]}, whole, and a trained "
            "model: what is fitted to a split that is reported makes the report worthless."
        )
    model, card = checkpoint.load(config.model, config.arch)
    if config.untrained:
        torch.manual_seed(0)
        options = {"num_classes": model.num_classes} | card.get("options", {})
        model = build(card["arch"], preprocess=model.preprocess, **options).eval()
        card = {}
    flip = card.get("flip", False) if config.flip is None else config.flip
    voted = config.data == "ferplus"
    kind = {"labels": config.labels} if voted else {}
    lenient = {"on_error": config.on_error} if config.data == "affectnet8" else {}
    split = config.split or ("test" if voted else "val")
    if split == HELD_OUT and not voted:
        dataset = open_held_out(config.data, config.root, limit=config.limit, **lenient)
    else:
        dataset = open_split(config.data, config.root, split, limit=config.limit, **kind, **lenient)
    predictions = predict(model, dataset, config.batch_size, flip)
    if config.calibrate:
        before, card = card, calibrate(card, predictions)
        checkpoint.write_card(config.model, card)
        if (config.model / METRICS).exists() and _differ(before, card):
            drop_records(config.model)
            print(
                f"The records in {config.model} were made with another calibration and have been removed: "
                "score each split again with --record.",
                file=sys.stderr,
            )
        print(f"temperature {card['temperature']}, prior strength {card.get('prior_strength', 0.0)}")

    name = f"{dataset.name}-{dataset.split}" + ("-argmax" if kind.get("labels") == "argmax" else "")
    print(
        f"{config.model}{' (untrained)' if config.untrained else ''} on {name}, flip {'on' if flip else 'off'}"
    )
    if config.record:
        print(record(config.model, name, predictions, card, {"flip": flip, **kind}))
        print(f"recorded in {config.model / METRICS}", file=sys.stderr)
    else:
        rounded = predictions.probabilities(card, config.prior).astype(np.float16)
        print(score(rounded, predictions.labels))
    if (pairs := predictions.score_valence_arousal()) is not None:
        print(f"\n{pairs}")
