"""Reading hundreds of thousands of small files: one after another, or in threads while the disk keeps one waiting."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part, Result = TypeVar("Part"), TypeVar("Result")

_THREADS = 8
_TOGETHER = 24  # parts that are read in threads before it is asked anew whether that helps
_NOTICED = 0.05  # seconds; a thousand small files in memory take 10 to 20 ms


def in_turn_or_together(work: Callable[[Part], Result], parts: Sequence[Part]) -> Iterator[Result]:
    """Yield ``work(part)`` for each part, of about a thousand files, in order.

    Threads hide the waiting for a network disk. Files in memory they read several
    times more slowly than one thread does, because they wait for each other.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        while parts:
            began, worked = time.perf_counter(), time.thread_time()
            result = work(parts[0])
            worked, took = time.thread_time() - worked, time.perf_counter() - began
            yield result
            together = _TOGETHER if took > max(4 * worked, _NOTICED) else 0
            yield from pool.map(work, parts[1 : 1 + together])
            parts = parts[1 + together :]
