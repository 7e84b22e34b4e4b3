"""From a frame to named faces."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from helpers import SIZE, small_net
from torch import nn

from fer import EmotionPredictor
from fer.checkpoint import save
from fer.errors import DataInvalid, UserError
from fer.faces import crop
from fer.labels import EMOTIONS, percent
from fer.model import ARCHITECTURES, FaceNetwork, build
from fer.predictor import FaceEmotion
from fer.preprocess import Preprocess
from synthetic_faces.actor import Actor

BOXES = np.array([[10, 10, 40, 40], [60, 20, 30, 30], [5, 60, 20, 20]])
CARD = {"flip": False, "crop_margins": [0.0], "temperature": 1.0, "class_shares": [0.65] + [0.05] * 7}


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "model", small_net(), CARD)
    return tmp_path / "model"


def predictor(folder, **options):
    return EmotionPredictor(folder, **{"detector": lambda frame: BOXES, **options})


def picture(height=96, width=96):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_one_face_for_each_box(folder):
    faces = predictor(folder)(picture())
    assert [face.box for face in faces] == [tuple(box) for box in BOXES.tolist()]
    for face in faces:
        assert isinstance(face, FaceEmotion)
        assert all(type(value) is int for value in face.box)
        assert face.probabilities.dtype == np.float32
        assert face.probabilities.shape == (8,)
        assert face.probabilities.sum() == pytest.approx(1, abs=1e-6)
        assert face.confidence == face.probabilities.max()
        assert type(face.confidence) is float
        assert face.as_dict() == dict(zip(EMOTIONS, face.probabilities.tolist(), strict=True))


def test_each_face_gets_its_own_probabilities(folder):
    """In one batch as alone."""
    one, frame = predictor(folder), picture()
    together = one(frame)
    for face, box in zip(together, BOXES, strict=True):
        (alone,) = one.classify(frame, box[None])
        np.testing.assert_allclose(face.probabilities, alone.probabilities, atol=1e-6)
    assert np.abs(together[0].probabilities - together[1].probabilities).max() > 1e-6


@pytest.mark.parametrize(
    ("flip", "margins", "views"),
    [
        (False, [0.0], [(40, False)]),
        (True, [0.25], [(60, False), (60, True)]),
        (False, [-0.1, 0.25], [(32, False), (60, False)]),
        (True, [-0.1, 0.0, 0.25], [(32, False), (40, True), (60, False)]),
    ],
)
def test_a_face_is_the_mean_of_its_views_in_photos_and_has_them_in_turn_in_films(
    tmp_path, flip, margins, views
):
    save(tmp_path, small_net(), CARD | {"flip": flip, "crop_margins": margins})
    one, frame, passes = predictor(tmp_path), picture(), []
    network = one.network
    one.network = lambda faces: passes.append(len(faces)) or network(faces)

    def expected(side, mirrored):
        start = 10 - (side - 40) // 2  # of the first box
        face = np.pad(frame, ((9, 9), (9, 9), (0, 0)), "edge")[start + 9 :, start + 9 :][:side, :side]
        return one.preprocess(face[:, :: -1 if mirrored else 1, ::-1].transpose(2, 0, 1))

    alone = [expected(*view) for view in views]
    np.testing.assert_allclose(one.views(frame, BOXES[0]), alone, atol=1e-5)
    logits = network(np.stack(alone))[0].mean(0)
    faces = one(frame)
    np.testing.assert_allclose(faces[0].probabilities, np.exp(logits) / np.exp(logits).sum(), atol=1e-5)
    for turn in range(4):
        taken = one.views(frame, BOXES[0], turn)
        np.testing.assert_allclose(taken, alone[turn % len(alone)][None], atol=1e-5)
        one.classify(frame, BOXES, turn)
    assert passes == [3 * len(views), 3, 3, 3, 3]  # all faces of a frame at once


def test_an_image_that_is_one_face_is_taken_as_it_is(tmp_path):
    save(tmp_path, small_net(), CARD | {"flip": True, "crop_margins": [-0.1, 0.0, 0.1]})
    one = predictor(tmp_path)
    for face in (picture(SIZE, SIZE), picture(50, 50)[:, ::-1], picture(50, 50)[:, :, 0]):
        mirrored = one.whole_face(face[:, ::-1])
        assert mirrored.shape[0] == 2
        np.testing.assert_allclose(one.whole_face(face), mirrored[::-1], atol=1e-5)


def test_no_face(folder):
    one = predictor(folder, detector=lambda frame: np.zeros((0, 4), int))
    assert one(picture()) == []
    assert EmotionPredictor(folder)(np.full((120, 160, 3), 90, np.uint8)) == []  # with its own detector


class Channel(FaceNetwork):
    """Happiness for red, fear for blue, neutral for green: (N, 3, H, W) to logits (N, 8)."""

    arch, preprocess = "channel", Preprocess(size=8, channels=3, scaling="raw")

    def __init__(self, num_classes=8):
        super().__init__(num_classes)
        self.gain = nn.Parameter(torch.tensor(1.0))

    def outputs(self, x):
        logits = torch.zeros(len(x), 8)
        logits[:, [1, 0, 4]] = self.gain * x.mean((2, 3)) / 20
        return logits


@pytest.fixture
def colours(tmp_path, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "channel", Channel)
    save(tmp_path / "channel", build("channel"), CARD)
    return tmp_path / "channel"


@pytest.mark.parametrize(("bgr", "emotion"), [((0, 0, 250), "happiness"), ((250, 0, 0), "fear")])
def test_arrays_are_bgr_unless_said_otherwise_and_files_what_they_are(colours, tmp_path, bgr, emotion):
    frame = np.empty((96, 96, 3), np.uint8)
    frame[:] = bgr
    cv2.imwrite(str(tmp_path / "a.png"), frame)
    predict = predictor(colours)
    results = [
        predict(frame),
        predict(frame[:, :, ::-1], image_format="RGB"),
        predict(str(tmp_path / "a.png")),
        predict(tmp_path / "a.png", image_format="RGB"),  # of arrays only
    ]
    assert [{face.emotion for face in faces} for faces in results] == [{emotion}] * 4


def test_grey_pictures(folder):
    frame = picture()[:, :, 0]
    coloured, predict = np.repeat(frame[:, :, None], 3, 2), predictor(folder)
    for faces in (predict(frame), predict(frame, image_format="RGB")):
        for a, b in zip(faces, predict(coloured), strict=True):
            np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-4)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, r"type NoneType; expected a path or a uint8 array.*cv2\.imread"),
        ([[1, 2]], "type list; expected"),
        (np.zeros((9, 9, 4), np.uint8), r"uint8 \(9, 9, 4\); expected uint8"),
        (np.zeros((9, 9, 3)), "float64"),
        (np.zeros((0, 9, 3), np.uint8), r"\(0, 9, 3\)"),
        ("absent.jpg", "There is no photo or video absent.jpg"),
    ],
)
def test_what_is_no_picture_is_refused(folder, image, message):
    with pytest.raises(UserError, match=message):
        predictor(folder)(image)


def test_boxes_lie_inside_the_picture_but_are_cropped_as_they_are(folder):
    frame, box = picture(), np.array([-10, 80, 40, 40])
    (face,) = predictor(folder).classify(frame, box[None])
    assert face.box == (0, 80, 30, 16)
    (whole,) = predictor(folder).classify(crop(frame, box), np.array([[0, 0, 40, 40]]))
    np.testing.assert_allclose(face.probabilities, whole.probabilities, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_below_the_threshold_a_face_is_uncertain(colours, threshold):
    """A quarter of full red: exp(x / 20) against seven times 1."""
    frame = np.zeros((96, 96, 3), np.uint8)
    frame[:, :, 2] = 38
    confidence = np.exp(1.9) / (np.exp(1.9) + 7)
    (face, *_) = predictor(colours, threshold=threshold)(frame)
    assert face.confidence == pytest.approx(confidence, rel=1e-4)
    assert face.emotion == ("uncertain" if confidence < threshold else "happiness")


def test_a_confidence_at_the_threshold_is_enough():
    for threshold in np.arange(25, 100) / 100:
        for probability, emotion in ((threshold, "happiness"), (threshold - 0.001, "uncertain")):
            probabilities = np.full(8, (1 - probability) / 7)
            probabilities[1] = probability
            assert FaceEmotion.from_probabilities((0, 0, 1, 1), probabilities, threshold).emotion == emotion
            assert percent(probability) == round(100 * threshold) - (emotion == "uncertain")


def test_temperature_of_the_card_is_used(tmp_path):
    save(tmp_path / "sharp", small_net(), CARD)
    save(tmp_path / "soft", small_net(), CARD | {"temperature": 2.0})
    frame = picture()
    sharp, soft = predictor(tmp_path / "sharp")(frame), predictor(tmp_path / "soft")(frame)
    for a, b in zip(sharp, soft, strict=True):
        expected = np.sqrt(a.probabilities) / np.sqrt(a.probabilities).sum()
        np.testing.assert_allclose(b.probabilities, expected, atol=1e-5)


def test_uniform_prior(folder):
    learned, even = predictor(folder)(picture()), predictor(folder, prior="uniform")(picture())
    for a, b in zip(learned, even, strict=True):
        expected = a.probabilities / CARD["class_shares"]
        np.testing.assert_allclose(b.probabilities, expected / expected.sum(), atol=1e-5)


def test_networks_of_seven_classes_never_predict_contempt(tmp_path):
    save(tmp_path, small_net(num_classes=7), CARD | {"class_shares": [0.7] + [0.05] * 6})
    for face in predictor(tmp_path)(picture()):
        assert face.probabilities.shape == (8,)
        assert face.probabilities[EMOTIONS.index("contempt")] == 0
        assert face.probabilities.sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *[({"threshold": value}, "0 to 1") for value in (-0.1, 1.1)],
        ({"detector": "best"}, "expected 'thorough', 'fast'"),
        ({"runtime": "tensorrt"}, "expected 'auto' or 'torch'"),
    ],
)
def test_options_that_make_no_sense_are_refused(folder, options, message):
    with pytest.raises(DataInvalid, match=message):
        predictor(folder, **options)
    with pytest.raises(DataInvalid, match="expected 'BGR' or 'RGB'"):
        predictor(folder)(picture(), image_format="HSV")


def test_the_detector_is_thorough_unless_a_fast_one_is_asked_for(folder):
    assert EmotionPredictor(folder).detect.thorough
    assert not EmotionPredictor(folder, detector="fast").detect.thorough


@pytest.mark.parametrize("share", [0.9, 0.15])
def test_of_a_large_photo_boxes_are_pixels_and_crops_are_large_enough(folder, tmp_path, share):
    """It is read at reduced size; where its face is small there, once more."""
    scene, predict = Actor((640, 480)).frame(0.0), EmotionPredictor(folder)
    (face,) = predict.detect(scene)
    size = round(640 * share), round(480 * share)
    page = np.full((480, 640, 3), scene[0, 0], np.uint8)
    page[: size[1], : size[0]] = cv2.resize(scene, size, interpolation=cv2.INTER_AREA)
    page = cv2.resize(page, None, fx=5, fy=5)
    cv2.imwrite(str(tmp_path / "a.jpg"), page)
    predict.preprocess = Preprocess(size=48)
    photo, (box,), (views,) = predict.find(tmp_path / "a.jpg")
    assert photo.shape == page.shape[:2]
    assert photo.factor == (4 if share == 0.9 else 2)
    np.testing.assert_allclose(box / (5 * share), face, atol=0.15 * face[2])
    assert box[2] / photo.factor >= 48
    assert np.abs(views - predict.views(page, box)).mean() < 0.1


def test_ones_own_detector_sees_the_whole_photo(folder, tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), picture(1500, 3000))
    shapes = []
    predict = predictor(folder, detector=lambda frame: shapes.append(frame.shape) or BOXES)
    assert [face.box for face in predict(tmp_path / "a.jpg")] == [tuple(box) for box in BOXES.tolist()]
    assert shapes == [(1500, 3000, 3)]


@pytest.mark.parametrize("actor", range(4))
def test_the_shipped_network_reads_the_built_in_sample(actor):
    """Of every emotion that the film shows in full, most frames are named rightly."""
    film, predictor = Actor(seed=actor), EmotionPredictor(detector="fast")
    for label, emotion in enumerate(EMOTIONS):
        moments = 3 * label + np.linspace(0.8, 2.4, 17)
        named = [[face.emotion for face in predictor(film.frame(moment))] for moment in moments]
        assert sum(names[:1] == [emotion] for names in named) > len(moments) / 2, (emotion, named)


def test_without_torch_a_model_needs_its_exported_network(folder):
    """Where it has none, the message says what to install."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from fer import EmotionPredictor\n"
        "from fer.errors import DataMissing\n"
        "import numpy as np\n"
        "faces = EmotionPredictor().classify(np.zeros((50, 50, 3), np.uint8), np.array([[0, 0, 50, 50]]))\n"
        "print(len(faces))\n"
        "try: EmotionPredictor(sys.argv[1])\n"
        "except DataMissing as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    faces, message = run.stdout.splitlines()
    assert faces == "1"
    assert "has no model.onnx" in message and "pip install" in message
