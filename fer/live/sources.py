"""Where frames come from: the sample, files, folders, streams, cameras; ``open_source`` knows every kind.

A source is opened by iterating over it and lets go of its device when the iteration ends, however it ends. It yields
``(image, time_s)``: BGR uint8 (H, W, 3), or None for a photo that cannot be read and a camera that is unplugged and may
come back; the media time of a file, or None where only the clock can tell. UserError where it cannot be opened or read.
"""

import os
import re
import sys
import time
from collections.abc import Generator, Iterator
from copy import copy
from pathlib import Path

import av
import cv2
import numpy as np

from fer.errors import DataInvalid, DataMissing, DeviceError, UsageError
from fer.files import PHOTOS, UNREADABLE_PHOTOS
from fer.live.environment import CAMERA_ADVICE
from fer.live.options import check_rate
from fer.photos.reading import read_image, read_video, without_password

Frames = Generator[tuple[np.ndarray, float | None], None, None]
SomeFrames = Generator[tuple[np.ndarray | None, float | None], None, None]
Rectangle = tuple[int, int, int, int]  # left, top, width, height

CAMERA_PATIENCE_S = 1.0  # a camera may lose some frames; for longer, it is gone, and looked for as often
STREAM_TIMEOUT_S = 10
PLAYLISTS = {"hls", "dash"}  # FFmpeg's names of formats whose files are short and whose films may be endless


class Source:
    """Frames of something, described for whoever plays them."""

    name = "frames"  # shown to people
    first = 0  # number of the first frame
    hidden = 0.0  # how much of it, from 0 to 1, lies under the program's own window
    live = False  # goes on whether or not anybody watches, so frames may be dropped and time is the clock's
    stills = False  # its pictures have nothing to do with each other, and the last one stays
    mirrored = False  # people look at themselves, and expect a mirror

    def __iter__(self) -> SomeFrames:
        raise NotImplementedError

    def next(self) -> "Source":
        """Return the neighbour that the key ``c`` changes to: the next camera or monitor."""
        raise DeviceError(f"There is no other {self.name}.")

    def files(self) -> list[Path]:
        """Return the files that the frames come from."""
        return []

    def region(self) -> Rectangle | None:
        """Return the part of the desktop that it shows, if any."""
        return None

    def exclude(self, rectangle: Rectangle | None) -> None:
        """Keep the program's own window, a part of the desktop, out of the frames."""


class SampleActor(Source):
    """A synthetic actor who plays the eight expressions, ``seconds`` each: one round, or ``endless`` by the clock."""

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
    """A video file, or one behind an http(s) URL, as ``fer.photos.reading.read_video`` gives it."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self.name = path.name if isinstance(path, Path) else without_password(path)

    def files(self) -> list[Path]:
        """Return this file."""
        return [self.path] if isinstance(self.path, Path) else []

    def __iter__(self) -> Frames:
        for _, time_s, image in read_video(self.path):
            yield image, time_s


class Photos(Source):
    """A photo, or those of a folder in the order of their numbers, ``fps`` a second (1: unrelated photos).

    Frame 3 is ``files()[3]``, also where photos before it cannot be read.
    """

    def __init__(self, path: Path, fps: float | None = None) -> None:
        self.path, self.fps, self.name = Path(path), fps or 1.0, Path(path).name
        self.stills = self.fps <= 2 or not self.path.is_dir()
        self._unreadable: set[int] = set()
        self._files = [self.path]
        if self.path.is_dir():  # once: their numbers stay, also where one is deleted
            named = (
                path for path in self.path.iterdir() if path.suffix.lower() in PHOTOS | UNREADABLE_PHOTOS
            )
            self._files = sorted((path for path in named if not path.is_dir()), key=_by_number)

    def files(self) -> list[Path]:
        """Return the photos, 2.png before 10.png."""
        return self._files

    def __iter__(self) -> SomeFrames:
        paths = self._files
        for index, path in enumerate(paths[self.first :], self.first):
            try:
                image = read_image(path)
            except (DataInvalid, DataMissing) as error:
                if not self.path.is_dir():
                    raise
                print(f"note: {error} Left out.", file=sys.stderr)
                self._unreadable.add(index)
                yield None, None
            else:
                yield image, index / self.fps
        if len(self._unreadable) == len(paths):
            several = f"{len(paths)} photos, none of which can be read"
            holds = ("no photos", "a photo that cannot be read", several)[min(len(paths), 2)]
            raise DataInvalid(f"The folder {self.path} holds {holds}; expected {', '.join(sorted(PHOTOS))}.")

    def beside(self, index: int, step: int) -> "Photos":
        """Return the same photos, from the one after (``step`` 1) or before (-1) number ``index`` on."""
        photos = copy(self)
        photos.first = index + step
        while photos.first in self._unreadable:
            photos.first += step
        if not 0 <= photos.first < len(self._files):
            raise DeviceError(f"This is the {'last' if step > 0 else 'first'} photo.")
        return photos


class Stream(Source):
    """An http(s) or rtsp URL that OpenCV's FFmpeg can play."""

    live = True

    def __init__(self, url: str) -> None:
        self.url, self.name = url, without_password(url)

    def __iter__(self) -> Frames:
        limit = 1000 * STREAM_TIMEOUT_S
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
        stream = cv2.VideoCapture(self.url, cv2.CAP_FFMPEG, limits)
        try:
            if not stream.isOpened():
                raise _no_stream(self.name, f"within {STREAM_TIMEOUT_S} s")
            while (frame := stream.read())[0]:
                yield frame[1], None
            print(f"note: the stream {self.name} ended.", file=sys.stderr)
        finally:
            stream.release()


