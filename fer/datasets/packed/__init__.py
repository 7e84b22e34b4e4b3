"""Packs: every face decoded once, at one size, so that training reads pixels instead of decoding JPEGs every epoch.

    PACK/train/pack.json     what it is, how far it is written, which images were broken, and the SHA-256 of all
    PACK/train/faces.npz     keys, labels, valence and arousal
    PACK/train/pixels.npy    uint8 (N, 3, size, size), RGB, in the order of the data set; a broken image is zeros

Training reads single faces from all over the set, and WebDataset's tars are made to be read in sequence. An .npy file
that is mapped into memory finds any face at once, and is shared by all processes of a machine.
"""

from fer.lazy import exports

__getattr__, __dir__ = exports(__name__, {"Packed": "dataset", "pack": "dataset"})
