"""Killed at any moment, the same command goes on to the same bytes; a full disk is an error that names a file.

Training, prediction and recordings are killed in tests of their own: training/test_state.py, test_predict.py,
live/test_loop.py.
"""

import random
import shutil
import subprocess
import sys
import tarfile

import pytest
from faults import killing
from helpers import write_face

from fer.errors import DataInvalid

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by a signal of POSIX")


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "source"
    for i in range(8):
        write_face(root / "train_set", i, i, 16, lnd=None)
    with tarfile.open(root / "train_set.tar", "w") as tar:
        tar.add(root / "train_set", "train_set")
    return root


def contents(folder):
    """What a folder holds, without what a killed process was writing under another name."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder): path.read_bytes() for path in files}


@pytest.mark.parametrize("work", [killing.index, killing.write_pack, killing.write_extracted])
def test_killed_at_any_access_to_a_file_it_goes_on_to_the_same_bytes(work, source, tmp_path):
    out, random_ = tmp_path / "out", random.Random(work.__name__)
    work(source, tmp_path / "at once")
    index = source / "train_set/affectnet8.index"
    expected = contents(tmp_path / "at once"), contents(source)
    moments = [1, 2, *random_.sample(range(3, 60), 4)]
    kills = 0
    for n in moments:
        shutil.rmtree(out, ignore_errors=True)
        index.unlink(missing_ok=True)
        kills += killing.killed(work, n, tmp_path, source, out)
        work(source, out)
        found = contents(out), contents(source)
        assert found == expected, n
    assert kills > len(moments) // 2


@pytest.mark.parametrize(
    ("work", "size"),
    [(killing.write_pack, "8k"), (killing.write_pack, "12k"), (killing.write_extracted, "8k")],
)
def test_a_full_disk_is_named(work, size, source, tmp_path):
    with killing.full_disk(tmp_path / "disk", size) as disk:
        with pytest.raises((DataInvalid, OSError)) as refused:
            work(source, disk / "out")
        assert str(disk) in str(refused.value) and "No space left" in str(refused.value)
    work(source, tmp_path / "out")


TWO_READERS = """
import sys
from dataclasses import make_dataclass
from pathlib import Path

import psutil

from fer import cli
from fer.datasets.affectnet8.dataset import AffectNet8
from fer.datasets.collate import load_batches


def main(_):
    faces = AffectNet8("source")
    if sys.argv[1] == "removed":
        Path("source/train_set/images/3.jpg").unlink()
    for _ in load_batches(faces, [[0, 1], [2, 3]] * 100, workers=2):
        if sys.argv[1] == "killed":
            psutil.Process().children()[-1].kill()


cli.run(main, make_dataclass("Options", []), [])
"""


@pytest.mark.parametrize(("fault", "words"), [("removed", "3.jpg is gone"), ("killed", "enough memory")])
def test_what_goes_wrong_in_a_process_that_reads_images_is_said_in_a_line(fault, words, source):
    """Also without waiting for ever for the other process, which leaves signals to the main one."""
    command = [sys.executable, "-c", TWO_READERS, fault]
    done = subprocess.run(
        command, cwd=source.parent, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and words in done.stderr


def test_a_full_disk_keeps_no_index_and_says_so(source, tmp_path, capsys):
    with killing.full_disk(tmp_path / "disk", "200k") as disk:
        shutil.copytree(source / "train_set", disk / "train_set")
        with (disk / "rest").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        killing.index(disk, None)
    assert "affectnet8.index cannot be written (No space left" in capsys.readouterr().out
