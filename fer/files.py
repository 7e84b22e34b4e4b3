"""Endings of photos and videos, the folder of models, and writing: whole files, by one run at a time."""

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from tempfile import TemporaryFile

from fer.errors import DataInvalid, UsageError

UNREADABLE_PHOTOS = {".heic", ".heif", ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2"}
"""Endings of photos that Pillow does not read: reported as such, not passed over."""
PHOTOS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif"}
PHOTOS |= {".jp2", ".avif", ".ppm", ".pgm", ".pbm"}
VIDEOS = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".mts"}
VIDEOS |= {".m2ts", ".ogv", ".ts", ".h264", ".asf", ".qt", ".vob", ".3g2", ".divx", ".mxf", ".f4v", ".mpe"}
MOST_PIXELS = 128_000_000
"""Of a photo that is read whole, which takes about 10 bytes for each."""

_PACKAGE = Path(__file__).parent
MODELS = _PACKAGE / "models" if (_PACKAGE / "models").is_dir() else _PACKAGE.parent / "models"
"""Folder of the shipped models: in a wheel, which brings the default one, inside the package; in a clone beside it."""


def check_output(option: str, path: Path) -> None:
    """Raise DataInvalid, before the work begins, for what is no file that could be written after it."""
    if str(path) == "-" or (path.exists() and not path.is_file()):
        raise DataInvalid(
            f"{option} {path} is no file name (it is a folder, a pipe or a device); expected one to write to."
        )
    _check_writable(option, path, _target(path).absolute().parent)


def check_output_folder(option: str, path: Path) -> None:
    """Raise DataInvalid, before the work begins, for a folder that cannot be written to, or not be made."""
    if os.path.isfile(path):
        raise DataInvalid(f"{option} {path} is a file; expected a folder to write into.")
    _check_writable(option, path, path.absolute())


def _check_writable(option: str, path: Path, folder: Path) -> None:
    around = next(parent for parent in (folder, *folder.parents) if os.path.exists(parent))
    try:
        # Writes, because permissions do not show read-only disks, nor do they bind root.
        with TemporaryFile(dir=around):
            pass
    except OSError as error:
        raise DataInvalid(
            f"{option} {path} cannot be written to ({around}: {error.strerror}). Choose another folder."
        ) from error


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` (same ending); rename it to ``path`` when the block succeeds.

    A link stays, and its target is replaced.
    An OSError without a file name gets this one.
    """
    path = Path(path)
    target = _target(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(fitting(f".{path.stem}.{unique()}.tmp{path.suffix}"))
    try:
        with naming(path, temporary):
            yield temporary
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: str | Path, temporary: Path | None = None) -> Iterator[None]:
    """Give this file name to an OSError of the block that has none, as that of a full disk, or a temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise


@contextmanager
def locked(path: str | Path, allow_unlocked: bool = False, wait: bool = False) -> Iterator[None]:
    """Keep ``path``, a file or folder that need not exist yet, for this run alone while the block runs.

    The lock is the kernel's, on ``.NAME.lock`` beside it: it ends with the process, however that ends.

    Args:
        allow_unlocked: go on where the file system has no locks.
        wait: for another run to end.

    Raises:
        UsageError: another run holds it, also one of this process; or the file system has no locks.
    """
    target = _target(Path(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(fitting(f".{target.name}.lock"))
    while (file := _lock(Path(path), lock, allow_unlocked, wait)) is None:
        pass
    try:
        yield
    finally:
        if os.name == "nt":
            file.close()  # Windows removes no open file; elsewhere it must have gone before others can lock it
        with suppress(OSError):
            lock.unlink()
        file.close()


def _lock(path: Path, lock: Path, allow_unlocked: bool, wait: bool) -> FileIO | None:
    """Return the locked file, or None where it was removed, by the run that held it, after this one opened it."""
    from filelock import lock_descriptor  # takes a third of the time of --help

    file = lock.open("a+b", buffering=0)
    try:
        if not lock_descriptor(file.fileno(), blocking=wait):
            time.sleep(0.1)  # in which a run that just began writes its name
            file.seek(1)  # Windows lets nobody read what is locked, the first byte
            holder = file.read().decode() or "another process"
            file.close()
            raise UsageError(f"{path} is being written by {holder}. Wait for it, or choose another name.")
    except OSError as error:
        if not allow_unlocked:
            file.close()
            lock.unlink(missing_ok=True)
            raise UsageError(
                f"The file system of {path} has no locks ({error.strerror}): another run might write it at the same "
                "time. Choose another disk, or make sure that there is none and add --allow-unlocked."
            ) from error
    if not os.fstat(file.fileno()).st_nlink:
        file.close()
        return None
    with suppress(OSError):  # a full disk: the holder stays unknown
        file.truncate(0)
        file.write(f" process {os.getpid()} on {socket.gethostname()}".encode())
    return file


def check_same_options(record: Path, then: Mapping, now: Mapping, option: str) -> None:
    """Raise DataInvalid if a run is resumed with other JSON-ready options; one that is new since is not compared.

    ``record`` is the file or folder of the run, ``option`` what names its place, e.g. ``"--out"``.
    """
    changed = [f"{k} was {then[k]}, is {v}" for k, v in now.items() if k in then and then[k] != v]
    if changed:
        raise DataInvalid(
            f"{record} was written with other options: {'; '.join(changed)}. "
            f"Resume with the same ones, or choose another {option}."
        )


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def fitting(name: str, room: int = 0) -> str:
    """Return the name of a file, shortened to STEM~HASH.ENDING where ``room`` bytes more would be too long."""
    data, ending = os.fsencode(name), os.path.splitext(name)[1]
    if len(data) + room <= 255:  # bytes, on most file systems
        return name
    end = f"~{hashlib.blake2b(data, digest_size=4).hexdigest()}{ending if len(ending) < 10 else ''}"
    return data[: 255 - room - len(os.fsencode(end))].decode("utf-8", "ignore") + end


def unique() -> str:
    """Return a text that no other process uses, nor one of another machine that shares the folder."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"
