"""AffectNet8: pairing, every form of root, every fault, the index, the archive."""

import hashlib
import io
import json
import multiprocessing
import os
import re
import tarfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers import small_net, write_face
from torch.utils.data import DataLoader

from fer import evaluate, train
from fer.card import write_card
from fer.checkpoint import save
from fer.datasets import PUBLISHED, AffectNet8
from fer.datasets.affectnet8 import extracted, npy, tarball
from fer.datasets.affectnet8 import index as affectnet8_index
from fer.datasets.affectnet8.__main__ import Count, Extract, Verify, main
from fer.errors import DataInvalid, DataMissing, UsageError
from fer.evaluation.recorded import drop_derived
from fer.labels import EMOTIONS
from fer.training import TrainConfig, training_splits

IDS = (0, 1, 2, 10, 7, 13, 100, 366705)  # gaps, and an order that differs between numbers and names
LABELS = dict(zip(IDS, range(8), strict=True))


def write_npy(folder: Path, number: int | str, kind: str, values: np.ndarray) -> None:
    np.save(folder / f"annotations/{number}_{kind}.npy", values)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with both splits; the same ids occur in both."""
    for number, label in LABELS.items():
        write_face(tmp_path / "train_set", number, label)
    for number in IDS[:3]:
        write_face(tmp_path / "val_set", number, 7 - LABELS[number])
    return tmp_path


def pack(root: Path, split: str = "train", format: int = tarfile.GNU_FORMAT) -> Path:
    """Make train_set.tar in a folder of its own."""
    tar = root / "packed" / f"{split}_set.tar"
    tar.parent.mkdir(exist_ok=True)
    with tarfile.open(tar, "w", format=format) as archive:
        archive.add(root / f"{split}_set", f"{split}_set")
    return tar


@pytest.fixture(params=["folder", "tar"])
def place(request, root):
    """Return a function that gives the faces of ``root`` as a folder, or packs them into a tar now."""
    return (lambda: root) if request.param == "folder" else (lambda: pack(root))


def numbers(faces: AffectNet8) -> list[int]:
    """The numbers of the files, in the order of the faces."""
    return [int(key.partition("/")[2]) for key in faces.keys]


def indices_of(root: Path) -> list[Path]:
    return [path for path in root.rglob("*.index") if path.is_file()]


# --- items


def test_images_pair_with_labels_by_number(root):
    """Sorted as text, 10.jpg comes before 2.jpg, but 10_exp.npy after 1_exp.npy."""
    faces = AffectNet8(root)
    assert faces.labels.dtype == np.int64
    assert faces.labels.tolist() == [LABELS[one] for one in sorted(IDS)]
    assert faces.keys == [f"train/{one}" for one in sorted(IDS)]
    assert (faces.name, faces.split, len(faces)) == ("affectnet8", "train", 8)
    seen = 0
    for image, label in faces:  # iteration ends by IndexError
        assert image.dtype == torch.uint8 and image.shape == (3, 24, 24) and image.is_contiguous()
        assert isinstance(label, int)
        assert abs(int(image.float().mean()) - 20 * label) <= 1
        seen += 1
    assert seen == 8


def test_the_two_splits_are_apart(root):
    train, val = AffectNet8(root), AffectNet8(root, "val")
    assert train.labels[0] == 0 and val.labels[0] == 7
    assert not set(train.keys) & set(val.keys)
    assert AffectNet8(root, "valid").keys == val.keys


def test_channels_are_red_green_blue(root):
    picture = np.zeros((24, 24, 3), np.uint8)
    picture[:, :12] = (0, 0, 255)  # OpenCV writes blue, green, red: the left half is red
    cv2.imwrite(str(root / "train_set/images/0.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 100])
    image = AffectNet8(root)[0][0]
    red = image[:, 12, 3].tolist()
    assert red[0] > 240 and max(red[1:]) < 15
    assert image[:, 12, 20].max() < 15
    cv2.imwrite(str(root / "train_set/images/0.jpg"), np.full((24, 30), 77, np.uint8))  # grey
    assert AffectNet8(root).image(0).shape == (3, 24, 30)


def test_seven_classes_leave_out_contempt(root):
    faces = AffectNet8(root, classes=7)
    assert sorted(faces.labels) == list(range(7))
    assert 366705 not in numbers(faces)


def test_limit_takes_every_class_first_and_is_nested(tmp_path):
    for number in range(60):
        write_face(tmp_path / "train_set", number, 1 if number < 48 else 2 + number % 2)
    few, more = AffectNet8(tmp_path, limit=3), AffectNet8(tmp_path, limit=20)
    assert sorted(few.labels) == [1, 2, 3]
    assert np.bincount(more.labels).tolist() == [0, 16, 2, 2]
    assert set(few.keys) < set(more.keys)
    assert few.keys == AffectNet8(tmp_path, limit=3).keys
    assert few[2][1] == few.labels[2]
    assert len(AffectNet8(tmp_path, limit=1000)) == 60


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"split": "test"}, "train, val"),
        ({"classes": 6}, "8, or 7"),
        ({"on_error": "ignore"}, "'raise' or 'skip'"),
        ({"limit": 0}, "limit=0"),
        ({"limit": "all"}, "limit=.all.; expected a number of faces, or None for all"),
    ],
)
def test_wrong_arguments_are_named(root, wrong, words):
    with pytest.raises(DataInvalid, match=words):
        AffectNet8(root, **wrong)


# --- annotations


@pytest.mark.parametrize(
    "label", ["6", 6, 6.0, "6.0", [6], ["6"], [[6.0]], b"6", np.int8(6), np.float32(6)], ids=repr
)
def test_a_label_may_be_written_in_many_ways(root, label):
    write_npy(root / "train_set", 0, "exp", np.array(label))
    assert AffectNet8(root).labels[0] == 6


@pytest.mark.parametrize(
    "landmarks",
    [
        np.arange(136.0),
        np.arange(136.0).reshape(68, 2),
        np.asfortranarray(np.arange(136.0).reshape(68, 2)),
        np.arange(136).astype(str),
        np.arange(136, dtype=np.float32)[None],
        np.array(";".join(map(str, range(136)))),
    ],
    ids=["flat", "pairs", "fortran", "text", "nested", "one text"],
)
def test_annotations_hold_what_the_files_hold(root, landmarks):
    write_npy(root / "train_set", 1, "lnd", landmarks)
    write_npy(root / "train_set", 1, "aro", np.array([0.25]))
    found = AffectNet8(root).annotations(1)
    assert found.expression == 1 and found.valence == -0.392238 and found.arousal == 0.25
    assert found.landmarks.shape == (68, 2) and found.landmarks.dtype == np.float32
    assert found.landmarks[1].tolist() == [2.0, 3.0]


def test_absent_annotations_are_none(root, place):
    folder = root / "train_set"
    (folder / "annotations/1_lnd.npy").unlink()
    (folder / "annotations/1_val.npy").unlink()
    write_npy(folder, 1, "aro", np.array("-2"))  # what the release of 2017 writes
    found = AffectNet8(place()).annotations(1)
    assert (found.valence, found.arousal, found.landmarks) == (None, None, None)


@pytest.mark.parametrize(
    ("kind", "values", "words"), [("lnd", np.arange(10), "10 values"), ("val", np.array("high"), "high")]
)
def test_annotations_name_the_file_that_is_wrong(root, kind, values, words):
    write_npy(root / "train_set", 1, kind, values)
    with pytest.raises(DataInvalid, match=rf"1_{kind}\.npy.*{words}"):
        AffectNet8(root).annotations(1)


# --- roots


def test_a_root_may_be_given_in_many_ways(root, tmp_path_factory):
    student = tmp_path_factory.mktemp("student") / "dataset"
    for split in ("train", "val"):
        (student / f"extracted_{split}_tar").mkdir(parents=True)
        (root / f"{split}_set").rename(student / f"extracted_{split}_tar/{split}_set")
    ways = (student, student / "extracted_train_tar", student / "extracted_train_tar/train_set")
    for way in ways:
        assert len(AffectNet8(way, "train")) == 8
    for way in (student, student / "extracted_val_tar", student / "extracted_train_tar"):
        assert len(AffectNet8(way, "val")) == 3, way


@pytest.mark.parametrize("name", ["faces", "test"])
def test_a_folder_of_another_name_is_one_split_alone(root, name):
    """Trained on and then scored, the same faces must not answer as both. There is no split called test."""
    (root / "train_set").rename(root / name)
    assert len(AffectNet8(root / name, "train")) == 8
    with pytest.raises(DataMissing, match="val where its name says val"):
        AffectNet8(root / name, "val")
    (root / "val_set").rename(root / "My_Validation")
    assert len(AffectNet8(root / "My_Validation", "val")) == 3
    with pytest.raises(DataMissing):
        AffectNet8(root / "My_Validation", "train")


def test_this_folder_has_a_name_too(root, monkeypatch):
    monkeypatch.chdir(root / "train_set")
    assert len(AffectNet8(".", "train")) == 8
    assert len(AffectNet8(".", "val")) == 3  # its sister
    (root / "val_set").rename(root / "elsewhere")
    with pytest.raises(DataMissing):
        AffectNet8(".", "val")


def test_either_split_is_found_from_the_other(root):
    assert len(AffectNet8(root / "train_set", "val")) == 3
    train, val = pack(root, "train"), pack(root, "val")
    assert len(AffectNet8(train, "val")) == 3
    assert len(AffectNet8(val.parent, "val")) == 3 and len(AffectNet8(str(train))) == 8


def test_a_tar_that_is_named_is_read_though_its_folder_lies_beside(root):
    tar = pack(root).rename(root / "train_set.tar")
    (root / "train_set/images/0.jpg").unlink()
    assert len(AffectNet8(tar)) == 8 and AffectNet8(tar)._source.path == tar


def test_the_error_names_what_is_missing_and_what_was_found(tmp_path):
    (tmp_path / "holiday").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        AffectNet8(tmp_path)
    message = str(caught.value)
    for words in ("holiday", "extracted_train_tar", "train_set.tar", "dataset/README.md", "sample"):
        assert words in message
    with pytest.raises(DataMissing, match="no such folder"):
        AffectNet8(tmp_path / "nowhere")


def test_images_without_annotations_are_no_data_set(root):
    (root / "train_set/annotations").rename(root / "train_set/notes")
    with pytest.raises(DataMissing, match=r"no annotations/ \(it holds images, notes\)"):
        AffectNet8(root)


# --- faults


def test_faults_are_collected_counted_and_can_be_skipped(root, capsys, place):
    """One fault of each kind, and two labels that are no emotions."""
    folder = root / "train_set"
    (folder / "annotations/0_exp.npy").unlink()
    (folder / "images/1.jpg").unlink()
    (folder / "annotations/2_exp.npy").write_bytes(b"")
    write_npy(folder, 10, "exp", np.array("8"))
    write_npy(folder, 7, "exp", np.array("-1"))
    data = place()
    for _ in range(2):  # found while building the index, then kept in it
        with pytest.raises(ValueError) as caught:
            AffectNet8(data)
        message = str(caught.value)
        assert "2 label outside 0-7" in message and "1 unreadable label file" in message
        assert "1 image without its label file" in message and "1 annotation without its image" in message
        assert "annotations/10_exp.npy" in message and "found 8" in message and 'on_error="skip"' in message
    capsys.readouterr()
    faces = AffectNet8(data, on_error="skip")
    assert numbers(faces) == [13, 100, 366705]
    assert [label for _, label in faces] == [5, 6, 7]
    assert len(faces.problems) == 5
    line = capsys.readouterr().out
    assert "left out 5 faces" in line and "2 label outside 0-7" in line


def test_the_scripts_can_leave_faults_out(root, tmp_path, capsys):
    write_npy(root / "train_set", 10, "exp", np.array("8"))
    write_npy(root / "val_set", 2, "exp", np.array("8"))
    training = {"data": "affectnet8", "root": root}
    with pytest.raises(DataInvalid, match="--on-error skip"):
        training_splits(TrainConfig(**training))
    kept, held_out = training_splits(TrainConfig(**training, on_error="skip"))
    assert {*kept.keys, *held_out.keys} == {f"train/{one}" for one in IDS if one != 10}
    save(tmp_path / "model", small_net(), {})
    scoring = {**training, "model": tmp_path / "model"}
    with pytest.raises(DataInvalid, match="--on-error skip"):
        evaluate.main(evaluate.EvaluateConfig(**scoring))
    capsys.readouterr()
    evaluate.main(evaluate.EvaluateConfig(**scoring, on_error="skip"))
    assert "left out 1 faces" in capsys.readouterr().out


def test_calibrated_anew_on_the_faces_that_chose_the_epoch(root, no_export, capsys):
    """Averaging and halving take temperature and scores away; the same come back."""
    for number in range(1000, 1032):
        write_face(root / "train_set", number, number % 8)
    trained, options = root / "model", {"model": "emotion_net", "size": 16, "epochs": 1, "batch_size": 8}
    train.main(TrainConfig(data="affectnet8", root=root, out=trained, **options))
    card, metrics = ((trained / name).read_text() for name in ("card.json", "metrics.json"))
    assert set(json.loads(metrics)) == {"affectnet8-train-held-out"}
    assert json.loads(metrics)["affectnet8-train-held-out"]["n"] == 8
    changed = {
        key: value for key, value in json.loads(card).items() if key not in ("temperature", "prior_strength")
    }
    write_card(trained, changed)
    drop_derived(trained)
    scoring = {"model": trained, "data": "affectnet8", "root": root, "calibrate": True, "record": True}
    with pytest.raises(DataInvalid, match="--split held-out"):
        evaluate.main(evaluate.EvaluateConfig(**scoring, split="val"))
    evaluate.main(evaluate.EvaluateConfig(**scoring, split="held-out"))
    assert json.loads((trained / "card.json").read_text()) == json.loads(card)
    assert (trained / "metrics.json").read_text() == metrics
    capsys.readouterr()
    some = {"split": "held-out", "limit": 3, "calibrate": False, "record": False}
    evaluate.main(evaluate.EvaluateConfig(**scoring | some))
    assert re.search(r"on affectnet8-train-held-out.*\nn +3\b", capsys.readouterr().out)


def test_too_few_faces_to_hold_one_out(root):
    """Eight faces, one of each emotion."""
    with pytest.raises(DataInvalid, match=r"8 training and 0 validation faces.*Raise --limit"):
        train.main(TrainConfig(data="affectnet8", root=root, model="emotion_net", out=root / "model"))


def test_only_five_faults_are_shown(root):
    for one in IDS[:7]:
        write_npy(root / "train_set", one, "exp", np.array(9))
    with pytest.raises(DataInvalid, match="7 label outside 0-7") as caught:
        AffectNet8(root)
    assert str(caught.value).count("_exp.npy") == 5 and "and 2 more" in str(caught.value)


def test_partners_that_are_merely_missing_are_a_file_error(root):
    (root / "train_set/annotations/13_exp.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"images/13\.jpg"):
        AffectNet8(root)


def test_a_set_without_a_usable_face_is_refused(root):
    for one in IDS:
        write_npy(root / "train_set", one, "exp", np.array("10"))
    with pytest.raises(DataInvalid, match="no usable face: 8 label outside 0-7"):
        AffectNet8(root, on_error="skip")


class Bomb:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_objects_are_never_unpickled(root):
    trap = root / "unpickled"
    bomb = np.empty((), object)
    bomb[()] = Bomb(trap)
    for kind in ("exp", "lnd"):
        np.save(root / f"train_set/annotations/0_{kind}.npy", bomb, allow_pickle=True)
    with pytest.raises(DataInvalid, match="1 unreadable label file"):
        AffectNet8(root)
    with pytest.raises(ValueError, match="OBJECT"):
        npy.numbers((root / "train_set/annotations/0_lnd.npy").read_bytes())
    assert not trap.exists()


def as_npy(values: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(values))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello world, hello", "not an npy"),
        (b"\x93NUMPY\x01\x00", "not an npy"),
        (b"\x93NUMPY\x01\x00\x10\x00" + b"{'descr': ((((((", "not an npy"),
        (b"\x93NUMPY\x09\x00" + bytes(120), "not an npy"),
        (as_npy("3")[:-2], "buffer is smaller"),
        (as_npy(1 + 2j), "of type complex128"),
        (as_npy(""), "one whole"),
        (as_npy("neutral"), "neutral"),
        (as_npy([1, 2]), "one whole number"),
        (as_npy(1.5), "whole number"),
        (as_npy(np.nan), "whole number"),
        (as_npy(np.inf), "whole number"),
    ],
)
def test_what_is_no_number_is_named(data, words):
    assert re.search(words, affectnet8_index.label(data).detail)


def test_files_of_macos_are_ignored(root, place):
    for name in ("images/._13.jpg", "images/.DS_Store", "annotations/._13_exp.npy", "annotations/.DS_Store"):
        (root / "train_set" / name).write_bytes(b"Mac OS X")
    assert len(AffectNet8(place())) == 8


# --- broken images


def cut(path: Path) -> None:
    """Cut the end of a JPEG of some size off."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path.write_bytes(cv2.imencode(".jpg", noise)[1].tobytes()[:-400])


