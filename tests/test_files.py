"""Writing files: whole or not at all, and never in the place of a link or a pipe."""

import os
import stat
import threading
from pathlib import Path

import pytest

from fer.errors import DataInvalid
from fer.files import check_output, replacing


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_the_reader_of_a_pipe_gets_what_is_written(tmp_path):
    pipe, got = tmp_path / "table.csv", []
    os.mkfifo(pipe)
    check_output("--csv", pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()
    with replacing(pipe) as temporary:
        temporary.write_text("new")
    reader.join(10)
    assert got == ["new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["table.csv"]


def test_places_that_cannot_be_written_are_refused(tmp_path):
    """Standard output, a folder, and a link into what is no folder."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file" / "table.csv")
    for path, words in ((Path("-"), "--csv - is no file name"), (tmp_path, "is a folder")):
        with pytest.raises(DataInvalid, match=words):
            check_output("--csv", path)
    with pytest.raises(DataInvalid, match=r"link cannot be written to \(.*file: Not a directory"):
        check_output("--csv", tmp_path / "link")
