"""What is drawn, where, and what is hidden."""

import numpy as np
import pytest

from fer.labels import COLOURS, EMOTIONS, UNCERTAIN
from fer.live import overlay, paint
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
    status = overlay.Status(60, 5, 9, 75, True, message, [("q", "quit"), ("h", "these keys")])
    overlay.draw(image, [face(box), face((50, 50, 40, 40), track=2)], status)
    assert image.any()


def test_a_face_of_a_photo_is_drawn_as_that_of_a_video_without_recent_emotions():
    video, photo = np.zeros((2, 480, 640, 3), np.uint8)
    tracked = face((200, 180, 140, 140))
    overlay.draw_faces(video, [tracked])
    overlay.draw_faces(photo, [tracked.face])
    assert video[330:].any() and not photo[330:].any()
    assert np.array_equal(video[:320], photo[:320])


def test_letters_grow_with_the_picture():
    heights = []
    for scale in (1, 3):
        image = np.zeros((480 * scale, 640 * scale, 3), np.uint8)
        overlay.draw_status(image, overlay.Status(fps=60))
        heights.append(np.ptp(np.nonzero(image.max(-1) > 200)[0]))
    assert heights[1] == pytest.approx(3 * heights[0], rel=0.2)


def test_bars_cover_no_other_face():
    faces = [face((100, 150, 120, 120), track=1), face((260, 150, 120, 120), track=2)]
    image = np.zeros((480, 640, 3), np.uint8)
    overlay.draw_faces(image, faces)
    inside = image[160:230, 275:365]
    assert not inside.any()


def test_a_bar_is_as_long_as_its_probability():
    lengths = []
    for probability in (0.4, 0.8):
        image = np.zeros((540, 960, 3), np.uint8)
        overlay.draw_faces(image, [face((100, 150, 160, 160), "disgust", probability)])
        rows = near(image[:, 280:], COLOURS["disgust"]).sum(1)
        lengths.append(rows.max())
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=3)


def test_a_remembered_face_looks_paler():
    image = np.zeros((480, 640, 3), np.uint8)
    overlay.draw_faces(image, [face((200, 180, 140, 140), detected=False)], bars=False)
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
    picture, faces = overlay.compose(image, [face((10, 20, 20, 20))], (400, 200), mirror=True)
    assert faces[0].face.box == (340, 40, 40, 40)
    assert (picture[50:70, 350:370] == 255).all() and not picture[:, :300].any()
    picture, _ = overlay.compose(image, [], (200, 100), hidden=np.array([[10, 20, 20, 20]]))
    assert picture[20:40, 10:30].min() < 200
    assert (image[20:40, 10:30] == 255).all()  # the source's picture stays as it was


def test_labels_lie_over_the_strips_of_other_faces():
    above, below = face((10, 10, 140, 140), "anger"), face((10, 150, 140, 140), "happiness")
    crowded = np.full((300, 160, 3), 60, np.uint8)
    alone = crowded.copy()
    overlay.draw_faces(crowded, [above, below])
    overlay.draw_faces(alone, [below], bars=False)
    label = np.s_[118:144, 20:140]
    assert near(alone[label], COLOURS["happiness"]).mean() > 0.3
    np.testing.assert_array_equal(
        near(crowded[label], COLOURS["happiness"]), near(alone[label], COLOURS["happiness"])
    )


def test_a_message_in_a_small_picture_is_broken_into_lines():
    image = np.zeros((120, 160, 3), np.uint8)
    overlay.draw_status(image, overlay.Status(30, 12, 9, message=overlay.NOTICE))
    bright = image.max(-1) > 150
    assert bright.any() and not bright[:, :4].any() and not bright[:, -4:].any()
