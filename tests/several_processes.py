"""What test_distributed.py starts as two processes, with torchrun, and then as three; results are left as files."""

import os
import signal
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from helpers import Interrupting, Spots, plain_network, small_net

from fer.checkpoint import save
from fer.errors import Stopped
from fer.training import TrainConfig, fit
from fer.training.distributed import ProcessLost, leaving

PLAIN = {"epochs": 2, "batch_size": 8, "augment": "none", "ema": 0.9, "lr": 0.01, "metric": "loss"}
# Long enough that no two classes are equally likely: a tie would fall differently on different machines.
SHARED = {"epochs": 8, "batch_size": 16, "augment": "light", "ema": 0.9, "lr": 0.03, "metric": "loss"}


def data():
    """45 faces in batches of 8: the last has 13, an odd number."""
    return Spots(45), Spots(19, "valid", seed=1)


def two(out):
    """Learn in four ways, and stop the second one."""
    (train, valid), model = data(), plain_network()
    history = fit(model, train, valid, TrainConfig(**PLAIN))
    result = {"weights": model.state_dict(), "rows": history.rows, "seen": train.seen}

    rank = PartialState().process_index
    train = Interrupting(7, signal.SIGTERM, 45) if rank == 1 else Spots(45)
    try:
        fit(plain_network("plain"), train, valid, TrainConfig(**PLAIN, out=out / "handed_on"))
    except Stopped:
        torch.save(result | {"stopped": train.seen}, out / f"plain-{rank}.pt")

    model = small_net()  # its batch statistics differ between the processes
    fit(model, *data(), TrainConfig(**SHARED, out=out / "shared"))
    torch.save(model.state_dict(), out / f"shared-{rank}.pt")

    teacher, model = small_net(), plain_network("plain")
    torch.nn.init.normal_(teacher.head[-1].weight, generator=torch.Generator().manual_seed(3))
    save(out / f"teacher-{rank}", teacher, {})
    fit(model, *data(), TrainConfig(**PLAIN, teachers=(out / f"teacher-{rank}",)))
    torch.save(model.state_dict(), out / f"taught-{rank}.pt")


class Killed(Spots):
    """Ends this process, without a chance to say so, after 20 faces."""

    def __getitem__(self, i):
        if len(self.seen) == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(i)


def three(out):
    """Go on where two have stopped, stop, too, then begin again and lose one of the three."""
    rank, model, valid = PartialState(cpu=True).process_index, plain_network("plain"), data()[1]
    train = Interrupting(13, signal.SIGTERM, 45) if rank == 2 else Spots(45)
    try:
        fit(model, train, valid, TrainConfig(**PLAIN, out=out / "handed_on", resume=True))
    except Stopped:
        torch.save(train.seen, out / f"third-{rank}.pt")

    train, model = Killed(45) if rank == 1 else Spots(45), plain_network("plain")
    try:
        fit(model, train, valid, TrainConfig(**PLAIN, out=out / "lost", save_steps=1))
    except ProcessLost as error:
        (out / f"lost-{rank}.txt").write_text(str(error))
    sys.exit(3)  # not all end alike: the group stays


if __name__ == "__main__":
    with leaving():
        {"two": two, "three": three}[sys.argv[1]](Path(sys.argv[2]))
