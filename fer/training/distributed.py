"""The processes of one command, as torchrun and accelerate launch start them: which one is this, and waiting."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState

from fer.errors import UserError

T = TypeVar("T")

PATIENCE = timedelta(days=30)
"""The first to finish waits for the last; a process that dies ends the wait at once."""


class ProcessLost(UserError):
    """Another process of the same command ended before its time."""


@contextmanager
def noticing_losses(advice: str) -> Iterator[None]:
    """Say plainly what torch's long errors mean when another process is gone.

    Raises:
        ProcessLost: instead of an error of torch's communication; it ends with ``advice``.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise ProcessLost(
            f"Another process of this run ended or cannot be reached, so this one ends, too ({_brief(error)}). {advice}"
        ) from error


def _brief(error: Exception) -> str:
    """Return the telling part of "[…/pair.cc:561] Connection closed by peer [127.0.0.1]:17283. This is …"."""
    found = re.search(r"/pair\.cc:\d+\] (.+?)(?:\. |$)", str(error).strip(), re.MULTILINE)
    return found[1] if found else type(error).__name__


def processes() -> PartialState:
    """Return what this process knows of the others, after meeting them.

    Without a GPU (Apple's cannot be shared), accelerate takes each process of
    torchrun for the only one unless it is told to use the CPU.
    """
    gpu = torch.accelerator.current_accelerator(check_available=True)
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return PartialState(cpu=several and (gpu is None or gpu.type == "mps"))


@contextmanager
def leaving() -> Iterator[None]:
    """Part from the other processes at the end of the block, which holds all that a script does.

    For scripts that torchrun starts several times. A process that failed stays
    in the group, because others may still wait for it.
    """
    code: object = 1
    try:
        yield
        code = 0
    except KeyboardInterrupt:
        code = 130
        raise
    except SystemExit as error:
        code = error.code
        raise
    except Exception as error:
        code = getattr(error, "exit_code", 1)
        raise
    finally:
        leave(done=code in (0, None, 130))  # stopped, all end after the same step


def leave(done: bool) -> None:
    """Part from the others, as the last thing before Python ends; without others, do nothing.

    torch's communication threads let go of the tensors of an exchange a moment
    after it. The thread that does so while Python shuts down aborts the process
    (https://github.com/pytorch/pytorch/issues/190489).

    Args:
        done: all processes ended alike; others may still wait for one that failed.
    """
    if not dist.is_available() or not dist.is_initialized():
        return
    if done:
        dist.destroy_process_group()
    # A network that was shared keeps the threads alive beyond this, and nothing tells when they are idle.
    time.sleep(0.2)


@dataclass(frozen=True)
class Processes:
    """What one process knows of the others; a command started as usual is the only one.

    Attributes:
        rank: number of this process, from 0, over all machines.
        world: how many there are, over all machines.
        here: how many there are on this machine.
    """

    rank: int = 0
    world: int = 1
    here: int = 1

    @classmethod
    def meet(cls) -> "Processes":
        """Return this process's place among the others, once all have come."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
        met = cls(*(int(os.environ.get(name, usual)) for name, usual in zip(names, (0, 1, 1), strict=True)))
        if met.world > 1 and not dist.is_initialized():
            dist.init_process_group("gloo", timeout=PATIENCE)
        return met

    @property
    def cores(self) -> int:
        """This process's share of the machine's cores."""
        known = hasattr(os, "sched_getaffinity")  # on Linux: what the process may use, not what there is
        return max(1, (len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1) // self.here)

    def first(self, work: Callable[[], T]) -> T:
        """Let the first process alone do ``work`` while the others wait; return what it gave, to all.

        Raises:
            whatever ``work`` raises, in the first process; SystemExit(1), without words, in the others.
        """
        if self.world == 1:
            return work()
        answer: list = [False, None]
        try:
            if self.rank == 0:
                answer = [True, work()]
        finally:
            dist.broadcast_object_list(answer)
        if not answer[0]:
            raise SystemExit(1)
        return answer[1]

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.world > 1:
            dist.barrier()
