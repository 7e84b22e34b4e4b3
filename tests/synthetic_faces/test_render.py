"""What the muscles do, and the image of it."""

import cv2
import numpy as np
import pytest

from fer.labels import EMOTIONS
from synthetic_faces.action_units import PROTOTYPES, VALENCE_AROUSAL, ActionUnits, expression
from synthetic_faces.identity import HAIRSTYLES, Identity
from synthetic_faces.relief import Light
from synthetic_faces.render import Pose, render_face, turn, unturn
from synthetic_faces.shape import build

WHO = Identity()


def marks(emotion: str, intensity: float = 1.0, variant: int = 0) -> np.ndarray:
    return build(WHO, expression(EMOTIONS.index(emotion), intensity, variant)).landmarks()


# --- what the muscles do: landmarks in face units, y downwards

MEASURES = {
    "corners over seam": lambda m: m[[62, 66], 1].mean() - m[[48, 54], 1].mean(),
    "mouth gap": lambda m: m[66, 1] - m[62, 1],
    "mouth width": lambda m: m[54, 0] - m[48, 0],
    "inner brow": lambda m: -m[[21, 22], 1].mean(),
    "inner over outer brow": lambda m: m[[17, 26], 1].mean() - m[[21, 22], 1].mean(),
    "eye opening": lambda m: (m[[41, 40, 47, 46], 1] - m[[37, 38, 43, 44], 1]).mean(),
    "chin": lambda m: m[8, 1],
    "nose lift": lambda m: -m[[31, 35], 1].mean(),
}


@pytest.mark.parametrize(
    ("emotion", "grows", "shrinks"),
    [
        ("happiness", ("corners over seam", "mouth width"), ("eye opening",)),
        ("sadness", ("inner over outer brow",), ("corners over seam",)),
        ("surprise", ("mouth gap", "chin", "inner brow", "eye opening"), ()),
        ("fear", ("eye opening", "mouth width", "inner brow"), ()),
        ("disgust", ("nose lift",), ("inner brow",)),
        ("anger", (), ("inner brow", "inner over outer brow")),
    ],
)
def test_muscles_move_the_face_as_the_emotion_wants(emotion, grows, shrinks):
    for measure in grows + shrinks:
        rest, half, full = (MEASURES[measure](marks(emotion, s)) for s in (0.0, 0.5, 1.0))
        sign = 1 if measure in grows else -1
        assert sign * (full - rest) > sign * (half - rest) > 0.005, measure


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


def test_faces_are_symmetric_unless_an_expression_is_not():
    mirror = [*range(16, -1, -1), *range(26, 16, -1)]
    m = marks("fear")
    assert np.allclose(m[:27], m[mirror] * (-1, 1))


def test_closed_eyes_are_closed():
    opening = MEASURES["eye opening"]
    closed = build(WHO, ActionUnits().closing_eyes(1.0)).landmarks()
    assert opening(closed) < 0.1 * opening(marks("neutral"))


# --- the image


def test_landmarks_lie_on_what_is_painted():
    """Eyes and brows are darker than the cheeks between them and the mouth, wherever the head turns."""
    for pose in (Pose(), Pose(yaw=12, pitch=-6, roll=8), Pose(yaw=-12, pitch=6, roll=-8)):
        image, points = render_face(WHO, ActionUnits(), pose)
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
    straight = render_face(WHO, ActionUnits())[1]
    nose_over_eyes = lambda p: p[30] - p[36:48].mean(0)  # noqa: E731
    right = nose_over_eyes(render_face(WHO, ActionUnits(), Pose(yaw=15))[1])
    up = nose_over_eyes(render_face(WHO, ActionUnits(), Pose(pitch=12))[1])
    assert right[0] > nose_over_eyes(straight)[0] + 5
    assert up[1] < nose_over_eyes(straight)[1] - 3
    tilted = render_face(WHO, ActionUnits(), Pose(roll=20))[1]
    across = tilted[45] - tilted[36]
    assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(20, abs=1)


@pytest.mark.parametrize("pose", [Pose(18, 12, 18), Pose(-18, -12, 5), Pose(0, 18, -18)])
def test_images_and_landmarks_turn_alike(pose):
    """The image is warped by the inverse of what moves the landmarks."""
    points = marks("surprise")
    there = turn(points, pose)
    assert np.allclose(np.stack(unturn(*there.T, pose), 1), points, atol=0.012)


def test_the_lamp_stands_where_the_light_says():
    left, right = (render_face(WHO, ActionUnits(), light=Light(azimuth=a))[0].astype(int) for a in (-55, 55))
    cheek = slice(110, 150)
    assert left[cheek, 50:90].mean() > right[cheek, 50:90].mean() + 15
    assert right[cheek, 134:174].mean() > left[cheek, 134:174].mean() + 15


@pytest.mark.parametrize("style", HAIRSTYLES)
def test_every_hairstyle_leaves_the_face_free(style):
    """Below the fringe the face is the same whatever grows on top."""
    bald = render_face(Identity(hairstyle="bald"), ActionUnits())[0].astype(int)
    image = render_face(Identity(hairstyle=style), ActionUnits())[0].astype(int)
    assert np.abs(image - bald)[120:190, 75:150].mean() < 3
    assert style == "bald" or np.abs(image - bald)[:30].mean() > 3
