"""The scores of a training run, an epoch a row."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fer.errors import DataMissing
from fer.files import replacing

HISTORY = "history.csv"


@dataclass
class History:
    """One row an epoch, as in history.csv, and which epoch was chosen (counted from 1)."""

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0

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
        with file.open(newline="") as handle:
            rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(handle)]
        best = max((int(row["epoch"]) for row in rows if row["chosen"]), default=0)
        return cls(rows, best)
