"""What all notebooks are run on."""

import numpy as np
import pytest
import torch

from fer import checkpoint
from fer.evaluation.predictions import Predictions
from fer.evaluation.recorded import record
from fer.model import build
from fer.training import History
from synthetic_faces.tree import write_tree


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A few synthetic faces, and two models of no skill with records on them."""
    root = tmp_path_factory.mktemp("world")
    write_tree(root / "data" / "synthetic", per_class=8)
    rng, labels = np.random.default_rng(0), np.arange(40) % 8
    row = {"epoch": 1, "train_loss": 2.0, "valid_loss": 2.0, "train_accuracy": 0.1, "valid_accuracy": 0.1}
    for name in ("one", "two"):
        torch.manual_seed(0)
        folder = root / "models" / name
        card = {
            "arch": "emotion_net",
            "options": {"widths": [8, 16]},
            "train_data": "sample",
            "train_size": 40,
        }
        checkpoint.save(folder, build("emotion_net", widths=(8, 16)), card)
        logits = rng.normal(size=(40, 8)).astype(np.float32)
        record(folder, "sample-val", Predictions([f"val/{i}" for i in range(40)], logits, labels), card)
        more = {"valid_balanced_accuracy": 0.1, "valid_macro_f1": 0.1, "seconds": 1, "chosen": 1}
        History([row | more], 1).save(folder / "history.csv")
    return root
