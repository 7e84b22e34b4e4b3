"""Where frames come from: the sample, files, folders, streams, cameras; ``open_source`` knows every kind.

A source is opened by iterating over it and lets go of its device when the iteration ends, however it ends. It yields
``(image, time_s)``: BGR uint8 (H, W, 3), and the media time of a file or None where only the clock can tell. What
cannot be opened or read raises a UserError there. The screen is in ``fer.live.screens``.
"""

import math
import os
import re
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import cv2
import numpy as np

from fer.errors import DataInvalid, DataMissing, DeviceError, UsageError
from fer.files import PHOTOS, UNREADABLE_PHOTOS
from fer.live.environment import CAMERA_ADVICE
from fer.photos.reading import read_image, read_video

Frames = Generator[tuple[np.ndarray, float | None], None, None]
Rectangle = tuple[int, int, int, int]  # left, top, width, height

CAMERA_PATIENCE_S = 1.0  # a camera may lose some frames; for longer, it is gone
STREAM_TIMEOUT_MS = 10_000


class Source:
    """Frames of something, described for whoever plays them.

    Attributes:
        name: shown to people.
        live: goes on whether or not anybody watches, so frames may be dropped and time is the clock's.
        stills: its pictures have nothing to do with each other.
        fps: frames a second, where that is known beforehand.
    """

    name = "frames"
    live = False
    stills = False
    fps: float | None = None

    def __iter__(self) -> Frames:
        raise NotImplementedError

    def next(self) -> "Source":
        """Return the neighbour that the key ``c`` changes to: the next camera or monitor."""
        raise DeviceError(f"There is no other {self.name}.")

    def files(self) -> list[Path]:
        """Return the files that the frames come from."""
        return []

    def exclude(self, rectangle: Rectangle | None) -> None:
        """Keep the program's own window, a part of the desktop, out of the frames."""


class SampleActor(Source):
    """A synthetic actor who plays the eight expressions: one round, or ``endless`` by the clock, to be watched.

    Args:
        endless: go on until somebody stops it.
        seconds: how long each expression lasts.
    """

    name = "sample"
    fps = 25.0

    def __init__(self, endless: bool = False, seconds: float = 3.0) -> None:
        self.live, self.seconds = endless, seconds

    def __iter__(self) -> Frames:
        from synthetic_faces.actor import Actor

        if self.live:
            actor = Actor((960, 540), self.fps, self.seconds, rounds=None)  # small enough to render in time
            yield from ((actor.frame(time_s), None) for time_s in ticks(self.fps))
        else:
            yield from ((image, time_s) for image, time_s, _, _ in Actor((1280, 720), self.fps, self.seconds))


class VideoFile(Source):
    """A video file, at the times that ``fer.photos.reading.read_video`` gives; a damaged one as far as it goes."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = Path(path), Path(path).name

    def files(self) -> list[Path]:
        """Return this file."""
        return [self.path]

    def __iter__(self) -> Frames:
        started = False
        try:
            for _, time_s, image in read_video(self.path):
                yield image, time_s
                started = True
        except DataInvalid as error:
            if not started:
                raise
            print(f"note: {error}", file=sys.stderr)  # what was played before is worth keeping


class PhotoFolder(Source):
    """The photos of a folder in the order of their numbers, ``fps`` a second (1: unrelated photos)."""

    fps: float

    def __init__(self, folder: Path, fps: float | None = None) -> None:
        self.folder, self.fps, self.name = Path(folder), fps or 1.0, Path(folder).name
        self.stills = self.fps <= 2

    def files(self) -> list[Path]:
        """Return the photos, 2.png before 10.png."""
        named = (path for path in self.folder.iterdir() if path.suffix.lower() in PHOTOS | UNREADABLE_PHOTOS)
        return sorted((path for path in named if not path.is_dir()), key=_by_number)

    def __iter__(self) -> Frames:
        paths, left_out = self.files(), 0
        for index, path in enumerate(paths):
            try:
                yield read_image(path), index / self.fps
            except (DataInvalid, DataMissing) as error:
                print(f"note: {error} Left out.", file=sys.stderr)
                left_out += 1
        if left_out == len(paths):
            found = f"{len(paths)} photos, none of which can be read" if paths else "no photos"
            raise DataInvalid(
                f"The folder {self.folder} holds {found}; expected {', '.join(sorted(PHOTOS))}."
            )


class Stream(Source):
    """An http(s) or rtsp URL that OpenCV's FFmpeg can play."""

    live = True

    def __init__(self, url: str) -> None:
        self.url, self.name = url, re.sub(r"//[^/@]*@", "//", url)  # no password on the screen

    def __iter__(self) -> Frames:
        names = cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC
        stream = cv2.VideoCapture(
            self.url, cv2.CAP_FFMPEG, [x for name in names for x in (name, STREAM_TIMEOUT_MS)]
        )
        try:
            if not stream.isOpened():
                raise DeviceError(
                    f"The stream {self.name} did not open within {STREAM_TIMEOUT_MS // 1000} s. Check the address, the "
                    "user name and password, and the network: does it play in VLC?"
                )
            while (frame := stream.read())[0]:
                yield frame[1], None
            print(f"note: the stream {self.name} ended.", file=sys.stderr)
        finally:
            stream.release()


