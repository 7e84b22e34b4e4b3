"""Packs: the same faces as the source, whatever stopped or damaged the packing; batches in one block."""

import os
import pickle

import cv2
import numpy as np
import pytest
import torch
from helpers import write_face
from torch.utils.data import DataLoader

from fer.datasets import AffectNet8, Packed, SyntheticFaces, find, open_split, splits
from fer.datasets.collate import Batch, collate
from fer.datasets.packed import pack
from fer.datasets.packed.__main__ import Check, Write, main
from fer.errors import DataInvalid, DataMissing, UsageError
from fer.files import locked
from fer.preprocess import Preprocess


def write_faces(root, n=11, side=24):
    """Noise of a shade of its own for each face; ids have gaps; valence -2 and none now and then."""
    rng = np.random.default_rng(0)
    for k in range(n):
        pixels = rng.integers(0, 50, (side, side, 3), np.uint8) + np.uint8([20 * k, 9 * k, 200 - 9 * k])
        values = {"val": "-2" if k == 1 else k / 20, "aro": None if k == 2 else -k / 20}
        write_face(root / "train_set", 3 * k, k % 8, pixels, **values)
    return root


class ManyFaces:
    """Faces of three blocks, 2x2 pixels; face 7 is broken, and face ``stops`` interrupts."""

    name = title = "many"
    split = "train"

    def __init__(self, stops=None):
        self.labels, self.keys = np.arange(4500) % 8, [f"train/{i}" for i in range(4500)]
        self.valence = self.arousal = np.zeros(4500, np.float32)
        self.stops, self.read = stops, []

    def __len__(self):
        return len(self.labels)

    def image(self, i):
        self.read.append(i)
        if i == self.stops:
            raise KeyboardInterrupt
        if i == 7:
            raise DataInvalid("broken")
        return torch.full((3, 2, 2), i % 251, dtype=torch.uint8)


@pytest.fixture
def source(tmp_path):
    return AffectNet8(write_faces(tmp_path / "faces"))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "packed"


@pytest.fixture
def made(source, out):
    return pack(source, out, 24)


@pytest.fixture(params=["source", "made"])
def faces(request):
    return request.getfixturevalue(request.param)


def same(dataset, other):
    pairs = zip(dataset, other, strict=True)
    return all(torch.equal(image, like[0]) and label == like[1] for (image, label), like in pairs)


# --- batches


def test_a_batch_is_the_items(faces):
    rows = [5, 0, 0, -1]
    batch = faces.__getitems__(rows)
    assert isinstance(batch, Batch) and same(batch, [faces[i] for i in rows])
    images, labels = collate(batch)
    assert images is batch.images and labels.tolist() == [5, 0, 0, 2] and labels.dtype == torch.int64
    for ours, default in zip(collate(list(batch)), (images, labels), strict=True):
        assert torch.equal(ours, default)


@pytest.mark.parametrize("other", [0, 3, 6])
def test_images_of_another_size_are_resized_to_that_of_the_others(tmp_path, other):
    """Else they could not be in one batch; it does not matter whether they come first."""
    write_faces(tmp_path, 3)
    cv2.imwrite(str(tmp_path / f"train_set/images/{other}.jpg"), np.full((30, 20, 3), (9, 60, 200), np.uint8))
    faces = AffectNet8(tmp_path)
    i = faces.keys.index(f"train/{other}")
    images, _ = collate(faces.__getitems__([0, 1, 2]))
    assert images.shape == (3, 3, 24, 24)
    assert all(torch.equal(image, faces[k][0]) for k, image in enumerate(images))
    assert (images[i].float().mean((1, 2)) - torch.tensor([200.0, 60, 9])).abs().max() < 3
    assert faces.image(i).shape == (3, 30, 20)  # as stored: landmarks refer to it
    assert torch.equal(pack(faces, tmp_path / "packed", 24)[i][0], images[i])


def test_an_item_is_asked_for_by_one_number(faces):
    for wrong in (slice(0, 3), [0, 1], "0", 1.0):
        with pytest.raises(TypeError, match="as an integer"):
            faces[wrong]
    for right in (3, -8, np.int64(3), torch.tensor(3)):
        assert torch.equal(faces[right][0], faces[3][0])


def test_a_transform_is_applied_in_batches_too(faces):
    faces.transform = Preprocess(16)
    images, labels = next(iter(DataLoader(faces, 4, collate_fn=collate)))
    assert images.shape == (4, 1, 16, 16) and images.dtype == torch.float32
    assert torch.equal(images[2], torch.as_tensor(faces[2][0])) and labels.tolist() == [0, 1, 2, 3]


