"""Processes that work together, and how they part."""

import sys

import pytest
from helpers import ended, launch

PARTS = """
import sys
import threading
from dataclasses import dataclass

import torch.distributed as dist

from fer import cli
from fer.training.distributed import Processes

asked, done = threading.Event(), []


@dataclass
class Options:
    code: int = 0


def letting_go():  # as torch's threads do with tensors, a moment after these were exchanged
    asked.wait()
    done.append("let go")


def main(options):
    processes = Processes.meet()
    threading.Thread(target=letting_go, daemon=True).start()
    sys.setswitchinterval(1000)  # from now on, other threads go on where this one waits
    processes.wait()
    asked.set()
    if options.code:
        sys.exit(options.code)


if __name__ == "__main__":
    sys.modules["parts"] = sys.modules["__main__"]
    try:
        cli.run("parts", Options)
    finally:
        print(*done, "and left" if not dist.is_initialized() else "")
"""


@pytest.mark.parametrize(("code", "printed"), [(0, "let go and left\n"), (1, "let go \n")])
def test_a_script_lets_torchs_threads_finish_and_leaves_the_others_unless_it_failed(tmp_path, code, printed):
    """Those that let go of tensors only while Python shuts down abort the process."""
    script = tmp_path / "parts.py"
    script.write_text(PARTS, "utf-8")
    for *result, errors in ended(launch([sys.executable, str(script), "--code", str(code)], 2)):
        assert result == [code, printed], errors
