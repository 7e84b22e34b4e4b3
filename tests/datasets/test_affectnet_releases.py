"""Other releases of AffectNet: class folders, the tables of 2017, AffectNet+."""

import csv
import json
import os
import pickle
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from fer.datasets import AffectNet8, data_of, find, open_split
from fer.datasets.affectnet8.__main__ import Count, main
from fer.datasets.affectnet8.class_folders import class_of
from fer.datasets.affectnet8.release_2017 import COLUMNS
from fer.datasets.finding import cut_train
from fer.datasets.packed import pack
from fer.errors import DataInvalid, DataMissing
from fer.labels import EMOTIONS
from synthetic_faces.tree import write_tree

ALPHABETICAL = ("Anger", "Contempt", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")


def shade(label):
    """How bright the faces of a class are: it shows which label belongs to a picture."""
    return 20 * label + 10


def write_image(path, label, size=(24, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), shade(label), np.uint8))


def labels_fit(faces):
    return all(abs(int(image.float().mean()) - shade(label)) <= 1 for image, label in faces)


# Class folders.


def write_folders(root, names, splits=("train", "val"), per_class=2):
    """``names`` in the order of EMOTIONS."""
    for split in splits:
        for label, name in enumerate(names):
            for k in range(per_class):
                write_image(root / split / name / f"face{k}.png", label)
    return root


NAMINGS = {
    "codes": [str(i) for i in range(8)],
    "names": EMOTIONS,
    "aliases": ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Contempt"),
    "alphabetical numbers": [
        f"{ALPHABETICAL.index(name)}_{name}"
        for name in ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Contempt")
    ],
}


@pytest.mark.parametrize("names", NAMINGS.values(), ids=NAMINGS.keys())
def test_a_class_is_told_by_its_folders_name_not_by_its_place(tmp_path, names, capsys):
    write_folders(tmp_path, names)
    faces = open_split("affectnet8", tmp_path, "train")
    assert np.bincount(faces.labels).tolist() == [2] * 8
    assert labels_fit(faces)
    image, label = faces[0]
    assert image.shape == (3, 224, 224) and image.dtype == torch.uint8 and type(label) is int
    assert len(set(faces.keys)) == 16 and all(key.startswith("train/") for key in faces.keys)
    note = faces.annotations(0)
    assert (note.expression, note.valence, note.arousal, note.landmarks) == (label, None, None, None)
    find(tmp_path, "valid")
    assert f"Using AffectNet in class folders, val: 16 faces from {tmp_path}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("folders", "asked", "got"),
    [
        (("train", "test", "valid"), "val", "val"),
        (("train", "test", "valid"), "test", "test"),
        (("Train", "Test"), "val", "val"),  # the only faces that are kept apart
        (("train", "validation"), "valid", "val"),
    ],
)
def test_split_folders_have_several_names(tmp_path, folders, asked, got):
    write_folders(tmp_path, EMOTIONS, folders, per_class=1)
    faces = open_split("affectnet8", tmp_path, asked)
    assert (faces.split, faces.name, len(faces)) == (got, "affectnet-folders", 8)


def test_a_split_that_is_not_there_is_named(tmp_path):
    write_folders(tmp_path, EMOTIONS, ("train", "val"), per_class=1)
    with pytest.raises(DataMissing, match=r"class folders without its test split; found train, val"):
        open_split("affectnet8", tmp_path, "test")


def test_a_copy_without_splits_is_all_train(tmp_path):
    write_folders(tmp_path, EMOTIONS, (".",), per_class=1)
    assert len(find(tmp_path)) == 8
    with pytest.raises(DataMissing, match="without its val split; found train"):
        find(tmp_path, "val")


@pytest.mark.parametrize(
    "names", [[str(i) for i in range(1, 8)], [str(i) for i in range(7)], ("angry", "sad")]
)
def test_fewer_classes_are_another_data_set(tmp_path, names):
    """Numbers from 1 to 7 are RAF-DB, and 0 to 6 FER2013, in other orders."""
    write_folders(tmp_path, names, per_class=1)
    with pytest.raises(DataMissing, match=r"train split was not found.*must be all eight"):
        open_split("affectnet8", tmp_path, "train")


