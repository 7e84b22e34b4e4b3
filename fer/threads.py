"""Run one function on many images, on as many threads as torch may use: a single one in a worker of a DataLoader."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def for_each(n: int, work: Callable[[int], object]) -> None:
    """Call ``work(0)`` to ``work(n - 1)``, in no particular order; an error in one of them is raised here.

    It saves time where ``work`` is mostly a library call that releases the GIL, as OpenCV's do.
    """
    threads = max(1, min(torch.get_num_threads(), n))

    def every_nth(first: int) -> None:  # a task for each image would cost more than some images
        for k in range(first, n, threads):
            work(k)

    if threads == 1:
        return every_nth(0)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(every_nth, range(threads)))
