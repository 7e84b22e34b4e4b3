"""Detection and the crop. Faces are synthetic; how real ones are found is measured by benchmarks/detection.py."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from fer.errors import DataInvalid, DataMissing
from fer.faces import FaceDetector, clip, crop, load_cascade
from synthetic_faces.actor import Actor


@pytest.fixture(scope="module")
def scene():
    """A frame (480, 640, 3) with one face in its middle."""
    return Actor((640, 480)).frame(0.0)


@pytest.fixture(scope="module")
def face(scene):
    """The box of that face."""
    (box,) = FaceDetector()(scene)
    return box


@pytest.fixture(scope="module")
def thorough():
    return FaceDetector(thorough=True)


def overlap(a, b):
    """Intersection over union of two boxes."""
    left, top = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[0] + a[2], b[0] + b[2]), min(a[1] + a[3], b[1] + b[3])
    shared = max(0, right - left) * max(0, bottom - top)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def test_boxes_are_pixels_of_the_frame_however_it_was_downscaled(scene, face):
    large = cv2.resize(scene, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    (box,) = FaceDetector()(large)
    assert box.dtype == np.int32
    assert overlap(box / 3, face) > 0.8
    middle = face[:2] + face[2:] / 2
    assert abs(middle - (320, 240)).max() < 80


def test_grey_and_colour_frames_give_the_same_boxes(scene, face):
    grey = cv2.cvtColor(scene, cv2.COLOR_BGR2GRAY)
    np.testing.assert_array_equal(FaceDetector()(grey), [face])


def test_the_size_of_the_searched_copy_can_be_given_with_the_frame(scene, face):
    np.testing.assert_array_equal(FaceDetector()(scene, 320), [face])
    assert len(FaceDetector()(scene, 32)) == 0


@pytest.mark.parametrize("mode", [{}, {"thorough": True}])
def test_the_largest_face_comes_first(scene, mode):
    small = cv2.resize(scene, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    wide = np.full((480, 1024, 3), scene[0, 0], np.uint8)
    wide[:288, :384], wide[:, 384:] = small, scene
    boxes = FaceDetector(**mode)(wide, 1024)
    assert len(boxes) == 2
    assert boxes[0, 2] > 1.3 * boxes[1, 2]
    assert boxes[0, 0] > 384 > boxes[1, 0]


def test_a_large_face_hides_no_small_ones(scene, face, thorough):
    """The large one is found quickly, and with much evidence."""
    small = cv2.resize(crop(scene, face, 0.3), (64, 64), interpolation=cv2.INTER_AREA)
    wide = np.full((480, 640, 3), scene[0, 0], np.uint8)
    wide[:, 80:560] = scene[:, 80:560]
    places = [(0, 0), (576, 0), (0, 416), (576, 416)]
    for x, y in places:
        wide[y : y + 64, x : x + 64] = small
    boxes = thorough(wide)
    assert overlap(boxes[0], face) > 0.75
    found = {
        (round((x + w / 2 - 32) / 32), round((y + h / 2 - 32) / 32)) for x, y, w, h in boxes[1:].tolist()
    }
    assert found == {(x // 32, y // 32) for x, y in places}


def test_threads_may_share_a_detector(scene, face, thorough):
    pictures = [scene, scene[:, ::-1].copy(), crop(scene, face, 0.3), np.zeros((99, 99, 3), np.uint8)]
    alone = [thorough(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        for together, boxes in zip(pool.map(thorough, pictures * 4), alone * 4, strict=True):
            np.testing.assert_array_equal(together, boxes)


@pytest.mark.parametrize("mode", [{}, {"thorough": True}])
def test_nothing_is_found_where_no_face_is(mode):
    detector = FaceDetector(**mode)
    rng = np.random.default_rng(0)
    pictures = [np.full((240, 320, 3), shade, np.uint8) for shade in (0, 128, 255)]
    pictures += [rng.integers(0, 256, (240, 320, 3), np.uint8)]
    page = np.full((240, 320), 255, np.uint8)
    for row in range(15, 240, 20):
        cv2.putText(page, "Nobody can be seen on this page.", (5, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 0)
    for picture in [*pictures, page]:
        boxes = detector(picture)
        assert boxes.shape == (0, 4)
        assert boxes.dtype == np.int32


@pytest.mark.parametrize("mode", [{}, {"thorough": True}])
def test_a_face_that_fills_the_picture_is_found(scene, face, mode):
    """Plain Haar wants to see some surroundings. The box may reach over the border."""
    tight = crop(scene, face, -0.1)
    plain = load_cascade("frontalface_default").detectMultiScale(tight, 1.1, 5)
    assert len(plain) == 0
    (box,) = FaceDetector(**mode)(tight)
    assert overlap(box, (0, 0, *tight.shape[:2])) > 0.7


def test_thorough_finds_a_face_in_a_tiny_picture_and_agrees_with_fast_on_others(scene, face, thorough):
    """The classifier's crop depends on the geometry."""
    assert overlap(thorough(scene)[0], face) > 0.75
    tiny = cv2.resize(crop(scene, face, 0.1), (22, 22), interpolation=cv2.INTER_AREA)
    assert len(FaceDetector()(tiny)) == 0
    (box,) = thorough(tiny)
    assert overlap(box, (2, 2, 18, 18)) > 0.5


