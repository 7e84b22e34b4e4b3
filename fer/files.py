"""Writing files so that a stopped program never leaves half of one."""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from fer.errors import DataInvalid


def check_output(option: str, path: Path) -> None:
    """Say before the work begins that a file could not be written after it.

    Raises:
        DataInvalid: ``path`` is a folder or ``-``, or the folder that it is to lie in is a file or not for this
            user to write.
    """
    if str(path) == "-":
        raise DataInvalid(
            f"{option} - is no file name, and standard output is for messages here; expected the name of a file "
            "or of a pipe (mkfifo)."
        )
    if path.is_dir():
        raise DataInvalid(f"{option} {path} is a folder; expected the name of a file to write.")
    if path.exists():  # perhaps a pipe
        return
    around = next(folder for folder in _target(path).absolute().parents if folder.exists())
    if not around.is_dir() or not os.access(around, os.W_OK):
        what = "may not be written to" if around.is_dir() else "is no folder"
        raise DataInvalid(f"{option} {path} cannot be written: {around} {what}. Choose another place.")


def check_output_folder(option: str, path: Path) -> None:
    """Say before the work begins that nothing could be written into a folder, which is made then if it is missing.

    Raises:
        DataInvalid: ``path`` is a file, or neither it nor the folder that it is to lie in can be written to.
    """
    if os.path.isfile(path):
        raise DataInvalid(
            f"{option} {path} is a file; expected a folder to write into. Choose another folder."
        )
    around = next(folder for folder in (path.absolute(), *path.absolute().parents) if os.path.exists(folder))
    try:
        # Tried, not asked for: rights say little of disks that are read-only, and nothing to root.
        with TemporaryFile(dir=around):
            pass
    except OSError as error:
        raise DataInvalid(
            f"{option} {path} cannot be written to ({around}: {error.strerror}). Choose another folder."
        ) from error


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` (same ending); rename it to ``path`` when the block succeeds.

    A link stays, and what it leads to is replaced. A pipe or device stays, too:
    what was written is then copied into it. An OSError that does not say which
    file it is of, as that of a full disk, says it then.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        with TemporaryDirectory() as folder:  # beside a device there may be no place for files
            temporary = Path(folder) / path.name
            yield temporary
            with temporary.open("rb") as whole, path.open("wb") as reader:
                shutil.copyfileobj(whole, reader)
        return
    target = _target(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{path.stem}.{unique()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def check_same_options(record: Path, then: Mapping, now: Mapping, option: str) -> None:
    """Refuse to go on with a run that was begun with other options; one that is new since then is not compared.

    Args:
        record: file or folder of the run.
        then, now: JSON-ready options by name.
        option: the one that names the place of the run, e.g. ``"--out"``.

    Raises:
        DataInvalid: they differ.
    """
    changed = [f"{k} was {then[k]}, is {v}" for k, v in now.items() if k in then and then[k] != v]
    if changed:
        raise DataInvalid(
            f"{record} was written with other options: {'; '.join(changed)}. "
            f"Resume with the same ones, or choose another {option}."
        )


def _target(path: Path) -> Path:
    """Return where a link leads, though nothing be there; any other path as it is."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def unique() -> str:
    """Return a text that no other process uses; machines that share a folder may give two the same number."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"
