"""Predict one split of a data set, score the predictions, and record both beside the model.

python -m fer.evaluate --model models/emotion_net --data ferplus --root dataset/ferplus --split test
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from fer import cli
from fer.errors import DataInvalid, UsageError
from fer.files import check_output_folder


@dataclass
class EvaluateConfig:
    """Score a trained model on one split of a data set."""

    model: Path = Path("models/emotion_net")
    """Folder of the model, or a bare state_dict together with --arch."""
    data: Literal["affectnet8", "ferplus", "sample"] = "sample"
    """Which data set."""
    root: Path = Path("dataset")
    """Where the data set is."""
    split: Annotated[str | None, arg(metavar="NAME")] = None
    """train, val or test; by default test of FER+, val of AffectNet8 and the sample, which have no test.
    held-out is the tenth of their train that fer.train chooses the epoch on."""
    labels: Literal["majority", "argmax"] = "majority"
    """FER+ only: the official protocol's labels, or the top vote of every face."""
    arch: Annotated[str | None, arg(metavar="NAME")] = None
    """Architecture of a bare state_dict."""
    flip: bool | None = None
    """Average each face with its mirror image; by default as the model's card says."""
    prior: Literal["chosen", "training", "uniform"] = "chosen"
    """Class prior: that of training, a uniform one, or the one in between that the model's card gives."""
    untrained: bool = False
    """Score the same architecture with random weights, for reference."""
    limit: int | None = None
    """Score at most N faces, every emotion among them."""
    on_error: Literal["raise", "skip"] = "raise"
    """AffectNet8 only: stop at faces that cannot be used, or leave them out and print their number."""
    batch_size: int = 128
    """Faces per forward pass."""
    calibrate: bool = False
    """First fit temperatures and prior anew to this split, and write the card. It must be the split that chose the
    epoch, not one that is reported: valid of FER+, held-out of AffectNet8 and the sample. Records of the earlier
    calibration are removed from the folder."""
    record: bool = False
    """Write metrics.json and predictions-*.npz into the model's folder."""

    def check(self) -> None:
        """Raise UsageError for options that contradict each other; DataInvalid for an unwritable folder."""
        from fer.datasets.finding import CHOSEN_ON, chooses

        if self.record and (self.untrained or self.limit or self.prior != "chosen"):
            raise UsageError(
                "--record keeps full results of the trained model only: leave out --untrained, --limit and --prior."
            )
        if self.record or self.calibrate:
            if not self.model.is_dir():
                raise DataInvalid(
                    f"--record and --calibrate write into the model's folder; {self.model} is none."
                )
            check_output_folder("--model", self.model)
        if self.calibrate and (not chooses(self.data, self.split) or self.untrained or self.limit):
            raise UsageError(
                f"--calibrate with --data {self.data} needs --split {CHOSEN_ON[self.data]}, all of it, and a trained "
                "model: what is fitted to a split that is reported makes the report worthless."
            )


def main(config: EvaluateConfig) -> None:
    """Print the scores of a model, and record them when asked."""
    import numpy as np
    import torch

    from fer import checkpoint
    from fer.card import write_card
    from fer.datasets.finding import open_split
    from fer.evaluation.calibration import calibrate
    from fer.evaluation.predictions import predict
    from fer.evaluation.recorded import METRICS, drop_derived, record
    from fer.evaluation.scores import score
    from fer.model import build
    from fer.training.degrade import predict_degraded
    from fer.training.export import complete

    config.check()
    model, card = checkpoint.load(config.model, config.arch)
    if config.untrained:
        torch.manual_seed(0)
        model = build(model.arch, model.num_classes, model.preprocess, **model.options).eval()
        card = {}
    flip = card.get("flip", False) if config.flip is None else config.flip
    labels = {"labels": config.labels} if config.data == "ferplus" else {}
    options = labels | ({"on_error": config.on_error} if config.data == "affectnet8" else {})
    split = config.split or ("test" if config.data == "ferplus" else "val")
    dataset = open_split(config.data, config.root, split, limit=config.limit, **options)
    predictions = predict(model, dataset, config.batch_size, flip)
    if config.calibrate:
        card = calibrate(card, predictions, predict_degraded(model, dataset, flip))
        write_card(config.model, card)
        if (config.model / METRICS).exists():
            note = f"The records in {config.model} have been removed: score each split again with --record."
            print(note, file=sys.stderr)
        drop_derived(config.model)
        complete(config.model)  # its metadata repeat the calibration
        print(
            f"temperature {card['temperature']}, of photos and demos {card['temperature_degraded']}, "
            f"prior strength {card.get('prior_strength', 0.0)}"
        )

    name = f"{dataset.name}-{dataset.split}" + ("-argmax" if labels.get("labels") == "argmax" else "")
    print(f"{config.model}{' (untrained)' * config.untrained} on {name}, flip {'on' if flip else 'off'}")
    if config.record:
        print(record(config.model, name, predictions, card, {"flip": flip, **labels}))
        print(f"recorded in {config.model / METRICS}", file=sys.stderr)
    else:
        rounded = predictions.probabilities(card, config.prior).astype(np.float16)
        print(score(rounded, predictions.labels))
    if (valence_arousal := predictions.score_valence_arousal()) is not None:
        print(f"\n{valence_arousal}")


if __name__ == "__main__":
    cli.run(main, EvaluateConfig)
