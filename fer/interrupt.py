"""Being asked to stop (Ctrl-C, kill) without being cut off in the middle of a step."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether SIGINT or SIGTERM came; a second SIGINT acts as usual.

    SIGTERM may come twice at once, from the system and from torchrun; who means it sends SIGKILL next.
    """
    came: list[int] = []

    def remember(number: int, frame: object) -> None:
        came.append(number)
        if number == signal.SIGINT:
            signal.signal(number, before[number])

    before = {}
    with contextlib.suppress(ValueError):  # not the main thread: leave signals alone
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, remember)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM, which clusters and torchrun send, end the work as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # signals are not this thread's
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def leave_to_the_main_process(worker: int) -> None:
    """Make a process that reads for another one ignore what asks that one to stop (``DataLoader(worker_init_fn=...)``).

    Both get the signals of a terminal, and those that torchrun and SLURM send to a whole group: the main
    process must still be given the batch that it waits for.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
