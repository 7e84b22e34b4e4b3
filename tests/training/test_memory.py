"""The allocator keeps what is freed, where it can be told to."""

import platform
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, sys
import torch
from fer.training.memory import keep_freed_memory

told = keep_freed_memory() if sys.argv[1] == "keep" else None
torch.zeros(8 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.zeros(8 << 20)  # 32 MB, 8,192 pages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, told)
"""


def faults(mode):
    run = [sys.executable, "-c", COUNT_FAULTS, mode]
    count, told = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    return int(count), told


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told anything")
def test_pages_are_fetched_once():
    plain, _ = faults("plain")
    kept, told = faults("keep")
    assert told == "True"
    assert kept < plain / 2
