"""Packs: the same faces as the source, whatever stopped or damaged the packing; batches in one block."""

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fer.datasets import AffectNet8, Packed, find, open_split, splits
from fer.datasets.collate import Batch, collate
from fer.datasets.packed import pack
from fer.datasets.packed.__main__ import Check, Write, main
from fer.datasets.packed.reader import write_json
from fer.datasets.synthetic import SyntheticFaces
from fer.errors import DataInvalid, DataMissing
from fer.preprocess import Preprocess


def write_faces(root, n=11, side=24, split="train"):
    """Noise of a shade of its own for each face; ids have gaps; valence -2 and none now and then."""
    rng = np.random.default_rng(0)
    folder = root / f"{split}_set"
    for name in ("images", "annotations"):
        (folder / name).mkdir(parents=True)
    for k in range(n):
        pixels = rng.integers(0, 50, (side, side, 3), np.uint8) + np.uint8([20 * k, 9 * k, 200 - 9 * k])
        cv2.imwrite(str(folder / f"images/{3 * k}.jpg"), pixels)
        np.save(folder / f"annotations/{3 * k}_exp.npy", np.array(str(k % 8)))
        np.save(folder / f"annotations/{3 * k}_val.npy", np.array("-2" if k == 1 else str(k / 20)))
        if k != 2:
            np.save(folder / f"annotations/{3 * k}_aro.npy", np.array(str(-k / 20)))
    return root


@pytest.fixture
def source(tmp_path):
    return AffectNet8(write_faces(tmp_path / "faces"))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "packed"


def same(dataset, other):
    pairs = zip(dataset, other, strict=True)
    return all(torch.equal(image, like[0]) and label == like[1] for (image, label), like in pairs)


# --- batches


def test_a_batch_is_the_items(source):
    rows = [5, 0, 0, 10]
    batch = source.__getitems__(rows)
    assert isinstance(batch, Batch) and len(batch) == 4
    for (image, label), i in zip(batch, rows, strict=True):
        assert torch.equal(image, source[i][0]) and label == source[i][1]
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
    i = faces.ids.tolist().index(other)
    images, _ = collate(faces.__getitems__([0, 1, 2]))
    assert images.shape == (3, 3, 24, 24)
    assert all(torch.equal(image, faces[k][0]) for k, image in enumerate(images))
    assert (images[i].float().mean((1, 2)) - torch.tensor([200.0, 60, 9])).abs().max() < 3
    assert faces.image(i).shape == (3, 30, 20)  # as stored: landmarks refer to it
    assert torch.equal(pack(faces, tmp_path / "packed", 24)[i][0], images[i])


def test_an_item_is_asked_for_by_one_number(source, out):
    for faces in (source, pack(source, out, 24)):
        for wrong in (slice(0, 3), [0, 1], "0", 1.0):
            with pytest.raises(TypeError, match="expected an int"):
                faces[wrong]
        for right in (3, -8, np.int64(3), torch.tensor(3)):
            assert torch.equal(faces[right][0], faces[3][0])


def test_a_transform_is_applied_in_batches_too(source, out):
    for faces in (source, pack(source, out, 24)):
        faces.transform = Preprocess(16)
        images, labels = next(iter(DataLoader(faces, 4, collate_fn=collate)))
        assert images.shape == (4, 1, 16, 16) and images.dtype == torch.float32
        assert torch.equal(images[2], faces[2][0]) and labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_the_same_from_either(source, out, workers, packed):
    faces = pack(source, out, 24, shard_rows=4) if packed else source
    part = splits.Subset(faces, np.arange(1, 11))
    batches = list(DataLoader(part, 4, num_workers=workers, collate_fn=collate))
    assert torch.equal(torch.cat([images for images, _ in batches]), torch.stack([i for i, _ in part]))
    assert torch.cat([labels for _, labels in batches]).tolist() == part.labels.tolist()


# --- what a pack holds


def test_a_pack_holds_what_the_source_holds(source, out):
    made = pack(source, out, 24, shard_rows=4)
    assert sorted(path.stem for path in (out / "train").glob("*.npy")) == ["00000", "00001", "00002"]
    assert same(made, source) and made.keys == source.keys
    assert made.labels.dtype == np.int64 and made.labels.tolist() == source.labels.tolist()
    assert (made.name, made.split, made.size) == ("affectnet8", "train", 24)
    assert np.isnan(made.valence[1]) and made.valence[2] == np.float32(0.1)
    assert np.isnan(made.arousal[2]) and made.annotations(2).arousal is None
    assert made.annotations(10).arousal == pytest.approx(-0.5) and made.annotations(10).expression == 2
    assert made.verify() == []


