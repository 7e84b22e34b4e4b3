"""What README says to type works as it stands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

import fer
from synthetic_faces.actor import Actor
from tests.live_support import film, write_film

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.M | re.S)
COMMANDS = [line.split("#")[0].strip() for kind, block in BLOCKS if not kind for line in block.splitlines()]
ELSEWHERE = {
    "git clone": "network",
    "make demo": ".ci/run",
    "make test": "this is it",
    "python3 -m venv": ".ci/run",
    ".venv/bin/": ".ci/run",
    "python -m fer.webcam": "camera",
    "python -m fer.screen": "a screen: tests/test_screen.py",
    "python -m fer.evaluate --model models/emotion_net --data ferplus": "FER+ is not in the repository",
    "python -m fer.train --data affectnet8": "AffectNet8 is not in the repository",
}
"""Commands that are not executed here, by how they begin, and why."""


def runs_here(command):
    if command.startswith("python -m fer.webcam --source"):
        return True
    return command.startswith("python") and not any(command.startswith(begin) for begin in ELSEWHERE)


def run(arguments, folder):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("command", [line for line in COMMANDS if runs_here(line)])
def test_a_command_runs_as_it_stands(command, tmp_path):
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos/one.png"), Actor(seed=1).frame(0))
    write_film(tmp_path / "talk.mp4", film(5))
    words = shlex.split(command)
    run(words[1:], tmp_path)
    for option in ("--save", "--csv", "--timeline", "--gallery", "--save-annotated", "--out"):
        if option in words:
            assert (tmp_path / words[words.index(option) + 1]).exists(), option


@pytest.mark.parametrize("page", ["README.md", "TRAINING.md", "slurm/train.sbatch", "slurm/predict.sbatch"])
def test_what_commands_write_is_ignored_by_git(page):
    text = (ROOT / page).read_text("utf-8")
    written = re.findall(r"(?:--(?:out|csv|save|timeline|gallery|save-annotated) |OUT=)(\w\S+)", text)
    assert written and all(path.startswith(("outputs/", "dataset/")) for path in written)


def test_the_lines_of_python_print_what_stands_below_them():
    kinds = [kind for kind, _ in BLOCKS]
    at = kinds.index("python")
    assert run(["-c", BLOCKS[at][1]], ROOT) == BLOCKS[at + 1][1]


def test_no_other_command_is_left_out():
    printed = BLOCKS[[kind for kind, _ in BLOCKS].index("python") + 1][1].splitlines()
    unknown = [
        line for line in COMMANDS if line and line not in printed and not runs_here(line)
        and not any(line.startswith(begin) for begin in ELSEWHERE)
    ]  # fmt: skip
    assert not unknown


def test_the_page_is_short_and_names_the_version():
    assert README.count("\n") <= 150
    for page in ("README.md", "CITATION.cff", "CHANGELOG.md"):
        assert fer.__version__ in (ROOT / page).read_text("utf-8"), page
