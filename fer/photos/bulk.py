"""Many photos and videos through one predictor: faces of several pictures share a forward pass."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from fer.errors import DataInvalid
from fer.faces import clip, crop
from fer.photos.listing import File
from fer.photos.reading import read_image, read_video
from fer.predictor import EmotionPredictor, FaceEmotion

Detector = Callable[[np.ndarray], np.ndarray]

HELD_BYTES = 256 * 2**20  # pixels that may wait for their forward pass
READERS = 2  # threads that read photos ahead
LARGEST = 1024  # side of a picture that is one face; a long strip, made square, would fill any memory
AHEAD = 4  # photos that are read, or being read, before they are looked at


@dataclass
class Picture:
    """A photo or a frame of a video, and what was found in it.

    Attributes:
        file: where it comes from.
        frame: number within the video, from 0; None for a photo.
        time_s: media time; 0 for a photo.
        faces: largest first.
        image: BGR uint8 (H, W, 3), where images were to be kept; None for an unreadable file.
        error: why the file, or what follows of the video, cannot be read.
    """

    file: File
    frame: int | None = None
    time_s: float = 0.0
    faces: list[FaceEmotion] = field(default_factory=list)
    image: np.ndarray | None = None
    error: str | None = None


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are looked at: every ``step``-th, and at most one in ``every_s`` seconds."""

    step: int = 1
    every_s: float = 0.0

    def of(self, path: Path) -> Iterator[tuple[int, float, np.ndarray]]:
        """Yield (number, seconds, picture) of the chosen frames."""
        due_s = -np.inf
        for number, time_s, image in read_video(path):
            if number % self.step == 0 and time_s >= due_s:
                # The grid of due times stays fixed, so that a rate that does not divide it adds no drift.
                due_s = (
                    (np.floor(time_s / self.every_s + 1e-6) + 1) * self.every_s - 1e-6
                    if self.every_s
                    else due_s
                )
                yield number, time_s, image


def analyse(
    files: Iterable[File],
    predictor: EmotionPredictor,
    photo_detector: Detector | None,
    video_detector: Detector | None,
    sampling: Sampling = Sampling(),
    batch_size: int = 64,
    keep_images: bool = False,
) -> Iterator[Picture]:
    """Yield what is in every photo and chosen frame, in order; a file that cannot be read gives its error.

    Args:
        files: what to work on.
        predictor: classifies the faces.
        photo_detector: from BGR uint8 (H, W, 3) to boxes int (K, 4); None takes each picture as one face.
        video_detector: the same for the frames of videos.
        sampling: which frames of videos.
        batch_size: faces, or pictures, that wait for a shared forward pass.
        keep_images: fill ``Picture.image``.
    """
    waiting: list[Picture] = []
    crops: list[np.ndarray] = []
    boxes: list[np.ndarray] = []
    held = 0
    for picture, image in _read(files, sampling):
        found = np.zeros((0, 4), int)
        if image is not None:
            detector = video_detector if picture.file.is_video else photo_detector
            found = detector(image) if detector else np.array([_whole(image)])
            faces = [crop(image, box, predictor.margin) for box in found] if detector else [_squared(image)]
            picture.image = image if keep_images else None
            held += sum(face.nbytes for face in faces) + keep_images * image.nbytes
            crops += faces
            found = clip(found, image.shape)  # cropped whole, reported within the picture
        waiting.append(picture)
        boxes.append(found)
        if max(len(crops), len(waiting)) >= batch_size or held > HELD_BYTES:
            yield from _classify(predictor, waiting, boxes, crops)
            waiting, crops, boxes, held = [], [], [], 0
    yield from _classify(predictor, waiting, boxes, crops)


def _whole(image: np.ndarray) -> tuple[int, int, int, int]:
    return 0, 0, image.shape[1], image.shape[0]


def _squared(image: np.ndarray) -> np.ndarray:
    """Return a picture as the crop of a face, at most ``LARGEST`` wide and high."""
    scale = LARGEST / max(image.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return crop(image, _whole(image))


def _read(files: Iterable[File], sampling: Sampling) -> Iterator[tuple[Picture, np.ndarray | None]]:
    """Yield what is in the files, in order; threads read the next photos meanwhile."""
    rest, waiting = iter(files), deque()
    pool = ThreadPoolExecutor(READERS)
    try:
        while True:
            for file in islice(rest, AHEAD - len(waiting)):
                waiting.append((file, None if file.is_video else pool.submit(read_image, file.path)))
            if not waiting:
                return
            file, photo = waiting.popleft()
            try:
                if photo is not None:
                    yield Picture(file), photo.result()
                else:
                    for number, time_s, image in sampling.of(file.path):
                        yield Picture(file, number, time_s), image
            except DataInvalid as error:
                yield Picture(file, error=str(error)), None
    finally:
        pool.shutdown(cancel_futures=True)


def _classify(
    predictor: EmotionPredictor, pictures: list[Picture], boxes: list[np.ndarray], crops: list[np.ndarray]
) -> list[Picture]:
    faces = iter(predictor.name_crops([box for found in boxes for box in found], crops))
    for picture, found in zip(pictures, boxes, strict=True):
        picture.faces = list(islice(faces, len(found)))
    return pictures
