"""Synthetic faces as data sets: alone, or beside the photos of FER+."""

import operator
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from fer.datasets.affectnet8.dataset import AffectNet8
from fer.datasets.ferplus import SIDE, FERPlus
from fer.files import check_output_folder, naming
from fer.labels import EMOTIONS
from fer.preprocess import Preprocess
from synthetic_faces.tree import SETTINGS, VERSION, read_settings, render_person, settings, write_tree

PEOPLE_SEED = 1
"""Of the people beside FER+: not the sample's, whose people a network should not have seen."""
NEUTRAL_BELOW, CLEAR_ABOVE = 0.2, 0.7
"""Intensities up to which an expression counts as neutral, and from which on as its emotion alone."""


class SyntheticFaces(AffectNet8):
    """Faces rendered from facial action units (EMFACS prototypes).

    An item is that of AffectNet8; ``annotations(i)`` has valence, arousal and
    the 68 landmarks that the image was rendered from. What a network learns from it says nothing about real faces.

    The images are rendered now (in about 15 s) if ``root`` does not hold them,
    and again, with a message, if it holds those of other settings or of an older version.

    Args:
        split: "train" or "val"; no person occurs in both.
        per_class: training images of each emotion, and a quarter as many for validation; None takes what ``root``
            holds, or renders 100.
        seed: the same seed gives the same images, bit for bit; None takes what ``root`` holds, or renders with 0.
        transform, limit: as for ``AffectNet8``.
    """

    def __init__(
        self,
        root: str | Path = "dataset/synthetic",
        split: str = "train",
        *,
        per_class: int | None = None,
        seed: int | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
        limit: int | None = None,
    ) -> None:
        found, asked = read_settings(Path(root)), {"per_class": per_class, "seed": seed}
        wanted = (found or settings()) | {k: v for k, v in asked.items() if v is not None}
        wanted["version"] = VERSION
        if found != wanted:
            if found is not None:
                print(f"{root} was rendered with {found}; rendering it again with {wanted}.")
            check_output_folder("--root (in notebooks: DATA)", Path(root))
            with naming(root):
                write_tree(root, wanted["per_class"], wanted["seed"])
        super().__init__(root, split, transform=transform, limit=limit)
        self.name = "sample"


class WithSynthetic(Dataset):
    """The faces of FER+, then synthetic ones, so that a network can also read the built-in sample.

    Synthetic expressions are stylised: a network that has seen photos alone
    takes some of them for others. An item is that of ``faces``. The weaker a
    synthetic expression, the larger the part of neutral in its soft target, as
    people would vote.

    Args:
        faces: FER+, without a transform.
        people: how many are rendered, each with all eight emotions, in a fifth of a second.

    Attributes:
        synthetic: the images of the synthetic faces, uint8 (8 * people, 1, 48, 48).
    """

    def __init__(self, faces: FERPlus, people: int) -> None:
        self.faces, self.name, self.split = faces, faces.name, faces.split
        small = Preprocess(SIDE, channels=1, scaling="raw")
        images, targets, self.keys = [], [], list(faces.keys)
        for person in tqdm(range(people), "rendering", leave=False, delay=1):
            for face in render_person(PEOPLE_SEED, "train", person):
                rgb = face.image[:, :, ::-1].transpose(2, 0, 1)
                images.append(torch.from_numpy(small(rgb).round().astype(np.uint8)))
                targets.append(soft_target(face.label, face.intensity))
                self.keys.append(f"synthetic/{person}-{EMOTIONS[face.label]}")
        self.synthetic, self._targets = torch.stack(images), torch.stack(targets)
        self.labels = np.concatenate([faces.labels, self._targets.argmax(1).numpy()])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int | Tensor]:
        i = range(len(self))[operator.index(i)]
        if i < len(self.faces):
            return self.faces[i]
        k = i - len(self.faces)
        return self.synthetic[k], self._targets[k] if self.faces.kind == "soft" else int(self.labels[i])


def is_synthetic(root: Path) -> bool:
    """Tell whether a folder is the synthetic sample."""
    return (root / SETTINGS).is_file()


def soft_target(label: int, intensity: float) -> Tensor:
    """Return the soft target of a synthetic face, float32 (8,): emotion ``label`` and neutral, by its intensity."""
    clear = min(max((intensity - NEUTRAL_BELOW) / (CLEAR_ABOVE - NEUTRAL_BELOW), 0.0), 1.0)
    emotion, neutral = (F.one_hot(torch.tensor(k), len(EMOTIONS)) for k in (label, 0))
    return clear * emotion + (1 - clear) * neutral