@pytest.mark.parametrize("end", [3, 100, 1000, 3000, -400, -20, -3, -2, -1])
@pytest.mark.parametrize("progressive", [0, 1])
def test_truncation_is_noticed_wherever_it_happens(root, end, progressive):
    """Some decoders return what is missing as grey, without a word."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    (root / "train_set/images/0.jpg").write_bytes(whole[:end])
    with pytest.raises(DataInvalid, match="broken"):
        AffectNet8(root)[0]


@pytest.mark.parametrize(("ending", "before"), [(".jpg", b"\xff\xc0\0\x11\x08"), (".png", b"IHDR")])
@pytest.mark.parametrize("side", [60_000, 20_000])
def test_an_image_whose_header_claims_too_much_is_broken(root, place, ending, before, side):
    """OpenCV raises an error of its own for more than 2**30 pixels, and needs 5 GB for a little less."""
    path = root / "train_set/images/10.jpg"
    data = bytearray(cv2.imencode(ending, np.zeros((24, 24, 3), np.uint8))[1].tobytes())
    size, length = data.index(before) + len(before), 4 if ending == ".png" else 2
    data[size : size + 2 * length] = side.to_bytes(length) * 2
    if ending == ".png":
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    path.write_bytes(data)
    data = place()
    assert [problem.file for problem in AffectNet8(data).verify()] == ["images/10.jpg"]
    assert 10 not in numbers(AffectNet8(data, on_error="skip"))


def test_a_set_of_which_hardly_an_image_is_whole_names_one(root, place):
    """Whatever images are looked at to learn their size."""
    for one in IDS:
        cut(root / f"train_set/images/{one}.jpg")
    faces = AffectNet8(place())
    for read in (faces.__getitem__, lambda i: faces.__getitems__([i])):
        with pytest.raises(DataInvalid, match=r"images/\d+\.jpg is broken"):
            read(5)


def test_verify_lists_broken_images_and_skip_leaves_them_out(root, place):
    cut(root / "train_set/images/10.jpg")
    (root / "train_set/images/13.jpg").write_bytes(b"")
    data = place()
    faces = AffectNet8(data)
    with pytest.raises(DataInvalid, match=r"images.10\.jpg.*verify\(\).*on_error=.skip"):
        faces[faces.keys.index("train/10")]
    broken = faces.verify()
    assert [problem.file for problem in broken] == ["images/10.jpg", "images/13.jpg"]
    assert "an empty file" in str(broken[1])
    assert len(faces) == len(faces.labels) == len(faces.valence) == 6 and not {10, 13} & set(numbers(faces))
    rest = AffectNet8(data, on_error="skip")
    assert len(rest) == 6 and not {10, 13} & set(numbers(rest))
    assert rest.verify() == []


def test_an_incomplete_copy_is_opened_with_what_is_usable(root, place, capsys):
    """Truncated and empty images, unreadable annotations that nobody needs, and of those that one needs."""
    cut(root / "train_set/images/10.jpg")
    (root / "train_set/images/13.jpg").write_bytes(b"")
    image = root / "train_set/images/0.jpg"
    image.write_bytes(image.read_bytes() + bytes(9))  # whole, with something after its end
    (root / "train_set/annotations/1_exp.npy").write_bytes(b"")
    for kind in ("lnd", "val", "aro"):
        (root / f"train_set/annotations/2_{kind}.npy").write_bytes(b"no npy")
    data = place()
    faces = AffectNet8(data, on_error="skip")
    assert numbers(faces) == [0, 2, 7, 100, 366705] and len([*faces]) == 5
    assert "left out 3 faces: 2 broken image, 1 unreadable label file" in capsys.readouterr().out
    note = faces.annotations(1)
    assert (note.expression, note.valence, note.landmarks) == (LABELS[2], None, None)
    assert np.isnan(faces.valence[1]) and not np.isnan(faces.valence[0])
    assert "3 annotations cannot be read" in capsys.readouterr().out
    assert len(faces.unreadable) == 3
    assert len(AffectNet8(data, limit=5, on_error="skip")) == 5


def test_one_file_keeps_labels_and_valence(root, monkeypatch, place):
    data = place()
    faces = AffectNet8(data)
    few = AffectNet8(data, limit=3)
    assert len(few.valence) == 3  # and those of the others are not read yet
    assert np.allclose(faces.arousal, 0.5) and np.allclose(faces.valence, -0.392238)
    rest = AffectNet8(data, classes=7)
    monkeypatch.setattr("fer.datasets.affectnet8.npy.numbers", None)  # nothing is read again
    assert len(rest.valence) == 7 and np.allclose(rest.valence, -0.392238)
    assert len(indices_of(root)) == 1
    others = {
        path for path in root.rglob("*") if path.is_file() and path.suffix not in (".jpg", ".npy", ".tar")
    }
    assert others == {*indices_of(root)}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_images_that_cannot_be_read_are_broken_ones(root):
    """A link of a copy that is not whole, a folder, and a pipe that nobody writes to."""
    images = root / "train_set/images"
    (images / "2.jpg").rename(root / "elsewhere.jpg")
    (images / "2.jpg").symlink_to(root / "elsewhere.jpg")
    faces = AffectNet8(root)
    (root / "elsewhere.jpg").rename(root / "moved.jpg")
    (images / "10.jpg").unlink()
    (images / "10.jpg").mkdir()
    (images / "13.jpg").unlink()
    os.mkfifo(images / "13.jpg")
    for one, words in (
        (2, r"2\.jpg is broken: a link to .*elsewhere\.jpg"),
        (10, r"10\.jpg is broken: it cannot be read: a folder, pipe or device"),
        (13, r"13\.jpg is broken: it cannot be read: a folder, pipe or device"),
    ):
        with pytest.raises(DataInvalid, match=words):
            faces[numbers(faces).index(one)]
    assert [problem.file for problem in faces.verify()] == ["images/2.jpg", "images/10.jpg", "images/13.jpg"]
    assert not {2, 10, 13} & set(numbers(AffectNet8(root, on_error="skip")))


@pytest.mark.parametrize("kind", ["exp", "val", "lnd"])
def test_annotations_without_permission_are_unreadable_ones(root, monkeypatch, kind):
    os_open = os.open

    def deny(file, *how, **options):  # root may read anything
        if str(file).endswith(f"{os.sep}0_{kind}.npy"):
            raise PermissionError(13, "Permission denied", file)
        return os_open(file, *how, **options)

    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(DataInvalid, match=rf"0_{kind}\.npy.*Permission denied.*\n?.*Restore"):
        AffectNet8(root).annotations(0)
    faces = AffectNet8(root, on_error="skip")
    if kind == "exp":
        assert (len(faces), len(faces.problems)) == (7, 1)
    else:
        note = faces.annotations(0)
        assert (note.valence if kind == "val" else note.landmarks) is None
        assert len(faces.unreadable) == 1


def test_an_image_that_vanishes_is_named(root):
    faces = AffectNet8(root)
    (root / "train_set/images/0.jpg").unlink()
    with pytest.raises(DataMissing, match=r"images.0\.jpg"):
        faces[0]
    assert [problem.file for problem in faces.verify()] == ["images/0.jpg"]


def test_files_that_vanish_while_a_set_is_opened_are_counted(root, monkeypatch):
    scan = extracted.Folder.scan

    def scan_and_lose(self):
        (root / "train_set/annotations/1_exp.npy").unlink()
        index = scan(self)
        (root / "train_set/images/0.jpg").unlink()
        return index

    monkeypatch.setattr(extracted.Folder, "scan", scan_and_lose)
    faces = AffectNet8(root, on_error="skip")
    assert len(faces) == 6 and sorted(problem.file for problem in faces.problems) == [
        "images/0.jpg",
        "images/1.jpg",
    ]


# --- the index


def count_scans(monkeypatch) -> list[str]:
    """Record every scan of a folder from now on."""
    scans = []
    for source in (extracted.Folder, tarball.Tar):
        original = source.scan

        def scan(self, original=original):
            scans.append(str(self.path))
            return original(self)

        monkeypatch.setattr(source, "scan", scan)
    return scans


def test_the_index_is_built_once(monkeypatch, place):
    data, scans = place(), count_scans(monkeypatch)
    first, second = AffectNet8(data), AffectNet8(data)
    assert len(scans) == 1
    assert first.keys == second.keys and first.labels.tolist() == second.labels.tolist()
    assert (first[3][0] == second[3][0]).all()


def test_labels_are_read_by_threads_and_stay_with_their_faces(tmp_path):
    for number in range(300):  # more than one thread takes at a time
        write_face(tmp_path / "train_set", number, number % 8)
    write_npy(tmp_path / "train_set", 41, "exp", np.array("9"))
    faces = AffectNet8(tmp_path, on_error="skip")
    assert numbers(faces) == [number for number in range(300) if number != 41]
    assert faces.labels.tolist() == [number % 8 for number in numbers(faces)]
    assert [problem.file for problem in faces.problems] == ["annotations/41_exp.npy"]


def test_the_index_holds_no_absolute_path_and_survives_a_move(root, monkeypatch):
    AffectNet8(root)
    assert str(root).encode() not in indices_of(root)[0].read_bytes()
    (root / "elsewhere").mkdir()
    (root / "train_set").rename(root / "elsewhere/train_set")
    scans = count_scans(monkeypatch)
    assert AffectNet8(root / "elsewhere")[5][1] == AffectNet8(root / "elsewhere").labels[5]
    assert scans == []


def add(folder: Path) -> None:
    write_face(folder, 4, 4)


def remove(folder: Path) -> None:
    for path in [folder / "images/13.jpg", *folder.glob("annotations/13_*")]:
        path.unlink()


def overwrite_label(folder: Path) -> None:
    path = folder / "annotations/13_exp.npy"
    stat = path.stat()
    write_npy(folder, 13, "exp", np.array("0"))  # in place: no folder's time changes
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 20_000_000))


@pytest.mark.parametrize(
    ("change", "ids", "label_of_13"),
    [(add, {4, *IDS}, 5), (remove, {*IDS} - {13}, None), (overwrite_label, {*IDS}, 0)],
)
def test_files_that_changed_are_indexed_anew(root, place, change, ids, label_of_13):
    assert len(AffectNet8(place())) == 8
    change(root / "train_set")
    faces = AffectNet8(place())
    assert set(numbers(faces)) == ids
    assert dict(zip(numbers(faces), faces.labels.tolist(), strict=True)).get(13) == label_of_13


def test_a_label_that_was_repaired_is_seen(root):
    (root / "train_set/annotations/13_exp.npy").write_bytes(b"")
    with pytest.raises(DataInvalid):
        AffectNet8(root)
    write_npy(root / "train_set", 13, "exp", np.array("5"))
    assert len(AffectNet8(root)) == 8


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text"])
def test_a_damaged_index_is_refused(root, place, damage):
    data_set = place()
    AffectNet8(data_set)
    path = indices_of(root)[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flip": bytes(data), "cut": data[:-40], "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(DataInvalid, match=r"is damaged.*Delete it"):
        AffectNet8(data_set)
    path.unlink()
    assert len(AffectNet8(data_set)) == 8


def test_an_index_of_another_version_or_class_order_is_rebuilt(root, monkeypatch):
    AffectNet8(root)
    scans = count_scans(monkeypatch)
    monkeypatch.setattr(affectnet8_index, "FORMAT", 99)
    AffectNet8(root)
    monkeypatch.setattr(affectnet8_index, "EMOTIONS", EMOTIONS[::-1])
    AffectNet8(root)
    assert len(scans) == 2


def test_an_index_that_cannot_be_written_stays_in_memory(root, capsys):
    (root / "train_set/affectnet8.index").mkdir()  # root may write anywhere, but not a file over a folder
    assert len(AffectNet8(root)) == 8
    out = capsys.readouterr().out
    assert "cannot be written" in out and "at every start" in out
    cut(root / "train_set/images/10.jpg")
    assert len(AffectNet8(root).valence) == 8 and len(AffectNet8(root).verify()) == 1
    assert not list(root.rglob("*.tmp*"))


def test_ids_that_are_no_numbers_pair_too(tmp_path):
    for number, label in {"007": 1, "7": 2, "img_3": 3}.items():
        write_face(tmp_path / "train_set", number, label)
    faces = AffectNet8(tmp_path)
    assert dict(zip(faces.keys, faces.labels, strict=True)) == {
        "train/007": 1,
        "train/7": 2,
        "train/img_3": 3,
    }
    assert [abs(int(image.float().mean()) - 20 * label) <= 1 for image, label in faces] == [True] * 3
    assert len(AffectNet8(pack(tmp_path))) == 3


# --- workers


@pytest.mark.parametrize(
    ("start", "packed", "workers"), [("fork", False, 2), ("fork", True, 2), ("spawn", True, 1)]
)
def test_workers_see_the_right_images(root, start, packed, workers):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip("Windows has no fork")
    faces = AffectNet8(pack(root) if packed else root)
    faces[0]  # a handle that is open before the workers start must not be shared with them
    loader = DataLoader(faces, 2, num_workers=workers, multiprocessing_context=start)
    images, labels = zip(*loader, strict=True)
    images, labels = torch.cat(images), torch.cat(labels)
    assert labels.tolist() == faces.labels.tolist()
    assert (images == torch.stack([image for image, _ in faces])).all()


# --- the archive


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_is_the_same_as_its_folder(root, format):
    folder, tar = AffectNet8(root), AffectNet8(pack(root, format=format))
    assert tar.keys == folder.keys and tar.labels.tolist() == folder.labels.tolist()
    for i in range(len(folder)):
        assert (tar[i][0] == folder[i][0]).all()
        assert (tar.annotations(i).landmarks == folder.annotations(i).landmarks).all()
        assert tar.annotations(i).valence == folder.annotations(i).valence


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_sizes_are_read(tmp_path, format):
    tar, long = tmp_path / "x.tar", f"{'deep/' * 60}é.bin"
    with tarfile.open(tar, "w", format=format) as archive:
        info = tarfile.TarInfo(long)
        info.size = 1025
        archive.addfile(info, io.BytesIO(b"a" * 1025))
        archive.addfile(tarfile.TarInfo("./last"))
    with tar.open("rb") as file:
        found = list(tarball.walk(file))
        file.seek(found[0].offset)
        assert file.read(1025) == b"a" * 1025
    assert [(member.name, member.size) for member in found] == [(long, 1025), ("last", 0)]


def test_a_tar_of_the_other_split_is_refused(root):
    pack(root, "val").rename(root / "packed/train_set.tar")
    with pytest.raises(DataInvalid, match=r"no train_set/images"):
        AffectNet8(root / "packed")


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_truncated_tar_is_refused_wherever_it_ends(root, format):
    tar = pack(root, format=format)
    with tarfile.open(tar) as archive:
        last = archive.getmembers()[-1]
        end = last.offset_data + -(-last.size // 512) * 512
    whole = tar.read_bytes()
    for length in [*range(512, end, 5000), end - 1, end]:
        tar.write_bytes(whole[:length])
        with pytest.raises(DataInvalid, match="is truncated"):
            AffectNet8(tar)


def test_what_is_no_tar_is_named(tmp_path):
    tar = tmp_path / "train_set.tar"
    tar.write_bytes(b"\x1f\x8b" + bytes(2000))
    with pytest.raises(DataInvalid, match=r"not a tar file.*compressed"):
        AffectNet8(tar)


def test_a_damaged_header_is_refused(root):
    tar = pack(root)
    data = bytearray(tar.read_bytes())
    with tarfile.open(tar) as archive:
        data[archive.getmembers()[4].offset + 3] ^= 1
    tar.write_bytes(data)
    with pytest.raises(DataInvalid, match="damaged at byte"):
        AffectNet8(tar)


def evil(tar: Path, name: str, type: bytes = tarfile.REGTYPE, link: str = "") -> None:
    with tarfile.open(tar, "w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = type, link, 4 if type == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(b"evil"))


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("../evil", tarfile.REGTYPE),
        ("train_set/sparse", tarfile.GNUTYPE_SPARSE),
        ("train_set/../../evil", tarfile.REGTYPE),
        ("/evil", tarfile.REGTYPE),
        ("C:/evil", tarfile.REGTYPE),
        ("train_set\\..\\..\\evil", tarfile.REGTYPE),
        ("../evil/", tarfile.DIRTYPE),
        ("train_set/images", tarfile.SYMTYPE),
        ("train_set/images/1.jpg", tarfile.LNKTYPE),
        ("train_set/pipe", tarfile.FIFOTYPE),
        ("train_set/device", tarfile.CHRTYPE),
    ],
)
def test_members_that_could_leave_the_folder_are_refused(tmp_path, name, type):
    tar, out = tmp_path / "train_set.tar", tmp_path / "deep/out"
    evil(tar, name, type, link="/etc")
    with pytest.raises(DataInvalid, match="source again"):
        list(tarball.extract(tar, out))
    with pytest.raises(DataInvalid, match="source again"):
        AffectNet8(tar)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != tar]
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]


def test_a_member_outside_the_two_folders_is_not_written(tmp_path):
    evil(tmp_path / "x.tar", "fer/evil.py")
    with pytest.raises(DataInvalid, match=r"'fer/evil\.py'; expected files in train_set/ and val_set/ alone"):
        list(tarball.extract(tmp_path / "x.tar", tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("*.py"))


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, "sparse files"),
        ({"comment": "a" * (1 << 21)}, "extension header of 2,097,.* bytes"),
    ],
)
def test_extension_headers_that_no_archive_of_faces_has(tmp_path, headers, message):
    tar = tmp_path / "train_set.tar"
    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("train_set/images/1.jpg")
        info.pax_headers = headers
        archive.addfile(info)
    for read in (lambda: list(tarball.extract(tar, tmp_path / "out")), lambda: AffectNet8(tar)):
        with pytest.raises(DataInvalid, match=message):
            read()


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix in (".jpg", ".npy")]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def test_extract_writes_every_file_and_goes_on_where_it_stopped(root, capsys):
    tar, out = pack(root), root / "out"
    assert main(Extract(tar, out)) == 0
    printed = capsys.readouterr().out
    assert "40 files written" in printed and "0 were there" in printed
    assert "train: 40 files; 1,438,255 were published" in printed
    expected = {f"train_set/{name}": digest for name, digest in digests(root / "train_set").items()}
    assert digests(out) == expected

    (out / "train_set/images/10.jpg").write_bytes(b"half")
    (out / "train_set/annotations/13_exp.npy").unlink()
    write_npy(out / "train_set", 7, "exp", np.array("0"))  # of the right size
    again = [Path(member.name).name for member, new in tarball.extract(tar, out) if new]
    assert sorted(again) == ["10.jpg", "13_exp.npy", "7_exp.npy"]
    assert digests(out) == expected


def test_of_two_members_of_one_name_the_later_one_counts(root):
    """Extracted as well as in place, though both have the same size."""
    tar, out = pack(root), root / "out"
    write_npy(root / "train_set", 7, "exp", np.array("0"))
    with tarfile.open(tar, "a") as archive:
        archive.add(root / "train_set/annotations/7_exp.npy", "train_set/annotations/7_exp.npy")
    for _ in range(2):
        list(tarball.extract(tar, out))
        for place in (tar, out):
            faces = AffectNet8(place)
            assert faces.labels[numbers(faces).index(7)] == 0


def test_two_runs_do_not_extract_one_archive_to_one_folder(root):
    tar, out = pack(root), root / "out"
    members = tarball.extract(tar, out)
    next(members)
    with pytest.raises(UsageError, match="is being written by process"):
        next(tarball.extract(tar, out))
    assert len(list(members)) == 39


def test_verify_from_the_command_line(root, capsys):
    assert main(Verify(root)) == 0
    cut(root / "train_set/images/10.jpg")
    assert main(Verify(root)) == 1
    assert "images/10.jpg: broken image" in capsys.readouterr().out
    assert (
        main(Verify(root)) == 1 and "7 faces: 1 broken" in capsys.readouterr().out
    )  # known, and named again
    assert main(Count(root)) == 0
    assert "134,415" in capsys.readouterr().out


def test_the_readme_has_the_published_counts():
    text = (Path(__file__).parents[2] / "dataset/README.md").read_text("utf-8")
    for code, emotion in enumerate(EMOTIONS):
        train, val = (counts[code] for counts in PUBLISHED.values())
        assert f"| {emotion} | {code} | {train:,} | {val:,} |" in text
    assert [sum(counts) for counts in PUBLISHED.values()] == [287_651, 3_999]
