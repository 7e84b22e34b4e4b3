"""What test_train.py starts as three processes: going on where two have stopped, then losing one of the three."""

import signal
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from helpers import Spots, interrupt, learned, plain_network
from two_processes import PLAIN, data

from fer.processes import ProcessLost
from fer.train import Stopped, TrainConfig, fit


def main(out: Path) -> None:
    rank, train = PartialState(cpu=True).process_index, Spots(45)
    model = plain_network("plain")
    faces = learned(model, train)
    if rank == 2:
        interrupt(model, 13, signal.SIGTERM)
    try:
        fit(model, train, data()[1], TrainConfig(**PLAIN, out=out / "handed_on", resume=True))
    except Stopped:
        torch.save(faces, out / f"third-{rank}.pt")

    model = plain_network("plain")
    if rank == 1:
        interrupt(model, 20, signal.SIGKILL)
    try:
        fit(model, train, data()[1], TrainConfig(**PLAIN, out=out / "lost", save_steps=1))
    except ProcessLost as error:
        (out / f"lost-{rank}.txt").write_text(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
