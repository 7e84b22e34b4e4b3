"""What helps the rare emotions of FER+: four ways of going on with models/baseline_cnn, several seeds, scored on Test.

    python -m benchmarks.rare_emotions --root dataset/ferplus

The runs are short: one epoch of 6,000 faces, others with each seed, from the weights that ten epochs of all faces have
made, so that all twelve take a quarter of an hour on a core. What is finished is not repeated: the same command can be
stopped and started. Notebook 06_rare_emotions shows the result.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import record
from fer import cli
from fer.files import replacing

if TYPE_CHECKING:
    from fer.datasets import FERPlus

WAYS = ("none", "class_weights", "balanced_sampling", "logit_adjustment")
"""Values of TrainConfig.imbalance."""
SETTINGS = {
    **{"data": "ferplus", "model": "baseline", "epochs": 1, "batch_size": 32, "lr": 5e-4, "ema": 0.98},
    **{"precision": "bf16", "labels": "majority", "augment": "flip", "flip": False},
}
"""Options of TrainConfig that all runs share."""


@dataclass
class RareOptions:
    """Go on with a trained network in four ways, with every seed, and score it on FER+ Test."""

    root: Path = Path("dataset/ferplus")
    """Where FER+ is."""
    init: Path = Path("models/baseline_cnn")
    """The network to go on with."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each way is trained once with each."""
    faces: int = 6000
    """Training faces of a run, in the proportions of all."""
    runs: Path = Path("outputs/rare_emotions")
    """Folder of what is finished."""
    out: Path = Path(__file__).parent / "results" / "rare_emotions.json"
    """Where the confusion matrices go as JSON."""


def main(options: RareOptions) -> None:
    """Run what is missing and print the recall of each way."""
    import numpy as np

    from fer.checkpoint import load
    from fer.datasets import FERPlus
    from fer.datasets.splits import Subset, representative
    from fer.labels import EMOTIONS
    from fer.training.start import keep_freed_memory

    keep_freed_memory()
    train = FERPlus(options.root, "train", labels="majority")
    test = FERPlus(options.root, "test")
    before = confusion(options, "before", lambda: load(options.init)[0], test)
    settings = {"init": options.init.as_posix(), "faces": options.faces, **SETTINGS}
    counts, runs = np.bincount(train.labels, minlength=len(EMOTIONS)).tolist(), []
    for seed in options.seeds:  # outermost, so that what is stopped has still compared all ways
        part = Subset(train, representative(train.labels, train.keys, options.faces, seed))
        for way in WAYS:
            name = f"{way}-{options.faces}-faces-seed-{seed}"
            found = confusion(
                options, name, lambda way=way, seed=seed, part=part: trained(way, seed, part, options), test
            )
            runs.append({"imbalance": way, "seed": seed, "confusion": found})
            recall = dict(zip(EMOTIONS, np.diag(found) / np.sum(found, 1), strict=True))
            print(way, seed, *(f"{emotion} {value:.2f}" for emotion, value in recall.items()), flush=True)
            record.save(options.out, settings=settings, train_counts=counts, before=before, runs=runs)


def trained(way: str, seed: int, part, options: RareOptions):
    """Return the network after a run."""
    from fer.datasets import FERPlus
    from fer.training import TrainConfig, fit, new_model

    config = TrainConfig(**SETTINGS, root=options.root, init=options.init, seed=seed, imbalance=way)
    model = new_model(config)
    fit(model, part, FERPlus(options.root, "valid", limit=200), config)  # one epoch: nothing is chosen
    return model


def confusion(options: RareOptions, name: str, make, test: FERPlus) -> list[list[int]]:
    """Return the confusion matrix on Test of the network that ``make`` gives, from an earlier call if there was one."""
    from fer.evaluation import predict

    file = options.runs / f"{name}.json"
    if not file.exists():
        counts = predict(make(), test).score(resamples=0).confusion  # as trained: no temperature, no prior
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(counts), "utf-8")
    return json.loads(file.read_text("utf-8"))


if __name__ == "__main__":
    cli.run(main, RareOptions)
