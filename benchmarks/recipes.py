"""Compare training recipes for EmotionNet on FER+ Valid: one thing changed at a time, several seeds.

python -m benchmarks.recipes --recipes base majority_labels --seeds 0 1 2 --epochs 30
python -m benchmarks.recipes --init models/emotion_net --epochs 1

The first trains from random weights and takes days on two cores; the second
goes on with a trained network, as the last runs of models/TRAINING.md did, and
shows which way each recipe pulls it.

A run is a folder of ``python -m fer.train``; finished ones are not repeated and
a broken one is gone on with, so the same command can be stopped and started.
Test is never opened here.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer import cli
from fer.errors import DataInvalid
from fer.files import replacing

SHARED = {
    **{"data": "ferplus", "model": "emotion_net", "batch_size": 128, "precision": "bf16"},
    **{"metric": "accuracy", "optimizer": "sgd", "weight_decay": 5e-4, "labels": "soft", "ema": 0.998},
    **{"mix": "none", "label_smoothing": 0.0, "imbalance": "none", "start_size": None},
}

FROM_SCRATCH = SHARED | {
    **{"lr": 0.1, "schedule": "one_cycle", "warmup": 0.2, "start_size": 32},
    **{"augment": "strong", "mix": "mixup", "label_smoothing": 0.05},
}
"""The first, long run of models/TRAINING.md."""

FROM_TRAINED = SHARED | {
    **{"lr": 0.02, "schedule": "cosine", "warmup": 0.05},
    **{"augment": "light", "imbalance": "square_root_sampling"},
}
"""Its sixth run, without the teachers."""

RECIPES = {
    "base": {},
    "majority_labels": {"labels": "majority"},
    "argmax_labels": {"labels": "argmax"},
    "light_augmentation": {"augment": "light"},
    "strong_augmentation": {"augment": "strong"},
    "mixup": {"mix": "mixup"},
    "no_mixing": {"mix": "none"},
    "cutmix_too": {"mix": "both"},
    "no_smoothing": {"label_smoothing": 0.0},
    "no_ema": {"ema": 0.0},
    "full_size_throughout": {"start_size": None},
    "adamw": {"optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.05},
    "all_faces_alike": {"imbalance": "none"},
    "balanced_sampling": {"imbalance": "balanced_sampling"},
    "square_root_sampling": {"imbalance": "square_root_sampling"},
    "logit_adjustment": {"imbalance": "logit_adjustment"},
}
"""Name to what differs from ``FROM_SCRATCH`` or ``FROM_TRAINED``; what differs in nothing is not run."""


@dataclass
class RecipesOptions:
    """Train every recipe with every seed and print their validation scores."""

    root: Path = Path("dataset/ferplus")
    """Where FER+ is."""
    init: Path | None = None
    """Go on from the weights of this trained EmotionNet instead of random ones."""
    recipes: tuple[str, ...] = tuple(RECIPES)
    """Which ones."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each recipe is trained once with each."""
    epochs: int = 30
    """Passes over the training faces, the same for all."""
    size: int = 48
    """Side of the input; 32 halves the time of a quick look."""
    limit: int | None = None
    """Use at most this many faces of each split."""
    runs: Path = Path("outputs/recipes")
    """Folder of the runs."""
    out: Path = Path(__file__).parent / "results" / "recipes.json"
    """Where the table goes as JSON."""


SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "ece")


def main(options: RecipesOptions) -> None:
    """Run what is missing and print the table."""
    unknown = set(options.recipes) - set(RECIPES)
    if unknown:
        raise DataInvalid(f"No recipe is called {', '.join(sorted(unknown))}; expected {', '.join(RECIPES)}.")
    base = FROM_TRAINED | {"init": options.init} if options.init else FROM_SCRATCH
    settings = {"epochs": options.epochs, "size": options.size, "limit": options.limit, "base": base}
    differing = [name for name in options.recipes if name == "base" or base | RECIPES[name] != base]
    rows = []
    for seed in options.seeds:  # outermost, so that a search that is stopped has still compared all recipes
        for name in differing:
            scores = run(name, seed, base, options)
            rows.append({"recipe": name, "seed": seed, **{key: scores[key] for key in SCORES}})
            print(table(rows), flush=True)
            with replacing(options.out) as temporary:
                temporary.write_text(
                    json.dumps(settings | {"runs": rows}, indent=1, default=str) + "\n", "utf-8"
                )


def run(name: str, seed: int, base: dict, options: RecipesOptions) -> dict:
    """Return the validation scores of one run, training what is left of it; ``base`` are TrainConfig's options."""
    from fer import train
    from fer.evaluation.recorded import METRICS
    from fer.training import TrainConfig
    from fer.training.state import STATE

    faces = "all" if options.limit is None else options.limit
    start = f"from-{options.init.name}-" if options.init else ""
    out = options.runs / f"{start}{name}-{options.size}px-{faces}-faces-{options.epochs}-epochs-seed-{seed}"
    if (out / STATE).exists() or not (out / METRICS).exists():
        changed = base | RECIPES[name]
        if changed["start_size"] and changed["start_size"] >= options.size:
            changed["start_size"] = None
        config = TrainConfig(
            **changed,
            **{"root": options.root, "out": out, "epochs": options.epochs, "size": options.size},
            **{"seed": seed, "limit": options.limit, "resume": (out / STATE).exists()},
            overwrite=True,  # of a run that was broken before its first state
        )
        train.main(config)
    return json.loads((out / METRICS).read_text("utf-8"))["ferplus-valid"]


def table(rows: list[dict]) -> str:
    """Return mean and, over several seeds, standard deviation of each score in percent, a row per recipe."""
    import pandas as pd

    frame = pd.DataFrame(rows).groupby("recipe", sort=False)[list(SCORES)]
    mean, spread = frame.mean() * 100, frame.std() * 100
    shown = mean.map("{:.1f}".format) + spread.map(lambda s: "" if np.isnan(s) else f" ± {s:.1f}")
    return shown.assign(seeds=frame.size()).to_string()


if __name__ == "__main__":
    cli.run(main, RecipesOptions)
