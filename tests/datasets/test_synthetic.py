import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer.datasets import SyntheticFaces
from fer.datasets import synthetic as drawn_module
from fer.errors import DataInvalid
from fer.labels import EMOTIONS
from synthetic_faces import tree
from synthetic_faces.action_units import PROTOTYPES, VALENCE_AROUSAL, ActionUnits, expression
from synthetic_faces.identity import HAIRSTYLES, Identity
from synthetic_faces.relief import Light
from synthetic_faces.render import Pose, draw_face, turn, unturn
from synthetic_faces.shape import build

WHO = Identity()


def marks(emotion: str, intensity: float = 1.0, variant: int = 0) -> np.ndarray:
    return build(WHO, expression(EMOTIONS.index(emotion), intensity, variant)).landmarks()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    return tree.write_tree(tmp_path_factory.mktemp("sample") / "drawn", per_class=2, seed=3)


# What the muscles do: landmarks in face units, y downwards.


def mouth_curve(m: np.ndarray) -> float:
    """Positive when the corners lie above the middle of the lips' seam."""
    return m[[62, 66], 1].mean() - m[[48, 54], 1].mean()


def mouth_gap(m: np.ndarray) -> float:
    return m[66, 1] - m[62, 1]


def mouth_width(m: np.ndarray) -> float:
    return m[54, 0] - m[48, 0]


def inner_brow(m: np.ndarray) -> float:
    return -m[[21, 22], 1].mean()


def brow_slope(m: np.ndarray) -> float:
    """How much higher the brows stand at the nose than at the temples."""
    return m[[17, 26], 1].mean() - m[[21, 22], 1].mean()


def eye_opening(m: np.ndarray) -> float:
    return (m[[41, 40, 47, 46], 1] - m[[37, 38, 43, 44], 1]).mean()


def chin(m: np.ndarray) -> float:
    return m[8, 1]


def nose_lift(m: np.ndarray) -> float:
    return -m[[31, 35], 1].mean()


@pytest.mark.parametrize(
    ("emotion", "measure", "sign"),
    [
        ("happiness", mouth_curve, 1),
        ("happiness", mouth_width, 1),
        ("happiness", eye_opening, -1),
        ("sadness", mouth_curve, -1),
        ("sadness", brow_slope, 1),
        ("surprise", mouth_gap, 1),
        ("surprise", chin, 1),
        ("surprise", inner_brow, 1),
        ("surprise", eye_opening, 1),
        ("fear", eye_opening, 1),
        ("fear", mouth_width, 1),
        ("fear", inner_brow, 1),
        ("disgust", nose_lift, 1),
        ("disgust", inner_brow, -1),
        ("anger", inner_brow, -1),
        ("anger", brow_slope, -1),
    ],
)
def test_muscles_move_the_face_as_the_emotion_wants(emotion, measure, sign):
    rest = measure(marks("neutral"))
    half, full = (sign * (measure(marks(emotion, s)) - rest) for s in (0.5, 1.0))
    assert full > half > 0.005


def test_contempt_lifts_one_corner_on_either_side():
    rest = marks("neutral")
    for variant, (lifted, other) in enumerate([(54, 48), (48, 54)]):
        moved = rest[:, 1] - marks("contempt", variant=variant)[:, 1]
        assert moved[lifted] > 0.05
        assert abs(moved[other]) < 0.02


def test_every_emotion_has_muscles_and_a_place_on_the_circumplex():
    assert set(PROTOTYPES) == set(VALENCE_AROUSAL) == set(EMOTIONS)
    for label, name in enumerate(EMOTIONS):
        assert (expression(label) == ActionUnits()) == (name == "neutral")
        assert expression(label, 0.0).scaled(1.0) == ActionUnits(side=expression(label).side)


def test_faces_are_symmetric_unless_told_otherwise():
    mirror = [*range(16, -1, -1), *range(26, 16, -1)]
    m = marks("fear")
    assert np.allclose(m[:27], m[mirror] * (-1, 1))


