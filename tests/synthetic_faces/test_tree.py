"""The tree of synthetic faces: AffectNet8's layout, written as one, never over other files."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer.errors import DataInvalid
from fer.labels import EMOTIONS
from synthetic_faces import tree
from synthetic_faces.identity import Identity

KINDS = ("exp", "val", "aro", "lnd")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return tree.write_tree(tmp_path_factory.mktemp("sample") / "synthetic", per_class=2, seed=3)


def test_tree_is_in_affectnets_layout(written):
    ids_of = {}
    for split, people in (("train", 2), ("val", 1)):
        folder = written / f"{split}_set"
        ids = ids_of[split] = {int(p.stem) for p in (folder / "images").iterdir()}
        assert len(ids) == people * len(EMOTIONS)
        assert max(ids) >= len(ids)  # there are gaps
        files = {f"{i}_{kind}.npy" for i in ids for kind in KINDS}
        assert {p.name for p in (folder / "annotations").iterdir()} == files
        for i in ids:
            image = cv2.imread(str(folder / "images" / f"{i}.jpg"), cv2.IMREAD_UNCHANGED)
            assert image.shape == (224, 224, 3)
            exp, val, aro, lnd = (np.load(folder / f"annotations/{i}_{k}.npy") for k in KINDS)
            assert exp.shape == val.shape == aro.shape == ()
            assert {a.dtype.kind for a in (exp, val, aro)} == {"U"}
            assert 0 <= int(exp) < 8 and abs(float(val)) <= 1 and abs(float(aro)) <= 1
            assert lnd.shape == (136,) and lnd.dtype == np.float64
    assert ids_of["train"] & ids_of["val"]  # as in AffectNet


def test_same_seed_same_bytes_for_any_number_of_people(written, tmp_path):
    smaller = tree.write_tree(tmp_path / "a", per_class=1, seed=3)
    other = tree.write_tree(tmp_path / "b", per_class=1, seed=4)
    files = [p.relative_to(smaller) for p in smaller.glob("*_set/*/*")]
    assert len(files) == 2 * 8 * 5
    for name in files:
        assert (smaller / name).read_bytes() == (written / name).read_bytes()
    assert (other / "train_set/images/0.jpg").read_bytes() != (
        written / "train_set/images/0.jpg"
    ).read_bytes()


def test_no_person_is_in_both_splits():
    train, val = ([Identity.random(np.random.default_rng([0, s, k])) for k in range(60)] for s in (0, 1))
    assert len({*train, *val}) == 120
    first, second = (next(tree.render_person(0, split, 0)).image for split in ("train", "val"))
    assert (first != second).any()


def test_haar_finds_the_faces():
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    found = []
    for person in range(6):
        for sample in tree.render_person(0, "train", person):
            grey = cv2.equalizeHist(cv2.cvtColor(sample.image, cv2.COLOR_BGR2GRAY))
            nose = sample.landmarks[30]
            boxes = cascade.detectMultiScale(grey, 1.1, 5)
            found.append(any(x < nose[0] < x + w and y < nose[1] < y + h and w > 80 for x, y, w, h in boxes))
    assert np.mean(found) >= 0.95


@pytest.fixture
def interrupted(monkeypatch):
    """Rendering is stopped at the first person of the validation split."""
    render = tree.render_person

    def stops(seed, split, person):
        if (split, person) == ("val", 0):
            raise KeyboardInterrupt
        yield from render(seed, split, person)

    return lambda: monkeypatch.setattr(tree, "render_person", stops)


def test_an_interrupted_run_leaves_nothing_and_keeps_an_older_tree(tmp_path, interrupted):
    out = tree.write_tree(tmp_path / "synthetic", per_class=1)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    interrupted()
    for folder in (out, tmp_path / "other"):
        with pytest.raises(KeyboardInterrupt):
            tree.write_tree(folder, per_class=2)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]


def test_an_older_tree_is_replaced_and_any_other_folder_left_alone(tmp_path):
    images = tree.write_tree(tmp_path / "synthetic", per_class=1) / "train_set" / "images"
    lost = next(images.iterdir())
    lost.unlink()
    tree.write_tree(tmp_path / "synthetic", per_class=1)
    assert lost.is_file()
    keep = tmp_path / "photos" / "holiday.jpg"
    keep.parent.mkdir()
    keep.write_bytes(b"x")
    with pytest.raises(DataInvalid, match="not written by this program"):
        tree.write_tree(keep.parent, per_class=1)
    assert keep.read_bytes() == b"x"


def test_settings_out_of_range_are_refused(tmp_path):
    for settings, words in (({"per_class": 0}, "at least 1"), ({"seed": -1}, "seed is -1")):
        with pytest.raises(DataInvalid, match=words):
            tree.write_tree(tmp_path / "synthetic", **settings)


def test_a_tree_that_another_process_has_written_meanwhile_stays(tmp_path, monkeypatch):
    """Somebody may be reading it: two notebooks that are started at once render the same sample."""
    out, write = tmp_path / "synthetic", tree._write_split

    def write_after_another(*args):
        monkeypatch.setattr(tree, "_write_split", write)
        tree.write_tree(out, per_class=1)
        write(*args)

    monkeypatch.setattr(tree, "_write_split", write_after_another)
    first = []
    replace = tree.os.replace
    monkeypatch.setattr(tree.os, "replace", lambda a, b: (replace(a, b), first.append(Path(b).stat().st_ino)))
    tree.write_tree(out, per_class=1)
    assert first == [out.stat().st_ino]
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]
