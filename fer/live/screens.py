"""The screen as a source of frames: a monitor, a region of the desktop, or what the mouse selects."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fer.errors import DeviceError
from fer.live import environment
from fer.live.layout import overlap
from fer.live.options import check_rate
from fer.live.sources import Frames, Rectangle, Source, ticks

if TYPE_CHECKING:
    import mss  # else imported only where a screen is wanted

SIDES = ("left", "top", "width", "height")


class Screen(Source):
    """A monitor, or a ``region`` of the desktop in its coordinates, at most ``fps`` frames a second.

    Monitors are numbered as by ``list_monitors``; 0 is all of them together. DeviceError, when iterated, where
    there is no screen, no such monitor or region, or it went away.
    """

    live = True

    def __init__(self, monitor: int = 1, region: Rectangle | None = None, fps: float = 30.0) -> None:
        check_rate(fps)
        self.monitor, self.fps, self._region = monitor, fps, region
        self.name = f"region {region}" if region else f"monitor {monitor}"
        self._excluded: Rectangle | None = None

    def exclude(self, rectangle: Rectangle | None) -> None:
        """Paint this rectangle of the desktop, the program's own window, dark in the frames that follow."""
        self._excluded = rectangle

    def region(self) -> Rectangle:
        """Return the part of the desktop that is captured; DeviceError where there is none."""
        return self.area(list_monitors())

    def __iter__(self) -> Frames:
        import mss

        with _open_screen() as screen:  # in the thread that captures, as X11 and GDI want it
            area = self.region()
            sides = dict(zip(SIDES, area, strict=True))
            try:
                for _ in ticks(self.fps):
                    image = np.ascontiguousarray(np.asarray(screen.grab(sides))[..., :3])
                    self.hidden = darken(image, area, self._excluded) if self._excluded else 0.0
                    yield image, None
            except mss.ScreenShotError as error:
                raise DeviceError(
                    f"The {self.name} cannot be captured any more ({error}). See --list-monitors and start again."
                ) from error

    def area(self, monitors: Sequence[Rectangle]) -> Rectangle:
        """Return the part of the desktop to capture; ``monitors[0]`` is the whole desktop."""
        if self._region is None:
            if not 0 <= self.monitor < len(monitors):
                numbers = ", ".join(map(str, range(1, len(monitors))))
                raise DeviceError(
                    f"There is no monitor {self.monitor}; this desktop has {numbers} (see --list-monitors)."
                )
            return monitors[self.monitor]
        if not overlap(self._region, monitors[0]) == self._region[2] * self._region[3] > 0:
            region, desktop = (",".join(map(str, each)) for each in (self._region, monitors[0]))
            raise DeviceError(
                f"The region {region} is not inside the desktop, which is {desktop} (left,top,width,height). See "
                "--list-monitors."
            )
        return self._region

    def next(self) -> "Screen":
        """Return the next monitor."""
        count = len(list_monitors()) - 1
        if count < 2:
            raise DeviceError("No other monitor is connected.")
        return Screen(self.monitor % count + 1, None, self.fps)


def darken(image: np.ndarray, area: Rectangle, rectangle: Rectangle) -> float:
    """Darken the ``rectangle`` of the desktop in a picture of ``area``; return how much of it that is, from 0 to 1."""
    across, down = image.shape[1] / area[2], image.shape[0] / area[3]  # more than 1 on high-density screens
    x0, y0 = (rectangle[0] - area[0]) * across, (rectangle[1] - area[1]) * down
    x1, y1 = x0 + rectangle[2] * across, y0 + rectangle[3] * down
    part = image[max(0, round(y0)) : max(0, round(y1)), max(0, round(x0)) : max(0, round(x1))]
    part[:] = 24
    return part.size / image.size


def list_monitors() -> list[Rectangle]:
    """Return the rectangle of the whole desktop, then of every monitor; DeviceError where there is no screen."""
    with _open_screen(capture=False) as screen:
        return [(m["left"], m["top"], m["width"], m["height"]) for m in screen.monitors]


def select_region(monitor: int) -> Rectangle:
    """Let the user select a region on a picture of the monitor; return it in the desktop's coordinates."""
    if problem := environment.display_problem():
        raise DeviceError(problem)
    frames = iter(Screen(monitor))
    picture, _ = next(frames)
    frames.close()
    left, top, width, height = list_monitors()[monitor]
    title = "Draw the region, then press Enter (c cancels)"
    cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
    cv2.resizeWindow(title, picture.shape[1] * 3 // 4, picture.shape[0] * 3 // 4)
    cv2.moveWindow(title, left + width // 8, top + height // 8)
    x, y, w, h = cv2.selectROI(title, picture, showCrosshair=False)
    cv2.destroyWindow(title)
    if not w or not h:
        raise DeviceError("No region was drawn. Pull the mouse with its button pressed, then press Enter.")
    density = picture.shape[1] / width  # pixels per point, 2 on many laptops
    return round(left + x / density), round(top + y / density), round(w / density), round(h / density)


def _open_screen(capture: bool = True) -> "mss.MSS":
    """Open the screen; where it shall not be captured, also under Wayland, which lists the monitors."""
    if capture and (problem := environment.screen_problem()):
        raise DeviceError(problem)
    import mss

    try:
        return mss.MSS()
    except mss.ScreenShotError as error:
        advice = environment.SCREEN_ADVICE.get(sys.platform, environment.SCREEN_ADVICE["linux"])
        raise DeviceError(f"The screen cannot be captured: {error}. {advice}") from error