def test_closed_eyes_are_closed():
    m = build(WHO, ActionUnits().closing_eyes(1.0)).landmarks()
    assert eye_opening(m) < 0.1 * eye_opening(marks("neutral"))


# The picture.


def test_landmarks_lie_on_what_is_painted():
    """Eyes and brows are darker than the cheeks between them and the mouth, wherever the head turns."""
    for pose in (Pose(), Pose(yaw=12, pitch=-6, roll=8), Pose(yaw=-12, pitch=6, roll=-8)):
        image, points = draw_face(WHO, ActionUnits(), pose)
        assert image.shape == (224, 224, 3) and image.dtype == np.uint8
        grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (0, 0), 2)

        def at(x, y, grey=grey):
            return int(grey[round(y), round(x)])

        for eye, brow, corner in ((slice(36, 42), 19, 48), (slice(42, 48), 24, 54)):
            pupil = points[eye].mean(0)
            cheek = 0.5 * (pupil + points[corner])
            assert at(*pupil) < at(*cheek) - 40
            assert at(*points[brow]) < at(*cheek) - 40


def test_the_head_turns_where_the_pose_says():
    straight = draw_face(WHO, ActionUnits())[1]
    nose_over_eyes = lambda p: p[30] - p[36:48].mean(0)  # noqa: E731
    right = nose_over_eyes(draw_face(WHO, ActionUnits(), Pose(yaw=15))[1])
    up = nose_over_eyes(draw_face(WHO, ActionUnits(), Pose(pitch=12))[1])
    assert right[0] > nose_over_eyes(straight)[0] + 5
    assert up[1] < nose_over_eyes(straight)[1] - 3
    tilted = draw_face(WHO, ActionUnits(), Pose(roll=20))[1]
    across = tilted[45] - tilted[36]
    assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(20, abs=1)


@pytest.mark.parametrize("pose", [Pose(18, 12, 18), Pose(-18, -12, 5), Pose(0, 18, -18)])
def test_pictures_and_landmarks_turn_alike(pose):
    """The picture is warped by the inverse of what moves the landmarks."""
    points = marks("surprise")
    there = turn(points, pose)
    assert np.allclose(np.stack(unturn(*there.T, pose), 1), points, atol=0.012)


def test_the_lamp_stands_where_the_light_says():
    left, right = (draw_face(WHO, ActionUnits(), light=Light(azimuth=a))[0].astype(int) for a in (-55, 55))
    cheek = slice(110, 150)
    assert left[cheek, 50:90].mean() > right[cheek, 50:90].mean() + 15
    assert right[cheek, 134:174].mean() > left[cheek, 134:174].mean() + 15


@pytest.mark.parametrize("style", HAIRSTYLES)
def test_every_hairstyle_leaves_the_face_free(style):
    """Below the fringe the face is the same whatever grows on top."""
    bald = draw_face(Identity(hairstyle="bald"), ActionUnits())[0].astype(int)
    image = draw_face(Identity(hairstyle=style), ActionUnits())[0].astype(int)
    assert np.abs(image - bald)[120:190, 75:150].mean() < 3
    assert style == "bald" or np.abs(image - bald)[:30].mean() > 3


# The tree.


def test_tree_is_in_affectnets_layout(drawn):
    for split, people in (("train", 2), ("val", 1)):
        folder = drawn / f"{split}_set"
        ids = {int(p.stem) for p in (folder / "images").iterdir()}
        assert len(ids) == people * len(EMOTIONS)
        assert max(ids) >= len(ids)  # there are gaps
        assert {p.name for p in (folder / "annotations").iterdir()} == {
            f"{i}_{kind}.npy" for i in ids for kind in ("exp", "val", "aro", "lnd")
        }
        for i in ids:
            image = cv2.imread(str(folder / "images" / f"{i}.jpg"), cv2.IMREAD_UNCHANGED)
            assert image.shape == (224, 224, 3)
            exp, val, aro, lnd = (
                np.load(folder / "annotations" / f"{i}_{k}.npy") for k in ("exp", "val", "aro", "lnd")
            )
            assert exp.shape == val.shape == aro.shape == ()
            assert {a.dtype.kind for a in (exp, val, aro)} == {"U"}
            assert 0 <= int(exp) < 8 and abs(float(val)) <= 1 and abs(float(aro)) <= 1
            assert lnd.shape == (136,) and lnd.dtype == np.float64


