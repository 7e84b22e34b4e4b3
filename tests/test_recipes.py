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
[ -z "$2" ] || { mkdir -p "$2"; touch "$2/history.csv" "$2/metrics.json"; }
"""


@pytest.mark.parametrize("name", RUNS)
def test_a_recipe_asks_for_what_there_is_and_repeats_no_finished_run(tmp_path, name):
    shutil.copytree(RECIPES, tmp_path / "models" / "recipes")
    stub = tmp_path / "bin" / "python"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)

    def run():
        script = tmp_path / "models" / "recipes" / f"{name}.sh"
        environment = {"PATH": f"{stub.parent}:/usr/bin:/bin", "SHORTER": "4"}
        subprocess.run(["bash", script, tmp_path / "result"], env=environment, check=True)
        commands = (tmp_path / "commands").read_text().splitlines()
        (tmp_path / "commands").unlink()
        return [shlex.split(line)[1:] for line in commands]

    first, again = run(), run()
    for module, *options in first:
        config = tyro.cli(KINDS[module], args=options)
        if isinstance(config, TrainConfig):
            config.check_values()
    assert [module for module, *_ in first].count("fer.train") == RUNS[name]
    assert "fer.train" not in [module for module, *_ in again]
    assert (tmp_path / "result" / "history.csv").exists()

    out = first[0][first[0].index("--out") + 1]
    (tmp_path / out / "state.pt").touch()  # as if it had been killed
    assert [(module, "--resume" in options) for module, *options in run()][:1] == [("fer.train", True)]
