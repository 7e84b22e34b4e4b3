"""Work that is shared among threads."""

import threading

import pytest
import torch

from fer.threads import for_each


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("n", [0, 1, 2, 20])
def test_each_number_is_worked_on_once(threads, n):
    done = []
    for_each(n, done.append)
    assert sorted(done) == list(range(n))


def test_as_many_threads_as_torch_may_use(threads):
    """Each waits for the others: fewer would wait in vain."""
    barrier = threading.Barrier(threads)
    for_each(threads, lambda _: barrier.wait(timeout=30))
    assert not barrier.broken


def test_an_error_comes_out(threads):
    def work(k):
        if k == 4:
            raise KeyError(k)

    with pytest.raises(KeyError):
        for_each(6, work)
