"""What is drawn, where, and what is hidden."""

import numpy as np
import pytest

from fer.labels import COLOURS, EMOTIONS, UNCERTAIN
from fer.live import loop, overlay, paint
from fer.live.analysis import TrackedFace
from fer.predictor import FaceEmotion

SIZES = [(120, 160), (480, 640), (720, 1280), (2160, 3840), (1280, 720)]


def face(box, emotion="anger", confidence=0.8, track=1, detected=True):
    probabilities = np.full(8, (1 - confidence) / 7, np.float32)
    probabilities[EMOTIONS.index(emotion) if emotion in EMOTIONS else 0] = confidence
    named = FaceEmotion(box, probabilities, emotion, confidence)
    return TrackedFace(named, track, [(emotion, confidence)] * 120, detected)


def near(image, colour, tolerance=12):
    """Mask of the pixels of an RGB colour."""
    return (np.abs(image.astype(int) - np.array(colour[::-1])) <= tolerance).all(-1)


@pytest.mark.parametrize("emotion", [*EMOTIONS, UNCERTAIN])
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_box_and_label_have_the_emotions_colour_on_any_background(emotion, shade):
    image = np.full((480, 640, 3), shade, np.uint8)
    overlay.draw(image, [face((200, 180, 140, 140), emotion)], overlay.Status(), bars=False)
    rows, columns = np.nonzero(near(image, COLOURS[emotion]))
    if abs(int(np.mean(COLOURS[emotion])) - shade) > 40:
        assert columns.min() >= 150 and columns.max() <= 390 and rows.min() >= 130 and rows.max() <= 345
    assert near(image[150:175, 200:340], COLOURS[emotion]).mean() > 0.3  # the label, above the box
    assert near(image, paint.INK, 40).any()  # a dark edge, where the colour is like the background


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("box", [(0, 0, 60, 60), (-20, -30, 90, 90), (100, 60, 400, 400), (5000, 10, 50, 50)])
def test_faces_at_and_over_the_border_are_drawn_without_error(size, box):
    image = np.zeros((*size, 3), np.uint8)
    message = "a message that is longer than a small picture is wide" * 2
    status = overlay.Status(60, 5, 9, 75, True, message, [[("q", "quit"), ("h", "these keys")]])
    overlay.draw(image, [face(box), face((50, 50, 40, 40), track=2)], status)
    assert image.any()


@pytest.mark.parametrize("box", [(0, 0, 480, 480), (-20, -30, 540, 550), (60, 60, 440, 480)])
def test_a_face_as_wide_as_the_picture_has_a_box_with_all_its_sides(box):
    image = np.zeros((480, 480, 3), np.uint8)
    overlay.draw(image, [face(box)], bars=False)
    box = near(image, COLOURS["anger"])
    assert all(side.any(axis).mean() > 0.7 for side, axis in ((box[:, -9:], 1), (box[-9:], 0)))
    assert all(box[200:280, start:][:, :9].any(1).all() for start in (max(0, box[240].argmax()), 471))


def test_a_face_of_a_photo_is_drawn_as_that_of_a_video_without_recent_emotions():
    video, photo = np.zeros((2, 480, 640, 3), np.uint8)
    tracked = face((200, 180, 140, 140))
    overlay.draw(video, [tracked], bars=False)
    overlay.draw(photo, [tracked.face], bars=False)
    assert video[330:].any() and not photo[330:].any()
    assert np.array_equal(video[:320], photo[:320])


