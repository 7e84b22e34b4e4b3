"""How many threads a process uses, and work that is shared among them."""

import subprocess
import sys
import threading

import pytest
from torch.utils.data import DataLoader

from fer import threads
from fer.threads import for_each


@pytest.fixture(autouse=True)
def no_limit(monkeypatch):
    monkeypatch.setattr(threads, "_limit", [])


@pytest.fixture(params=[1, 3])
def limited(request):
    threads.limit(request.param)
    return request.param


@pytest.mark.parametrize("n", [0, 1, 2, 20])
def test_each_number_is_worked_on_once(limited, n):
    done = []
    for_each(n, done.append)
    assert sorted(done) == list(range(n))


def test_as_many_threads_as_are_allowed(limited):
    """Each waits for the others: fewer would wait in vain."""
    barrier = threading.Barrier(limited)
    for_each(limited, lambda _: barrier.wait(timeout=30))
    assert not barrier.broken


def test_an_error_comes_out(limited):
    def work(k):
        if k == 4:
            raise KeyError(k)

    with pytest.raises(KeyError):
        for_each(6, work)


@pytest.mark.parametrize(("chosen", "expected"), [("3", 3), ("0", None), ("all", None), ("", None)])
def test_omp_num_threads_counts(monkeypatch, chosen, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    assert threads.count() == (expected or threads.processors())
    threads.limit(2)
    assert threads.count() == 2


class Counts(list):
    def __getitem__(self, _):
        return threads.count()


def test_a_worker_of_a_loader_has_one(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [int(count) for count in DataLoader(Counts([0, 0]), num_workers=1, batch_size=None)] == [1, 1]


def test_no_fewer_than_one_nor_more_than_there_are():
    code = "from fer import threads; print(threads.count()); threads.limit(0); print(threads.count())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = map(int, run.stdout.split())
    assert first >= 1 and second == 1
