"""Face data sets: an item is ``(image, label)``, ``.labels`` gives all labels without opening an image."""

from fer.lazy import exports

__getattr__, __dir__ = exports(
    __name__,
    {
        "AffectNet8": "affectnet8.dataset",
        "FERPlus": "ferplus",
        "SyntheticFaces": "synthetic.dataset",
        "Packed": "packed.dataset",
        "PUBLISHED": "affectnet8.index",
        "SPLITS": "finding",
        "data_of": "finding",
        "find": "finding",
        "open_split": "finding",
    },
)