def test_workers_give_the_same_from_either(faces):
    part = splits.Subset(faces, np.arange(1, 11))
    batches = list(DataLoader(part, 4, num_workers=2, collate_fn=collate))
    assert torch.equal(torch.cat([images for images, _ in batches]), torch.stack([i for i, _ in part]))
    assert torch.cat([labels for _, labels in batches]).tolist() == part.labels.tolist()


# --- what a pack holds


def test_a_pack_holds_what_the_source_holds(source, made):
    assert same(made, source) and made.keys == source.keys
    assert made.labels.dtype == np.int64 and made.labels.tolist() == source.labels.tolist()
    assert (made.name, made.title, made.split, made.size) == ("affectnet8", "AffectNet8", "train", 24)
    assert np.isnan(made.valence[1]) and made.valence[2] == np.float32(0.1)
    assert np.isnan(made.arousal[2]) and made.annotations(2).arousal is None
    assert made.annotations(10).arousal == pytest.approx(-0.5) and made.annotations(10).expression == 2


def test_smaller_images_are_those_of_preprocess(source, out):
    """Raw scaling leaves 0-255, so the two differ by rounding alone."""
    made = pack(source, out, 9)
    usual = Preprocess(9, channels=3, scaling="raw")
    for i in range(len(source)):
        assert made[i][0].shape == (3, 9, 9) and made[i][0].dtype == torch.uint8
        assert np.abs(made[i][0].numpy() - usual(source[i][0])).max() <= 1


@pytest.mark.parametrize("options", [{"limit": 9}, {"classes": 7}, {"limit": 8, "classes": 7}])
def test_limit_and_classes_choose_as_the_source_does(source, made, options):
    chosen, found = AffectNet8(source._source.path, **options), Packed(made.folder, **options)
    assert found.keys == chosen.keys and same(found, chosen)
    assert np.array_equal(found.valence, chosen.valence, equal_nan=True)


def test_a_pack_is_not_changed_by_its_items_and_may_be_pickled_and_moved(source, made, out, tmp_path):
    made[0][0].zero_()
    made.__getitems__([0]).images.zero_()
    assert same(made, source)
    made.verify()
    data = pickle.dumps(made)
    assert len(data) < 6000 and same(pickle.loads(data), source)
    assert same(Packed(out.rename(tmp_path / "elsewhere")), source)


# --- stopped, damaged


@pytest.mark.parametrize("rest", [b"", b"half of a block", bytes(99999)])
def test_a_stopped_run_goes_on_where_it_was_to_the_same_bytes(out, tmp_path, rest):
    with pytest.raises(KeyboardInterrupt):
        pack(ManyFaces(stops=3000), out, 2, on_error="skip")
    for use in (Packed, find):
        with pytest.raises(DataMissing, match="not finished: 2,048 of 4,500 faces are written"):
            use(out)
    with (out / "train/pixels.npy").open("ab") as file:
        file.write(rest)  # a killed process leaves this
    made = pack(second := ManyFaces(), out, 2, on_error="skip")
    assert sorted(second.read) == [*range(2048, 4500)]
    assert made[-1][0].unique().tolist() == [4499 % 251] and "train/7" not in made.keys
    pack(ManyFaces(stops=0), out, 2, on_error="skip").verify()  # it is there: nothing is read
    pack(ManyFaces(), tmp_path / "at once", 2, on_error="skip")
    for name in ("pack.json", "faces.npz", "pixels.npy"):
        assert (out / "train" / name).read_bytes() == (tmp_path / "at once/train" / name).read_bytes()


def test_a_run_whose_pixels_were_lost_does_not_go_on(out):
    with pytest.raises(KeyboardInterrupt):
        pack(ManyFaces(stops=3000), out, 2, on_error="skip")
    (out / "train/pixels.npy").unlink()
    with pytest.raises(DataInvalid, match=r"pixels\.npy is damaged: it is too short"):
        pack(ManyFaces(), out, 2, on_error="skip")


def test_two_runs_do_not_write_one_pack(source, out):
    with locked(out / "train"), pytest.raises(UsageError, match=r"train is being written by process \d+ on "):
        pack(source, out, 24)
    assert os.listdir(out) == []


