"""Scores and predictions that are kept in a model's folder: written after scoring, read without any data set."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from fer.card import AGAIN, CARD, read_card
from fer.errors import DataMissing, reading
from fer.evaluation.predictions import Predictions
from fer.evaluation.scores import Scores, check_labels, score
from fer.files import replacing
from fer.probabilities import class_shift, to_probabilities
from fer.runtime import ONNX

METRICS = "metrics.json"
PREFERRED = ("ferplus-test", "affectnet8-val", "ferplus-valid")
"""Which recorded predictions to look at first: those on faces that chose neither epoch nor calibration."""


def record(
    folder: Path, name: str, predictions: Predictions, card: Mapping, notes: Mapping | None = None
) -> Scores:
    """Write ``predictions-<name>.npz`` and the entry ``<name>`` of metrics.json; return the scores.

    The scores are those of the probabilities as written (float16), so that anybody can compute them from the file.
    """
    arrays = {
        "names": np.array(predictions.names),
        "probabilities": predictions.probabilities(card).astype(np.float16),
        "labels": predictions.labels.astype(np.int64),
        "valence_arousal": predictions.valence_arousal,
        "true_valence_arousal": predictions.true_valence_arousal,
    }
    present = {key: values for key, values in arrays.items() if values is not None}
    scores = score(present["probabilities"], present["labels"])  # first: it refuses what is not finite
    with replacing(folder / f"predictions-{name}.npz") as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **present)
    metrics = RecordedModel(folder).metrics
    metrics[name] = {**(notes or {}), **asdict(scores)}
    if (valence_arousal := predictions.score_valence_arousal()) is not None:
        metrics[name]["valence_arousal"] = asdict(valence_arousal)
    with replacing(folder / METRICS) as temporary:
        temporary.write_text(json.dumps(metrics, indent=1) + "\n", "utf-8")
    return scores


def drop_derived(folder: Path) -> None:
    """Remove records and exported network, because the weights or their calibration are being replaced."""
    for file in (folder / METRICS, folder / ONNX, *folder.glob("predictions-*.npz")):
        file.unlink(missing_ok=True)


@dataclass(frozen=True)
class RecordedPredictions:
    """Predictions on one split as ``record`` wrote them: not logits, but calibrated and rounded probabilities.

    Attributes:
        names, labels, valence_arousal, true_valence_arousal: as in ``Predictions``.
        probabilities: float64 (N, C), as rounded in the file.
        card: of the model, with the temperature and prior that made the probabilities.
    """

    names: list[str]
    probabilities: np.ndarray
    labels: np.ndarray
    card: dict
    valence_arousal: np.ndarray | None = None
    true_valence_arousal: np.ndarray | None = None

    @property
    def uncalibrated(self) -> np.ndarray:
        """The probabilities without temperature and prior, (N, C).

        Their logarithms are the network's logits over the temperature plus the shift of the prior, up
        to a constant per row. What float16 rounded to 0 counts as its smallest number.
        """
        scaled = np.log(self.probabilities.clip(float(np.finfo(np.float16).smallest_subnormal)))
        shift, temperature = class_shift(self.card, "chosen"), self.card.get("temperature", 1.0)
        return to_probabilities((scaled - shift) * temperature)


@dataclass(frozen=True)
class RecordedModel:
    """The folder of a trained model, read without loading its weights."""

    folder: Path

    @property
    def name(self) -> str:
        """That of the folder."""
        return self.folder.name

    @cached_property
    def card(self) -> dict:
        """As ``fer.card`` reads it."""
        return read_card(self.folder)

    @cached_property
    def metrics(self) -> dict[str, dict]:
        """Recorded scores by data set and split: ``fer.evaluation.scores.Scores`` as dictionaries."""
        file = self.folder / METRICS
        if not file.is_file():
            return {}
        with reading(file, AGAIN):
            found = dict(json.loads(file.read_text("utf-8")))
            for entry in found.values():
                _check_scores(Scores(**{field.name: entry[field.name] for field in fields(Scores)}))
            return found

    @property
    def sets(self) -> list[str]:
        """Data sets and splits with recorded predictions, e.g. ``"ferplus-test"``; preferred ones first."""
        files = self.folder.glob("predictions-*.npz")
        return sorted((file.stem.removeprefix("predictions-") for file in files), key=_rank)

    def predictions(self, name: str) -> RecordedPredictions:
        """Return the recorded predictions on one of ``sets``; raise DataMissing for another name."""
        file = self.folder / f"predictions-{name}.npz"
        if not file.is_file():
            raise DataMissing(
                f"{file} is missing; {self.name} has recorded predictions on: {', '.join(self.sets) or 'nothing'}. "
                f"`python -m fer.evaluate --model {self.folder} --record …` makes them."
            )
        classes = len(self.card["emotions"])
        with reading(file, AGAIN):
            with np.load(file, allow_pickle=False) as stored:
                arrays = dict(stored)
            n = len(arrays["names"])
            shapes = {"names": (n,), "probabilities": (n, classes), "labels": (n,)}
            shapes |= {name: (n, 2) for name in arrays if name.endswith("valence_arousal")}
            found = {name: array.shape for name, array in arrays.items()}
            kinds = "".join(arrays[name].dtype.kind for name in shapes)
            if found != shapes or not kinds.startswith("Ufi"):
                raise ValueError(f"arrays of kinds {kinds} and shapes {found}, expected {shapes}")
            names, probabilities = (
                arrays.pop("names").tolist(),
                arrays.pop("probabilities").astype(np.float64),
            )
            if not ((probabilities >= 0) & (probabilities <= 1)).all():
                raise ValueError("probabilities outside 0 to 1")
            check_labels(arrays["labels"], classes)
            "".join(names).encode("utf-8", "surrogateescape")  # refuses what is no text
            return RecordedPredictions(names, probabilities, card=self.card, **arrays)


def recorded_models(folder: str | Path = "models") -> list[RecordedModel]:
    """Return the models in a folder that have a card and scores, by name; none if there is no such folder."""
    cards = sorted(Path(folder).glob(f"*/{CARD}"))
    return [RecordedModel(card.parent) for card in cards if (card.parent / METRICS).is_file()]


def recorded_model(name: str | Path, folder: str | Path = "models") -> RecordedModel:
    """Return the model ``name`` in ``folder``, or in the folder ``name``; DataMissing if it has no predictions."""
    for path in (Path(folder) / name, Path(name)):
        if (model := RecordedModel(path)).sets:
            return model
    known = ", ".join(model.name for model in recorded_models(folder) if model.sets) or "none"
    raise DataMissing(
        f"No recorded predictions of {str(name)!r} were found; expected a model's folder or one of {folder}: {known}."
    )


def preferred_set(models: Iterable[RecordedModel]) -> str:
    """Return the preferred one of the models' ``sets``; raise DataMissing if they have none."""
    sets = {name for model in models for name in model.sets}
    if not sets:
        raise DataMissing(
            "No model with recorded predictions was found; expected one in models/. `python -m fer.train --data sample "
            "--out outputs/mine` makes one in minutes."
        )
    return min(sets, key=_rank)


def _check_scores(scores: Scores) -> None:
    """Raise ValueError, or what Python does, for scores that cannot be."""
    tables = [scores.intervals, scores.per_class]
    tables += scores.per_class.values() if isinstance(scores.per_class, dict) else []
    if not all(isinstance(table, dict) for table in tables):
        raise ValueError("scores without classes or intervals")
    str(scores)  # needs the count, and the metrics and their intervals
    rates = [vars(scores)[name] for name in scores.intervals]
    intervals = [end for low, high in scores.intervals.values() for end in (low, high)]
    of_class = [row[name] for row in scores.per_class.values() for name in ("precision", "recall", "f1")]
    if scores.n < 1 or not all(0 <= value <= 1 for value in (*rates, *intervals, *of_class)):
        raise ValueError("scores outside 0 to 1")


def _rank(name: str) -> tuple[int, str]:
    return (PREFERRED.index(name) if name in PREFERRED else len(PREFERRED), name)
