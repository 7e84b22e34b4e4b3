"""Average the weights of networks that were fine-tuned from the same one, or store weights in half precision.

    python -m fer.training.averaging soup models/first models/second models/third --out models/soup
    python -m fer.training.averaging halve models/resnet18

Runs that begin at the same trained network and differ in seed, labels or
sampling end on different sides of one valley of the loss, and the point between
them is often better than each (Wortsman et al. 2022, arXiv:2203.05482). Half
precision makes half the file, with scores that differ in the last digit.
"""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from fer import cli
from fer.errors import DataInvalid
from fer.files import check_output_folder

COMMON = ("arch", "emotions", "preprocess", "options", "crop_margins", "flip", "train_data")
"""Entries that must be alike in all cards."""
OF_EACH = {"config", "train_size", "class_shares", "epoch", "seconds", "device", "date", "git", "versions"}
OF_EACH |= {"weights_sha256", "teachers", "averaged"}
"""Entries of each card that the new one keeps."""


@dataclass(frozen=True)
class Soup:
    """Average weights and batch statistics of trained models that began at the same one."""

    models: Positional[tuple[Path, ...]]
    """Folders of the models, two or more."""
    out: Path
    """Folder of the new model."""
    overwrite: bool = False
    """Replace the model in --out."""

    def run(self) -> None:
        """Write the mean of the models, and print how to calibrate and record it.

        Raises:
            DataInvalid: fewer than two, the same twice, or models that differ in more
                than how they were fine-tuned; or ``out`` is in use.
            DataMissing: as ``fer.checkpoint.load``.
        """
        check_output_folder("--out", self.out)
        import numpy as np
        import torch

        from fer import checkpoint
        from fer.card import provenance
        from fer.evaluation.recorded import drop_derived
        from fer.training.export import complete
        from fer.training.state import HISTORY, STATE, check_unused

        if not self.overwrite:
            check_unused(self.out)
        loaded = [checkpoint.load(folder) for folder in self.models]
        cards = [card for _, card in loaded]
        different = len({card["weights_sha256"] for card in cards})
        if different < max(2, len(cards)):
            raise DataInvalid(
                f"Found {len(cards)} models, {different} of them different; expected two or more, each once."
            )
        for key in COMMON:
            found = [card.get(key) for card in cards]
            if any(value != found[0] for value in found):
                raise DataInvalid(
                    f"The models differ in {key}: {found}. Average models that were fine-tuned from the same one."
                )
        begun = {(card.get("started_from") or {}).get("weights_sha256") for card in cards}
        if None in begun or len(begun) > 1:
            raise DataInvalid(
                "The models did not begin at the same trained network (fer.train --init): the mean of unrelated "
                "weights is noise."
            )
        card = {key: cards[0][key] for key in COMMON if key in cards[0]} | {
            "temperature": 1.0,
            "train_size": max(card["train_size"] for card in cards),
            "class_shares": np.mean([card["class_shares"] for card in cards], 0).round(6).tolist(),
            "seconds": sum(card["seconds"] for card in cards),
            "averaged": [{key: card[key] for key in card if key in OF_EACH} for card in cards],
            "started_from": cards[0]["started_from"],
            **provenance(),
        }
        model, mean = loaded[0][0], {}
        for name, tensor in model.state_dict().items():
            values = [other.state_dict()[name].double() for other, _ in loaded]
            mean[name] = torch.stack(values).mean(0).to(tensor.dtype)
        model.load_state_dict(mean)
        drop_derived(self.out)
        for name in (STATE, HISTORY):
            (self.out / name).unlink(missing_ok=True)
        checkpoint.save(self.out, model, card)
        complete(self.out)
        print(f"{self.out}: the mean of {len(cards)} models. {_next(self.out, card)}")


@dataclass(frozen=True)
class Halve:
    """Store a model's weights as float16. Its records are removed, because they are of other weights."""

    model: Positional[Path]
    """Folder of the model."""

    def run(self) -> None:
        """Rewrite the weights, remove the records, and print how to make them again."""
        check_output_folder("MODEL", self.model)
        from fer import checkpoint
        from fer.evaluation.recorded import drop_derived
        from fer.training.export import complete
        from fer.training.state import STATE

        if (self.model / STATE).exists():
            raise DataInvalid(f"{self.model} holds an unfinished run: finish it first, with --resume.")
        model, card = checkpoint.load(self.model)
        checkpoint.save(self.model, model, card, half=True)
        drop_derived(self.model)
        complete(self.model)
        print(f"{self.model}: stored in half precision. {_next(self.model, card)}")


def _next(model: Path, card: dict) -> str:
    from fer.evaluation.calibration import calibration_split

    script = f"python -m fer.evaluate --model {model} --split {calibration_split(card)} --calibrate --record"
    return f"Calibrate and record it: {script}, with --data and --root"


def main(command: Soup | Halve) -> None:
    """Run one of the commands."""
    command.run()


if __name__ == "__main__":
    cli.run(main, Soup | Halve)
