"""FER+ and some drawn faces together, so that a network can also read the built-in sample.

Drawn expressions are stylised: a network that has seen photos alone takes some
of them for others, and the film of the demos is drawn.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from fer.datasets.drawing.tree import draw_person
from fer.datasets.ferplus import SIDE, FERPlus
from fer.labels import EMOTIONS
from fer.preprocess import Preprocess

SEED = 1
"""Not that of the sample, whose people a network should not have seen."""


class WithDrawn(Dataset):
    """The faces of FER+, then drawn ones of as many people, each with all eight emotions.

    An item is that of ``faces``: a uint8 grey tensor (1, 48, 48), and an int or shares, float32 (8,).

    Args:
        faces: FER+, without a transform.
        people: how many are drawn (a second for each), and how many faces an emotion gets.

    Attributes:
        labels: int64 (N,).
        keys: N unique names; drawn faces are called ``"drawn/PERSON-EMOTION"``.
    """

    def __init__(self, faces: FERPlus, people: int) -> None:
        self.faces, self.name, self.split = faces, faces.name, faces.split
        small = Preprocess(SIDE, channels=1, scaling="raw")
        pictures, labels, self.keys = [], [], list(faces.keys)
        for person in tqdm(range(people), "drawing", leave=False, delay=1):
            for sample in draw_person(SEED, "train", person):
                rgb = torch.from_numpy(sample.image[:, :, ::-1].copy()).permute(2, 0, 1)
                pictures.append(small(rgb).round().to(torch.uint8))
                labels.append(sample.label)
                self.keys.append(f"drawn/{person}-{EMOTIONS[sample.label]}")
        self.drawn = torch.stack(pictures)
        self.labels = np.concatenate([faces.labels, np.array(labels, np.int64)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int | Tensor]:
        if i < len(self.faces):
            return self.faces[i]
        label = int(self.labels[i])
        if self.faces.kind == "soft":
            label = F.one_hot(torch.tensor(label), len(EMOTIONS)).float()
        return self.drawn[i - len(self.faces)], label
