"""Store a trained model's weights in half precision: half the file, scores that differ in the last digit.

python -m fer.halve models/resnet18
"""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass
class HalveOptions:
    """Store a model's weights as float16. Its records go, because they are of other weights."""

    model: tyro.conf.Positional[Path]
    """Folder of the model."""


if __name__ == "__main__":
    from fer import cli

    cli.run("fer.halve", HalveOptions)

from fer import checkpoint
from fer.errors import DataInvalid
from fer.evaluation.calibration import calibration_split
from fer.evaluation.recorded import drop_records
from fer.training.loop import STATE


def main(options: HalveOptions) -> None:
    """Rewrite the weights, take the records away, and say how to make them again."""
    folder = options.model
    if (folder / STATE).exists():
        raise DataInvalid(f"{folder} holds an unfinished run ({STATE}): finish it first, with --resume.")
    model, card = checkpoint.load(folder)
    before = (folder / checkpoint.WEIGHTS).stat().st_size
    checkpoint.save(folder, model, card, half=True)
    drop_records(folder)
    after = (folder / checkpoint.WEIGHTS).stat().st_size
    print(
        f"{folder / checkpoint.WEIGHTS}: {before / 1e6:.1f} MB -> {after / 1e6:.1f} MB. Make its records again: "
        f"python -m fer.evaluate with --record, first with --split {calibration_split(card)} --calibrate."
    )
