"""Packs: every face decoded once, at one size, so that training reads pixels instead of decoding JPEGs every epoch.

    PACK/train/pack.json       what it is, and the SHA-256 of every other file
    PACK/train/faces.npz       keys, labels, valence and arousal, and where each face's pixels are
    PACK/train/00000.npy …     uint8 (2048, 3, size, size), RGB, in the order of the data set
    PACK/train/00000.json …    what was written to each shard; plan.json: what all shards have in common

Training reads single faces from all over the set. WebDataset's tars are made to
be read in sequence; LitData and Arrow bring a dependency and a record around
each image. Pixels of one size need neither: an .npy file that is mapped into
memory finds any of them at once and is shared by all processes of a machine.
"""

from fer.lazy import exports

__getattr__, __dir__ = exports(__name__, {"Packed": "reader", "pack": "writer"})
