"""What test_distributed.py starts as three processes: going on where two have stopped, then losing one of the three."""

import os
import signal
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from helpers import Interrupting, Spots, plain_network
from two_processes import PLAIN, data

from fer.training import Stopped, TrainConfig, fit
from fer.training.distributed import ProcessLost, leaving


class Killed(Spots):
    """Ends this process, without a chance to say so, after 20 faces."""

    def __getitem__(self, i):
        if len(self.seen) == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(i)


def main(out: Path) -> None:
    rank = PartialState(cpu=True).process_index
    train = Interrupting(13, signal.SIGTERM, 45) if rank == 2 else Spots(45)
    try:
        fit(
            plain_network("plain"), train, data()[1], TrainConfig(**PLAIN, out=out / "handed_on", resume=True)
        )
    except Stopped:
        torch.save(train.seen, out / f"third-{rank}.pt")

    train = Killed(45) if rank == 1 else Spots(45)
    try:
        fit(plain_network("plain"), train, data()[1], TrainConfig(**PLAIN, out=out / "lost", save_steps=1))
    except ProcessLost as error:
        (out / f"lost-{rank}.txt").write_text(str(error))


if __name__ == "__main__":
    with leaving():
        main(Path(sys.argv[1]))
        sys.exit(3)  # not all end alike: the group stays