@pytest.mark.parametrize("size", [*SIZES, (3000, 4000), (320, 512)])
def test_letters_can_be_read_where_the_picture_is_shown(size, monkeypatch):
    """In a window of the picture's size, and in a file that is looked at on a screen of 1280x720."""
    texts: dict[str, int] = {}
    mask = paint.text_mask

    def spy(text, size):
        texts[text] = size
        return mask(text, size)

    monkeypatch.setattr(paint, "text_mask", spy)
    height, width = size
    side = min(size) // 4
    faces = [face((k * width // 4 + side // 4, height // 3, side, side), track=k) for k in range(3)]
    for scale, reduced in ((1.0, 1.0), (None, min(1.0, 1280 / width, 720 / height))):
        texts.clear()
        overlay.draw(np.zeros((*size, 3), np.uint8), faces, overlay.Status(60, 5, 9, 75, True), scale=scale)
        assert "anger" in texts and "REC 1:15" in texts
        letter = np.nonzero(mask("H", min(texts.values())).max(1) > 50)[0]
        assert np.ptp(letter) + 1 >= 11 / reduced - 1e-6


@pytest.mark.parametrize("size", [(512, 320), (480, 270), (960, 540)])
def test_the_keys_leave_most_of_a_window_to_what_is_shown(size):
    keys = [[(key, text) for key, text, _ in loop.KEYS]]
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    place = overlay.draw(image, [], overlay.Status(keys=keys), scale=1.0).status["keys"]
    left, top, across, down = place.area
    assert 3 * across * down <= width * height and 0 <= left <= width - across and 0 <= top <= height - down
    assert (across > 2 * down) == (width < 700)  # lines, else a table


@pytest.mark.parametrize("size", [(200, 200), (300, 169)])
def test_in_a_small_window_the_keys_are_broken_between_words(monkeypatch, size):
    lines: list[str] = []
    monkeypatch.setattr(paint, "write", lambda image, text, *where: lines.append(text))
    keys = [[(key, text) for key, text, _ in loop.KEYS]]
    overlay.draw(np.zeros((*size[::-1], 3), np.uint8), [], overlay.Status(keys=keys), scale=1.0)
    words = " ".join(f"{key.replace('  ', ' or ')}: {text}" for key, text in keys[0]).split()
    assert " ".join(lines).split() == words and len(lines) > 4


def test_letters_grow_with_the_picture():
    small, large = (overlay.Sizes((1280 * scale, 720 * scale), 1.0) for scale in (1, 3))
    assert large.text == pytest.approx(3 * small.text, rel=0.1)


def test_bars_cover_no_other_face():
    faces = [face((100, 150, 120, 120), track=1), face((260, 150, 120, 120), track=2)]
    image = np.zeros((480, 640, 3), np.uint8)
    overlay.draw(image, faces)
    inside = image[160:230, 275:365]
    assert not inside.any()


def test_a_bar_is_as_long_as_its_probability():
    lengths = []
    for probability in (0.4, 0.8):
        image = np.zeros((540, 960, 3), np.uint8)
        overlay.draw(image, [face((100, 150, 160, 160), "disgust", probability)])
        rows = near(image[:, 270:], COLOURS["disgust"]).sum(1)
        lengths.append(rows.max())
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=3)


def test_a_remembered_face_looks_paler():
    image = np.zeros((480, 640, 3), np.uint8)
    overlay.draw(image, [face((200, 180, 140, 140), detected=False)], bars=False)
    assert not near(image[190:310, 190:212], COLOURS["anger"]).any()


def test_hidden_faces_keep_nothing_of_their_detail():
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    image = noise.copy()
    overlay.hide(image, np.array([[60, 60, 80, 80]]))
    step = np.abs(np.diff(image[60:140, 60:140].astype(int), axis=1)).max()
    assert step < 25  # neighbouring pixels of the noise differ by up to 255
    assert np.array_equal(image[:, 165:], noise[:, 165:])
    overlay.hide(image, np.zeros((0, 4)))
    assert np.abs(np.diff(image.astype(int), axis=1)).max() < 60


def test_composing_copies_scales_mirrors_and_hides():
    image = np.zeros((100, 200, 3), np.uint8)
    image[20:40, 10:30] = 255
    lost = [np.array([100.2, 30, 10, 10])]
    picture, faces, lost = overlay.compose(
        image, [face((10, 20, 20, 20))], (400, 200), mirror=True, lost=lost
    )
    assert faces[0].face.box == (340, 40, 40, 40) and lost == [(180, 60, 20, 20)]
    assert (picture[50:70, 350:370] == 255).all() and not picture[:, :300].any()
    picture, *_ = overlay.compose(image, [], (200, 100), hidden=np.array([[10, 20, 20, 20]]))
    assert picture[20:40, 10:30].min() < 200
    assert (image[20:40, 10:30] == 255).all()  # the source's picture stays as it was


def test_a_message_in_a_small_picture_is_broken_into_lines():
    image = np.zeros((120, 160, 3), np.uint8)
    overlay.draw(image, (), overlay.Status(30, 12, 9, message=overlay.NOTICE))
    bright = image.max(-1) > 150
    assert bright.any() and not bright[:, :4].any() and not bright[:, -4:].any()