def test_an_empty_folder_says_that_a_class_has_no_faces(tmp_path):
    """As the message about seven classes advises."""
    write_folders(tmp_path, EMOTIONS[:7], per_class=1)
    (tmp_path / "train/contempt").mkdir()
    assert sorted(AffectNet8(tmp_path, classes=7).labels) == [*range(7)]


def test_what_is_no_class_is_reported(tmp_path, capsys):
    write_folders(tmp_path, EMOTIONS, per_class=1)
    write_image(tmp_path / "train/bored/1.png", 0)
    for name in ("notes.txt", "Thumbs.db", "._face0.png"):
        (tmp_path / "train/fear" / name).write_text("?")
    for name, n in {"none": 2, "Non-Face": 1}.items():
        for k in range(n):
            write_image(tmp_path / f"train/{name}/{k}.jpg", 0)
    with pytest.raises(DataInvalid, match="1 folder of photos that names no class"):
        open_split("affectnet8", tmp_path, "train")
    for _ in range(2):  # from the folders, then from the index
        faces = AffectNet8(tmp_path, on_error="skip")
        printed = capsys.readouterr().out
        assert len(faces) == 8
        assert "left out 3 faces that show no emotion" in printed and "left out 1 faces" in printed


@pytest.mark.parametrize(
    ("folder", "code"),
    [
        *(("7", 7), ("07", 7), ("10", 10), ("11", None), ("", None), ("-", None), ("contemptuous", 7)),
        *(("3-surprise", 3), ("3. Surprised", 3), ("0 anger", 6), ("uncertain", 9), ("bored", None)),
    ],
)
def test_names_of_class_folders(folder, code):
    assert class_of(folder) == code


def test_other_sizes_become_squares_without_distortion(tmp_path):
    write_folders(tmp_path, EMOTIONS, per_class=1)
    wide = np.full((60, 120, 3), 255, np.uint8)
    cv2.circle(wide, (60, 30), 20, (0, 0, 0), -1)
    cv2.imwrite(str(tmp_path / "train/fear/face0.png"), wide)
    faces = open_split("affectnet8", tmp_path, "train")
    image = faces[faces.keys.index("train/fear/face0.png")][0][0]
    dark = (image < 128).nonzero()
    height, width = (dark.max(0).values - dark.min(0).values + 1).tolist()
    assert image.shape == (224, 224) and abs(height - width) <= 1
    small = np.full((224, 224, 3), 77, np.uint8)
    small[:, :9] = 200
    cv2.imwrite(str(tmp_path / "train/fear/face0.png"), small)
    assert (
        faces[faces.keys.index("train/fear/face0.png")][0] == torch.from_numpy(small).permute(2, 0, 1)
    ).all()


def test_added_faces_and_broken_images_are_noticed(tmp_path):
    write_folders(tmp_path, EMOTIONS, per_class=1)
    assert len(open_split("affectnet8", tmp_path, "train")) == 8
    write_image(tmp_path / "train/fear/more.png", 4)
    (tmp_path / "train/fear/face0.png").write_bytes(b"")
    faces = AffectNet8(tmp_path)
    assert len(faces) == 9
    assert [problem.file for problem in faces.verify()] == ["fear/face0.png"]
    assert len(AffectNet8(tmp_path, on_error="skip")) == 8


@pytest.mark.parametrize(
    ("folder", "split"), [("val", "val"), ("Validation", "val"), ("train", "train"), ("x", "train")]
)
def test_one_splits_class_folders_answer_for_that_split_alone(tmp_path, monkeypatch, folder, split):
    """Named themselves, or as the folder one is in: the same faces must never be train and val."""
    for label, name in enumerate(EMOTIONS):
        write_image(tmp_path / folder / name / "face.png", label)
    other = {"train": "val", "val": "train"}[split]
    monkeypatch.chdir(tmp_path / folder)
    for root in (tmp_path / folder, "."):
        assert len(open_split("affectnet8", root, split)) == 8
        with pytest.raises((DataMissing, DataInvalid)):
            AffectNet8(root, other)


def test_other_sets_beside_class_folders_are_not_taken_for_classes(tmp_path, capsys):
    """dataset/README.md puts FER+, the synthetic sample and packs into the same folder."""
    root = write_folders(tmp_path, EMOTIONS, splits=("",))
    pack(AffectNet8(root), root / "packed", 16)
    write_tree(root / "synthetic", per_class=1)
    (root / "ferplus").mkdir()
    (root / "notes").mkdir()
    assert len(AffectNet8(root)) == 16
    assert len(pack(AffectNet8(root), root / "packed", 16)) == 16


