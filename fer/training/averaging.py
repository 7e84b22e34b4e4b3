"""Average the weights of networks that were fine-tuned from the same one, or store weights in half precision.

    python -m fer.training.averaging soup models/first models/second models/third --out models/soup
    python -m fer.training.averaging halve models/resnet18

Runs that begin at the same trained network and differ in seed, labels or
sampling end on different sides of one valley of the loss, and the point between
them is often better than each, at the cost of one (Wortsman et al. 2022,
arXiv:2203.05482). Half precision makes half the file, with scores that differ in
the last digit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from fer import cli
from fer.errors import DataInvalid

COMMON = ("arch", "emotions", "preprocess", "options", "crop_margin", "flip", "train_data")
"""Entries that must be alike in all cards."""
OF_EACH = {"config", "train_size", "class_shares", "epoch", "seconds", "device", "date", "git", "versions"}
LINKS = {"weights_sha256", "teachers", "averaged"}
"""Entries of each card that the new one keeps."""
NEXT = "python -m fer.evaluate --model {model} --split {split} --calibrate --record, with --data and --root"


@dataclass(frozen=True)
class Soup:
    """Average the weights of trained models that began at the same one."""

    models: Positional[tuple[Path, ...]]
    """Folders of the models, two or more."""
    out: Path
    """Folder of the new model."""
    overwrite: bool = False
    """Replace the model in --out."""

    def run(self) -> None:
        """Write the mean of the models, and print how to calibrate and record it."""
        from fer.evaluation.calibration import calibration_split
        from fer.training.state import trained_in

        if not self.overwrite and (found := trained_in(self.out)):
            raise DataInvalid(f"{self.out} already holds {found}. Choose another --out, or add --overwrite.")
        card = soup(self.models, self.out)
        how = NEXT.format(model=self.out, split=calibration_split(card))
        print(f"{self.out}: the mean of {len(self.models)} models. Fit its temperature and prior: {how}")


@dataclass(frozen=True)
class Halve:
    """Store a model's weights as float16. Its records are removed, because they are of other weights."""

    model: Positional[Path]
    """Folder of the model."""

    def run(self) -> None:
        """Rewrite the weights, remove the records, and print how to make them again."""
        from fer import checkpoint
        from fer.evaluation.calibration import calibration_split
        from fer.evaluation.recorded import drop_records
        from fer.training.state import STATE

        if (self.model / STATE).exists():
            raise DataInvalid(
                f"{self.model} holds an unfinished run ({STATE}): finish it first, with --resume."
            )
        model, card = checkpoint.load(self.model)
        file = self.model / checkpoint.WEIGHTS
        before = file.stat().st_size
        checkpoint.save(self.model, model, card, half=True)
        drop_records(self.model)
        sizes = f"{before / 1e6:.1f} MB -> {file.stat().st_size / 1e6:.1f} MB"
        how = NEXT.format(model=self.model, split=calibration_split(card))
        print(f"{file}: {sizes}. Make its records again: {how}")


def soup(folders: Sequence[Path], out: Path) -> dict:
    """Write a model whose weights and batch statistics are the mean of the others'; return its card.

    The card has no temperature and prior strength: fit them to validation data.

    Args:
        folders: of two or more trained models that began at the same network.
        out: folder of the new model; records and state of another one in it are removed.

    Raises:
        DataInvalid: fewer than two, the same twice, or models that differ in more
            than how they were fine-tuned.
        DataMissing: as ``fer.checkpoint.load``.
    """
    import numpy as np
    import torch

    from fer import checkpoint
    from fer.evaluation.recorded import drop_records
    from fer.training.history import HISTORY
    from fer.training.state import STATE

    if len(folders) < 2:
        raise DataInvalid(f"Found {len(folders)} model; expected two or more to average.")
    loaded = [checkpoint.load(folder) for folder in folders]
    cards = [card for _, card in loaded]
    lineages = [_lineage(card) for card in cards]
    for folder, card, lineage in zip(folders, cards, lineages, strict=True):
        for key in COMMON:
            if card.get(key) != cards[0].get(key):
                raise DataInvalid(
                    f"{folder} and {folders[0]} differ in {key} ({card.get(key)}, {cards[0].get(key)}). "
                    "Average models that were fine-tuned from the same one."
                )
        if not set(lineage) & set(lineages[0]):
            raise DataInvalid(
                f"{folder} and {folders[0]} did not begin at the same trained network (fer.train --init): "
                "the mean of unrelated weights is noise."
            )
    if len({card["weights_sha256"] for card in cards}) < len(cards):
        raise DataInvalid("The same weights were given twice; expected different models.")
    # Lineages are chains, so that all meet where two of them do.
    nearest = next(sha for sha in lineages[0] if all(sha in lineage for lineage in lineages))
    trained = [card for card in cards if card["weights_sha256"] != nearest]
    card = {key: cards[0][key] for key in COMMON if key in cards[0]} | {
        "temperature": 1.0,
        "train_size": max(card["train_size"] for card in cards),
        "class_shares": np.mean([card["class_shares"] for card in cards], 0).round(6).tolist(),
        "seconds": sum(card["seconds"] for card in trained),
        "averaged": [
            {key: value for key, value in card.items() if key in OF_EACH | LINKS} for card in trained
        ],
        "averaged_with_the_start": len(trained) < len(cards),
        "started_from": lineages[0][nearest],
        **checkpoint.provenance(),
    }
    model, mean = loaded[0][0], {}
    for name, tensor in model.state_dict().items():
        values = [other.state_dict()[name].double() for other, _ in loaded]
        mean[name] = torch.stack(values).mean(0).to(tensor.dtype)
    model.load_state_dict(mean)
    drop_records(out)
    for name in (STATE, HISTORY):
        (out / name).unlink(missing_ok=True)
    checkpoint.save(out, model, card)
    return card


def _lineage(card: dict) -> dict[str, dict]:
    """Return the cards of a model and of those that it began at, nearest first, by the hash of their weights."""
    older = card.get("started_from")
    return {card["weights_sha256"]: card} | (_lineage(older) if older else {})


Command = Soup | Halve


def main(command: Command) -> None:
    """Run one of the commands."""
    command.run()


if __name__ == "__main__":
    cli.run(main, Command)
