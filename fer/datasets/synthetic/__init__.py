"""The built-in sample: synthetic faces in AffectNet8's layout, so that everything runs without gated data."""

from fer.lazy import exports

__getattr__, __dir__ = exports(__name__, {"SyntheticFaces": "dataset", "WithSynthetic": "dataset"})