class Camera(Source):
    """A webcam, by its number in ``list_cameras``; it gives the nearest to ``size`` (width, height) and ``fps``."""

    live = True

    def __init__(self, index: int = 0, size: tuple[int, int] | None = None, fps: float | None = None) -> None:
        self.index, self.size, self.fps = index, size, fps
        self.name = f"camera {index}"

    def __iter__(self) -> Frames:
        camera = cv2.VideoCapture(self.index, _camera_backend())
        try:
            if not camera.isOpened():
                advice = CAMERA_ADVICE.get(sys.platform, CAMERA_ADVICE["linux"])
                raise DeviceError(
                    f"Camera {self.index} did not open. Cameras found: {_found_cameras()}. "
                    f"{advice} `--source sample` shows the demo without a camera."
                )
            self._request(camera)
            last_s, count = time.monotonic(), 0
            while time.monotonic() - last_s < CAMERA_PATIENCE_S:
                ok, image = camera.read()
                if not ok or image is None:
                    time.sleep(0.01)
                    continue
                count += 1
                yield image, None
                last_s = time.monotonic()  # after the yield: a paused reader is not the camera's fault
            raise DeviceError(
                f"Camera {self.index} stopped sending after {count} frames: unplugged, or taken by another program?"
            )
        finally:
            camera.release()

    def _request(self, camera: cv2.VideoCapture) -> None:
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if self.size:
            # Uncompressed, USB has no room for large frames at full rate.
            camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            camera.set(cv2.CAP_PROP_FRAME_WIDTH, self.size[0])
            camera.set(cv2.CAP_PROP_FRAME_HEIGHT, self.size[1])
        if self.fps:
            camera.set(cv2.CAP_PROP_FPS, self.fps)

    def next(self) -> "Camera":
        """Return the camera after this one in the list."""
        others = [index for index, _ in list_cameras() if index != self.index]
        if not others:
            raise DeviceError("No other camera is connected.")
        following = min(others, key=lambda index: (index < self.index, index))
        return Camera(following, self.size, self.fps)


def open_source(
    spec: str, size: tuple[int, int] | None = None, fps: float | None = None, watched: bool = False
) -> Source:
    """Return what ``--source`` names: a camera's number or name, a file, a folder, a URL or ``sample``.

    Args:
        size: (width, height) to ask a camera for.
        fps: frames a second to ask for from a camera, or to play of a folder.
        watched: the sample acts by the clock and without end.

    Raises:
        DataMissing: it is none of these.
        UsageError: it is empty, or a number is not above 0.
    """
    if not spec:  # which would be this folder
        raise UsageError(
            "--source is empty: expected a camera's number, a file, a folder, a URL or `sample`."
        )
    if size and min(size) <= 0:
        raise UsageError(f"--width {size[0]} --height {size[1]}: more than 0 is expected.")
    check_rate(fps)
    if spec == "sample":
        return SampleActor(endless=watched)
    if re.match(r"(https?|rtsps?|rtmps?|udp|tcp)://", spec):
        return Stream(spec)
    if spec.isdecimal() and len(spec) < 5:
        return Camera(int(spec), size, fps)
    path = Path(os.path.expanduser(spec))  # the shell leaves ~ in --source=~/talk.mp4
    if path.is_dir():
        return PhotoFolder(path, fps)
    if path.exists():
        return VideoFile(path)
    named = [index for index, name in list_cameras() if spec.lower() in name.lower()]
    if named:
        return Camera(named[0], size, fps)
    raise DataMissing(
        f"--source {spec}: there is no such file or folder, and no camera of that name (found: {_found_cameras()}). "
        "Give a camera's number, a video file, a folder of photos, an http or rtsp URL, or `sample`."
    )


def check_rate(fps: float | None) -> None:
    """Refuse a rate that is not above 0; None, the source's own, is fine."""
    if fps is not None and not 0 < fps < math.inf:
        raise UsageError(f"--fps {fps}: a number above 0 is expected.")


def list_cameras() -> list[tuple[int, str]]:
    """Return (number, name) of every connected camera."""
    from cv2_enumerate_cameras import enumerate_cameras

    return sorted((camera.index, camera.name) for camera in enumerate_cameras(_camera_backend()))


def ticks(fps: float) -> Iterator[float]:
    """Yield the seconds since the start, at most ``fps`` times a second, without end."""
    start = due = time.monotonic()
    while True:
        yield time.monotonic() - start
        due = max(due + 1 / fps, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def _by_number(path: Path) -> list[str | int]:
    parts = re.split(r"(\d+)", path.name.lower())  # every second one is a number
    return [int(part) if part.isdecimal() else part for part in parts]


def _camera_backend() -> int:
    """The one back end per platform in which camera numbers and names agree."""
    if sys.platform == "win32":
        return cv2.CAP_MSMF
    return cv2.CAP_AVFOUNDATION if sys.platform == "darwin" else cv2.CAP_V4L2


def _found_cameras() -> str:
    return ", ".join(f"{index} ({name})" for index, name in list_cameras()) or "none"
