"""Do the same to many pictures at once, on as many threads as torch may use: one in a process that only reads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def for_each(n: int, work: Callable[[int], None]) -> None:
    """Call ``work(0)`` to ``work(n - 1)``, in no particular order; an error in one of them is raised here.

    It brings something where ``work`` spends its time in a library that frees
    Python meanwhile, as OpenCV does.
    """
    threads = max(1, min(torch.get_num_threads(), n))

    def share(first: int) -> None:
        for k in range(first, n, threads):
            work(k)

    if threads == 1:
        return share(0)
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(share, range(threads)):
            pass
