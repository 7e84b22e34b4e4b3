"""Many photos and videos through one predictor: faces of several pictures share a forward pass."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from fer.errors import UserError
from fer.faces import FaceDetector, clip, crop
from fer.photos.listing import File
from fer.photos.reading import VideoFrame, read_image, read_video
from fer.predictor import Detector, EmotionPredictor, FaceEmotion

WAITING_BYTES = 256 * 2**20  # pixels that may wait for their forward pass
READERS = 2  # threads that read photos ahead
AHEAD = 4  # photos that are read, or being read, before their turn
LARGEST = 1024  # side of a picture that is one face; a long strip, made square, would fill any memory


@dataclass
class Picture:
    """A photo or a frame of a video, and its faces.

    Attributes:
        file: where it comes from.
        frame: number within the video, from 0; None for a photo.
        time_s: seconds since the first frame; 0 for a photo.
        faces: largest first.
        image: BGR uint8 (H, W, 3), where images were to be kept; None for an unreadable file.
        error: why the file, or the rest of the video, cannot be read.
    """

    file: File
    frame: int | None = None
    time_s: float = 0.0
    faces: list[FaceEmotion] = field(default_factory=list)
    image: np.ndarray | None = None
    error: str | None = None


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are analysed: every ``step``-th, and at most one in ``every_s`` seconds."""

    step: int = 1
    every_s: float = 0.0

    def frames(self, path: Path) -> Iterator[VideoFrame]:
        """Yield the chosen frames."""
        due_s = -np.inf
        for frame in read_video(path):
            if frame.number % self.step == 0 and frame.time_s >= due_s:
                if self.every_s:
                    # The grid of due times stays fixed, so that a rate that does not divide it adds no drift.
                    due_s = (np.floor(frame.time_s / self.every_s + 1e-6) + 1) * self.every_s - 1e-6
                yield frame


def analyse(
    files: Iterable[File],
    predictor: EmotionPredictor,
    whole_image: bool = False,
    sampling: Sampling = Sampling(),
    batch_size: int = 64,
    keep_images: bool = False,
) -> Iterator[Picture]:
    """Yield every photo and chosen frame with its faces, in order; a file that cannot be read with its error.

    A photo is searched by the predictor's detector, which may take its time; a
    frame of a video by the fast one: what it misses, the next frame has.

    Args:
        files: what to work on.
        predictor: finds and classifies the faces.
        whole_image: every picture is one face, already cut out.
        sampling: which frames of videos.
        batch_size: faces, or pictures, that wait for a shared forward pass.
        keep_images: fill ``Picture.image``.
    """
    fast = None if whole_image else FaceDetector()
    pictures: list[Picture] = []
    boxes: list[np.ndarray] = []
    crops: list[np.ndarray] = []
    waiting_bytes = 0

    def classified() -> Iterator[Picture]:
        faces = iter(predictor.classify_crops(crops, [box for each in boxes for box in each]))
        for picture, each in zip(pictures, boxes, strict=True):
            picture.faces = list(islice(faces, len(each)))
            yield picture

    for picture, image in _read(files, sampling):
        found = np.zeros((0, 4), int)
        if image is not None:
            detector = fast if whole_image or picture.file.is_video else predictor.detect
            found, faces = _cut(image, detector, predictor.margin)
            crops += faces
            picture.image = image if keep_images else None
            waiting_bytes += sum(face.nbytes for face in faces) + keep_images * image.nbytes
        pictures.append(picture)
        boxes.append(found)
        if max(len(crops), len(pictures)) >= batch_size or waiting_bytes > WAITING_BYTES:
            yield from classified()
            pictures, boxes, crops, waiting_bytes = [], [], [], 0
    yield from classified()


def _cut(image: np.ndarray, detector: Detector | None, margin: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the boxes (K, 4) within an image and their crops; without detector it is one face."""
    if detector is not None:
        boxes = detector(image)
        return clip(boxes, image.shape), [crop(image, box, margin) for box in boxes]
    box = np.array([[0, 0, image.shape[1], image.shape[0]]])
    scale = LARGEST / max(image.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return box, [crop(image, (0, 0, image.shape[1], image.shape[0]))]


def _read(files: Iterable[File], sampling: Sampling) -> Iterator[tuple[Picture, np.ndarray | None]]:
    """Yield the pictures of the files, in order; threads read the next photos meanwhile."""
    rest = iter(files)
    waiting: deque[tuple[File, Future[np.ndarray] | None]] = deque()
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
                    for frame in sampling.frames(file.path):
                        yield Picture(file, frame.number, frame.time_s), frame.image
            except UserError as error:
                yield Picture(file, error=str(error)), None
    finally:
        pool.shutdown(cancel_futures=True)
