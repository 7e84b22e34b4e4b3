"""What every data set of faces has, whichever class it is."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class FaceDataset(Protocol):
    """An item is ``(image, label)``: uint8 (C, H, W), and an int or a soft target, float32 (classes,).

    Attributes:
        name, split: of the data set, e.g. ``"ferplus"``, ``"train"``.
        labels: int64 (N,), known without opening an image.
        keys: N unique names.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def split(self) -> str: ...  # noqa: D102
    @property
    def labels(self) -> np.ndarray: ...  # noqa: D102
    @property
    def keys(self) -> Sequence[str]: ...  # noqa: D102
    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> Any: ...
