"""Work that is killed at its n-th access to a file, and disks that are full."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from fer.datasets.affectnet8.dataset import AffectNet8
from fer.datasets.affectnet8.tarball import extract
from fer.datasets.packed.dataset import pack

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate")


def index(source, out):
    """Index faces, with valence; ``out`` is not used."""
    assert len(AffectNet8(source).valence)


def write_pack(source, out):
    """Pack faces."""
    pack(AffectNet8(source), out, 8)


def write_extracted(source, out):
    """Extract the tar of ``source``."""
    list(extract(source / "train_set.tar", out))


def _work(work, n, folder, arguments):
    seen = itertools.count(1)

    def watch(event, found):
        if event in EVENTS and str(folder) in str(found[0]) and next(seen) == n:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    work(*arguments)


def killed(work, n, folder, *arguments):
    """Whether the work was killed at its n-th access to something in ``folder``, and did not end before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # torch is imported once
    process = context.Process(target=_work, args=(work, n, folder, arguments))
    process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _fails(command):
    return subprocess.run(command, check=False, capture_output=True).returncode != 0


@contextmanager
def full_disk(folder, size):
    """A disk of a few bytes."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() or _fails(command):
        pytest.skip("a full disk is a small tmpfs, which root alone may mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
