"""Which data set is opened, by name or because it is there."""

import shutil

import pytest
from helpers import votes, write_face, write_ferplus

from fer.datasets import SPLITS, SyntheticFaces, find, open_split
from fer.datasets.affectnet8.dataset import AffectNet8
from fer.datasets.ferplus import FERPlus
from fer.errors import DataInvalid, DataMissing


def make_affectnet8(root, splits=("train", "val")):
    for split in splits:
        for number in range(16):
            write_face(root / f"{split}_set", number, number % 8, 8)


def make_ferplus(root):
    write_ferplus(root / "ferplus", dict.fromkeys(SPLITS["ferplus"], [votes(happiness=10)] * 3))


def one_line(capsys) -> str:
    return capsys.readouterr().out.strip().splitlines()[-1]


def test_affectnet8_comes_first(tmp_path, capsys):
    make_affectnet8(tmp_path)
    make_ferplus(tmp_path)
    found = find(tmp_path)
    assert type(found) is AffectNet8 and found.name == "affectnet8"
    assert one_line(capsys) == f"Using AffectNet8, train: 16 faces from {tmp_path}"


def test_ferplus_comes_second(tmp_path, capsys):
    make_ferplus(tmp_path)
    found = find(tmp_path, "val", labels="soft", limit=2, on_error="skip")
    assert type(found) is FERPlus and found.split == "valid" and len(found) == 2
    assert found[0][1].shape == (8,)
    assert one_line(capsys) == f"Using FER+, valid: 2 faces from {tmp_path}"


def test_a_zip_of_ferplus_is_not_taken_for_a_tar(tmp_path):
    make_ferplus(tmp_path)
    archive = shutil.make_archive(str(tmp_path / "packed/ferplus"), "zip", tmp_path, "ferplus")
    assert find(archive).name == "ferplus"


def test_the_sample_is_rendered_where_nothing_is(tmp_path, capsys):
    found = find(tmp_path / "dataset", "valid", limit=8, per_class=2)
    assert isinstance(found, SyntheticFaces) and found.name == "sample" and found.split == "val"
    assert sorted(found.labels) == list(range(8))
    line = one_line(capsys)
    assert "the synthetic sample" in line and str(tmp_path / "dataset/synthetic") in line
    assert "neither AffectNet8 nor FER+" in line


def test_the_folder_of_the_sample_is_never_taken_for_affectnet8(tmp_path):
    find(tmp_path, per_class=2)
    assert find(tmp_path).name == "sample"
    assert find(tmp_path / "synthetic").name == "sample"
    assert open_split("sample", tmp_path / "synthetic", "train").keys == find(tmp_path).keys
    assert sorted(path.name for path in tmp_path.iterdir()) == ["synthetic"]


def test_one_missing_split_does_not_switch_to_other_data(tmp_path):
    make_affectnet8(tmp_path, ("train",))
    make_ferplus(tmp_path)
    with pytest.raises(DataMissing, match="val split was not found"):
        find(tmp_path, "val")


def test_an_incomplete_copy_does_not_switch_to_other_data(tmp_path):
    make_affectnet8(tmp_path)
    (tmp_path / "train_set/annotations").rename(tmp_path / "notes")
    with pytest.raises(DataMissing, match="no annotations/"):
        find(tmp_path)


def test_options_reach_the_data_set(tmp_path):
    make_affectnet8(tmp_path)
    options = {"limit": 5, "transform": lambda image: image[:1], "labels": "soft", "seed": 3}
    found = find(tmp_path, **options, classes=7)
    assert len(found) == 5 and found[0][0].shape == (1, 8, 8) and 7 not in found.labels
    with pytest.raises(TypeError):
        find(tmp_path, limits=5)


@pytest.mark.parametrize(
    ("data", "split", "words"),
    [
        ("affectnet8", "test", "AffectNet8 has no split 'test'; it has train, val"),
        ("sample", "test", "it has train, val"),
        ("ferplus", "dev", "it has train, valid, test"),
        ("mnist", "train", "expected one of affectnet8, ferplus, sample"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(tmp_path, data, split, words):
    with pytest.raises(DataInvalid, match=words):
        open_split(data, tmp_path, split)


@pytest.mark.parametrize("split", ["val", "valid"])
def test_val_and_valid_are_the_same(tmp_path, split):
    make_affectnet8(tmp_path)
    make_ferplus(tmp_path)
    assert open_split("affectnet8", tmp_path, split).split == "val"
    assert open_split("ferplus", tmp_path, split).split == "valid"


def test_vote_shares_are_only_for_ferplus(tmp_path):
    make_affectnet8(tmp_path)
    assert len(open_split("affectnet8", tmp_path, "train", labels="majority")) == 16
    with pytest.raises(DataInvalid, match="AffectNet8 has one label"):
        open_split("affectnet8", tmp_path, "train", labels="soft")


def test_open_split_does_not_replace_what_is_missing(tmp_path):
    with pytest.raises(DataMissing, match="AffectNet8"):
        open_split("affectnet8", tmp_path, "train")
    with pytest.raises(DataMissing, match="FER"):
        open_split("ferplus", tmp_path, "train")
    assert not list(tmp_path.iterdir())