class Camera(Source):
    """A webcam, by its number in ``list_cameras``; it gives the nearest to ``size`` (width, height) and ``fps``."""

    live = mirrored = True

    def __init__(
        self, index: int = 0, size: tuple[int, int] | None = None, fps: float | None = None, title: str = ""
    ) -> None:
        self.index, self.size, self.fps = index, size, fps
        self.name = f"camera {index}" + (f" ({title})" if title else "")

    def __iter__(self) -> SomeFrames:
        camera = self._open(self.index)
        try:
            if not camera.isOpened():
                advice = CAMERA_ADVICE.get(sys.platform, CAMERA_ADVICE["linux"])
                raise DeviceError(
                    f"Camera {self.index} did not open. Cameras found: {_found_cameras()}. {advice} Without a camera: "
                    "`--source FILE`, a folder of photos or a URL, or `--source sample`."
                )
            title, gone, tried_s = dict(list_cameras()).get(self.index), False, time.monotonic()
            while True:
                ok, image = camera.read()
                if ok:
                    yield image, None
                    # Now: that a reader paused is not the camera's fault.
                    gone, tried_s = False, time.monotonic()
                elif time.monotonic() - tried_s < CAMERA_PATIENCE_S:
                    time.sleep(0.01)
                    yield None, None
                else:
                    if not gone:
                        advice = "unplugged, or taken by another program? When it is back, this goes on."
                        print(f"note: {self.name} stopped sending: {advice}", file=sys.stderr)
                    gone, tried_s = True, time.monotonic()
                    camera.release()
                    # Plugged in again, it may have another number.
                    same = [index for index, name in list_cameras() if name == title]
                    camera = self._open(self.index if self.index in same or not same else same[0])
        finally:
            camera.release()

    def _open(self, index: int) -> cv2.VideoCapture:
        camera = cv2.VideoCapture(index, _camera_backend())
        if not camera.isOpened():
            return camera
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if self.size:
            # Uncompressed, USB has no room for large frames at full rate.
            camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            camera.set(cv2.CAP_PROP_FRAME_WIDTH, self.size[0])
            camera.set(cv2.CAP_PROP_FRAME_HEIGHT, self.size[1])
        if self.fps:
            camera.set(cv2.CAP_PROP_FPS, self.fps)
        return camera

    def next(self) -> "Camera":
        """Return the camera after this one in the list."""
        others = [camera for camera in list_cameras() if camera[0] != self.index]
        if not others:
            raise DeviceError("No other camera is connected.")
        index, title = min(others, key=lambda camera: (camera[0] < self.index, camera[0]))
        return Camera(index, self.size, self.fps, title)


def open_source(
    spec: str, size: tuple[int, int] | None = None, fps: float | None = None, watched: bool = False
) -> Source:
    """Return what ``--source`` names; UserError where it is nothing that can be played.

    Args:
        spec: a camera's number or name, a file, a folder, a URL or ``sample``.
        size: (width, height) to ask a camera for.
        fps: frames a second to ask for from a camera, or to play of a folder.
        watched: the sample acts by the clock and without end.
    """
    if not spec:  # which would be this folder
        raise UsageError("--source is empty: expected a camera's number, a file, folder or URL, or `sample`.")
    check_rate(fps)
    if spec == "sample":
        return SampleActor(endless=watched)
    if re.match(r"(https?|rtsps?|rtmps?|udp|tcp)://", spec):
        return VideoFile(spec) if spec.startswith("http") and _is_recorded(spec) else Stream(spec)
    device = re.fullmatch(r"/dev/video(\d+)", os.path.realpath(spec))  # also a link of /dev/v4l/by-id
    if device or (spec.isdecimal() and len(spec) < 5):
        return Camera(int(device[1] if device else spec), size, fps)
    path = Path(os.path.expanduser(spec))  # the shell leaves ~ in --source=~/talk.mp4
    if path.is_dir() or (path.exists() and path.suffix.lower() in PHOTOS | UNREADABLE_PHOTOS):
        return Photos(path, fps)
    if path.exists():
        return VideoFile(path)
    for index, title in list_cameras():
        if spec.lower() in title.lower():
            return Camera(index, size, fps, title)
    raise DataMissing(
        f"--source {spec}: there is no such file or folder, and no camera of that name (found: {_found_cameras()}). "
        "Give a camera's number, a video, a photo, a folder of photos, an http or rtsp URL, or `sample`."
    )


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


def _is_recorded(url: str) -> bool:
    """Whether a film behind an http(s) URL has an end: a length in seconds, or in bytes."""
    name = without_password(url)
    print(f"opening {name} …", file=sys.stderr)  # may take seconds
    try:
        with av.open(url, timeout=STREAM_TIMEOUT_S) as container:
            return bool(container.duration) or (container.size > 0 and container.format.name not in PLAYLISTS)
    except (av.FFmpegError, OSError) as error:
        raise _no_stream(name, f"({error.strerror})") from error


def _no_stream(name: str, how: str) -> DeviceError:
    return DeviceError(
        f"The stream {name} did not open {how}. Check the address, the user name and password, and the network: does "
        "it play in VLC?"
    )


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
