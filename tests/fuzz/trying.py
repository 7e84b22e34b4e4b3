"""Damage a file, read it, and tell whether that ended as it may: well, or with a UserError that names the file."""

import contextlib
import io
import random
import shutil
import warnings
from pathlib import Path

from fer.errors import UserError

from .formats import FORMATS


class Trial:
    """The world of one format, damaged anew for each seed.

    Args:
        name: of the format.
        folder: holds the intact world and the damaged copy.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.format = name, FORMATS[name]
        self.intact, self.folder = folder / "intact", folder / "damaged"
        self.intact.mkdir(parents=True)
        with contextlib.redirect_stdout(io.StringIO()):
            self.format.make(self.intact)
        self.data = (self.intact / self.format.file).read_bytes()

    def run(self, seed: int) -> str:
        """Return "read", "refused", or "same" where the damage changed nothing; any other exception is a finding."""
        damaged = self.format.damage(self.data, random.Random(f"{self.name}/{seed}"))
        if damaged == self.data:
            return "same"
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.intact, self.folder)
        file = self.folder / self.format.file
        file.write_bytes(damaged)
        try:
            if self.format.seal:
                self.format.seal(self.folder)
        except (ValueError, TypeError):  # nothing is left that could be sealed
            return "same"
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.format.read(self.folder)
        except UserError as error:
            assert str(self.folder) in str(error), f"no file is named: {error}"
            return "refused"
        return "read"
