"""Face data sets: an item is ``(image, label)``, ``.labels`` gives all labels without opening an image.

Names are imported when first used, so that ``python -m fer.datasets.drawn
--help`` answers without torch.
"""

import importlib

_HOME = {
    "AffectNet8": "affectnet8",
    "FERPlus": "ferplus",
    "DrawnFaces": "drawn",
    "Packed": "packed",
    "find": "finding",
    "open_split": "finding",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
