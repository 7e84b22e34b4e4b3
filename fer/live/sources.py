"""Where frames come from: cameras and the screen, and ``open_source``, which knows every kind.

A source is opened by iterating over it and lets go of its device when the
iteration ends, however it ends. It yields ``(image, time_s)``: BGR uint8
(H, W, 3), and the media time of a file or None where only the clock can tell.
"""

import math
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from fer.errors import DataInvalid, DataMissing, DeviceError
from fer.live import environment
from fer.live.media import Picture, PictureFolder, Rectangle, Sample, Source, Stream, VideoFile, as_bgr

CAMERA_PATIENCE_S = 1.0  # a camera may lose some frames; for longer, it is gone


class Camera(Source):
    """A webcam, by the number that ``--list-cameras`` prints.

    Args:
        index: number of the camera.
        size: (width, height) to ask for; the camera gives the nearest that it has.
        fps: frames a second to ask for.

    Raises (when iterated):
        DeviceError: it does not open, or stops sending.
    """

    live = True

    def __init__(self, index: int = 0, size: tuple[int, int] | None = None, fps: float | None = None) -> None:
        self.index, self.size, self.fps = index, size, fps
        self.name = f"camera {index}"

    def __iter__(self) -> Iterator[Picture]:
        camera = cv2.VideoCapture(self.index, _camera_backend())
        try:
            if not camera.isOpened():
                raise DeviceError(
                    f"Camera {self.index} did not open. Cameras found: {_found_cameras()}. "
                    f"{environment.camera_advice()} `--source sample` shows the demo without a camera."
                )
            self._request(camera)
            last_s, count = time.monotonic(), 0
            while time.monotonic() - last_s < CAMERA_PATIENCE_S:
                ok, image = camera.read()
                if not ok or image is None:
                    time.sleep(0.01)
                    continue
                count += 1
                yield as_bgr(image), None
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
        """Return the camera that follows in the list of those connected."""
        indices = [index for index, _ in list_cameras()]
        others = [i for i in indices if i > self.index] + [i for i in indices if i < self.index]
        if not others:
            raise DeviceError("No other camera is connected.")
        return Camera(others[0], self.size, self.fps)


class Screen(Source):
    """A monitor, or a region of the desktop.

    Args:
        monitor: as ``--list-monitors`` numbers them; 0 is the whole desktop.
        region: (left, top, width, height) in the desktop's coordinates, which are
            negative left of and above the main monitor. Wins over ``monitor``.
        fps: at most so many frames a second.

    Raises (when iterated):
        DeviceError: no screen, no such monitor, or it went away.

    Raises (at once):
        DataInvalid: ``fps`` is not above 0.
    """

    live = True

    def __init__(self, monitor: int = 1, region: Rectangle | None = None, fps: float = 30.0) -> None:
        if not 0 < fps < math.inf:
            raise DataInvalid(f"--fps {fps}: a number above 0 is expected.")
        self.monitor, self.region, self.fps = monitor, region, fps
        self.name = f"region {region}" if region else f"monitor {monitor}"
        self.hidden: Rectangle | None = None

    def exclude(self, rectangle: Rectangle | None) -> None:
        """Paint this rectangle of the desktop, the program's own window, dark in the frames that follow."""
        self.hidden = rectangle

    def __iter__(self) -> Iterator[Picture]:
        import mss

        with _open_screen() as screen:  # in the thread that captures, as X11 and GDI want it
            area = self._area(screen.monitors)
            try:
                due = time.monotonic()
                while True:
                    grabbed = screen.grab(area)
                    # On high-density screens the picture has more pixels than the area has points.
                    image = np.asarray(grabbed)[..., :3]
                    yield blank(np.ascontiguousarray(image), area, self.hidden), None
                    due = max(due + 1 / self.fps, time.monotonic())
                    time.sleep(max(0.0, due - time.monotonic()))
            except mss.ScreenShotError as error:
                raise DeviceError(
                    f"The {self.name} cannot be captured any more ({error}): was a monitor unplugged or its resolution "
                    "changed? See --list-monitors and start again."
                ) from error

    def _area(self, monitors: Sequence[dict[str, int]]) -> dict[str, int]:
        sides = ("left", "top", "width", "height")
        desktop = monitors[0]
        if self.region is None:
            if not 0 <= self.monitor < len(monitors):
                numbers = ", ".join(map(str, range(1, len(monitors))))
                raise DeviceError(
                    f"There is no monitor {self.monitor}; this desktop has {numbers} "
                    "(0 is all together, see --list-monitors)."
                )
            return {side: monitors[self.monitor][side] for side in sides}
        left, top, width, height = self.region
        inside = (
            width > 0
            and height > 0
            and left >= desktop["left"]
            and top >= desktop["top"]
            and left + width <= desktop["left"] + desktop["width"]
            and top + height <= desktop["top"] + desktop["height"]
        )
        if not inside:
            raise DeviceError(
                f"The region {left},{top},{width},{height} is not inside the desktop, which is "
                f"{','.join(str(desktop[side]) for side in sides)} (left,top,width,height). See --list-monitors."
            )
        return dict(zip(sides, self.region, strict=True))

    def next(self) -> "Screen":
        """Return the next monitor."""
        count = len(list_monitors()) - 1
        if count < 2:
            raise DeviceError("No other monitor is connected.")
        return Screen(self.monitor % count + 1, None, self.fps)


