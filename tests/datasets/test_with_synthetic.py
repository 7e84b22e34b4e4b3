"""FER+ with drawn faces among its training faces."""

from collections import Counter

import pytest
import torch
from helpers import votes as cast
from helpers import write_ferplus

from fer.checkpoint import read_card
from fer.datasets.ferplus import FERPlus
from fer.datasets.with_synthetic import WithSynthetic, votes
from fer.errors import DataInvalid
from fer.labels import EMOTIONS
from fer.train import main
from fer.training import TrainConfig, training_splits


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    rows = [cast(**{name: 10}) for name in EMOTIONS[:3]]
    return write_ferplus(tmp_path_factory.mktemp("ferplus"), {"train": rows, "valid": rows[:2]})


def test_drawn_faces_follow_those_of_ferplus(root):
    faces = FERPlus(root)
    both = WithSynthetic(faces, people=2)
    assert len(both) == 3 + 16
    assert torch.equal(both[1][0], faces[1][0])
    assert [both[i][1] for i in range(3)] == [0, 1, 2] == both.labels[:3].tolist()
    assert len(set(both.keys)) == len(both)
    drawn = [key.split("-")[1] for key in both.keys[3:]]
    assert Counter(drawn) == dict.fromkeys(EMOTIONS, 2)
    for i, emotion in enumerate(drawn, 3):
        image, label = both[i]
        assert (image.dtype, image.shape) == (torch.uint8, (1, 48, 48))
        assert image.float().std() > 8  # a picture, not a plain area
        assert label == both.labels[i]
        assert EMOTIONS[label] in (emotion, "neutral")
    assert set(both.labels[3:]) > {0}


@pytest.mark.parametrize(
    ("label", "intensity", "expected"),
    [
        *[(5, 1.0, {5: 1.0}), (5, 0.7, {5: 1.0}), (5, 0.45, {5: 0.5, 0: 0.5}), (5, 0.3, {5: 0.2, 0: 0.8})],
        *[(0, 0.3, {0: 1.0}), (0, 1.0, {0: 1.0})],
    ],
)
def test_weak_expressions_are_partly_neutral(label, intensity, expected):
    shares = votes(label, intensity)
    assert shares.dtype == torch.float32
    assert {k: v for k, v in enumerate(shares.tolist()) if v} == pytest.approx(expected)


def test_labels_are_shares_where_those_of_ferplus_are(root):
    both = WithSynthetic(FERPlus(root, labels="soft"), people=1)
    shares = torch.stack([both[i][1] for i in range(len(both))])
    assert shares.dtype == torch.float32
    assert torch.equal(shares.argmax(1), torch.from_numpy(both.labels))
    assert torch.equal(shares.sum(1), torch.ones(len(both)))


def test_the_same_people_each_time_and_more_of_them_change_nothing(root):
    one, two = (WithSynthetic(FERPlus(root), people).drawn for people in (1, 2))
    assert torch.equal(one, two[:8])
    assert not torch.equal(two[:8], two[8:])


def test_they_join_the_training_faces_alone(root):
    train, valid = training_splits(TrainConfig(data="ferplus", root=root, synthetic=2))
    assert (len(train), len(valid)) == (3 + 16, 2)


def test_a_run_says_so_in_its_card(root, tmp_path):
    out = tmp_path / "model"
    options = {"model": "emotion_net", "size": 16, "epochs": 1, "batch_size": 8}
    main(
        TrainConfig(
            data="ferplus", root=root, synthetic=1, imbalance="square_root_sampling", out=out, **options
        )
    )
    card = read_card(out)
    assert (card["train_size"], card["config"]["synthetic"], card["train_data"]) == (3 + 8, 1, "ferplus")


def test_they_are_for_ferplus(tmp_path):
    with pytest.raises(DataInvalid, match=r"--synthetic is for --data ferplus"):
        main(TrainConfig(data="sample", synthetic=1, out=tmp_path))


def test_an_item_is_asked_for_as_of_any_other_set(root):
    both = WithSynthetic(FERPlus(root), 1)
    assert both[-1][1] == both[len(both) - 1][1] == both.labels[-1]
    assert torch.equal(both[-1][0], both[len(both) - 1][0])
    with pytest.raises(IndexError):
        both[len(both)]
    with pytest.raises(TypeError, match="expected an int"):
        both[:2]
