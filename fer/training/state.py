"""What a run leaves as it goes: history.csv, and state.pt, enough to go on to the same weights as an unbroken run."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from fer import checkpoint
from fer.card import AGAIN, WEIGHTS
from fer.errors import DataInvalid, DataMissing, Stopped, reading
from fer.files import check_same_options, replacing

HISTORY, STATE = "history.csv", "state.pt"


@dataclass
class History:
    """The scores of a run, one row an epoch as in history.csv, and which epoch was chosen (counted from 1)."""

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0

    def __str__(self) -> str:
        return "\n".join(map(row_summary, self.rows))

    def column(self, name: str) -> np.ndarray:
        """Return one value an epoch."""
        return np.array([row[name] for row in self.rows])

    def save(self, file: Path) -> None:
        """Write all rows as CSV."""
        with replacing(file) as temporary, temporary.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, self.rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {k: v if isinstance(v, int) else f"{v:.6g}" for k, v in row.items()} for row in self.rows
            )

    @classmethod
    def load(cls, file: str | Path) -> "History":
        """Read a history.csv; the chosen epoch is the one marked in it."""
        file = Path(file)
        if not file.is_file():
            raise DataMissing(
                f"{file} is missing: expected the record of a training run. See models/README.md."
            )
        with reading(file, AGAIN), file.open(newline="", encoding="utf-8") as handle:
            rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(handle)]
            if [int(row["epoch"]) for row in rows] != list(range(1, len(rows) + 1)) or not rows:
                raise ValueError("expected a row for each epoch, from 1 on")
            for row in rows:
                row_summary(row)  # needs all columns but valence and arousal
            return cls(rows, max((int(row["epoch"]) for row in rows if row["chosen"]), default=0))


class TrainingStopped(Stopped):
    """The training was asked to stop; ``history`` holds the epochs that were finished."""

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


@dataclass
class Progress:
    """How far a run is."""

    epoch: int = 0  # number of finished ones; the next three fields are of the one after them
    seen: int = 0  # faces that were learned from
    earlier: float = 0.0  # seconds before it was stopped and resumed
    # Sum of losses and number of correct predictions.
    totals: Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.float64))
    best_score: float = -math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: History = field(default_factory=History)

    def save(self, out: Path, options: dict, parts: Mapping[str, Any]) -> None:
        """Replace the state in a folder: JSON-ready options, the state of each part, and how far the run is."""
        state = {name: part.state_dict() for name, part in parts.items()} | {"config": options}
        state |= vars(self) | vars(self.history)
        del state["history"]  # its values are there, each under its own name
        buffer = io.BytesIO()  # because torch hides why a file could not be written, e.g. a full disk
        torch.save(state, buffer)
        with replacing(out / STATE) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    @classmethod
    def restore(cls, out: Path, options: dict, parts: Mapping[str, Any]) -> "Progress":
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
        with reading(file, "Begin the run again, with --overwrite."):
            state = cast(dict[str, Any], checkpoint.read_plain(file))
            check_same_options(file, state["config"], options, "--out")
            for name, part in parts.items():
                part.load_state_dict(state[name])
            state["history"] = History(state["rows"], state["best_epoch"])
            return cls(**{part.name: state[part.name] for part in fields(cls)})


def check_unused(out: Path) -> None:
    """Raise DataInvalid where a folder holds what must not be replaced unasked."""
    kinds = {
        STATE: "an unfinished run (fer.train --resume goes on with it)",
        WEIGHTS: "a trained model",
    }
    for name, what in kinds.items():
        if (out / name).exists():
            raise DataInvalid(f"{out} already holds {what}. Choose another --out, or add --overwrite.")


def row_summary(row: dict[str, float]) -> str:
    """Return the line that is printed after an epoch, of its row in history.csv."""
    shown = {"train loss": "train_loss", "valid loss": "valid_loss", "accuracy": "valid_accuracy"}
    shown |= {"balanced": "valid_balanced_accuracy", "macro-F1": "valid_macro_f1"}
    shown |= {"CCC": "valid_ccc_valence", "": "valid_ccc_arousal"} if "valid_ccc_valence" in row else {}
    values = "  ".join(f"{name} {row[column]:.3f}" for name, column in shown.items())
    return f"epoch {row['epoch']:3.0f}  {values}  {row['seconds']:.0f} s{'  best' if row['chosen'] else ''}"
