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

from fer.datasets.collate import position
from fer.datasets.ferplus import SIDE, FERPlus
from fer.labels import EMOTIONS
from fer.preprocess import Preprocess
from synthetic_faces.tree import draw_person

SEED = 1
"""Not that of the sample, whose people a network should not have seen."""
SLIGHT, FULL = 0.2, 0.7
"""Up to the one intensity an expression is taken for neutral, from the other on for itself."""


class WithSynthetic(Dataset):
    """The faces of FER+, then drawn ones.

    An item is that of ``faces``: a uint8 grey tensor (1, 48, 48), and an int or shares, float32 (8,).
    The weaker a drawn expression, the larger its share of neutral, as people would vote.

    Args:
        faces: FER+, without a transform.
        people: how many are drawn, each with all eight emotions, in a fifth of a second.

    Attributes:
        labels: int64 (N,).
        keys: N unique names; drawn faces are called ``"drawn/PERSON-EMOTION"``.
    """

    def __init__(self, faces: FERPlus, people: int) -> None:
        self.faces, self.name, self.split = faces, faces.name, faces.split
        small = Preprocess(SIDE, channels=1, scaling="raw")
        pictures, shares, self.keys = [], [], list(faces.keys)
        for person in tqdm(range(people), "drawing", leave=False, delay=1):
            for sample in draw_person(SEED, "train", person):
                rgb = torch.from_numpy(sample.image[:, :, ::-1].copy()).permute(2, 0, 1)
                pictures.append(small(rgb).round().to(torch.uint8))
                shares.append(votes(sample.label, sample.intensity))
                self.keys.append(f"drawn/{person}-{EMOTIONS[sample.label]}")
        self.drawn, self.shares = torch.stack(pictures), torch.stack(shares)
        self.labels = np.concatenate([faces.labels, self.shares.argmax(1).numpy()])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int | Tensor]:
        i = range(len(self))[position(i)]
        if i < len(self.faces):
            return self.faces[i]
        k = i - len(self.faces)
        return self.drawn[k], self.shares[k] if self.faces.kind == "soft" else int(self.labels[i])


def votes(label: int, intensity: float) -> Tensor:
    """Return the shares of emotion ``label`` and of neutral in an expression, float32 (8,)."""
    clear = min(max((intensity - SLIGHT) / (FULL - SLIGHT), 0.0), 1.0)
    emotion, neutral = (F.one_hot(torch.tensor(k), len(EMOTIONS)) for k in (label, 0))
    return clear * emotion + (1 - clear) * neutral