def test_smaller_images_are_those_of_preprocess(source, out):
    """Raw scaling leaves 0-255, so the two differ by rounding alone."""
    made = pack(source, out, 9)
    usual = Preprocess(9, channels=3, scaling="raw")
    for i in range(len(source)):
        assert made[i][0].shape == (3, 9, 9) and made[i][0].dtype == torch.uint8
        assert (made[i][0].float() - usual(source[i][0])).abs().max() <= 1


def test_limit_and_classes_choose_as_the_source_does(source, out):
    pack(source, out, 24, shard_rows=4)
    for options in ({"limit": 9}, {"classes": 7}, {"limit": 8, "classes": 7}):
        chosen = AffectNet8(source._source.path, **options)
        made = Packed(out, **options)
        assert made.keys == chosen.keys and same(made, chosen)
        assert np.array_equal(
            made.valence[2:], np.float32([chosen.annotations(i).valence for i in range(2, len(chosen))])
        )


def test_a_pack_is_not_changed_by_its_items_pickled_without_pixels_and_may_be_moved(source, out, tmp_path):
    made = pack(source, out, 24)
    made[0][0].zero_()
    made.__getitems__([0]).images.zero_()
    assert same(made, source) and made.verify() == []
    data = pickle.dumps(made)
    assert len(data) < 6000 and same(pickle.loads(data), source)
    assert same(Packed(out.rename(tmp_path / "elsewhere")), source)


# --- stopped, shared, damaged


def test_a_stopped_run_goes_on_where_it_was(source, out, monkeypatch):
    image, read = AffectNet8.image, []

    def stops(self, i):
        read.append(i)
        if i == 9:
            raise KeyboardInterrupt
        return image(self, i)

    monkeypatch.setattr(AffectNet8, "image", stops)
    with pytest.raises(KeyboardInterrupt):
        pack(source, out, 24, shard_rows=4)
    assert not list(out.rglob("*.tmp*"))
    with pytest.raises(DataMissing, match="not finished: 2 of 3 shards"):
        Packed(out)
    monkeypatch.setattr(AffectNet8, "image", lambda self, i: (read.append(i), image(self, i))[1])
    read.clear()
    made = pack(source, out, 24, shard_rows=4)
    assert sorted(read) == [8, 9, 10]
    assert same(made, source)


def test_parts_make_the_same_pack_as_one_process(source, out, tmp_path):
    by_one = pack(source, tmp_path / "other", 24, shard_rows=4)
    assert pack(source, out, 24, (2, 2), shard_rows=4) is None
    made = pack(source, out, 24, (1, 2), shard_rows=4)
    assert made.manifest == by_one.manifest and same(made, source)


def test_processes_may_pack_at_the_same_time(source, out):
    """Also the same part: each writes under a name of its own."""
    command = [sys.executable, "-m", "fer.datasets.packed", "write", source._source.path, out, "--size", "24"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    assert same(Packed(out), source)


def test_a_file_that_another_process_renames_meanwhile_is_no_error(source, out):
    """It is listed, and gone when it is looked at; a link to nothing is like that."""
    (out / "train").mkdir(parents=True)
    (out / "train/.00000.1.tmp.json").symlink_to("gone")
    assert len(pack(source, out, 24)) == 11


def test_another_size_folder_or_source_is_not_mixed_in(source, out):
    pack(source, out, 24)
    with pytest.raises(DataInvalid, match="size was 24, is 16"):
        pack(source, out, 16)
    (out / "val").mkdir()
    (out / "val/notes.txt").write_text("mine")
    source.split = "val"
    with pytest.raises(DataInvalid, match=r"holds notes\.txt, but no pack"):
        pack(source, out, 24)
    np.save(source._source.path / "annotations/0_exp.npy", np.array("5"))
    (source._source.path / "affectnet8.index").unlink()
    with pytest.raises(DataInvalid, match="keys_and_labels_sha256"):
        pack(AffectNet8(source._source.path), out, 24)


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def flip(path):
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)


def change(path):
    path.write_text(path.read_text().replace('"size": 24', '"size": 25'))


@pytest.mark.parametrize(
    ("damage", "file", "words"),
    [
        (cut, "00001.npy", "is damaged: 7,035 bytes, expected 7,040"),
        (Path.unlink, "00001.npy", "is damaged: it is missing"),
        (flip, "faces.npz", "is damaged: its check sum"),
        (Path.unlink, "faces.npz", "is missing"),
        (change, "pack.json", "is damaged: its check sum"),
        (cut, "pack.json", "is damaged"),
    ],
)
def test_damage_is_named_and_repaired_by_packing_again(source, out, damage, file, words):
    pack(source, out, 24, shard_rows=4)
    damage(out / "train" / file)
    with pytest.raises(DataInvalid, match=f"{re.escape(file)} {words}") as caught:
        Packed(out)
    assert f"python -m fer.datasets.packed write SRC {out} --split train" in str(caught.value)
    assert same(pack(source, out, 24, shard_rows=4), source)