def test_a_pack_of_a_test_split_opens_where_the_class_folders_do(tmp_path):
    root = write_folders(tmp_path / "copy", EMOTIONS, splits=("train", "test"))
    for split in ("val", "test"):
        pack(AffectNet8(root, split), tmp_path / "packed", 16)
        assert open_split("affectnet8", tmp_path / "packed", split).keys == AffectNet8(root, split).keys


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text there")
def test_names_of_any_encoding_are_kept(tmp_path):
    root = write_folders(tmp_path / "copy", EMOTIONS, splits=("train",))
    old = os.fsencode(root / "train" / "anger" / "face0.png")
    os.rename(old, old.replace(b"face0", b"\xc4\xe3"))
    faces = AffectNet8(root)
    made = pack(faces, tmp_path / "packed", 16)
    assert made.keys == faces.keys and any("\udcc4" in key for key in made.keys)
    assert len(AffectNet8(root, limit=10)) == 10
    assert sum(map(len, cut_train("affectnet8", root))) == 16


@pytest.mark.parametrize("name", ["affectnet-folders", "affectnet-plus", "affectnet-2017", "affectnet8"])
def test_every_release_is_affectnet8_to_those_who_open_by_name(name):
    assert data_of(SimpleNamespace(name=name)) == "affectnet8"
    assert data_of(SimpleNamespace(name="ferplus")) == "ferplus"
    assert data_of(SimpleNamespace(name="sample")) == "sample"


def test_affectnet8_comes_before_class_folders(tmp_path):
    write_folders(tmp_path, EMOTIONS, per_class=1)
    write_image(tmp_path / "val_set/images/1.jpg", 0)
    (tmp_path / "val_set/annotations").mkdir()
    np.save(tmp_path / "val_set/annotations/1_exp.npy", np.array("0"))
    assert find(tmp_path, "val").name == "affectnet8"
    with pytest.raises(
        DataMissing, match="AffectNet8's train split"
    ):  # never a train split of another release
        find(tmp_path, "train")


# The release of 2017.

POINTS = ";".join(f"{v:.2f}" for v in np.tile([30.0, 50.0], 68))


def row(name, expression, box=(20, 40, 20, 20), valence="0.5", arousal="-0.25", points=POINTS):
    return [name, *box, points, expression, valence, arousal]


def write_table(path, rows, header=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows] if header else rows)


