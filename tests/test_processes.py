"""Processes that torchrun started together, and how they part."""

import os
import subprocess
import sys

import pytest

EXCHANGES = """
import sys
from dataclasses import dataclass

import torch
from torch.nn.parallel import DistributedDataParallel

from fer.errors import DataInvalid
from fer.processes import Processes


@dataclass
class Options:
    end: str = "done"


if __name__ == "__main__":
    from fer import cli

    cli.run("exchanges", Options)


def main(options):
    processes = Processes.meet()
    network = DistributedDataParallel(torch.nn.Linear(3, 3))  # it keeps torch's threads alive
    network(torch.rand(2, 3)).sum().backward()
    sys.setswitchinterval(1000)  # those threads may only go on where this one waits
    processes.first(lambda: 1)
    if options.end == "failed":
        raise DataInvalid("Nothing was found.")
"""


@pytest.mark.parametrize(("end", "code"), [("done", 0), ("failed", 1)])
def test_processes_that_exchanged_something_end_as_they_should(end, code, tmp_path):
    """Without a pause, torch's threads abort them: they let go of tensors while Python shuts down."""
    (tmp_path / "exchanges.py").write_text(EXCHANGES, "utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "-m", "exchanges", "--end", end],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "terminate called" not in done.stderr
    assert done.returncode == code, done.stderr[-3000:]
    if end == "failed":
        assert "error: Nothing was found." in done.stderr
        assert "exitcode  : 1 " in done.stderr
