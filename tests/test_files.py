"""Writing files: whole or not at all, and never in the place of a link or a pipe."""

import errno
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest

from fer.errors import DataInvalid, UsageError
from fer.files import check_output, locked, replacing


def test_a_file_is_replaced_only_when_it_is_whole(tmp_path):
    file = tmp_path / "below" / "table.csv"
    with replacing(file) as temporary:
        temporary.write_text("one")
        assert not file.exists() and temporary.suffix == ".csv"
    with pytest.raises(ZeroDivisionError), replacing(file) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert file.read_text() == "one"
    assert os.listdir(file.parent) == ["table.csv"]


def test_an_error_names_the_file_and_not_its_temporary_name(tmp_path):
    for named in (str, lambda path: None):
        with pytest.raises(OSError, match=r"\[Errno \d+\] Read-only file system: '.*/table\.csv'"):  # noqa: SIM117
            with replacing(tmp_path / "table.csv") as temporary:
                raise OSError(errno.EROFS, "Read-only file system", named(temporary))


@pytest.mark.parametrize("before", ["old", None], ids=["a file", "nothing yet"])
def test_a_link_stays_and_its_target_is_written(tmp_path, before):
    target, link = tmp_path / "data" / "real", tmp_path / "table.csv"
    target.parent.mkdir()
    if before:
        target.write_text(before)
    link.symlink_to(target)
    check_output("--csv", link)
    with replacing(link) as temporary:
        assert temporary.parent == target.parent and temporary.suffix == ".csv"
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert os.listdir(target.parent) == ["real"]


def test_places_that_cannot_be_written_are_refused(tmp_path):
    """Standard output, a folder, a device, and a link into what is no folder."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file" / "table.csv")
    for path in (Path("-"), tmp_path, Path(os.devnull)):
        with pytest.raises(DataInvalid, match=f"--csv {path} is no file name"):
            check_output("--csv", path)
    with pytest.raises(DataInvalid, match=r"link cannot be written to \(.*file: Not a directory"):
        check_output("--csv", tmp_path / "link")


HOLDER = """
import sys, time
from fer.files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_told_who_writes_and_a_killed_one_leaves_no_lock(tmp_path):
    table = tmp_path / "new" / "table.csv"
    with subprocess.Popen([sys.executable, "-c", HOLDER, table], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=rf"table\.csv is being written by process {holder.pid} on "):
            locked(tmp_path / "new" / ".." / "new" / "table.csv").__enter__()
        holder.kill()
    with locked(table):
        with pytest.raises(UsageError, match=f"process {os.getpid()} on "), locked(table):
            pass
        with locked(tmp_path / "new"):
            pass  # a folder has a lock of its own
    assert os.listdir(tmp_path) == ["new"] and os.listdir(tmp_path / "new") == []


def test_of_those_that_wait_each_has_the_lock_alone(tmp_path):
    """Each removes the lock's file, which the others may have opened."""
    inside = []

    def turn(number):
        with locked(tmp_path / "table.csv", wait=True):
            inside.append(number)
            time.sleep(0.001)
            assert inside == [number]
            inside.clear()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(turn, range(40)))
    assert os.listdir(tmp_path) == []


def test_without_locks_files_are_written_only_if_that_is_allowed(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock, "lock_descriptor", refuse)
    with pytest.raises(UsageError, match=r"no locks \(No locks available\).* --allow-unlocked"):
        locked(tmp_path / "table.csv").__enter__()
    with locked(tmp_path / "table.csv", allow_unlocked=True):
        pass
    assert os.listdir(tmp_path) == []
