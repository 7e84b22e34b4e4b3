"""Writing files so that a stopped program never leaves half of one."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fer.errors import DataInvalid


def check_output(option: str, path: Path) -> None:
    """Say before the work begins that a file could not be written after it.

    Raises:
        DataInvalid: ``path`` is a folder, or the folder that it is to lie in is a file or not for this user to write.
    """
    if path.is_dir():
        raise DataInvalid(f"{option} {path} is a folder; expected the name of a file to write.")
    if path.exists():  # perhaps a pipe
        return
    around = next(folder for folder in path.absolute().parents if folder.exists())
    if not around.is_dir() or not os.access(around, os.W_OK):
        what = "may not be written to" if around.is_dir() else "is no folder"
        raise DataInvalid(f"{option} {path} cannot be written: {around} {what}. Choose another place.")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` (same ending); rename it to ``path`` when the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{unique()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def unique() -> str:
    """Return a text that no other process uses; machines that share a folder may give two the same number."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"
