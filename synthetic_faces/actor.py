"""Actors who show the eight emotions in turn: a film whose true labels are known."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from fer.labels import EMOTIONS
from synthetic_faces.action_units import ActionUnits, expression
from synthetic_faces.body import paint_body
from synthetic_faces.canvas import Canvas
from synthetic_faces.identity import HAIRS, IRISES, SKINS, Identity
from synthetic_faces.relief import Light
from synthetic_faces.render import Painter, Pose

CAST = (
    Identity(
        skin=SKINS[2], hair=HAIRS[2], iris=IRISES[2], lips=0.75, hairstyle="long", age=0.05, jaw=0.97,
        eye_size=0.95, eye_slant=0.02, brow_weight=0.95, brow_height=0.95, nose_width=0.94, lip_fullness=1.12,
        clothes=(52, 92, 118),
    ),
    Identity(
        skin=SKINS[3], hair=HAIRS[1], iris=IRISES[0], lips=0.25, hairstyle="crop", beard="stubble", age=0.2,
        jaw=1.05, eye_size=0.99, brow_weight=1.3, brow_height=0.95, clothes=(96, 70, 66),
    ),
    Identity(
        skin=SKINS[5], hair=HAIRS[0], iris=IRISES[1], lips=0.7, hairstyle="bun", age=0.1, jaw=0.97,
        eye_size=1.06, eye_slant=0.02, brow_height=1.03, nose_width=1.08, lip_fullness=1.25, clothes=(176, 128, 58),
    ),
    Identity(
        skin=SKINS[1], hair=HAIRS[6], iris=IRISES[4], lips=0.2, hairstyle="receding", glasses=True, age=0.5,
        jaw=1.03, brow_weight=1.2, lip_fullness=0.88, clothes=(72, 84, 76),
    ),
)  # fmt: skip
"""The people who act first; further ones are random."""

_LIGHT = Light(azimuth=-30, elevation=28, ambient=0.5, gain=1.04, warmth=0.2)
# How the head goes along with a full expression: yaw, pitch, roll in degrees.
_BEARING = {
    "sadness": (-3, -6, 3), "surprise": (0, 4, 0), "fear": (4, 3, -2), "disgust": (6, 1, 3), "anger": (0, -4, 0),
    "contempt": (-5, 3, 3), "happiness": (2, 2, -3), "neutral": (0, 0, 0),
}  # fmt: skip
_FIRST = {"sadness": 1, "disgust": 1, "anger": 1}  # the variant of an expression that reads best from afar
_ONSET, _OFFSET = 0.5, 0.45  # seconds in which an expression comes and goes
_BLINK_EVERY, _BLINK = 2.9, 0.26  # seconds


@dataclass(frozen=True, slots=True)
class Truth:
    """What one face shows at one moment: ``label`` indexes EMOTIONS, ``intensity`` is 0-1 (1 for neutral)."""

    label: int
    intensity: float
    action_units: ActionUnits
    pose: Pose


class Actor:
    """A film of synthetic people who go through the eight expressions.

    Iterating yields ``(frame, time_s, label, intensity)``: BGR uint8
    (height, width, 3), seconds since the start, and the first face's true
    emotion, an index into EMOTIONS, with its strength, 0 to 1 (an expression
    comes, stays and goes; neutral is always 1). ``truth(time_s)`` has all
    faces. Everything follows from the arguments, and any moment can be asked
    for by ``frame(time_s)``.

    Args:
        size: width and height in pixels.
        fps: frames per second.
        seconds_per_emotion: how long each of the eight lasts.
        seed: who acts, and when they blink.
        faces: how many people; each starts with another emotion.
        rounds: how often the eight are shown; None goes on for ever.
    """

    def __init__(
        self,
        size: tuple[int, int] = (640, 480),
        fps: float = 25,
        seconds_per_emotion: float = 3.0,
        seed: int = 0,
        faces: int = 1,
        rounds: int | None = 1,
    ) -> None:
        if min(size) < 64 or fps <= 0 or seconds_per_emotion <= 0 or faces < 1:
            raise ValueError(
                f"An actor of size {size}, {fps} fps, {seconds_per_emotion} s an emotion and {faces} faces "
                "cannot be filmed; at least 64x64 pixels and positive numbers are needed."
            )
        self.size, self.fps, self.seed, self.faces, self.rounds = size, fps, seed, faces, rounds
        self.seconds_per_emotion = seconds_per_emotion
        people = [_person(seed + k) for k in range(faces)]
        self._places, self._unit = _places(size, faces)
        self._painters = [Painter(who, _LIGHT, min(self._unit * 1.2, max(self._unit, 100))) for who in people]
        self._stage = _room(size, np.random.default_rng([seed, 1]))
        for who, at in zip(people, self._places, strict=True):
            paint_body(Canvas.over(self._stage, at, self._unit), who, _LIGHT)
        rng = np.random.default_rng([seed, 2])
        self._phase = rng.uniform(0, 2 * np.pi, (faces, 8))
        width, height = size
        grain = np.rint(rng.normal(0, 2.2, (height + 32, width + 32, 1))).repeat(3, 2)
        self._brighter, self._darker = (
            np.maximum(grain, 0).astype(np.uint8),
            np.maximum(-grain, 0).astype(np.uint8),
        )

    @property
    def seconds(self) -> float:
        """How long the film is; infinite when it goes on for ever."""
        return math.inf if self.rounds is None else self.rounds * len(EMOTIONS) * self.seconds_per_emotion

    def __iter__(self) -> Iterator[tuple[np.ndarray, float, int, float]]:
        number = 0
        while (time_s := number / self.fps) < self.seconds:
            lead = self.truth(time_s)[0]
            yield self.frame(time_s), time_s, lead.label, lead.intensity
            number += 1

    def truth(self, time_s: float) -> list[Truth]:
        """Return what every face shows at a moment, in the order of ``faces``."""
        return [self._truth(k, time_s) for k in range(self.faces)]

    def frame(self, time_s: float) -> np.ndarray:
        """Render the image of a moment: BGR uint8 (height, width, 3)."""
        frame = self._stage.copy()
        for k, (painter, at, truth) in enumerate(
            zip(self._painters, self._places, self.truth(time_s), strict=True)
        ):
            p = self._phase[k]
            sway = 0.035 * self._unit * np.array([np.sin(0.9 * time_s + p[3]), np.sin(1.3 * time_s + p[4])])
            gaze = (0.16 * math.sin(0.7 * time_s + p[5]) - truth.pose.yaw / 40, truth.pose.pitch / 40)
            painter.place(frame, truth.action_units, truth.pose, tuple(at + sway), self._unit, gaze)
        x, y = np.random.default_rng([self.seed, 3, round(time_s * 1000)]).integers(0, 33, 2)
        width, height = self.size
        cv2.add(frame, self._brighter[y : y + height, x : x + width], frame)
        return cv2.subtract(frame, self._darker[y : y + height, x : x + width], frame)

    def _truth(self, face: int, time_s: float) -> Truth:
        length = self.seconds_per_emotion
        turn = int(time_s // length)
        label = (turn + 3 * face) % len(EMOTIONS)
        name = EMOTIONS[label]
        since = time_s - turn * length
        ease = min(1.0, length / 3)
        strength = min(_smooth(since / (_ONSET * ease)), _smooth((length - since) / (_OFFSET * ease)))
        p = self._phase[face]
        living = strength * (1 - 0.05 * (1 + math.sin(2.3 * time_s + p[6])) / 2)
        variant = _FIRST.get(name, 0) + turn // len(EMOTIONS)
        au = expression(label, living, variant).closing_eyes(self._blink(face, time_s))
        yaw, pitch, roll = _BEARING[name]
        pose = Pose(
            strength * yaw + 5 * math.sin(0.8 * time_s + p[0]),
            strength * pitch + 2.5 * math.sin(1.1 * time_s + p[1]),
            strength * roll + 2 * math.sin(0.6 * time_s + p[2]),
        )
        return Truth(label, 1.0 if name == "neutral" else strength, au, pose)

    def _blink(self, face: int, time_s: float) -> float:
        beat = int(time_s // _BLINK_EVERY)
        late = np.random.default_rng([self.seed, 4, face, beat]).random() * (_BLINK_EVERY - _BLINK)
        since = (time_s - beat * _BLINK_EVERY - late) / _BLINK
        return math.sin(math.pi * since) ** 0.7 if 0 < since < 1 else 0.0


def _smooth(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)


def _person(number: int) -> Identity:
    return CAST[number] if number < len(CAST) else Identity.random(np.random.default_rng([number, 5]))


def _places(size: tuple[int, int], faces: int) -> tuple[list[np.ndarray], float]:
    """Where the faces stand (pixels) and their unit: rows that let them be as large as possible."""
    width, height = size

    def unit(rows: int) -> float:
        return min(0.26 * width / math.ceil(faces / rows), 0.172 * height / rows)

    rows = max(range(1, faces + 1), key=unit)
    places = []
    for row in range(rows):
        count = faces // rows + (row < faces % rows)
        places += [np.array([width * (k + 0.5) / count, height * (row + 0.45) / rows]) for k in range(count)]
    return places, unit(rows)


def _room(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A room out of focus: a wall lit from the left, a window, shelves, lamps; BGR uint8."""
    width, height = size
    w, h = 160, max(24, round(160 * height / width))
    x, y = np.meshgrid(np.linspace(0, 1, w), np.linspace(0, 1, h))
    glow = np.exp(-(((x - 0.2) / 0.55) ** 2) - ((y - 0.3) / 0.7) ** 2)
    wall = np.array([84, 92, 92]) + glow[..., None] * np.array([78, 92, 104])
    room = np.ascontiguousarray(wall, np.float32)

    def box(x0: float, y0: float, x1: float, y1: float, bgr: tuple[float, float, float]) -> None:
        cv2.rectangle(room, (round(x0 * w), round(y0 * h)), (round(x1 * w), round(y1 * h)), bgr, -1)

    box(0.03, 0.06, 0.2, 0.62, (232, 226, 214))
    box(0.11, 0.06, 0.12, 0.62, (120, 124, 126))
    box(0.03, 0.33, 0.2, 0.345, (120, 124, 126))
    for shelf in (0.3, 0.56):
        left = 0.76
        while left < 0.97:
            wide, tall = rng.uniform(0.012, 0.03), rng.uniform(0.12, 0.2)
            box(
                left,
                shelf - tall,
                left + wide,
                shelf,
                tuple(rng.uniform(50, 130) + rng.normal(0, 22, 3) + (-10, 0, 14)),
            )
            left += wide + 0.003
        box(0.74, shelf, 0.99, shelf + 0.02, (52, 66, 84))
    room = np.asarray(cv2.GaussianBlur(room, (0, 0), 2.2), np.float32)
    for _ in range(5):
        centre = (round(rng.uniform(0.3, 0.72) * w), round(rng.uniform(0.04, 0.3) * h))
        lamp = np.zeros_like(room)
        cv2.circle(lamp, centre, round(rng.uniform(2, 5)), (60, 92, 120), -1, cv2.LINE_AA)
        room += 0.5 * cv2.GaussianBlur(lamp, (0, 0), 1.3)
    room *= (1.04 - 0.42 * ((x - 0.5) ** 2 + (y - 0.5) ** 2))[..., None]
    return cv2.convertScaleAbs(cv2.resize(room, size, interpolation=cv2.INTER_CUBIC).clip(0))
