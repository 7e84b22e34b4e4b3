"""Being asked to stop (Ctrl-C, kill, a closed terminal) without being cut off in the middle of a step."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
PATIENCE = 2
"""Signals that are noted; one more raises. torchrun and the system may each send SIGTERM."""


class Stop:
    """Whether the program was asked to stop: true from the first signal on.

    Attributes:
        at_once: raise KeyboardInterrupt where the program is, at the first signal, too.
    """

    def __init__(self, at_once: bool) -> None:
        self.at_once, self._signals = at_once, 0

    def __bool__(self) -> bool:
        return self._signals > 0

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self._signals += 1
        if self.at_once or self._signals > PATIENCE:
            raise KeyboardInterrupt
        if self._signals == PATIENCE:
            print("Finishing what is being written; once more ends it at once.", file=sys.stderr)


@contextlib.contextmanager
def stop_signals(at_once: bool = False) -> Iterator[Stop]:
    """Note SIGINT, SIGTERM and SIGHUP in the ``Stop`` that is given, for the work to look at between two steps.

    SIGHUP stays ignored where it is, as under ``nohup``: the work goes on when its terminal is closed. In a block that
    notes them already, this gives its ``Stop``.

    Args:
        at_once: let each of them raise KeyboardInterrupt instead, as SIGINT does without this.
    """
    stop, before = Stop(at_once), {}
    if threading.current_thread() is threading.main_thread():  # other threads get no signals
        outer = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
        if isinstance(outer, Stop) and outer.at_once == at_once:
            yield outer
            return
        nohup = hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        noted = (number for number in SIGNALS if not (nohup and number == signal.SIGHUP))
        before = {number: signal.signal(number, stop.note) for number in noted}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_at_once() -> None:
    """Let a signal end the process, with 130 and without a word, while a script imports and has nothing to close."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(130))


@contextlib.contextmanager
def starting_deaf_processes() -> Iterator[None]:
    """Start processes that get no signals, from their first moment on, while they import what they need, too.

    Signals that come meanwhile wait until the block ends. Without effect on Windows.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # processes inherit it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_to_the_main_process(worker: int) -> None:
    """Make a process that reads for another one ignore what asks that one to stop (``DataLoader(worker_init_fn=...)``).

    Both get the signals of a terminal, and those that torchrun and SLURM send to a whole group: the main
    process must still be given the batch that it waits for.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
