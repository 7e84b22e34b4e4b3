"""The stand-in for AffectNet8 that benchmarks read: the layout, and going on after a stop."""

import numpy as np
import pytest

from benchmarks.make_affectnet8 import MakeOptions, counts, make
from fer.datasets import AffectNet8
from fer.errors import DataInvalid


def test_the_stand_in_has_the_layout_of_affectnet8(tmp_path):
    out = make(MakeOptions(tmp_path / "made", images=24, faces=8, tar=True))
    train, val = AffectNet8(out), AffectNet8(out, "val")
    assert (len(train), len(val)) == (24, 8)
    ids, val_ids = ([int(key.split("/")[1]) for key in faces.keys] for faces in (train, val))
    assert set(val_ids) <= set(ids) and set(np.diff(ids)) > {1}
    assert np.bincount(train.labels).tolist() == counts(24)["train"].tolist()
    exp = np.load(out / "train_set/annotations/0_exp.npy")
    assert exp.shape == () and exp.dtype.kind == "U"
    assert (out / "train_set/annotations/0_lnd.npy").stat().st_size == 128 + 136 * 8
    face = train.annotations(3)
    assert face.landmarks.shape == (68, 2) and -1 <= face.valence <= 1
    assert train[3][0].shape == (3, 224, 224)
    assert 3000 < (out / f"train_set/images/{ids[3]}.jpg").stat().st_size < 40_000
    tar = AffectNet8(out / "train_set.tar")
    assert tar.labels.tolist() == train.labels.tolist() and (tar[5][0] == train[5][0]).all()

    lost = out / "train_set/images/0.jpg"
    before = lost.read_bytes()
    lost.unlink()
    make(MakeOptions(tmp_path / "made", images=24, faces=8))
    assert lost.read_bytes() == before
    with pytest.raises(DataInvalid, match="was made with"):
        make(MakeOptions(tmp_path / "made", images=25, faces=8))


def test_classes_are_as_frequent_as_published():
    assert counts(287_651)["train"].tolist()[:3] == [74874, 134415, 25459]
    assert counts(287_651)["val"].tolist() == [500] * 7 + [499]
    few = counts(1000)["train"]
    assert few.sum() == 1000 and few.min() >= 8 and few.argmax() == 1
    with pytest.raises(DataInvalid, match="8 or more"):
        counts(7)