def write_photo(path, label):
    """A black photo of 100x80 with a face in the square from (20, 40) to (40, 60)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photo = np.zeros((80, 100, 3), np.uint8)
    photo[40:60, 20:40] = shade(label)
    cv2.imwrite(str(path), photo)


@pytest.fixture
def of_2017(tmp_path):
    """Eight emotions, and one of each code that is none, in two folders of photos."""
    rows = []
    for code in range(11):
        name = f"{code % 2 + 1}/face{code}.png"
        write_photo(tmp_path / "Manually_Annotated_Images" / name, code)
        rows.append(row(name, code, box=("NULL",) * 4 if code == 10 else (20, 40, 20, 20)))
    write_table(tmp_path / "training.csv", rows)
    write_table(tmp_path / "validation.csv", rows[:8])
    return tmp_path


def test_2017_faces_are_cut_out_of_their_photos(of_2017, capsys):
    faces = open_split("affectnet8", of_2017, "train")
    printed = capsys.readouterr().out
    assert faces.labels.tolist() == list(range(8)) and labels_fit(faces)
    assert faces[3][0].shape == (3, 224, 224)
    assert faces.keys[3] == "train/2/face3.png"
    assert "AffectNet of 2017 train: left out 3 faces that show no emotion" in printed
    note = faces.annotations(3)
    assert (note.expression, note.valence, note.arousal) == (3, 0.5, -0.25)
    assert note.landmarks.shape == (68, 2)
    assert np.allclose(note.landmarks, 112)  # (30, 50) is the middle of the box
    find(of_2017, "val")
    assert f"Using AffectNet of 2017, val: 8 faces from {of_2017}" in capsys.readouterr().out


def test_2017_comes_in_several_forms(of_2017, tmp_path_factory):
    root = tmp_path_factory.mktemp("other")
    (root / "Manually_Annotated").mkdir()
    (of_2017 / "Manually_Annotated_Images").rename(root / "Manually_Annotated/Manually_Annotated_Images")
    (root / "Manually_Annotated_file_lists").mkdir()
    for name in ("training.csv", "validation.csv"):
        (of_2017 / name).rename(root / "Manually_Annotated_file_lists" / name)
    assert len(open_split("affectnet8", root, "train")) == 8
    write_table(root / "Manually_Annotated_file_lists/validation.csv", [row("1/face2.png", 2)], header=False)
    assert open_split("affectnet8", root, "val").labels.tolist() == [2]


def test_2017_without_a_score_or_landmarks(of_2017):
    rows = [row("1/face0.png", 0, valence="-2", arousal="-2", points="NULL")]
    write_table(of_2017 / "validation.csv", rows)
    note = open_split("affectnet8", of_2017, "val").annotations(0)
    assert (note.valence, note.arousal, note.landmarks) == (None, None, None)


def test_2017_faults_are_counted_by_kind(of_2017, capsys):
    rows = [
        row("1/face0.png", 0),
        row("1/gone.png", 1),
        row("1/face4.png", "happy"),
        *(
            row("1/face2.png", "2", box=[side] * 4)
            for side in ("NULL", "inf", "nan", "3000000000", 250_000, 0)
        ),
        row("1/face6.png", 11),
        row("1/face8.png", 0)[:-1],  # the table was cut off here
        row("1/face0.png", 3),
        ["1/face4.png", "x" * 200_000],  # more than the csv module reads
    ]
    write_table(of_2017 / "training.csv", rows)
    with pytest.raises(DataInvalid) as caught:
        open_split("affectnet8", of_2017, "train")
    for words in (
        "1 annotation without its image",
        "6 row without a face box",
        "2 label outside 0-7",
        "found happy",
        "1 row without all columns",
        "1 image listed twice",
    ):
        assert words in str(caught.value)
    faces = AffectNet8(of_2017, on_error="skip")
    assert faces.labels.tolist() == [0] and len(faces.problems) == 11
    assert "left out 11 faces" in capsys.readouterr().out


def test_2017_boxes_at_the_border_and_outside(of_2017):
    write_table(
        of_2017 / "validation.csv",
        [row("1/face2.png", 2, box=(-10, 40, 50, 20)), row("1/face4.png", 4, box=(500, 500, 20, 20))],
    )
    faces = open_split("affectnet8", of_2017, "val")
    assert faces[0][0].shape == (3, 224, 224)
    # The square has its left at -10 and its top at 25: 50 pixels become 224.
    assert np.allclose(faces.annotations(0).landmarks, [(30 + 10) * 4.48, (50 - 25) * 4.48])
    with pytest.raises(DataInvalid, match=r"face4\.png.*500.*outside the photo of 100x80.*verify\(\)"):
        faces[1]
    assert [problem.file for problem in faces.verify()] == ["1/face4.png"]


def test_2017_is_indexed_anew_when_table_or_photos_change(of_2017):
    assert len(open_split("affectnet8", of_2017, "val")) == 8
    write_table(of_2017 / "validation.csv", [row("1/face2.png", 2)])
    assert len(open_split("affectnet8", of_2017, "val")) == 1
    (of_2017 / "Manually_Annotated_Images/1/face2.png").unlink()
    with pytest.raises(DataMissing, match="1 annotation without its image"):
        open_split("affectnet8", of_2017, "val")


def test_another_training_csv_is_not_taken_for_affectnet(tmp_path):
    (tmp_path / "Manually_Annotated_Images").mkdir()
    (tmp_path / "training.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DataMissing, match="was not found"):
        open_split("affectnet8", tmp_path, "train")


# AffectNet+.


def write_plus(folder, annotations):
    """``annotations``: by id, the label, or all that the JSON file holds."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for id_, given in annotations.items():
        label = given if isinstance(given, int) else 0
        write_image(folder / f"images/{id_}.jpg", label)
        values = {"age": 30, "valence": 0.25, "arousal": "-0.5", "landmark-68": list(range(136))}
        usual = {"human-label": label, "soft-label": [0.125] * 8, "meta-data": values}
        text = json.dumps(usual if isinstance(given, int) else given)
        (folder / f"annotations/{id_}.json").write_text(text)


