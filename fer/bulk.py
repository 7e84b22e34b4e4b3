"""Many photos and videos through one predictor: faces of several pictures share a forward pass."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fer.errors import DataInvalid, DataMissing
from fer.faces import clip, crop
from fer.images import PHOTOS, UNSUPPORTED, VIDEOS, read_image, read_video
from fer.predictor import EmotionPredictor, FaceEmotion

Detector = Callable[[np.ndarray], np.ndarray]

HELD_BYTES = 256 * 2**20  # pixels that may wait for their forward pass


@dataclass(frozen=True)
class File:
    """A photo or video to work on.

    Attributes:
        path: as the user gave it, or below a folder that the user gave.
        inner: its place below that folder; the bare name of a file given itself.
    """

    path: Path
    inner: Path

    @property
    def is_video(self) -> bool:
        """Whether the name says so."""
        return self.path.suffix.lower() in VIDEOS


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


def collect(paths: Sequence[Path], leave_out: Path | None = None) -> tuple[list[File], int]:
    """Return the photos and videos of files and folders (recursive, sorted), and how many others were passed over.

    Args:
        paths: a file given itself is taken whatever its name.
        leave_out: a folder not to look into.

    Raises:
        DataMissing: a path does not exist, or a folder cannot be read.
    """
    known, files, others = PHOTOS | UNSUPPORTED | VIDEOS, {}, 0
    for path in paths:
        if not path.exists():
            raise DataMissing(
                f"There is no file or folder {path}. Check the spelling, or quote names with spaces."
            )
    for path in paths:
        if not path.is_dir():
            files.setdefault(path, File(path, Path(path.name)))
            continue
        for found in _walk(path, leave_out):
            if found.suffix.lower() in known and not found.name.startswith("."):
                files.setdefault(found, File(found, found.relative_to(path)))
            else:
                others += 1
    return list(files.values()), others


def _walk(root: Path, leave_out: Path | None) -> Iterator[Path]:
    def stop(error: OSError) -> None:
        raise DataMissing(f"The folder {error.filename} cannot be read: {error.strerror}.") from error

    for folder, subfolders, names in os.walk(root, onerror=stop):
        here = Path(folder)
        subfolders[:] = sorted(
            name for name in subfolders if leave_out is None or (here / name).resolve() != leave_out.resolve()
        )
        yield from (here / name for name in sorted(names))


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
            found = detector(image) if detector else np.array([[0, 0, image.shape[1], image.shape[0]]])
            margin = predictor.margin if detector else 0.0
            faces = [crop(image, box, margin) for box in found]
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


def _read(files: Iterable[File], sampling: Sampling) -> Iterator[tuple[Picture, np.ndarray | None]]:
    for file in files:
        try:
            if file.is_video:
                for number, time_s, image in sampling.of(file.path):
                    yield Picture(file, number, time_s), image
            else:
                yield Picture(file), read_image(file.path)
        except DataInvalid as error:
            yield Picture(file, error=str(error)), None


def _classify(
    predictor: EmotionPredictor, pictures: list[Picture], boxes: list[np.ndarray], crops: list[np.ndarray]
) -> list[Picture]:
    rows = iter(predictor.classify_crops(crops))
    for picture, found in zip(pictures, boxes, strict=True):
        picture.faces = [FaceEmotion.name(box, next(rows), predictor.threshold) for box in found]
    return pictures
