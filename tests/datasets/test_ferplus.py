"""FER+ by its protocol, from a folder and from a zip."""

import pickle
import re
import shutil
import zipfile

import numpy as np
import pytest
import torch
from helpers import votes, write_ferplus
from PIL import Image
from torch.utils.data import DataLoader

from fer.datasets.ferplus import LARGEST_TABLE, VOTES, FERPlus
from fer.errors import DataInvalid, DataMissing
from fer.labels import EMOTIONS

ROWS = {
    "train": [votes(**{name: 10}) for name in VOTES[:8]],
    "valid": [
        votes(sadness=6, neutral=4),  # 0: a majority
        votes(sadness=5, neutral=5),  # 1: no majority; a tie
        votes(fear=4, surprise=3, anger=3),  # 2: on top without a majority
        votes(**dict.fromkeys(EMOTIONS, 1) | {"happiness": 0, "anger": 3}, NF=1),  # 3: single votes
        votes(unknown=6, neutral=4),  # 4: not an emotion
        votes(NF=8, fear=2),  # 5: not a face
        votes(**dict.fromkeys(EMOTIONS, 1), unknown=1, NF=1),  # 6: nothing is left
        votes(contempt=6, unknown=4),  # 7: a majority over unknown
        votes(disgust=5, unknown=5),  # 8: half is no majority
    ],
    "test": [votes(neutral=10)] * 3,
}


@pytest.fixture
def root(tmp_path):
    return write_ferplus(tmp_path / "ferplus", ROWS)


def shade(image):
    """Image i of a split is all of shade i."""
    assert image.unique().numel() == 1
    return int(image[0, 0, 0])


def test_votes_become_classes_by_name(root):
    """FER+ lists surprise before sadness and fear after disgust; EMOTIONS does not."""
    names = [EMOTIONS[label] for label in FERPlus(root, "train").labels]
    assert names == ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]
    soft = FERPlus(root, "train", labels="soft")
    assert np.array_equal(soft.vote_distribution.argmax(1), soft.labels)


def test_majority_keeps_faces_with_more_than_half_of_the_remaining_votes(root):
    faces = FERPlus(root, "valid")
    assert faces.keys == [f"valid/fer{i}.png" for i in (0, 3, 7)]
    assert [EMOTIONS[label] for label in faces.labels] == ["sadness", "anger", "contempt"]


@pytest.mark.parametrize("labels", ["argmax", "soft"])
def test_argmax_and_soft_keep_every_face_with_an_emotion_on_top(root, labels):
    faces = FERPlus(root, "valid", labels=labels)
    assert faces.keys == [f"valid/fer{i}.png" for i in (0, 1, 2, 3, 7, 8)]
    names = [EMOTIONS[label] for label in faces.labels]
    assert names == ["sadness", "neutral", "fear", "anger", "contempt", "disgust"]


def test_single_votes_count_as_none(root):
    """Of ten votes three are for anger and seven for others, one each: anger has them all."""
    image, target = FERPlus(root, "valid", labels="soft")[3]
    assert shade(image) == 3
    assert target.dtype == torch.float32
    assert target.tolist() == [0, 0, 0, 0, 0, 0, 1, 0]


def test_soft_labels_are_the_vote_distribution_over_the_emotions(root):
    _, target = FERPlus(root, "valid", labels="soft")[2]
    expected = {"fear": 0.4, "surprise": 0.3, "anger": 0.3}
    torch.testing.assert_close(target, torch.tensor([expected.get(name, 0.0) for name in EMOTIONS]))
    _, target = FERPlus(root, "valid", labels="soft")[4]
    assert target[EMOTIONS.index("contempt")] == 1  # votes for unknown do not count


def test_an_item(root):
    faces = FERPlus(root, "valid")
    image, label = faces[1]
    assert image.dtype == torch.uint8
    assert image.shape == (1, 48, 48)
    assert isinstance(label, int)
    assert label == EMOTIONS.index("anger")
    assert [shade(image) for image, _ in faces] == [0, 3, 7]
    assert faces.labels.dtype == np.int64
    assert (faces.name, faces.split) == ("ferplus", "valid")
    with pytest.raises(TypeError, match="as an integer"):
        faces[0:2]
    for place, split in ((root.parent, "val"), (root, "validation")):
        assert FERPlus(place, split).keys == faces.keys


def test_transform_and_limit(root):
    faces = FERPlus(root, "train", transform=lambda image: image.float() + 0.5, limit=2)
    assert len(faces) == 2
    assert [float(image.max()) for image, _ in faces] == [0.5, 1.5]


def zipped(root, inside):
    path = root.parent / "ferplus.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*.*")):
            archive.write(file, inside + str(file.relative_to(root)))
    return path


