"""The built-in sample as a data set, its command, and synthetic faces beside FER+."""

import errno
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import votes, write_ferplus

from fer.card import read_card
from fer.datasets import SyntheticFaces
from fer.datasets.ferplus import FERPlus
from fer.datasets.synthetic.__main__ import Options, main
from fer.datasets.synthetic.dataset import WithSynthetic, soft_target
from fer.errors import DataInvalid
from fer.labels import EMOTIONS
from fer.train import main as train
from fer.training import TrainConfig, training_splits
from synthetic_faces import tree


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    return tree.write_tree(tmp_path_factory.mktemp("sample") / "synthetic", per_class=2, seed=3)


@pytest.fixture(scope="module")
def ferplus(tmp_path_factory) -> Path:
    rows = [votes(**{name: 10}) for name in EMOTIONS[:3]]
    return write_ferplus(tmp_path_factory.mktemp("ferplus"), {"train": rows, "valid": rows[:2]})


# --- the sample


def test_sample_is_a_data_set(sample):
    faces = SyntheticFaces(sample)
    assert (len(faces), faces.name, faces.split) == (16, "sample", "train")
    assert np.bincount(faces.labels).tolist() == [2] * 8
    assert len(set(faces.keys)) == 16
    image, label = faces[5]
    assert tuple(image.shape) == (3, 224, 224) and image.dtype == torch.uint8
    assert label == faces.labels[5]
    assert len(SyntheticFaces(sample, "val")) == 8
    assert len(SyntheticFaces(sample, limit=10)) == 10


def test_annotations_are_the_truth(sample):
    """The faces are rendered again from the seed: their landmarks are those that were stored."""
    faces = SyntheticFaces(sample)
    truth = [face for person in range(2) for face in tree.render_person(3, "train", person)]
    for i, face in zip(range(16), truth, strict=True):
        stored = faces.annotations(i)
        assert stored.expression == face.label
        assert np.allclose(stored.landmarks, face.landmarks, atol=1e-3)
        assert (stored.valence, stored.arousal) == pytest.approx((face.valence, face.arousal), abs=1e-5)


def test_images_keep_their_colours(sample):
    """Skin is redder than blue: RGB and BGR are not swapped on the way."""
    faces = SyntheticFaces(sample)
    middle = np.stack([faces[i][0].numpy()[:, 90:150, 80:140] for i in range(len(faces))]).mean((0, 2, 3))
    assert middle[0] > middle[2] + 15


def test_rendered_if_missing_then_kept_then_rendered_again(tmp_path, capsys):
    root = tmp_path / "deep" / "synthetic"
    assert len(SyntheticFaces(root, per_class=1)) == 8
    made = (root / tree.SETTINGS).stat().st_mtime_ns
    assert len(SyntheticFaces(root)) == 8
    assert (root / tree.SETTINGS).stat().st_mtime_ns == made
    assert "again" not in capsys.readouterr().out
    assert len(SyntheticFaces(root, per_class=2, seed=7)) == 16
    assert "again" in capsys.readouterr().out
    wanted = {"version": tree.VERSION, "per_class": 2, "seed": 7}
    assert json.loads((root / tree.SETTINGS).read_text()) == wanted
    (root / tree.SETTINGS).write_text(json.dumps(wanted | {"version": tree.VERSION - 1, "per_class": 1}))
    assert len(SyntheticFaces(root)) == 8  # of an older version
    assert "again" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_named_with_its_option(tmp_path, monkeypatch):
    def refuse(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("fer.files.TemporaryFile", refuse)
    with pytest.raises(
        DataInvalid, match=r"--root .*synthetic cannot be written to .*Read-only.*another folder"
    ):
        SyntheticFaces(tmp_path / "synthetic")


def test_another_folder_is_left_alone(tmp_path):
    keep = tmp_path / "holiday.jpg"
    keep.write_bytes(b"x")
    with pytest.raises(DataInvalid, match="not written by this program"):
        SyntheticFaces(tmp_path)
    assert keep.read_bytes() == b"x"


def test_the_command_renders(tmp_path, capsys):
    main(Options(tmp_path / "out", per_class=1, seed=2))
    assert "8 faces in train_set/, 8 faces in val_set/" in capsys.readouterr().out
    assert len(list((tmp_path / "out/train_set/images").iterdir())) == 8


# --- beside FER+


def test_synthetic_faces_follow_those_of_ferplus(ferplus):
    faces = FERPlus(ferplus)
    both = WithSynthetic(faces, people=2)
    assert len(both) == 3 + 16
    assert torch.equal(both[1][0], faces[1][0])
    assert [both[i][1] for i in range(3)] == [0, 1, 2] == both.labels[:3].tolist()
    assert len(set(both.keys)) == len(both)
    rendered = [key.split("-")[1] for key in both.keys[3:]]
    assert Counter(rendered) == dict.fromkeys(EMOTIONS, 2)
    for i, emotion in enumerate(rendered, 3):
        image, label = both[i]
        assert (image.dtype, image.shape) == (torch.uint8, (1, 48, 48))
        assert image.float().std() > 8  # a face, not a plain area
        assert label == both.labels[i]
        assert EMOTIONS[label] in (emotion, "neutral")
    assert set(both.labels[3:]) > {0}
    assert torch.equal(
        WithSynthetic(faces, people=1).synthetic, both.synthetic[:8]
    )  # the same people each time
    assert not torch.equal(both.synthetic[:8], both.synthetic[8:])
    assert both[-1][1] == both[len(both) - 1][1] == both.labels[-1]
    with pytest.raises(IndexError):
        both[len(both)]
    with pytest.raises(TypeError, match="as an integer"):
        both[:2]


@pytest.mark.parametrize(
    ("label", "intensity", "expected"),
    [
        *[(5, 1.0, {5: 1.0}), (5, 0.7, {5: 1.0}), (5, 0.45, {5: 0.5, 0: 0.5}), (5, 0.3, {5: 0.2, 0: 0.8})],
        *[(0, 0.3, {0: 1.0}), (0, 1.0, {0: 1.0})],
    ],
)
def test_weak_expressions_are_partly_neutral(label, intensity, expected):
    target = soft_target(label, intensity)
    assert target.dtype == torch.float32
    assert {k: v for k, v in enumerate(target.tolist()) if v} == pytest.approx(expected)


def test_targets_are_soft_if_those_of_ferplus_are(ferplus):
    both = WithSynthetic(FERPlus(ferplus, labels="soft"), people=1)
    targets = torch.stack([both[i][1] for i in range(len(both))])
    assert targets.dtype == torch.float32
    assert torch.equal(targets.argmax(1), torch.from_numpy(both.labels))
    assert torch.equal(targets.sum(1), torch.ones(len(both)))


def test_they_join_the_training_faces_alone_and_the_card_records_it(ferplus, tmp_path, no_export):
    config = TrainConfig(data="ferplus", root=ferplus, synthetic=1, model="emotion_net", size=16, epochs=1)
    assert [len(part) for part in training_splits(config)] == [3 + 8, 2]
    config.out, config.imbalance = tmp_path / "model", "square_root_sampling"
    train(config)
    card = read_card(config.out)
    assert (card["train_size"], card["config"]["synthetic"], card["train_data"]) == (3 + 8, 1, "ferplus")


def test_they_are_for_ferplus(tmp_path):
    with pytest.raises(DataInvalid, match=r"--synthetic is for --data ferplus"):
        train(TrainConfig(data="sample", synthetic=1, out=tmp_path))
