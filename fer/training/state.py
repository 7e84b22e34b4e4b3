"""The state of an unfinished run: enough to go on to the same weights as an unbroken one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from fer import checkpoint
from fer.errors import DataMissing, UserError
from fer.files import check_same_options, replacing
from fer.training.history import History

STATE = "state.pt"


class Stopped(UserError):
    """Training was asked to stop, and its state has been saved."""

    exit_code = 130


@dataclass
class Progress:
    """How far a run is."""

    epoch: int = 0
    """Number of finished epochs; the next three are of the one after them."""
    seen: int = 0
    """Faces that were learned from."""
    earlier: float = 0.0
    """Seconds before it was stopped and resumed."""
    totals: Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.float64))
    """Sum of losses and number of correct predictions."""
    best_score: float = -math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: History = field(default_factory=History)


def save_state(out: Path, options: dict, parts: Mapping[str, Any], progress: Progress) -> None:
    """Replace the state in the folder ``out``: JSON-ready options, the state of each part, and the progress."""
    state = {name: part.state_dict() for name, part in parts.items()} | {"config": options}
    state |= {name: value for name, value in vars(progress).items() if name != "history"}
    state |= vars(progress.history)
    with replacing(out / STATE) as temporary, temporary.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # torch hides why the file could not be written, e.g. a full disk
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def restore_state(out: Path, options: dict, parts: Mapping[str, Any]) -> Progress:
    """Put the saved state into ``parts``, and return how far the run was.

    Raises:
        DataMissing: there is no state.
        DataInvalid: it is damaged, or was written with other options.
    """
    file = out / STATE
    if not file.is_file():
        raise DataMissing(
            f"Nothing to resume: {file} is missing (a finished run leaves none). Leave out --resume."
        )
    state = cast(dict[str, Any], checkpoint.read_plain(file))
    check_same_options(file, state["config"], options, "--out")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    names = [f.name for f in fields(Progress) if f.name != "history"]
    history = History(state["rows"], state["best_epoch"])
    return Progress(**{name: state[name] for name in names}, history=history)


def trained_in(out: Path) -> str:
    """Return what a folder holds that must not be replaced unasked; empty where there is nothing."""
    kinds = {STATE: "an unfinished run", checkpoint.WEIGHTS: "a trained model"}
    return next((f"{what} ({name})" for name, what in kinds.items() if (out / name).exists()), "")
