"""The processes of one training run, as torchrun and accelerate launch start them."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from accelerate import PartialState

from fer.errors import UserError


class ProcessLost(UserError):
    """Another process of the same run ended before its time."""


def processes() -> PartialState:
    """Meet the other processes; return this one's place among them.

    On CPUs accelerate takes each process of torchrun for the only one unless it is asked to use the CPU.
    """
    gpu = torch.accelerator.current_accelerator(check_available=True)
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return PartialState(cpu=several and (gpu is None or gpu.type == "mps"))


@contextmanager
def noticing_losses(advice: str) -> Iterator[None]:
    """Raise ProcessLost, ending with ``advice``, for torch's long errors when another process is gone."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        # Of "[…/pair.cc:561] Connection closed by peer [127.0.0.1]:17283. This is …" the first sentence.
        found = re.search(r"/pair\.cc:\d+\] (.+?)(?:\. |$)", str(error).strip(), re.MULTILINE)
        reason = found[1] if found else type(error).__name__
        raise ProcessLost(
            f"Another process of this run ended or cannot be reached, so this one ends, too ({reason}). {advice}"
        ) from error


@contextmanager
def leaving() -> Iterator[None]:
    """Part from the other processes at the end of the block, which holds all that a script of torchrun's does.

    torch's communication threads let go of the tensors of an exchange a moment after it; one that does so while
    Python shuts down aborts the process (https://github.com/pytorch/pytorch/issues/190489).
    """
    code: object = 1
    try:
        yield
        code = 0
    except BaseException as error:
        code = error.code if isinstance(error, SystemExit) else getattr(error, "exit_code", 1)
        raise
    finally:
        if dist.is_available() and dist.is_initialized():
            if code in (0, None, 130):  # otherwise the others may still wait for this process
                dist.destroy_process_group()
            # A network that was shared keeps the threads alive beyond this, and they do not show when they are idle.
            time.sleep(0.2)