@pytest.mark.parametrize(
    ("shape", "dtype"), [((9, 9, 4), "uint8"), ((9, 9, 3), "float32"), (9, "uint8"), ((0, 5, 3), "uint8")]
)
def test_other_frames_are_refused(shape, dtype):
    with pytest.raises(DataInvalid, match=r"expected uint8, BGR \(H, W, 3\) or grey"):
        FaceDetector()(np.zeros(shape, dtype))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (23, 23)])
def test_pictures_too_small_for_a_face_have_none(size, thorough):
    frame = np.zeros((*size, 3), np.uint8)
    assert len(FaceDetector()(frame)) == len(thorough(frame)) == 0


def test_cascades_are_read_from_a_path_that_opencv_cannot_open(monkeypatch, tmp_path, scene, face):
    """On Windows, one with letters that the code page lacks."""
    cascade, folder = cv2.CascadeClassifier, tmp_path / "Łukasz 日本"
    shutil.copytree(cv2.data.haarcascades, folder, ignore=shutil.ignore_patterns("*eye*", "*body*"))
    monkeypatch.setattr(cv2.data, "haarcascades", str(folder))
    monkeypatch.setattr(cv2, "CascadeClassifier", lambda: cascade())  # noqa: PLW0108 - takes no path
    assert overlap(FaceDetector()(scene)[0], face) > 0.75


def test_an_opencv_without_cascades_says_which_to_install(monkeypatch, tmp_path):
    """OpenCV 5 has no CascadeClassifier."""
    monkeypatch.setattr(cv2.data, "haarcascades", str(tmp_path))
    with pytest.raises(DataMissing, match="haarcascade_frontalface_default"):
        FaceDetector()
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(DataMissing, match="opencv-python<5"):
        FaceDetector()


def numbered(rows=10, columns=10):
    """A grey frame whose pixel in row y and column x is 10 y + x."""
    return np.add.outer(10 * np.arange(rows), np.arange(columns)).astype(np.uint8)


@pytest.mark.parametrize(
    ("box", "margin", "rows", "columns"),
    [
        ((2, 3, 4, 4), 0, (3, 7), (2, 6)),  # inside: a cut
        ((3, 3, 4, 4), 0.25, (2, 8), (2, 8)),
        ((2, 2, 4, 4), -0.25, (3, 5), (3, 5)),
        ((4, 2, 2, 6), 0, (2, 8), (2, 8)),  # oblong: square around its middle
    ],
)
def test_crop_is_the_square_around_the_box_grown_on_each_side(box, margin, rows, columns):
    np.testing.assert_array_equal(crop(numbered(), box, margin), numbered()[slice(*rows), slice(*columns)])


def test_crop_at_the_border_is_padded_not_shifted():
    expected = [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [10, 10, 10, 11]]
    np.testing.assert_array_equal(crop(numbered(), (-2, -2, 4, 4)), expected)
    expected = [[88, 89, 89, 89], [98, 99, 99, 99], [98, 99, 99, 99], [98, 99, 99, 99]]
    np.testing.assert_array_equal(crop(numbered(), (8, 8, 4, 4)), expected)


def test_crop_keeps_channels_and_is_a_copy():
    frame = np.zeros((20, 30, 3), np.uint8)
    face = crop(frame, (5, 5, 10, 10), 0.1)
    assert face.shape == (12, 12, 3)
    face[:] = 9
    assert not frame.any()


@pytest.mark.parametrize("box", [(2, 2, 0, 5), (2, 2, 5, -1), (50, 2, 4, 4), (2, -9, 4, 4)])
def test_crop_of_nothing_is_refused(box):
    with pytest.raises(DataInvalid, match="holds nothing of a frame of 10x10"):
        crop(numbered(), box)


def test_clip_keeps_what_lies_inside_the_frame():
    boxes = np.array([[2, 3, 4, 4], [-3, -1, 6, 6], [7, 2, 9, 30]])
    expected = [[2, 3, 4, 4], [0, 0, 3, 5], [7, 2, 3, 18]]
    np.testing.assert_array_equal(clip(boxes, (20, 10, 3)), expected)
    assert clip(np.zeros((0, 4), int), (20, 10)).shape == (0, 4)


@pytest.mark.parametrize("grey", [0, 30, 128, 200, 255])
def test_a_flat_background_does_not_hide_a_face(scene, grey):
    """A web page or a wall: equalised as a whole, it takes most greys for itself and leaves the face hardly any."""
    page = np.full((1080, 1920, 3), grey, np.uint8)
    page[300:780, 800:1440] = scene
    (box,) = FaceDetector()(page)
    assert abs(box[:2] + box[2:] / 2 - (1120, 540)).max() < 80


@pytest.mark.parametrize("change", [lambda x: x // 8, lambda x: 110 + x // 6], ids=["dark", "pale"])
def test_dark_and_pale_faces_are_found(scene, face, change):
    """Cascades pass over windows of little contrast."""
    (box,) = FaceDetector()(change(scene))
    assert overlap(box, face) > 0.6
