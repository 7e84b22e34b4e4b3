"""Work on many files in several processes of this machine."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import groupby, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection

import cv2

from fer import threads
from fer.errors import UserError
from fer.interrupt import leave_to_the_main_process, starting_deaf_processes
from fer.photos.listing import File
from fer.photos.table import PictureRows
from fer.predictor import EmotionPredictor

AT_ONCE = 8  # photos that a process is given at a time; videos come singly
AHEAD = 4  # for each process: tasks that wait, are worked on, or are done before their turn

_of_this_process: list[Callable[[list[File]], Iterable[PictureRows]]] = []


def share_cores(processes: int) -> None:
    """Use one of so many equal shares of the cores that this process may use."""
    threads.limit(threads.processors() // processes)
    cv2.setNumThreads(threads.count())


def in_processes(
    work: Callable[..., Iterable[PictureRows]],
    load: Callable[[], EmotionPredictor],
    files: Iterable[File],
    jobs: int,
    share: int,
) -> Generator[PictureRows]:
    """Yield what ``work(files, load())`` gives, in the same order; closed or killed, it takes its processes along.

    Args:
        work, load: picklable; ``load`` is called once in each process.
        jobs, share: number of processes, and by what the cores are divided for each.

    Raises:
        UserError: a process was killed.
    """
    context = get_context("spawn")
    alive, end = context.Pipe(duplex=False)
    with starting_deaf_processes():  # Python's own, which counts locks, else dies with a closed terminal
        pool = ProcessPoolExecutor(jobs, context, _start, (alive, share, work, load))
    chunks, waiting = _chunks(files), deque[Future[list[PictureRows]]]()
    try:
        while True:
            for chunk in islice(chunks, AHEAD * jobs - len(waiting)):
                with starting_deaf_processes():  # the pool starts them when there is work
                    waiting.append(pool.submit(_work, chunk))
            if not waiting:
                return
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(f"One of {jobs} processes was killed: is there enough memory for so many?") from error
    finally:
        end.close()
        pool.shutdown(cancel_futures=True)


def _chunks(files: Iterable[File]) -> Iterator[list[File]]:
    for is_video, group in groupby(files, lambda file: file.is_video):
        while chunk := list(islice(group, 1 if is_video else AT_ONCE)):
            yield chunk


def _start(alive: Connection, share: int, work: Callable, load: Callable) -> None:
    """Leave signals to the main process, and end with it, however that ends."""

    def watch() -> None:
        try:
            alive.poll(None)
        finally:
            os._exit(1)

    leave_to_the_main_process(0)
    threading.Thread(target=watch, daemon=True).start()
    share_cores(share)
    _of_this_process.append(partial(work, predictor=load()))


def _work(files: list[File]) -> list[PictureRows]:
    return list(_of_this_process[0](files))
