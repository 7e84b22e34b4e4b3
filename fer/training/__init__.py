"""Training: ``config`` holds the options, ``loop`` the epochs and steps; each other module is one part of a step."""

from fer.lazy import exports

__getattr__, __dir__ = exports(
    __name__,
    {
        "TrainConfig": "config",
        "training_splits": "start",
        "new_model": "start",
        "fit": "loop",
        "History": "state",
        "TrainingStopped": "state",
    },
)