@pytest.fixture
def plus(tmp_path):
    folder = tmp_path / "human_annotated"
    write_plus(folder / "train_set", {10 * label: label for label in range(8)} | {5: 8, 6: 8, 7: 10})
    write_plus(folder / "validation_set", {1: 3, 2: 4})
    return tmp_path


def test_plus_is_opened_by_its_human_labels(plus, capsys):
    faces = find(plus)
    printed = capsys.readouterr().out
    assert f"Using AffectNet+, train: 8 faces from {plus}" in printed
    assert "AffectNet+ train: left out 3 faces that show no emotion" in printed
    assert faces.name == "affectnet-plus" and labels_fit(faces)
    assert faces.keys == [f"train/{10 * label}" for label in range(8)]
    note = faces.annotations(2)
    assert (note.expression, note.valence, note.arousal) == (2, 0.25, -0.5)
    assert note.landmarks.shape == (68, 2) and note.landmarks[1].tolist() == [2, 3]


def test_plus_is_found_from_either_split_and_from_within_one(plus, monkeypatch):
    monkeypatch.chdir(plus / "human_annotated/train_set")
    for root in (plus, plus / "human_annotated", plus / "human_annotated/validation_set", "."):
        assert [len(AffectNet8(root, split)) for split in ("train", "val")] == [8, 2]
    (plus / "human_annotated/train_set").rename(plus / "plus")
    assert len(AffectNet8(plus / "plus")) == 8
    with pytest.raises(DataMissing, match=r"AffectNet\+ without its val split; found train"):
        AffectNet8(plus / "plus", "val")


def test_plus_faults_are_counted_by_kind(plus):
    folder = plus / "human_annotated/train_set"
    write_plus(folder, {"4": [1], "8": {"label": 3}, "9": {"human-label": "sad"}})
    (folder / "annotations/50.json").write_text("{")
    (folder / "annotations/10.json").unlink()
    (folder / "images/20.jpg").unlink()
    with pytest.raises(DataInvalid) as caught:
        AffectNet8(plus)
    for words in (
        "3 unreadable label file",
        "1 label outside 0-7",
        "1 image without its label file",
        "1 annotation without its image",
    ):
        assert words in str(caught.value)
    assert AffectNet8(plus, on_error="skip").labels.tolist() == [0, 3, 4, 6, 7]


@pytest.mark.parametrize("meta", [None, {}, {"valence": None}, {"valence": -2, "landmark-68": []}])
def test_plus_values_may_be_absent(plus, meta):
    write_plus(plus / "human_annotated/validation_set", {1: {"human-label": 3, "meta-data": meta}})
    note = AffectNet8(plus, "val").annotations(0)
    assert note.valence is None and note.arousal is None and note.landmarks is None


@pytest.mark.parametrize("meta", [{"valence": {"mean": 1}}, {"valence": "calm"}, [0.5]])
def test_plus_names_the_file_whose_values_are_wrong(plus, meta):
    write_plus(plus / "human_annotated/validation_set", {1: {"human-label": 3, "meta-data": meta}})
    with pytest.raises(DataInvalid, match=r"annotations.1\.json cannot be read: no .* in meta-data"):
        AffectNet8(plus, "val").annotations(0)


# All of them.


@pytest.mark.parametrize("make", ["folders", "2017", "plus"])
def test_every_release_keeps_its_index_limits_and_travels_to_workers(make, request, tmp_path):
    if make == "folders":
        write_folders(tmp_path, EMOTIONS)
    else:
        request.getfixturevalue({"2017": "of_2017", "plus": "plus"}[make])
    first = AffectNet8(tmp_path)
    again = AffectNet8(tmp_path)
    assert again.keys == first.keys and again.labels.tolist() == first.labels.tolist()
    assert len(list(tmp_path.rglob("*.index"))) == 1
    few = AffectNet8(tmp_path, limit=5, classes=7)
    assert len(few) == 5 and labels_fit(few) and 7 not in few.labels
    copy = pickle.loads(pickle.dumps(few))
    assert (copy[4][0] == few[4][0]).all() and copy.annotations(4).expression == few.labels[4]


def test_the_count_on_the_command_line_has_no_published_numbers_of_another_release(of_2017, capsys):
    assert main(Count(of_2017)) == 0
    printed = capsys.readouterr().out
    assert "published" not in printed and "contempt          1" in printed
