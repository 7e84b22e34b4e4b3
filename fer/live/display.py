"""Where the drawn frames go: nowhere, to a window, or to an image in a notebook. One interface, three ways."""

import contextlib
import html
import time
from collections.abc import Sequence

import cv2
import numpy as np

from fer.errors import DeviceError
from fer.live import environment
from fer.live.layout import overlap
from fer.live.screens import list_monitors
from fer.live.sources import Rectangle

TITLE = "Facial Emotion Classifier"
ESCAPE = 27
FIRST_SIZE = (1280, 720)  # room for the picture before anybody resizes the window
BESIDE = 0.4  # of a monitor's width and height, at most, for a window beside what it looks at
MARGINS = (12, 64, 12, 56)  # left, top, right, bottom: the window's frame, and the desktop's panels
FRAME = (16, 40)  # pixels that the window's frame adds to the picture, across and down
SETTLE_S = 1.0  # a window manager has placed a new window by then
LARGEST = 2560  # wider pictures cost more time to draw than eyes gain; the window stretches this one


class Display:
    """Somewhere to show frames; this one shows nothing, and is what the others are made from."""

    visible = False  # whether somebody can look at it; a file is played at its own speed only then
    keyboard = False  # whether it has keys, which a beginner is told

    def size(self, frame: tuple[int, int]) -> tuple[int, int]:
        """Return the (width, height) to draw at, so that letters are sharp, for frames of (width, height)."""
        return frame

    def show(self, image: np.ndarray) -> None:
        """Show one BGR uint8 picture (H, W, 3)."""

    def key(self) -> str:
        """Return the key pressed since the last call, "q" once the display was closed, or ""."""
        return ""

    def rectangle(self) -> Rectangle | None:
        """Return where the picture is on the desktop, or None where that is not known."""
        return None

    def avoid(self, region: Rectangle | None) -> None:
        """Leave this part of the desktop free, as far as possible."""

    def close(self) -> None:
        """Take the display away."""


class Window(Display):
    """A window of OpenCV's, or a DeviceError where none can be opened. Its methods belong to the main thread."""

    visible = keyboard = True

    def __init__(self) -> None:
        if problem := environment.display_problem():
            raise DeviceError(problem)
        self._ratio = 0.0  # width over height of what is shown; 0 before anything is
        self._region: Rectangle | None = None  # what the window should not cover
        self._wanted: Rectangle | None = None  # where the picture should be, until that is checked
        self._moved_s = 0.0  # when it was sent there
        self._monitors = _monitors()  # before the window: it makes Windows count in pixels
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error as error:
            raise DeviceError(
                f"OpenCV cannot open windows ({error.err or error}). Run `pip uninstall -y "
                "opencv-python opencv-python-headless`, then `pip install 'opencv-python<5'`; or add --no-window."
            ) from error

    def size(self, frame: tuple[int, int]) -> tuple[int, int]:
        """Return the part of the window that frames of (width, height) fill, at most ``LARGEST`` wide."""
        shown = self.rectangle()
        if shown is None or abs(frame[0] / frame[1] - self._ratio) > 0.01:
            return self._place(frame)[2:]
        return within(frame, (min(shown[2], LARGEST), min(shown[3], LARGEST)))

    def show(self, image: np.ndarray) -> None:
        """Show a picture; the first, and one of another shape, sets the window's size and place."""
        ratio = image.shape[1] / image.shape[0]
        if abs(ratio - self._ratio) > 0.01:
            self._wanted = self._place(image.shape[1::-1])
            self._move(*self._wanted)
            self._ratio, self._moved_s = ratio, time.monotonic()
        elif self._wanted and time.monotonic() > self._moved_s + SETTLE_S:
            wanted, shown, self._wanted = self._wanted, self.rectangle(), None
            # Window managers may place a window where they like, and count its frame or not.
            if shown and any(abs(a - b) > max(FRAME) for a, b in zip(shown, wanted, strict=True)):
                self._move(2 * wanted[0] - shown[0], 2 * wanted[1] - shown[1], *wanted[2:])
        cv2.imshow(TITLE, image)

    def avoid(self, region: Rectangle | None) -> None:
        """Place the window anew for the next picture, beside ``region``."""
        if region != self._region:
            self._region, self._ratio, self._monitors = region, 0.0, _monitors()

    def _place(self, frame: tuple[int, int]) -> Rectangle:
        now = self.rectangle() if self._ratio else None
        return place(self._monitors, frame, self._region, now)

    def _move(self, left: int, top: int, width: int, height: int) -> None:
        cv2.resizeWindow(TITLE, width, height)
        if self._monitors:
            cv2.moveWindow(TITLE, left, top)

    def key(self) -> str:
        """Handle the window's events and return the key pressed; "q" when it was closed."""
        code = cv2.pollKey()
        try:
            visible = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1
            closed = self._ratio > 0 and not visible  # macOS makes it visible when something is shown
        except cv2.error:  # Qt ends with its last window
            closed = True
        # Above 16 bits are flags of shift and locks. Arrows have two bytes, the second of them a letter's.
        letter = code & 0xFFFF
        if closed or letter == ESCAPE:
            return "q"
        return chr(letter).lower() if letter < 0x80 else ""

    def rectangle(self) -> Rectangle | None:
        """Return where the picture is on the desktop."""
        with contextlib.suppress(cv2.error):  # just closed
            left, top, width, height = cv2.getWindowImageRect(TITLE)
            return (left, top, width, height) if width > 0 else None
        return None

    def close(self) -> None:
        """Close the window, if the user has not."""
        with contextlib.suppress(cv2.error):
            cv2.destroyWindow(TITLE)
            cv2.pollKey()


