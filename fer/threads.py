"""How many threads of this process may compute, and a function run on many images with them."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_limit: list[int] = []


def limit(threads: int) -> None:
    """From now on use at most ``threads`` threads for images and networks."""
    _limit[:] = [max(1, threads)]


def count() -> int:
    """Return how many threads to use: all processors of this process, unless ``limit`` or OMP_NUM_THREADS says less.

    A child process, such as a worker of a DataLoader, has one: it shares the processors with its siblings.
    """
    if _limit:
        return _limit[0]
    if multiprocessing.parent_process() is not None:
        return 1
    chosen = os.environ.get("OMP_NUM_THREADS", "")  # torchrun gives each of its processes 1
    return int(chosen) if chosen.isdecimal() and int(chosen) else processors()


def processors() -> int:
    """Return the number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def for_each(n: int, work: Callable[[int], object]) -> None:
    """Call ``work(0)`` to ``work(n - 1)``, in no particular order; an error in one of them is raised here.

    It saves time where ``work`` is mostly a library call that releases the GIL, as OpenCV's do.
    """
    threads = max(1, min(count(), n))

    def every_nth(first: int) -> None:  # a task for each image would cost more than some images
        for k in range(first, n, threads):
            work(k)

    if threads == 1:
        return every_nth(0)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(every_nth, range(threads)))
