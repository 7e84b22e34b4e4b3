"""Average the weights of networks that were fine-tuned from the same one: their ensemble at the cost of one.

python -m fer.training.averaging models/first models/second models/third --out models/soup

Runs that begin at the same trained network and differ in seed, labels or
sampling end on different sides of one valley of the loss, and the point between
them is often better than each (Wortsman et al. 2022, arXiv:2203.05482).
"""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass
class SoupOptions:
    """Average the weights of trained models that began at the same one."""

    models: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of the models, two or more."""
    out: Path
    """Folder of the new model."""
    overwrite: bool = False
    """Replace the model that --out holds."""


if __name__ == "__main__":
    from fer import cli

    cli.run("fer.training.averaging", SoupOptions)

from collections.abc import Sequence

import numpy as np
import torch

from fer import checkpoint
from fer.errors import DataInvalid
from fer.evaluation.calibration import calibration_split
from fer.evaluation.recorded import drop_records
from fer.model import FaceNetwork
from fer.training.loop import HISTORY, STATE, held

OF_THE_WHOLE = ("arch", "emotions", "preprocess", "options", "crop_margin", "flip", "train_data")
"""What must be alike in all cards."""
OF_EACH = (
    "config",
    "train_size",
    "class_shares",
    "epoch",
    "seconds",
    "device",
    "date",
    "git",
    "versions",
    "weights_sha256",
    "teachers",
    "averaged",
)
"""What the new card keeps of each."""


def soup(folders: Sequence[Path]) -> tuple[FaceNetwork, dict]:
    """Return the network whose weights and batch statistics are the mean of the others', and its card.

    The card has no temperature and prior strength: fit them to validation data.

    Args:
        folders: of two or more trained models that began at the same network.

    Raises:
        DataInvalid: fewer than two, the same twice, or models that differ in more
            than how they were fine-tuned.
        DataMissing: as ``fer.checkpoint.load``.
    """
    if len(folders) < 2:
        raise DataInvalid(f"Found {len(folders)} model; expected two or more to average.")
    loaded = [checkpoint.load(folder) for folder in folders]
    model, first = loaded[0]
    for folder, (_, card) in zip(folders, loaded, strict=True):
        for key in OF_THE_WHOLE:
            if card.get(key) != first.get(key):
                raise DataInvalid(
                    f"{folder} and {folders[0]} differ in {key} ({card.get(key)}, {first.get(key)}). "
                    "Average models that were fine-tuned from the same one."
                )
        if not set(_lineage(card)) & set(_lineage(first)):
            raise DataInvalid(
                f"{folder} and {folders[0]} did not begin at the same trained network (fer.train --init): "
                "the mean of unrelated weights is noise."
            )
    hashes = [card["weights_sha256"] for _, card in loaded]
    if len(set(hashes)) < len(hashes):
        raise DataInvalid("The same weights were given twice; expected different models.")
    lineages = [_lineage(card) for _, card in loaded]  # chains, so that all meet where two of them do
    nearest = next(sha for sha in lineages[0] if all(sha in lineage for lineage in lineages))
    states = [one.state_dict() for one, _ in loaded]
    model.load_state_dict({name: _mean([state[name] for state in states]) for name in states[0]})
    cards = [card for _, card in loaded]
    trained = [card for card in cards if card["weights_sha256"] != nearest]
    card = {key: first[key] for key in OF_THE_WHOLE if key in first}
    card |= {
        "temperature": 1.0,
        "train_size": max(card["train_size"] for card in cards),
        "class_shares": np.mean([card["class_shares"] for card in cards], 0).round(6).tolist(),
        "seconds": sum(card["seconds"] for card in trained),
        "averaged": [{key: card[key] for key in OF_EACH if key in card} for card in trained],
        "averaged_with_the_start": len(trained) < len(cards),
        "started_from": lineages[0][nearest],
        **checkpoint.provenance(),
    }
    return model, card


def _lineage(card: dict) -> dict[str, dict]:
    """Return the cards of a model and of those that it began at, nearest first, by the hash of their weights."""
    older = card.get("started_from")
    return {card["weights_sha256"]: card} | (_lineage(older) if older else {})


def _mean(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([one.double() for one in tensors]).mean(0).to(tensors[0].dtype)


def main(options: SoupOptions) -> None:
    """Write the mean of the models, and say how to fit and record it."""
    if not options.overwrite and (there := held(options.out)):
        raise DataInvalid(f"{options.out} already holds {there}. Choose another --out, or add --overwrite.")
    model, card = soup(options.models)
    drop_records(options.out)
    for name in (STATE, HISTORY):  # of the network that is replaced
        (options.out / name).unlink(missing_ok=True)
    checkpoint.save(options.out, model, card)
    print(
        f"{options.out}: the mean of {len(options.models)} models. Fit its temperature and prior: python -m "
        f"fer.evaluate --model {options.out} --split {calibration_split(card)} --calibrate --record, with --data "
        "and --root."
    )