def test_ids_occur_in_both_splits(drawn):
    train, val = ({p.name for p in (drawn / f"{s}_set" / "images").iterdir()} for s in ("train", "val"))
    assert train & val


def test_same_seed_same_bytes_whatever_else_is_drawn(drawn, tmp_path):
    smaller = tree.write_tree(tmp_path / "a", per_class=1, seed=3)
    other = tree.write_tree(tmp_path / "b", per_class=1, seed=4)
    files = [p.relative_to(smaller) for p in smaller.glob("*_set/*/*")]
    assert len(files) == 2 * 8 * 5
    for name in files:
        assert (smaller / name).read_bytes() == (drawn / name).read_bytes()
    assert (other / "train_set/images/0.jpg").read_bytes() != (drawn / "train_set/images/0.jpg").read_bytes()


def test_no_person_is_in_both_splits():
    train, val = ([Identity.random(np.random.default_rng([0, s, k])) for k in range(60)] for s in (0, 1))
    assert len({*train, *val}) == 120
    first, second = (next(tree.draw_person(0, split, 0)).image for split in ("train", "val"))
    assert (first != second).any()


def test_haar_finds_the_faces():
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    found = []
    for person in range(6):
        for sample in tree.draw_person(0, "train", person):
            grey = cv2.equalizeHist(cv2.cvtColor(sample.image, cv2.COLOR_BGR2GRAY))
            nose = sample.landmarks[30]
            boxes = cascade.detectMultiScale(grey, 1.1, 5)
            found.append(any(x < nose[0] < x + w and y < nose[1] < y + h and w > 80 for x, y, w, h in boxes))
    assert np.mean(found) >= 0.95