class NotebookDisplay(Display):
    """An image with buttons under a notebook's cell."""

    visible = True
    BUTTONS = (("Stop", "q"), ("Pause", " "), ("Bars", "b"), ("Blur", "l"))

    def __init__(self) -> None:
        import ipywidgets

        self._image = ipywidgets.Image(format="jpeg")
        self._keys: list[str] = []
        self._shown_s = 0.0
        self.buttons = [ipywidgets.Button(description=text) for text, _ in self.BUTTONS]
        for button, (_, key) in zip(self.buttons, self.BUTTONS, strict=True):
            button.on_click(lambda _, key=key: self.press(key))
        self._note = ipywidgets.HTML()
        self.widget = ipywidgets.VBox([self._image, ipywidgets.HBox(self.buttons), self._note])

    def press(self, key: str) -> None:
        """Act as if the button of ``key`` was pressed."""
        self._keys.append(key)

    def say(self, text: str) -> None:
        """Write a sentence below the buttons."""
        self._note.value = html.escape(text)

    @property
    def jpeg(self) -> bytes:
        """The picture shown now."""
        return bytes(self._image.value)  # ipywidgets keeps a memoryview

    def size(self, frame: tuple[int, int]) -> tuple[int, int]:
        """Draw at the size that is sent to the browser."""
        return within(frame, (960, 960))

    def show(self, image: np.ndarray) -> None:
        """Send the picture to the browser, at most 15 a second."""
        now = time.monotonic()
        if now - self._shown_s > 1 / 15:
            self._shown_s = now
            self._image.value = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()

    def key(self) -> str:
        """Return the key of the button pressed first."""
        return self._keys.pop(0) if self._keys else ""

    def close(self) -> None:
        """Leave the last picture, and grey the buttons out."""
        for button in self.buttons:
            button.disabled = True


def within(frame: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (width, height) of the frame's proportions that fits into ``room``."""
    scale = min(room[0] / frame[0], room[1] / frame[1])
    return max(2, round(frame[0] * scale)), max(2, round(frame[1] * scale))


def place(
    monitors: Sequence[Rectangle],
    frame: tuple[int, int],
    region: Rectangle | None = None,
    now: Rectangle | None = None,
) -> Rectangle:
    """Return where on the desktop a window shows pictures of (width, height) ``frame``: whole, and on one monitor.

    Args:
        monitors: the first is the main one; without any, the place is a guess.
        region: what the window looks at. It is then small, in the corner that covers least of that, on the same
            monitor if possible.
        now: where the picture was until now; without a region, it stays there as far as it fits.
    """
    places = list[tuple[int, bool, Rectangle]]()  # the worse, the larger
    for monitor in monitors or [(0, 0, 1920, 1080)]:
        left, top, width, height = monitor
        free = width - MARGINS[0] - MARGINS[2], height - MARGINS[1] - MARGINS[3]
        beside = round(BESIDE * width) - FRAME[0], round(BESIDE * height) - FRAME[1]
        w, h = within(frame, beside if region else (min(FIRST_SIZE[0], free[0]), min(FIRST_SIZE[1], free[1])))
        low = left + MARGINS[0], top + MARGINS[1]
        high = low[0] + free[0] - w, low[1] + free[1] - h
        if region:
            spots = [(x, y, w, h) for y in (high[1], low[1]) for x in (high[0], low[0])]
            places += [(overlap(spot, region), not overlap(monitor, region), spot) for spot in spots]
        else:
            middle = (low[0] + high[0]) // 2, (low[1] + high[1]) // 2
            x, y = np.clip(now[:2] if now else middle, low, high).tolist()
            places.append((-overlap(now, monitor) if now else 0, False, (x, y, w, h)))
    return min(places, key=lambda rated: rated[:2])[2]


def _monitors() -> list[Rectangle]:
    with contextlib.suppress(DeviceError):
        return list_monitors()[1:]
    return []  # unknown on this system