def test_flipped_bits_are_found_and_repaired(source, out, capsys):
    pack(source, out, 24, shard_rows=4)
    path = out / "train/00002.npy"
    flip(path)
    assert main(Check(out)) == 1
    assert f"{path} is damaged" in capsys.readouterr().out
    assert same(pack(source, out, 24, shard_rows=4, check=True), source)
    assert main(Check(out)) == 0


def test_a_shard_of_another_shape_is_refused(source, out):
    """Same number of bytes: only the header differs."""
    pack(source, out, 24, shard_rows=4)
    path = out / "train/00000.npy"
    path.write_bytes(path.read_bytes().replace(b"(4, 3, 24, 24)", b"(3, 4, 24, 24)"))
    with pytest.raises(DataInvalid, match=r"00000\.npy is damaged: uint8 \(3, 4, 24, 24\)"):
        Packed(out)[0]


def test_another_order_of_emotions_is_refused(source, out):
    pack(source, out, 24)
    path = out / "train/pack.json"
    content = json.loads(path.read_text())
    content["emotions"].reverse()
    del content["sha256"]
    write_json(path, content)
    with pytest.raises(DataInvalid, match="Pack again into another folder"):
        Packed(out)


def dangle(path):
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize("damage", [cut, dangle])
def test_broken_images_stop_packing_or_are_left_out(source, out, capsys, damage):
    damage(source._source.path / "images/12.jpg")
    np.save(source._source.path / "annotations/15_aro.npy", np.array("calm"))
    with pytest.raises(DataInvalid, match=r"images/12\.jpg is broken.*--on-error skip"):
        pack(source, out, 24)
    Write(source._source.path, out, 24, on_error="skip").run()
    assert "10 faces of 24x24 pixels" in (printed := capsys.readouterr().out) and "1 broken" in printed
    made = Packed(out)
    assert "train/12" not in made.keys and len(made) == 10
    assert same(made, splits.Subset(source, [i for i in range(11) if i != 4]))
    assert made.annotations(4).valence == 0.25 and made.annotations(4).arousal is None


def test_a_face_that_was_left_out_is_tried_again(source, out):
    path = source._source.path / "images/12.jpg"
    complete = path.read_bytes()
    cut(path)
    assert len(pack(source, out, 24, on_error="skip", shard_rows=4)) == 10
    written = (out / "train/00000.npy").stat().st_mtime_ns
    assert len(pack(source, out, 24, on_error="skip", shard_rows=4)) == 10
    with pytest.raises(DataInvalid, match=r"images/12\.jpg is broken"):
        pack(source, out, 24, shard_rows=4)
    path.write_bytes(complete)
    assert same(pack(source, out, 24, on_error="skip", shard_rows=4), source)
    assert (out / "train/00000.npy").stat().st_mtime_ns == written  # the other shards stay


# --- finding


def test_a_pack_is_found_as_the_data_it_holds(source, out, capsys):
    pack(source, out, 24)
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


def test_the_command_line_packs_the_sample_in_parts(tmp_path, capsys):
    sample, out = SyntheticFaces(tmp_path / "synthetic", per_class=1), tmp_path / "packed"
    with pytest.raises(DataInvalid, match="expected K/N"):
        main(Write(tmp_path / "synthetic", out, part="2"))
    for part in ("2/2", "1/2"):  # all faces are in the first shard
        main(Write(tmp_path / "synthetic", out, 32, part=part))
    first, last = capsys.readouterr().out.splitlines()[-2:]
    assert "other parts are not finished" in first and "8 faces of 32x32 pixels" in last
    assert find(out).name == "sample"
    assert open_split("sample", out, "train").keys == sample.keys
    with pytest.raises(DataInvalid, match="--data sample"):
        open_split("affectnet8", out, "train")


@pytest.mark.parametrize(("command", "option"), [("write", "--part"), ("check", "--split")])
def test_help_answers_without_torch(command, option):
    code = (
        f"import sys, runpy; sys.argv = ['x', {command!r}, '--help']\n"
        "try: runpy.run_module('fer.datasets.packed', run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'torch', 'cv2'} & set(sys.modules), 'heavy imports'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert option in done.stdout