def test_another_size_folder_or_source_is_not_mixed_in(source, made, out):
    with pytest.raises(DataInvalid, match="size was 24, is 16"):
        pack(source, out, 16)
    with pytest.raises(DataInvalid, match="name was affectnet8, is many"):
        pack(ManyFaces(), out, 24)
    np.save(source._source.path / "annotations/0_exp.npy", np.array("5"))
    (source._source.path / "affectnet8.index").unlink()
    with pytest.raises(DataInvalid, match="faces_sha256"):
        pack(AffectNet8(source._source.path), out, 24)
    source.split = "val"
    (out / "val").mkdir()
    (out / "val/notes.txt").write_text("mine")
    with pytest.raises(DataInvalid, match=r"holds notes\.txt, but no pack"):
        pack(source, out, 24)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("pixels.npy", None, None, r"pixels\.npy is damaged: .*No such file"),
        ("pixels.npy", b"(11, 3,", b"(12, 3,", r"pixels\.npy is damaged: .*file size"),
        ("pixels.npy", b"3, 24, 24", b"4, 24, 18", r"uint8 \(11, 4, 24, 18\), expected uint8 \(11, 3"),
        ("pixels.npy", b"False", b"True ", r"pixels\.npy is damaged"),
        ("faces.npz", None, None, r"faces\.npz is damaged: it is missing"),
        ("faces.npz", b"t\0\0\0r", b"t\0\0\0s", r"faces\.npz is damaged: its check sum"),
        ("pack.json", b"{", b"", r"pack\.json is damaged"),
        ("pack.json", b'"broken": []', b'"broken": [3]', r"pack\.json is damaged: its check sum"),
        ("pack.json", b'"format": 3', b'"format": 1', r"has format and emotions \(1, .* expected \(3, "),
        ("pack.json", b'"neutral"', b'"calm"', r"\['calm', .* expected \(3, \['neutral'"),
    ],
)
def test_a_damaged_or_older_pack_is_refused(source, made, out, file, old, new, words):
    path = out / "train" / file
    data = path.read_bytes()
    path.unlink()
    if old:
        assert old in data
        path.write_bytes(data.replace(old, new))
    for use in (find, lambda out: pack(source, out, 24)):
        with pytest.raises(DataInvalid, match=f"{words}.*Delete .* and pack again") as caught:
            use(out)
        assert str(out / "train") in str(caught.value)


def test_check_finds_a_flipped_bit(made, out, capsys):
    main(Check(out))
    assert "11 faces of 24x24 pixels, undamaged" in capsys.readouterr().out
    np.load(out / "train/pixels.npy", mmap_mode="r+")[10, 2, 23, 23] ^= 1
    with pytest.raises(DataInvalid, match=r"pixels\.npy is damaged: its check sums differ"):
        main(Check(out))


def test_broken_images_stop_packing_or_are_left_out(source, out, capsys):
    image = source._source.path / "images/12.jpg"
    image.write_bytes(image.read_bytes()[:-5])
    with pytest.raises(DataInvalid, match=r"images/12\.jpg is broken.*--on-error skip"):
        pack(source, out, 24)
    main(Write(source._source.path, out, 24, on_error="skip"))
    assert "10 faces of 24x24 pixels" in (printed := capsys.readouterr().out) and "1 broken" in printed
    assert "train/12" not in Packed(out).keys
    assert same(Packed(out), splits.Subset(source, [i for i in range(11) if i != 4]))


def test_values_that_cannot_be_read_stop_packing_or_are_unknown(source, out):
    np.save(source._source.path / "annotations/15_aro.npy", np.array("calm"))
    with pytest.raises(DataInvalid, match=r"15_aro\.npy cannot be read"):
        pack(source, out, 24)
    main(Write(source._source.path, out, 24, on_error="skip"))
    assert Packed(out).annotations(5).valence == 0.25 and Packed(out).annotations(5).arousal is None


# --- finding


def test_a_pack_is_found_as_the_data_it_holds(source, made, out, capsys):
    capsys.readouterr()
    for root in (out, out / "train"):
        assert isinstance(open_split("affectnet8", root, "train", on_error="skip", limit=8), Packed)
    assert same(find(out, "train", on_error="skip", labels="soft", seed=1), source)
    assert capsys.readouterr().out == f"Using AffectNet8, train: 11 faces from {out}\n"
    with pytest.raises(DataMissing, match="no pack of the val split"):
        find(out, "valid")
    with pytest.raises(DataInvalid, match="--data affectnet8"):
        open_split("sample", out, "train")
    for wrong in ({"limit": 0}, {"classes": 6}):
        with pytest.raises(DataInvalid):
            open_split("affectnet8", out, "train", **wrong)


def test_the_command_line_packs_the_sample(tmp_path, capsys):
    sample, out = SyntheticFaces(tmp_path / "synthetic", per_class=1), tmp_path / "packed"
    main(Write(tmp_path / "synthetic", out, 32))
    assert "8 faces of 32x32 pixels" in capsys.readouterr().out
    assert find(out).name == "sample"
    assert open_split("sample", out, "train").keys == sample.keys
    with pytest.raises(DataInvalid, match="--data sample"):
        open_split("affectnet8", out, "train")
