"""Copies of photos and videos with boxes and emotions, laid out like the originals; of a video a timeline, too."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from fer.errors import DataInvalid
from fer.files import fitting, naming
from fer.live import overlay, paint, timeline
from fer.live.analysis import Analysis, TrackedFace
from fer.live.capture import Frame
from fer.live.records import Tally
from fer.live.tracking import SLOWEST_S, Tracker, overlaps
from fer.live.video import VideoWriter
from fer.photos.bulk import Picture
from fer.photos.listing import File
from fer.predictor import FaceEmotion

WRITABLE = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
TIMELINE = ".timeline.png"


class Annotator:
    """Writes annotated copies into a folder: ``below/x.jpg`` of an input folder becomes ``FOLDER/below/x.jpg``.

    Of two inputs with the same place the later is called ``x-2.jpg``. What
    cannot be written in its own format becomes .png, and every video .mp4; beside
    that, ``x.timeline.png`` shows the probabilities of each of its faces over time.
    DataInvalid where a copy would take the place of an original of ``files``.
    """

    def __init__(self, folder: Path, files: Sequence[File]) -> None:
        self._folder = folder
        self._originals = {file.path.resolve() for file in files}
        self._targets: dict[File, Path] = {}
        self._taken: set[Path] = set()
        self._shortened: list[str] = []
        self._video: _VideoCopy | None = None
        self._latest: File | None = None
        for file in files:
            self._choose(file)
        if self._shortened:
            count, first = len(self._shortened), self._shortened[0]
            print(f"note: {count} annotated copies get shorter names, the first {first}", file=sys.stderr)

    def _choose(self, file: File) -> Path:
        """Return where the copy of a file goes, different from all others."""
        whole = self._folder / _writable(file)
        target = whole.with_name(fitting(whole.name, room=16))  # for a number, and .png or .timeline.png
        if target != whole:
            self._shortened.append(target.name)
        stem, count = target.stem, 1
        while self._taken.intersection(_written(target, file)):
            count += 1
            target = target.with_stem(f"{stem}-{count}")
        for written in _written(target, file):
            if written.resolve() in self._originals:
                raise DataInvalid(
                    f"--save-annotated {self._folder} would overwrite {written}. Choose a folder apart from the photos."
                )
            self._taken.add(written)
        self._targets[file] = target
        return target

    def write(self, picture: Picture) -> None:
        """Write the copy of a photo with its image, or append a frame to the copy of its video."""
        assert picture.image is not None
        image, file = picture.image.copy(), picture.file
        overlay.draw(image, [_reduced(face, picture.factor) for face in picture.faces])
        target = self._targets.get(file) or self._choose(file)  # it may have come since
        if file is not self._latest:
            self.close()
        self._latest = file
        if file.is_video:
            self._video = self._video or _VideoCopy(target)
            self._video.write(image, picture)
            return
        done, data = cv2.imencode(target.suffix, image)
        if not done:  # larger than this kind of file can be
            target = Path(f"{target}.png")
            done, data = cv2.imencode(target.suffix, image)
        with naming(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data.tobytes())

    def close(self) -> None:
        """Finish the video that is being written, if any."""
        video, self._video = self._video, None
        if video is not None:
            video.close()


class _VideoCopy:
    """The copy of a video, and the timeline of the faces in it, for which they are tracked."""

    def __init__(self, target: Path) -> None:
        self._writer, self._timeline = VideoWriter(target), target.with_suffix(TIMELINE)
        self._tracker, self._tally = Tracker(), Tally()
        self._latest_s = self._tracked_s = 0.0

    def write(self, image: np.ndarray, picture: Picture) -> None:
        """Append the annotated image (H, W, 3) of a frame."""
        self._writer.write(image, picture.time_s)
        # To the tracker, frames that are far apart because few are analysed are neighbours.
        self._tracked_s += min(picture.time_s - self._latest_s, SLOWEST_S)
        self._latest_s = picture.time_s
        boxes = np.array([face.box for face in picture.faces], float).reshape(-1, 4)
        tracks = [t for t in self._tracker.update(boxes, self._tracked_s) if t.seen_s == self._tracked_s]
        faces = [picture.faces[overlaps(t.box[None], boxes).argmax()] for t in tracks]
        tracked = tuple(TrackedFace(face, t.identity) for face, t in zip(faces, tracks, strict=True))
        frame = Frame(image, picture.time_s, self._tally.frames)
        self._tally.add(Analysis(frame, tracked, hide=boxes, small=image))

    def close(self) -> None:
        """Finish both files."""
        if self._writer.close():
            paint.save(timeline.strips(self._tally.curves(), self._tally.end_s), self._timeline)


def _reduced(face: FaceEmotion, factor: int) -> FaceEmotion:
    """Return the face with its box in a photo that was too large to be read whole."""
    x, y, w, h = (side // factor for side in face.box)
    return replace(face, box=(x, y, w, h))


def _written(target: Path, file: File) -> list[Path]:
    return [target, target.with_suffix(TIMELINE)] if file.is_video else [target]


def _writable(file: File) -> Path:
    if file.is_video:
        return file.inner.with_suffix(".mp4")
    return file.inner if file.inner.suffix.lower() in WRITABLE else Path(f"{file.inner}.png")
