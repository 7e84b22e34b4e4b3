"""From photo to label: how often the whole chain (find, crop, classify) classifies photos correctly.

python -m benchmarks.whole_chain --photos DIR --labels DIR/labels.csv --model models/emotion_net

The table of labels has the columns image (below --photos) and emotion. In a
photo with several boxes the largest counts, as in ``python -m fer.predict``.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from fer import cli
from fer.errors import DataInvalid, DataMissing
from fer.files import replacing
from fer.labels import EMOTIONS, index
from fer.photos.listing import File


@dataclass
class ChainOptions:
    """Score a model on photos, with its own detection."""

    photos: Path
    """Folder of photos."""
    labels: Path
    """CSV with the columns image and emotion."""
    model: Path | None = None
    """Folder of a trained model. By default models/emotion_net, or models/baseline_cnn where that is missing."""
    detector: Literal["thorough", "fast"] = "thorough"
    """As for photos in fer.predict, or as in the live demos."""
    prior: Literal["chosen", "training", "uniform"] = "chosen"
    """Expect emotions as often as in training, all equally often, or in between as in the model's card."""
    crop_margins: tuple[float, ...] = ()
    """How much wider than the detected box faces are cut; by default as in the model's card."""
    out: Path | None = None
    """Where the numbers go; by default benchmarks/results/whole_chain-MODEL.json."""


FREQUENT = ("neutral", "happiness", "sadness", "surprise", "anger")
"""Emotions with enough photos for a recall of their own."""


def main(options: ChainOptions) -> None:
    """Print the table and write the JSON."""
    from fer.photos.bulk import analyse
    from fer.predictor import EmotionPredictor, default_model

    model = options.model or default_model()
    truths = read_labels(options.labels)
    files = [File(options.photos / name, Path(name)) for name in truths]
    missing = [file.path for file in files if not file.path.is_file()]
    if missing:
        raise DataMissing(
            f"{len(missing)} photos of {options.labels} are not there, the first is {missing[0]}. "
            "Does --photos name their folder?"
        )
    predictor = EmotionPredictor(model, detector=options.detector, prior=options.prior)
    predictor.margins = options.crop_margins or predictor.margins
    pictures = list(tqdm(analyse(files, predictor), total=len(files), disable=None))
    broken = [picture.error for picture in pictures if picture.error]
    if broken:
        raise DataInvalid(f"{len(broken)} photos cannot be read; first: {broken[0]}")
    named = np.array([int(p.faces[0].probabilities.argmax()) if p.faces else -1 for p in pictures])
    confidence = np.array([p.faces[0].confidence if p.faces else np.nan for p in pictures])
    true, found = np.array(list(truths.values())), named >= 0
    frequent = found & np.isin(true, [EMOTIONS.index(name) for name in FREQUENT])
    result = {
        "model": model.name,
        "detector": options.detector,
        "prior": options.prior,
        "crop_margins": list(predictor.margins),
        "mean_confidence": _mean(confidence[found]),
        "frequent": {
            "mean_confidence": _mean(confidence[frequent]),
            "accuracy": _mean((named == true)[frequent]),
        },
        **score(true, named),
    }
    print(table(result))
    out = options.out or Path(__file__).parent / "results" / f"whole_chain-{model.name}.json"
    with replacing(out) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")


def read_labels(path: Path) -> dict[str, int]:
    """Return the class index of each photo's name.

    Raises:
        DataMissing: there is no such table.
        DataInvalid: a column is missing, or an emotion is unknown.
    """
    if not path.is_file():
        raise DataMissing(f"There is no table {path}; --labels names a CSV with the columns image, emotion.")
    with path.open(newline="", encoding="utf-8") as table:
        reader = csv.DictReader(table)
        if not {"image", "emotion"} <= set(reader.fieldnames or ()):
            raise DataInvalid(f"{path} has the columns {reader.fieldnames}; expected image, emotion.")
        try:
            return {row["image"]: index(row["emotion"]) for row in reader}
        except ValueError as error:
            raise DataInvalid(f"{path}: {error}") from error


def score(truths: np.ndarray, named: np.ndarray) -> dict:
    """Score class indices (N,) against the true ones; -1 stands for a photo in which no face was found."""
    found = named >= 0
    recalls = {
        name: {
            "n": int((truths == k).sum()),
            "where_found": _mean(named[(truths == k) & found] == k),
            "of_all": _mean(named[truths == k] == k),
        }
        for k, name in enumerate(EMOTIONS)
        if (truths == k).any()
    }
    return {
        "n": len(truths),
        "without_face": _mean(~found),
        **{
            way: {
                "accuracy": _mean(hits),
                "balanced": float(np.mean([recalls[name][way] for name in FREQUENT if name in recalls])),
            }
            for way, hits in (
                ("where_found", named[found] == truths[found]),
                ("of_all", named == truths),
            )
        },
        "recall": recalls,
    }


def _mean(hits: np.ndarray) -> float:
    return float(hits.mean()) if len(hits) else 0.0


def table(result: dict) -> str:
    """Return the numbers as a Markdown table."""
    found, every = result["where_found"], result["of_all"]
    lines = [
        f"{result['model']}, {result['detector']} detection: {result['n']} photos, "
        f"no face found in {result['without_face']:.1%}",
        "",
        "| | n | where a face was found | of all photos (a missed face is a mistake) |",
        "|---|---|---|---|",
        f"| accuracy | {result['n']} | {found['accuracy']:.3f} | {every['accuracy']:.3f} |",
        f"| mean confidence | | {result['mean_confidence']:.3f} | |",
        f"| balanced over {', '.join(FREQUENT)} | | {found['balanced']:.3f} | {every['balanced']:.3f} |",
        f"| accuracy over these | | {result['frequent']['accuracy']:.3f} | |",
        f"| mean confidence over these | | {result['frequent']['mean_confidence']:.3f} | |",
    ]
    for name, recall in result["recall"].items():
        lines.append(
            f"| recall of {name} | {recall['n']} | {recall['where_found']:.3f} | {recall['of_all']:.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, ChainOptions)
