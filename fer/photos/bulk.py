"""Many photos and videos through one predictor.

Threads read the next photos and search them for faces, and faces of several pictures share a forward pass. Where
the time goes: benchmarks/README.md, Whole chain and detection.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from fer import threads
from fer.errors import UserError
from fer.faces import FaceDetector, clip, crop
from fer.photos.listing import File
from fer.photos.reading import Photo, VideoFrame, read_photo, read_video
from fer.predictor import EmotionPredictor, FaceEmotion, Views

WAITING_BYTES = 64 * 2**20  # pixels that may wait for their forward pass
AHEAD = 4  # for each thread: photos whose faces are found, or being searched for, before their turn
LARGEST = 1024  # side of a picture that is one face; a long strip, made square, would fill any memory

Keep = Literal["whole", "as read"]


@dataclass
class Picture:
    """A photo or a frame of a video, and its faces.

    Attributes:
        frame: number within the video, from 0; None for a photo.
        time_s: seconds since the first frame; 0 for a photo.
        faces: largest first.
        image: BGR uint8 (H, W, 3), where images were to be kept; None for an unreadable file.
        factor: how many pixels of the whole picture, in which the faces are given, one pixel of the image is.
        error: why the file, or the rest of the video, cannot be read.
    """

    file: File
    frame: int | None = None
    time_s: float = 0.0
    faces: list[FaceEmotion] = field(default_factory=list)
    image: np.ndarray | None = None
    factor: int = 1
    error: str | None = None


def analyse(
    files: Iterable[File],
    predictor: EmotionPredictor,
    whole_image: bool = False,
    every_s: float = 0.0,
    batch_size: int = 64,
    keep_images: Keep | None = None,
) -> Iterator[Picture]:
    """Yield every photo and chosen frame with its faces, in order; a file that cannot be read with its error.

    A photo is searched by the predictor's detector, which may take its time; a
    frame of a video by the fast one: what it misses, the next frame has.

    Args:
        whole_image: every picture is one face, already cut out.
        every_s: of a video, at most one frame in so many seconds.
        batch_size: faces, or pictures, that wait for a shared forward pass.
        keep_images: fill ``Picture.image``, with the whole image or with what was read of it to find the faces.
    """
    pictures: list[Picture] = []
    boxes: list[np.ndarray] = []
    views: list[Views] = []
    waiting_bytes = 0

    def classified() -> Iterator[Picture]:
        faces = iter(predictor.classify_views(views, [box for each in boxes for box in each]))
        for picture, each in zip(pictures, boxes, strict=True):
            picture.faces = list(islice(faces, len(each)))
            yield picture

    for picture, found, faces in _search(files, predictor, whole_image, every_s, keep_images):
        pictures.append(picture)
        boxes.append(found)
        views += faces
        waiting_bytes += sum(face.nbytes for face in faces)
        waiting_bytes += 0 if picture.image is None else picture.image.nbytes
        if max(len(views), len(pictures)) >= batch_size or waiting_bytes > WAITING_BYTES:
            yield from classified()
            pictures, boxes, views, waiting_bytes = [], [], [], 0
    yield from classified()


def _search(
    files: Iterable[File],
    predictor: EmotionPredictor,
    whole_image: bool,
    every_s: float,
    keep_images: Keep | None,
) -> Iterator[tuple[Picture, np.ndarray, list[Views]]]:
    """Yield the pictures of the files, in order, with boxes (K, 4) of their faces and the views of each.

    Threads work on the next photos meanwhile: OpenCV and Pillow let others run while they compute.
    """

    def photo(file: File) -> tuple[Picture, np.ndarray, list[Views]]:
        if whole_image:
            read = read_photo(file.path, LARGEST)
            boxes, faces = _whole(predictor, read)
        else:
            read, boxes, faces = predictor.find(file.path)
        picture = Picture(file)
        if keep_images == "whole" and read.factor > 1:
            read = read_photo(file.path)
        if keep_images:
            picture.image, picture.factor = read.image, read.factor
        return picture, boxes, faces

    def video(file: File) -> Iterator[tuple[Picture, np.ndarray, list[Views]]]:
        for number, time_s, image in _sampled(file.path, every_s):
            if whole_image:
                boxes, faces = _whole(predictor, Photo(image, 1, image.shape[:2]))
            else:
                found = fast(image)
                boxes, faces = clip(found, image.shape), [predictor.views(image, box) for box in found]
            yield Picture(file, number, time_s, image=image if keep_images else None), boxes, faces

    fast = FaceDetector()
    rest = iter(files)
    waiting: deque[tuple[File, Future[tuple[Picture, np.ndarray, list[Views]]] | None]] = deque()
    # Somebody's own detector may be used by one thread only.
    workers = threads.count() if isinstance(predictor.detect, FaceDetector) else 1
    pool = ThreadPoolExecutor(workers)
    try:
        while True:
            for file in islice(rest, AHEAD * workers - len(waiting)):
                waiting.append((file, None if file.is_video else pool.submit(photo, file)))
            if not waiting:
                return
            file, found = waiting.popleft()
            try:
                if found is not None:
                    yield found.result()
                else:
                    yield from video(file)
            except UserError as error:
                yield Picture(file, error=str(error)), np.zeros((0, 4), int), []
    finally:
        pool.shutdown(cancel_futures=True)


def _sampled(path: Path, every_s: float) -> Iterator[VideoFrame]:
    """Yield the frames of a video, at most one in ``every_s`` seconds."""
    due_s = -np.inf
    for frame in read_video(path):
        if frame.time_s >= due_s:
            if every_s:
                # The grid of due times stays fixed, so that a rate that does not divide it adds no drift.
                due_s = (np.floor(frame.time_s / every_s + 1e-6) + 1) * every_s - 1e-6
            yield frame


def _whole(predictor: EmotionPredictor, photo: Photo) -> tuple[np.ndarray, list[Views]]:
    """Return the box (1, 4) of a picture that is one face, and its views."""
    image = photo.image
    scale = LARGEST / max(image.shape)
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    box = np.array([[0, 0, photo.shape[1], photo.shape[0]]])
    return box, [predictor.whole_face(crop(image, (0, 0, image.shape[1], image.shape[0])))]