def blank(image: np.ndarray, area: dict[str, int], hidden: Rectangle | None) -> np.ndarray:
    """Darken where the rectangle ``hidden`` of the desktop lies in ``image``, a picture (H, W, 3) of ``area``."""
    if hidden is None:
        return image
    across, down = image.shape[1] / area["width"], image.shape[0] / area["height"]
    x0, y0 = (hidden[0] - area["left"]) * across, (hidden[1] - area["top"]) * down
    x1, y1 = x0 + hidden[2] * across, y0 + hidden[3] * down
    image[max(0, round(y0)) : max(0, round(y1)), max(0, round(x0)) : max(0, round(x1))] = 24
    return image


def open_source(
    spec: str, size: tuple[int, int] | None = None, fps: float | None = None, watched: bool = False
) -> Source:
    """Return what ``--source`` names: a camera's number or name, a file, a folder, a URL or ``sample``.

    Args:
        spec: what the user wrote.
        size: (width, height) to ask a camera for.
        fps: frames a second to ask a camera for, or of a folder.
        watched: the sample acts by the clock and without end.

    Raises:
        DataMissing: it is none of these.
        DataInvalid: ``spec`` is empty, or a number is not above 0.
    """
    if not spec:
        raise DataInvalid(
            "--source is empty: a camera's number, a file, a folder, a URL or `sample` is expected."
        )
    if size and min(size) <= 0:
        raise DataInvalid(f"--width {size[0]} --height {size[1]}: more than 0 is expected.")
    if fps is not None and not 0 < fps < math.inf:
        raise DataInvalid(f"--fps {fps}: a number above 0 is expected.")
    if spec == "sample":
        return Sample(endless=watched)
    if re.match(r"(https?|rtsps?|rtmps?|udp|tcp)://", spec):
        return Stream(spec)
    path = Path(spec)
    if spec.isdecimal() and len(spec) < 5:
        return Camera(int(spec), size, fps)
    if not path.exists() and spec.startswith(("~/", "~\\")):
        path = path.expanduser()
    if path.is_dir():
        return PictureFolder(path, fps)
    if path.exists():
        return VideoFile(path)
    named = [index for index, name in list_cameras() if spec.lower() in name.lower()]
    if named:
        return Camera(named[0], size, fps)
    raise DataMissing(
        f"--source {spec}: there is no such file or folder, and no camera of that name (found: {_found_cameras()}). "
        "Give a camera's number, a video file, a folder of pictures, an http or rtsp URL, or `sample`."
    )


def list_cameras() -> list[tuple[int, str]]:
    """Return (number, name) of every connected camera."""
    from cv2_enumerate_cameras import enumerate_cameras

    return sorted((camera.index, camera.name) for camera in enumerate_cameras(_camera_backend()))


def list_monitors() -> list[Rectangle]:
    """Return (left, top, width, height) of the whole desktop, then of every monitor.

    Raises:
        DeviceError: there is no screen that can be captured.
    """
    with _open_screen() as screen:
        return [(m["left"], m["top"], m["width"], m["height"]) for m in screen.monitors]


def screenshot(monitor: int) -> np.ndarray:
    """Return one BGR picture (H, W, 3) of a monitor, to choose a region in."""
    frames = iter(Screen(monitor))
    try:
        return next(frames)[0]
    finally:
        frames.close()


def x_display_problem() -> str:
    """Why the X display of the environment cannot be reached; "" where it can."""
    import mss

    try:
        mss.MSS().close()
    except mss.ScreenShotError as error:
        return str(error)
    return ""


def _open_screen() -> "mss.MSS":  # noqa: F821 - mss is imported only where a screen is wanted
    problem = environment.screen_problem()
    if problem:
        raise DeviceError(problem)
    import mss

    try:
        return mss.MSS()
    except mss.ScreenShotError as error:
        raise DeviceError(f"The screen cannot be captured: {error}. {environment.screen_advice()}") from error


def _camera_backend() -> int:
    """The one back end per platform in which camera numbers and names agree."""
    if sys.platform == "win32":
        return cv2.CAP_MSMF
    return cv2.CAP_AVFOUNDATION if sys.platform == "darwin" else cv2.CAP_V4L2


def _found_cameras() -> str:
    return ", ".join(f"{index} ({name})" for index, name in list_cameras()) or "none"