@pytest.mark.parametrize("inside", ["", "ferplus/"])
def test_zip_is_read_in_place(root, inside):
    path = zipped(root, inside)
    images = [image for image, _ in FERPlus(root, "valid", labels="argmax")]
    shutil.rmtree(root)
    for place in (path, path.parent):
        faces = FERPlus(place, "valid", labels="argmax")
        assert len(faces) == len(images)
        assert all(torch.equal(a, b) for (a, _), b in zip(faces, images, strict=True))


def test_worker_processes_can_read_the_zip(root):
    """Started by spawn they get a pickled copy; started by fork they would share the place in an open file."""
    faces = pickle.loads(pickle.dumps(FERPlus(zipped(root, ""), "train")))
    loader = DataLoader(faces, 4, num_workers=2)
    assert sorted(shade(image) for images, _ in loader for image in images) == list(range(8))


def test_a_missing_split_and_a_missing_data_set(root):
    shutil.rmtree(root / "FER2013Test")
    assert len(FERPlus(root, "train")) == 8
    with pytest.raises(DataMissing, match=r"label\.csv is missing"):
        FERPlus(root, "test")
    with pytest.raises(DataMissing, match=r"expected FER2013Train/label\.csv"):
        FERPlus(root / "FER2013Valid")


def test_a_listed_image_that_is_missing(root):
    (root / "FER2013Test" / "fer1.png").unlink()
    for place in (root, zipped(root, "ferplus/")):
        faces = FERPlus(place, "test")
        assert len(faces.labels) == 3
        with pytest.raises(DataMissing, match=r"fer1\.png is listed"):
            faces[0]


@pytest.mark.parametrize("keep", [0, 20, 60])
def test_a_damaged_image(root, keep):
    file = root / "FER2013Test" / "fer2.png"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataInvalid, match=r"fer2\.png is damaged") as caught:
        FERPlus(root, "test")[0]
    assert "BytesIO" not in str(caught.value)


def test_an_image_of_another_size(root):
    Image.new("L", (64, 48)).save(root / "FER2013Test" / "fer0.png")
    with pytest.raises(DataInvalid, match=r"\(64, 48\); expected 48x48"):
        FERPlus(root, "test")[0]


@pytest.mark.parametrize("votes", ["1,2,3", "1,2,3,4,5,6,7,8,9,many", "1,2,3,4,5,6,7,8,9,-1"])
def test_a_damaged_table(root, votes):
    with (root / "FER2013Test" / "label.csv").open("a") as file:
        file.write(f"fer9.png,box,{votes}\n")
    with pytest.raises(DataInvalid, match="line 4"):
        FERPlus(root, "test")


def test_oddities_of_a_table_that_are_read_and_faults_that_are_refused(root):
    table = root / "FER2013Test" / "label.csv"
    table.write_text(table.read_text() + ",,0,0,0,0,0,0,0,0,0,10\n")
    keys = FERPlus(root, "test").keys
    assert len(keys) == 3
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())  # the mark that Excel puts before UTF-8
    assert FERPlus(root, "test").keys == keys
    table.write_text(table.read_text() * 2)
    with pytest.raises(DataInvalid, match="twice"):
        FERPlus(root, "test")
    table.write_bytes(b"\xff\xfe\x00\x81")  # no text
    with pytest.raises(DataInvalid, match=r"label\.csv"):
        FERPlus(root, "test")


def test_a_damaged_zip(root):
    path = zipped(root, "")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataInvalid, match=r"is damaged: .*complete, unencrypted zip"):
        FERPlus(path)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [(6, 99, "zip file version 9.9"), (8, 1, "encrypted"), (10, 98, "compression method")],
)
def test_a_zip_that_python_does_not_read(root, offset, value, message):
    """Byte by byte of each entry in the list at its end: version, flags, method."""
    path = zipped(root, "")
    data = bytearray(path.read_bytes())
    for place in [found.start() for found in re.finditer(b"PK\1\2", data)]:
        data[place + offset] = value
    path.write_bytes(data)
    with pytest.raises(DataInvalid, match=rf"ferplus\.zip.* is damaged: .*{message}"):
        FERPlus(path, "test")[0]


def test_a_zip_that_unpacks_to_more_than_a_data_set(root):
    with (root / "FER2013Test" / "label.csv").open("ab") as table:
        table.truncate(LARGEST_TABLE + 1)
    with pytest.raises(DataInvalid, match=r"label\.csv is damaged: more than 16,777,216 bytes"):
        FERPlus(zipped(root, ""), "test")


@pytest.mark.parametrize("options", [{"split": "all"}, {"labels": "hard"}, {"limit": 0}, {"limit": -1}])
def test_unknown_options(root, options):
    with pytest.raises(DataInvalid, match="expected"):
        FERPlus(root, **options)
