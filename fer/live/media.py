"""Frames that need no device: the interface of all sources, lists of arrays, the sample, files, streams, folders."""

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from fer.errors import DataInvalid, DataMissing, DeviceError

Picture = tuple[np.ndarray, float | None]
Rectangle = tuple[int, int, int, int]
IMAGE_TYPES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


class Source:
    """Frames of something, described for whoever plays them.

    Attributes:
        name: shown to people.
        live: goes on whether or not anybody looks, so frames may be dropped and time is the clock's.
        stills: its pictures have nothing to do with each other.
        fps: frames a second, where that is known beforehand.
    """

    name = "frames"
    live = False
    stills = False
    fps: float | None = None

    def __iter__(self) -> Iterator[Picture]:
        raise NotImplementedError

    def next(self) -> "Source":
        """Return the neighbour that the key ``c`` changes to: the next camera or monitor."""
        raise DeviceError(f"There is no other {self.name}.")

    def reads(self, path: Path) -> bool:
        """Whether a file is one that the frames come from."""
        return False

    def exclude(self, rectangle: Rectangle | None) -> None:
        """Keep the program's own window (left, top, width, height on the desktop) out of the frames."""


class Pictures(Source):
    """Any images (H, W, 3) BGR uint8, at ``fps`` a second: a list, an array (N, H, W, 3), a generator."""

    def __init__(self, images: Iterable[np.ndarray], fps: float = 25.0) -> None:
        self.images, self.fps = images, fps

    def __iter__(self) -> Iterator[Picture]:
        for index, image in enumerate(self.images):
            yield image, index / self.fps


class Sample(Source):
    """The drawn actor, who plays the eight expressions with a face that is nobody's.

    Args:
        endless: act for whoever watches, by the clock and without end; otherwise one round, every frame of it.
    """

    name = "sample"
    fps = 25.0

    def __init__(self, endless: bool = False) -> None:
        self.live = endless

    def __iter__(self) -> Iterator[Picture]:
        from synthetic_faces.actor import Actor

        if not self.live:
            for image, time_s, _, _ in Actor(size=(1280, 720), fps=self.fps):
                yield image, time_s
            return
        actor = Actor(size=(960, 540), fps=self.fps, rounds=None)  # drawn in time on a small machine
        start = due = time.monotonic()
        while True:
            yield actor.frame(time.monotonic() - start), None
            due = max(due + 1 / self.fps, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))


class VideoFile(Source):
    """A video file, at the times written in it; where these stand still, as in bare H.264, at its rate.

    Raises (when iterated):
        DataMissing: there is no such file.
        DataInvalid: it is not a video, or has no pictures.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = Path(path), Path(path).name

    def reads(self, path: Path) -> bool:
        """Whether ``path`` is this file."""
        return path.resolve() == self.path.resolve()

    def __iter__(self) -> Iterator[Picture]:
        if not self.path.is_file():
            raise DataMissing(
                f"There is no file {self.path}. --source takes a camera number, a file or `sample`."
            )
        # Absolute, because FFmpeg takes what stands before a colon for a protocol.
        video = cv2.VideoCapture(os.path.abspath(self.path))
        try:
            count, last_s = -1, -np.inf
            step_s = 1 / (video.get(cv2.CAP_PROP_FPS) or 25)
            while video.isOpened():
                ok, image = video.read()
                if not ok:
                    break
                count += 1
                time_s = max(video.get(cv2.CAP_PROP_POS_MSEC) / 1000, 0.0)
                last_s = time_s if time_s > last_s else last_s + step_s
                yield as_bgr(image), last_s
            if count < 0:
                size = self.path.stat().st_size
                raise DataInvalid(
                    f"{self.path} ({size:,} bytes) has no pictures that OpenCV can read. Is it a video, and whole? "
                    f"`ffmpeg -i {self.path.name} fixed.mp4` may repair it."
                )
            promised = video.get(cv2.CAP_PROP_FRAME_COUNT)
            # By time: where frames come unevenly, as in Matroska, their number is only guessed from it.
            if last_s + step_s < 0.9 * promised * step_s and count + 1 < promised:
                print(
                    f"note: {self.path.name} ended after {count + 1} of {promised:.0f} frames: cut off?",
                    file=sys.stderr,
                )
        finally:
            video.release()


class Stream(Source):
    """An http(s) or rtsp URL that OpenCV's FFmpeg can play."""

    live = True
    WAIT_MS = 10_000

    def __init__(self, url: str) -> None:
        self.url, self.name = url, re.sub(r"//[^/@]*@", "//", url)  # no password on the screen

    def __iter__(self) -> Iterator[Picture]:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, self.WAIT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, self.WAIT_MS]
        stream = cv2.VideoCapture(self.url, cv2.CAP_FFMPEG, limits)
        try:
            if not stream.isOpened():
                raise DeviceError(
                    f"The stream {self.name} did not open within {self.WAIT_MS // 1000} s. Does it play in VLC "
                    "or ffplay on this machine? Check the address, the user name and password, and the network."
                )
            while True:
                ok, image = stream.read()
                if not ok:
                    print(f"note: the stream {self.name} ended.", file=sys.stderr)
                    return
                yield as_bgr(image), None
        finally:
            stream.release()


class PictureFolder(Source):
    """The pictures of a folder in the order of their numbers, ``fps`` a second (1: unrelated photos)."""

    def __init__(self, folder: Path, fps: float | None = None) -> None:
        self.folder, self.fps, self.name = Path(folder), fps or 1.0, Path(folder).name
        self.stills = self.fps <= 2

    def reads(self, path: Path) -> bool:
        """Whether ``path`` is one of the pictures."""
        return path.resolve() in {picture.resolve() for picture in self._paths()}

    def _paths(self) -> list[Path]:
        named = (path for path in self.folder.iterdir() if path.suffix.lower() in IMAGE_TYPES)
        return sorted((path for path in named if not path.is_dir()), key=_by_number)

    def __iter__(self) -> Iterator[Picture]:
        paths, read = self._paths(), 0
        for index, path in enumerate(paths):
            try:
                data = np.fromfile(path, np.uint8)
                image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
            except (OSError, cv2.error):  # a link to nowhere; a picture too large
                image = None
            if image is None:
                print(f"note: {path} cannot be read as a picture; left out.", file=sys.stderr)
                continue
            read += 1
            yield image, index / self.fps
        if not read:
            found = f"{len(paths)} pictures, none of which can be read" if paths else "no pictures"
            raise DataInvalid(
                f"The folder {self.folder} holds {found}; expected {', '.join(sorted(IMAGE_TYPES))}."
            )


def as_bgr(image: np.ndarray) -> np.ndarray:
    """Return a frame with three channels; some cameras and files give one grey one."""
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Sort key under which 2.png comes before 10.png."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", path.name)
    ]
