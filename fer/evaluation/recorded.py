"""Scores and predictions that are kept in a model's folder: written after scoring, read without any data set."""

import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fer import checkpoint
from fer.errors import DataInvalid, DataMissing
from fer.evaluation.predictions import Predictions
from fer.evaluation.scores import Scores, score
from fer.files import replacing
from fer.probabilities import class_shift, to_probabilities

METRICS = "metrics.json"
PREFERRED = ("ferplus-test", "affectnet8-val", "ferplus-valid")
"""Which recorded predictions to look at first: those on faces that chose nothing."""


def record(
    folder: Path, name: str, predictions: Predictions, card: Mapping, notes: Mapping | None = None
) -> Scores:
    """Write ``predictions-<name>.npz`` and the entry ``<name>`` of metrics.json; return the scores.

    The scores are those of the probabilities as they are written (float16), so
    that anybody can compute them again from the file.
    """
    arrays = {
        "names": np.array(predictions.names),
        "probabilities": predictions.probabilities(card).astype(np.float16),
        "labels": predictions.labels.astype(np.int64),
        "valence_arousal": predictions.valence_arousal,
        "true_valence_arousal": predictions.true_valence_arousal,
    }
    with replacing(folder / f"predictions-{name}.npz") as temporary:
        np.savez_compressed(temporary, **{key: array for key, array in arrays.items() if array is not None})
    scores = score(arrays["probabilities"], arrays["labels"])
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


@dataclass(frozen=True)
class RecordedPredictions:
    """What a model said of each face of one split.

    Attributes:
        names: N unique sample names.
        probabilities: float64 (N, C), calibrated, as rounded in the file.
        labels: int64 (N,), the true classes.
        temperature: what the network's outputs were divided by.
        shift: what was added after that for the prior, see ``fer.probabilities.class_shift``.
        valence_arousal: float16 (N, 2), of a network that tells them.
        true_valence_arousal: float32 (N, 2), NaN where not known; None where the data set has none.
    """

    names: list[str]
    probabilities: np.ndarray
    labels: np.ndarray
    temperature: float = 1.0
    shift: np.ndarray | float = 0.0
    valence_arousal: np.ndarray | None = None
    true_valence_arousal: np.ndarray | None = None

    @property
    def uncalibrated(self) -> np.ndarray:
        """The probabilities without temperature and prior, (N, C).

        Their logarithms are the network's outputs over the temperature plus
        the shift, up to a constant a row. What float16 rounded to 0 is taken for its smallest number.
        """
        logits = np.log(self.probabilities.clip(float(np.finfo(np.float16).smallest_subnormal)))
        return to_probabilities((logits - self.shift) * self.temperature)


@dataclass(frozen=True)
class RecordedModel:
    """The folder of a trained model, read without loading its weights."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def card(self) -> dict:
        """How it was trained and what it needs: see ``fer.checkpoint``."""
        return checkpoint.read_card(self.folder)

    @cached_property
    def metrics(self) -> dict[str, dict]:
        """Recorded scores by data set and split, as ``fer.evaluation.scores.Scores.to_dict`` wrote them."""
        file = self.folder / METRICS
        return json.loads(file.read_text("utf-8")) if file.is_file() else {}

    @property
    def sets(self) -> list[str]:
        """Sets and splits whose predictions are recorded, e.g. ``"ferplus-test"``; preferred ones first."""
        files = self.folder.glob("predictions-*.npz")
        return sorted((file.stem.removeprefix("predictions-") for file in files), key=_rank)

    def predictions(self, name: str) -> RecordedPredictions:
        """Return the recorded predictions on one of ``sets``.

        Raises:
            DataMissing: there are none.
            DataInvalid: the file is damaged.
        """
        file = self.folder / f"predictions-{name}.npz"
        if not file.is_file():
            raise DataMissing(
                f"{file} is missing; {self.name} has recorded predictions on: {', '.join(self.sets) or 'nothing'}. "
                f"`python -m fer.evaluate --model models/{self.name} --record …` makes them."
            )
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return RecordedPredictions(
                    arrays["names"].tolist(),
                    arrays["probabilities"].astype(np.float64),
                    arrays["labels"],
                    self.card.get("temperature", 1.0),
                    class_shift(self.card, "chosen"),
                    arrays.get("valence_arousal"),
                    arrays.get("true_valence_arousal"),
                )
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataInvalid(
                f"{file} is damaged ({error}). Take the model from its source again."
            ) from error


def recorded_models(folder: str | Path = "models") -> list[RecordedModel]:
    """Return the models in a folder that have weights, scores and a card, by name; none if there is no such folder."""
    cards = sorted(Path(folder).glob(f"*/{checkpoint.CARD}"))
    return [RecordedModel(card.parent) for card in cards if (card.parent / METRICS).is_file()]


def preferred_set(models: Iterable[RecordedModel]) -> str:
    """Return the set and split to look at, of those on which any of the models has recorded predictions.

    Raises:
        DataMissing: there are none.
    """
    sets = {name for model in models for name in model.sets}
    if not sets:
        raise DataMissing(
            "No model with recorded predictions was found. `python -m fer.train --data sample --out models/mine` "
            "makes one in minutes; models/README.md says how the shipped ones were made."
        )
    return min(sets, key=_rank)


def _rank(name: str) -> tuple[int, str]:
    return (PREFERRED.index(name) if name in PREFERRED else len(PREFERRED), name)