def test_interrupted_making_leaves_nothing(tmp_path, monkeypatch):
    draw = tree.draw_person

    def interrupted(seed, split, person):
        if (split, person) == ("val", 0):
            raise KeyboardInterrupt
        yield from draw(seed, split, person)

    monkeypatch.setattr(tree, "draw_person", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tree.write_tree(tmp_path / "drawn", per_class=1)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_redrawing_keeps_the_old_tree(tmp_path, monkeypatch):
    out = tree.write_tree(tmp_path / "drawn", per_class=1)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    monkeypatch.setattr(tree, "draw_person", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tree.write_tree(out, per_class=2)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_what_was_not_drawn_here_is_left_alone(tmp_path):
    keep = tmp_path / "photos" / "holiday.jpg"
    keep.parent.mkdir()
    keep.write_bytes(b"x")
    with pytest.raises(DataInvalid, match="not drawn"):
        tree.write_tree(keep.parent, per_class=1)
    with pytest.raises(DataInvalid, match="not drawn"):
        SyntheticFaces(keep.parent)
    assert keep.read_bytes() == b"x"


def test_nothing_cannot_be_drawn(tmp_path):
    with pytest.raises(DataInvalid, match="at least 1"):
        tree.write_tree(tmp_path / "drawn", per_class=0)
    with pytest.raises(DataInvalid, match="seed is -1"):
        tree.write_tree(tmp_path / "drawn", per_class=1, seed=-1)


# The data set.


def test_sample_is_a_data_set(drawn):
    faces = SyntheticFaces(drawn)
    assert (len(faces), faces.name, faces.split) == (16, "sample", "train")
    assert np.bincount(faces.labels).tolist() == [2] * 8
    assert len(set(faces.keys)) == 16
    image, label = faces[5]
    assert tuple(image.shape) == (3, 224, 224) and str(image.dtype) == "torch.uint8"
    assert label == faces.labels[5]
    assert len(SyntheticFaces(drawn, "val")) == 8
    assert len(SyntheticFaces(drawn, limit=10)) == 10


def test_annotations_are_the_truth(drawn):
    """The samples are drawn again from the seed: their landmarks are those that were stored."""
    faces = SyntheticFaces(drawn)
    truth = [sample for person in range(2) for sample in tree.draw_person(3, "train", person)]
    for i in np.argsort(faces.ids):
        sample, said = truth[list(np.sort(faces.ids)).index(faces.ids[i])], faces.annotations(i)
        assert said.expression == sample.label
        assert np.allclose(said.landmarks, sample.landmarks, atol=1e-3)
        assert (said.valence, said.arousal) == pytest.approx((sample.valence, sample.arousal), abs=1e-5)


def test_images_keep_their_colours(drawn):
    """Skin is redder than blue: RGB and BGR are not swapped on the way."""
    faces = SyntheticFaces(drawn)
    middle = np.stack([faces[i][0].numpy()[:, 90:150, 80:140] for i in range(len(faces))]).mean((0, 2, 3))
    assert middle[0] > middle[2] + 15


def test_drawn_on_the_spot_then_kept_then_drawn_anew(tmp_path, capsys):
    root = tmp_path / "deep" / "drawn"
    assert len(SyntheticFaces(root, per_class=1)) == 8
    made = (root / tree.SETTINGS).stat().st_mtime_ns
    assert len(SyntheticFaces(root)) == 8  # what is there will do
    assert (root / tree.SETTINGS).stat().st_mtime_ns == made
    assert "anew" not in capsys.readouterr().out
    assert len(SyntheticFaces(root, per_class=2, seed=7)) == 16
    assert "anew" in capsys.readouterr().out
    assert json.loads((root / tree.SETTINGS).read_text()) == {
        "version": tree.VERSION,
        "per_class": 2,
        "seed": 7,
    }
    assert len(SyntheticFaces(root, seed=8)) == 16


def test_an_older_version_is_drawn_anew(tmp_path, monkeypatch, capsys):
    SyntheticFaces(tmp_path / "drawn", per_class=1)
    monkeypatch.setattr(tree, "VERSION", tree.VERSION + 1)
    monkeypatch.setattr(drawn_module, "VERSION", tree.VERSION)
    SyntheticFaces(tmp_path / "drawn")
    assert "anew" in capsys.readouterr().out


def test_the_script_draws_and_its_help_needs_no_torch(tmp_path):
    watch = (
        "import runpy, sys\n"
        "sys.argv = ['drawn', '--help']\n"
        "try: runpy.run_module('fer.datasets.synthetic', run_name='__main__')\n"
        "except SystemExit as end: sys.exit(end.code or 5 * bool({'torch', 'cv2'} & set(sys.modules)))\n"
    )
    asked = subprocess.run([sys.executable, "-c", watch], capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    assert "--per-class" in asked.stdout and "--seed" in asked.stdout
    drawn_module.main(drawn_module.Options(tmp_path / "out", per_class=1, seed=2))
    assert len(list((tmp_path / "out/train_set/images").iterdir())) == 8


def test_a_tree_that_another_process_has_drawn_meanwhile_stays(tmp_path, monkeypatch):
    """Somebody may be reading it: two notebooks that are started at once draw the same sample."""
    out, draw = tmp_path / "drawn", tree._write_split

    def draw_after_another(*args):
        monkeypatch.setattr(tree, "_write_split", draw)
        tree.write_tree(out, per_class=1)
        draw(*args)

    monkeypatch.setattr(tree, "_write_split", draw_after_another)
    first = []
    replace = tree.os.replace
    monkeypatch.setattr(tree.os, "replace", lambda a, b: (replace(a, b), first.append(Path(b).stat().st_ino)))
    tree.write_tree(out, per_class=1)
    assert first == [out.stat().st_ino]
    assert [path.name for path in tmp_path.iterdir()] == ["drawn"]


def test_a_tree_of_before_is_drawn_anew(tmp_path):
    images = tree.write_tree(tmp_path / "drawn", per_class=1) / "train_set" / "images"
    lost = next(images.iterdir())
    lost.unlink()
    tree.write_tree(tmp_path / "drawn", per_class=1)
    assert lost.is_file()
