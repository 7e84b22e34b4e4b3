"""The scripts that train the shipped models: their options exist, and what has ended is not repeated."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import tyro

from fer.evaluate import EvaluateConfig
from fer.training import TrainConfig
from fer.training.averaging import Halve, Soup

RECIPES = Path(__file__).parent.parent / "models" / "recipes"
KINDS = {
    "fer.train": TrainConfig,
    "fer.evaluate": EvaluateConfig,
    "fer.training.averaging": Soup | Halve,
}
RUNS = {"emotion_net": 6, "baseline_cnn": 1, "resnet18": 2}
STUB = """#!/bin/bash
echo "$*" >> commands
while [ "$1" != --out ] && shift; do :; done
[ -z "$2" ] || { mkdir -p "$2"; touch "$2"/{card.json,history.csv,metrics.json}; }
"""


@pytest.fixture
def recipe(tmp_path):
    """Run a recipe in a copy of the repository, from another folder; programs only write down what they were asked."""
    shutil.copytree(RECIPES, tmp_path / "models" / "recipes")
    stub = tmp_path / "bin" / "python"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)

    def run(name, *options, shorter=4):
        script = tmp_path / "models" / "recipes" / f"{name}.sh"
        environment = {"PATH": f"{stub.parent}:/usr/bin:/bin", "SHORTER": str(shorter), "DATA": "faces"}
        call = ["bash", script, *options]
        ended = subprocess.run(
            call, env=environment, cwd=stub.parent, capture_output=True, text=True, check=False
        )
        commands = tmp_path / "commands"
        lines = commands.read_text().splitlines() if commands.exists() else []
        commands.unlink(missing_ok=True)
        return ended, [shlex.split(line)[1:] for line in lines]

    return run


@pytest.mark.parametrize("name", RUNS)
def test_a_recipe_asks_for_what_there_is_and_repeats_no_finished_run(tmp_path, recipe, name):
    def run(shorter=4):
        ended, commands = recipe(name, "../result", shorter=shorter)
        assert ended.returncode == 0, ended.stderr
        return commands

    first, again = run(), run()
    for module, *options in first:
        config = tyro.cli(KINDS[module], args=options)
        if isinstance(config, TrainConfig):
            config.check_values()
    assert [module for module, *_ in first].count("fer.train") == RUNS[name]
    assert "fer.train" not in [module for module, *_ in again]
    assert (tmp_path / "result" / "history.csv").exists()
    assert first[0][first[0].index("--root") + 1] == f"{tmp_path}/bin/faces"
    scored = {options[options.index("--model") + 1] for module, *options in first if module == "fer.evaluate"}
    trained = {options[options.index("--out") + 1] for module, *options in first if module == "fer.train"}
    assert len(scored) == 1 and not scored & trained, (
        "killed while calibrating, a finished run would be repeated"
    )
    whole = [module for module, *_ in run(shorter=1)]
    assert whole.count("fer.train") == RUNS[name], "a shorter run is taken for a whole one"

    out = first[0][first[0].index("--out") + 1]
    (tmp_path / out / "state.pt").touch()  # as if it had been killed
    assert [(module, "--resume" in options) for module, *options in run()][:1] == [("fer.train", True)]


@pytest.mark.parametrize(
    ("out", "shorter", "message"),
    [
        ("thesis", 1, "thesis holds other files than a model"),
        ("--resume", 1, "expected a folder"),
        ("result", 0, "SHORTER=0; expected a whole number"),
        ("result", "half", "SHORTER=half; expected a whole number"),
    ],
)
def test_a_recipe_refuses_what_it_would_spoil_or_cannot_read(tmp_path, recipe, out, shorter, message):
    (tmp_path / "bin" / "thesis").mkdir()
    (tmp_path / "bin" / "thesis" / "chapter.txt").touch()
    ended, commands = recipe("baseline_cnn", out, shorter=shorter)
    assert ended.returncode == 2 and message in ended.stderr
    assert not commands and (tmp_path / "bin" / "thesis" / "chapter.txt").exists()


def test_a_recipe_replaces_an_earlier_model_and_nothing_else(tmp_path, recipe):
    out = tmp_path / "bin" / "mine"
    out.mkdir()
    for file in ("card.json", "history-2.csv", "notes.txt"):
        (out / file).touch()
    ended, _ = recipe("baseline_cnn", "mine")
    assert ended.returncode == 0, ended.stderr
    assert {file.name for file in out.iterdir()} == {"notes.txt", "card.json", "history.csv", "metrics.json"}
