"""Errors that the user can fix: scripts show the message alone, without a traceback.

A message says what was found, what was expected and what to do next.
"""

import csv
import errno
import math
import pickle
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

REQUIREMENTS = (
    "In the folder of the clone: python -m pip install -r requirements-demo.txt (webcam, screen and photos) or "
    "-r requirements.txt (training and notebooks, too)."
)
"""What to do where nothing is installed."""
EXTRA = "The extra [train] brings it, or [notebooks]; in a clone: python -m pip install -r requirements.txt."
"""What to do where only what the demos need is installed, and another package is missing."""

READER_KILLED = "A process that reads images was killed: is there enough memory for so many (--workers)?"


class UserError(Exception):
    """A file, option, device or network is not as the code needs it."""

    exit_code = 1
    """Exit status of a script that ends with this error: see ``fer.cli``."""

    def __str__(self) -> str:
        return str(self.args[0])  # OSError would print an errno

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: the message alone, as scripts do."""
        return [f"error: {self}"]


class DataMissing(UserError, FileNotFoundError):
    """A file, folder or package is missing."""


class DataInvalid(UserError, ValueError):
    """A file or an option has a value that cannot be used."""


class UsageError(DataInvalid):
    """An option is out of its range, or contradicts another one."""

    exit_code = 2


def check_ranges(options: object, **ranges: tuple[float, float]) -> None:
    """Raise UsageError for the first of these options that is given and not finite and from low to high."""
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if value is not None and not (low <= value <= high and value < math.inf):
            limits = f"{low} to {high}" if high < math.inf else f"{low} or more"
            raise UsageError(f"--{name.replace('_', '-')} {value}: expected {limits}.")


DAMAGE = (
    *(ValueError, TypeError, LookupError, OverflowError),  # JSON, NumPy, torch, and checks of what they gave
    *(EOFError, MemoryError, SystemError, SyntaxError, tokenize.TokenError),  # NumPy
    *(RuntimeError, pickle.UnpicklingError),  # torch and OpenVINO; the first zipfile, too
    *(zipfile.BadZipFile, zlib.error, struct.error, csv.Error),  # zipfile, Pillow, csv
)
"""What is raised on damaged data, as ``tests/fuzz`` finds it: which of these depends on the byte that is wrong."""


@contextmanager
def reading(path: str | PathLike | zipfile.Path, advice: str) -> Iterator[None]:
    """Turn whatever damaged data can raise in the block, which does nothing but read ``path``, into a DataInvalid."""
    try:
        yield
    except (OSError, *DAMAGE) as error:
        if isinstance(error, UserError) and (str(path) in str(error) or not isinstance(error, DataInvalid)):
            raise
        # Other numbers are of the disk. Pillow's have none; EINVAL is a place before the file's beginning.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        reason = " ".join(f"{error}".split())[:300].rstrip(".") or type(error).__name__
        raise DataInvalid(f"{path} is damaged: {reason}. {advice}") from error


class DeviceError(UserError, OSError):
    """A camera, screen or window cannot be used."""


class Stopped(UserError):
    """The work was asked to stop, and what it had done is saved."""

    exit_code = 130
