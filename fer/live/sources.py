"""Where frames come from: arrays, the sample, files, folders, streams, cameras; ``open_source`` knows every kind.

A source is opened by iterating over it and lets go of its device when the
iteration ends, however it ends. It yields ``(image, time_s)``: BGR uint8
(H, W, 3), and the media time of a file or None where only the clock can tell.
What cannot be opened or read raises a UserError there. The screen is in
``fer.live.screens``.
"""

import math
import re
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from fer.errors import DataInvalid, DataMissing, DeviceError
from fer.files import PHOTOS, UNREADABLE_PHOTOS
from fer.live.environment import CAMERA_ADVICE, advice
from fer.photos.reading import read_image, read_video

Frames = Generator[tuple[np.ndarray, float | None], None, None]
Rectangle = tuple[int, int, int, int]
"""Left, top, width, height."""

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


class Images(Source):
    """Any images (H, W, 3) BGR uint8, at ``fps`` a second: a list, an array (N, H, W, 3), a generator."""

    fps: float

    def __init__(self, images: Iterable[np.ndarray], fps: float = 25.0) -> None:
        self.images, self.fps = images, fps

    def __iter__(self) -> Frames:
        for index, image in enumerate(self.images):
            yield image, index / self.fps


class SampleActor(Source):
    """The built-in sample: a synthetic actor who plays the eight expressions with a face that is nobody's.

    It is one round, every frame of it; or ``endless``, by the clock, for whoever watches.
    """

    name = "sample"
    fps = 25.0

    def __init__(self, endless: bool = False) -> None:
        self.live = endless

    def __iter__(self) -> Frames:
        from synthetic_faces.actor import Actor

        if not self.live:
            for image, time_s, _, _ in Actor(size=(1280, 720), fps=self.fps):
                yield image, time_s
            return
        actor = Actor(size=(960, 540), fps=self.fps, rounds=None)  # small enough to render in time
        for time_s in ticks(self.fps):
            yield actor.frame(time_s), None


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
        paths, count = self.files(), 0
        for index, path in enumerate(paths):
            try:
                image = read_image(path)
            except DataInvalid as error:
                print(f"note: {error} Left out.", file=sys.stderr)
                continue
            count += 1
            yield image, index / self.fps
        if not count:
            found = f"{len(paths)} photos, none of which can be read" if paths else "no photos"
            endings = ", ".join(sorted(PHOTOS))
            raise DataInvalid(f"The folder {self.folder} holds {found}; expected {endings}.")


class Stream(Source):
    """An http(s) or rtsp URL that OpenCV's FFmpeg can play."""

    live = True

    def __init__(self, url: str) -> None:
        self.url, self.name = url, re.sub(r"//[^/@]*@", "//", url)  # no password on the screen

    def __iter__(self) -> Frames:
        timeouts = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
        settings = [number for name in timeouts for number in (name, STREAM_TIMEOUT_MS)]
        stream = cv2.VideoCapture(self.url, cv2.CAP_FFMPEG, settings)
        try:
            if not stream.isOpened():
                raise DeviceError(
                    f"The stream {self.name} did not open within {STREAM_TIMEOUT_MS // 1000} s. Does it play in VLC "
                    "or ffplay on this machine? Check the address, the user name and password, and the network."
                )
            while (frame := stream.read())[0]:
                yield three_channels(frame[1]), None
            print(f"note: the stream {self.name} ended.", file=sys.stderr)
        finally:
            stream.release()


class Camera(Source):
    """A webcam, by the number that ``--list-cameras`` prints.

    Args:
        index: number of the camera.
        size: (width, height) to ask for; the camera gives the nearest that it has.
        fps: frames a second to ask for.
    """

    live = True

    def __init__(self, index: int = 0, size: tuple[int, int] | None = None, fps: float | None = None) -> None:
        self.index, self.size, self.fps = index, size, fps
        self.name = f"camera {index}"

    def __iter__(self) -> Frames:
        camera = cv2.VideoCapture(self.index, _camera_backend())
        try:
            if not camera.isOpened():
                raise DeviceError(
                    f"Camera {self.index} did not open. Cameras found: {_found_cameras()}. "
                    f"{advice(CAMERA_ADVICE)} `--source sample` shows the demo without a camera."
                )
            self._request(camera)
            last_s, count = time.monotonic(), 0
            while time.monotonic() - last_s < CAMERA_PATIENCE_S:
                ok, image = camera.read()
                if not ok or image is None:
                    time.sleep(0.01)
                    continue
                count += 1
                yield three_channels(image), None
                last_s = time.monotonic()  # after the yield: a paused reader is not the camera's fault
            raise DeviceError(
                f"Camera {self.index} stopped sending after {count} frames: unplugged, or taken by another program? "
                "Plug it in and start again."
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
        spec: what the user wrote.
        size: (width, height) to ask a camera for.
        fps: frames a second to ask for from a camera, or to play of a folder.
        watched: the sample acts by the clock and without end.

    Raises:
        DataMissing: it is none of these.
        DataInvalid: ``spec`` is empty, or a number is not above 0.
    """
    if not spec:
        raise DataInvalid(
            "--source is empty: expected a camera's number, a file, a folder, a URL or `sample`."
        )
    if size and min(size) <= 0:
        raise DataInvalid(f"--width {size[0]} --height {size[1]}: more than 0 is expected.")
    check_rate(fps)
    if spec == "sample":
        return SampleActor(endless=watched)
    if re.match(r"(https?|rtsps?|rtmps?|udp|tcp)://", spec):
        return Stream(spec)
    if spec.isdecimal() and len(spec) < 5:
        return Camera(int(spec), size, fps)
    path = Path(spec)
    if not path.exists() and spec.startswith(("~/", "~\\")):
        path = path.expanduser()
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
        raise DataInvalid(f"--fps {fps}: a number above 0 is expected.")


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


def three_channels(image: np.ndarray) -> np.ndarray:
    """Return a frame as BGR; some cameras give one grey channel."""
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Sort key under which 2.png comes before 10.png."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in parts]


def _camera_backend() -> int:
    """The one back end per platform in which camera numbers and names agree."""
    if sys.platform == "win32":
        return cv2.CAP_MSMF
    return cv2.CAP_AVFOUNDATION if sys.platform == "darwin" else cv2.CAP_V4L2


def _found_cameras() -> str:
    return ", ".join(f"{index} ({name})" for index, name in list_cameras()) or "none"
