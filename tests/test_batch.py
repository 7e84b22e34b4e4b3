"""Batches that are read while the one before is used."""

import threading

import pytest
from torch.utils.data import DataLoader

from fer.datasets.batch import read_ahead
from fer.errors import DataInvalid


class Numbers:
    """0 to 8; ``asked`` is set for a number that is read, and number ``broken`` cannot be."""

    def __init__(self, broken=None):
        self.asked, self.broken = [threading.Event() for _ in range(9)], broken

    def __len__(self):
        return 9

    def __getitem__(self, i):
        self.asked[i].set()
        if i == self.broken:
            raise DataInvalid(f"{i} is broken")
        return i


@pytest.mark.parametrize("workers", [0, 2])
def test_all_batches_come_in_order(workers):
    loader = DataLoader(Numbers(), 2, num_workers=workers)
    assert [batch.tolist() for batch in read_ahead(loader)] == [batch.tolist() for batch in loader]


def test_the_next_batch_is_read_meanwhile_and_no_further():
    numbers = Numbers()
    batches = read_ahead(DataLoader(numbers, 2))
    assert not numbers.asked[0].is_set()
    next(batches)
    assert numbers.asked[3].wait(20)
    batches.close()
    assert [event.is_set() for event in numbers.asked] == [True] * 4 + [False] * 5
    assert not any(thread.name.startswith("read ahead") for thread in threading.enumerate())


def test_an_error_comes_with_its_batch():
    batches = read_ahead(DataLoader(Numbers(broken=3), 2))
    assert next(batches).tolist() == [0, 1]
    with pytest.raises(DataInvalid, match="3 is broken"):
        next(batches)
