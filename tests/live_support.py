"""Stand-ins for the tests of the demos: faces of one colour, and a predictor that reads the colour."""

import csv
import ctypes
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from fer.labels import COLOURS, EMOTIONS
from fer.live.sources import Source
from fer.predictor import FaceEmotion

ROOT = Path(__file__).parent.parent
PALETTE = np.array([COLOURS[name][::-1] for name in EMOTIONS], float)  # BGR


class ColourDetector:
    """Finds bright squares on a dark picture."""

    max_side = 320  # of the last call

    def __call__(self, frame, max_side=None):
        self.max_side = max_side
        bright = (frame.max(-1) > 90).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
        boxes = stats[1:, :4]
        return boxes[(boxes[:, 2] > 40) & (boxes[:, 3] > 40) & (abs(boxes[:, 2] - boxes[:, 3]) < 12)]


class ColourPredictor:
    """Finds bright squares; their colour, as in COLOURS, is their emotion."""

    def __init__(self):
        self.detect = ColourDetector()

    def classify(self, frame, boxes, turn=None):
        faces = []
        for x, y, w, h in boxes:
            middle = frame[y + h // 3 : y + 2 * h // 3, x + w // 3 : x + 2 * w // 3].reshape(-1, 3).mean(0)
            best = int(np.abs(PALETTE - middle).sum(1).argmin())
            probabilities = np.full(8, 0.02, np.float32)
            probabilities[best] = 0.86
            faces.append(FaceEmotion.from_probabilities((x, y, w, h), probabilities, 0.4))
        return faces


def picture(*faces, size=(640, 480), side=120):
    """A dark BGR picture with a square of ``side`` in the colour of each (emotion, x, y)."""
    image = np.full((size[1], size[0], 3), 20, np.uint8)
    for emotion, x, y in faces:
        face = image[y : y + side, x : x + side]
        face[:] = COLOURS[emotion][::-1]
        for across, down in ((0.2, 0.25), (0.7, 0.25), (0.45, 0.75)):  # eyes and mouth, for the optical flow
            spot = face[int(down * side) :, int(across * side) :]
            spot[: side // 8, : side // 8] = 20
    return image


def film(count=20, emotion="happiness", step=4, **options):
    """A list of pictures in which one face walks to the right."""
    return [picture((emotion, 100 + step * i, 150), **options) for i in range(count)]


def write_film(path, images, fps=25):
    """Write BGR images as an MJPEG .avi, which every OpenCV can write and read."""
    size = images[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, size)
    for image in images:
        writer.write(image)
    writer.release()
    return path


def rows_of(path):
    """The rows of a CSV file, a dict each."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def environment(**more):
    """The variables of a program that imports this module and has no display."""
    environ = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "PYTHONUNBUFFERED": "1"} | more


class Program:
    """Python code that runs in a process of its own and can use this module.

    Args:
        code: what it does.
        folder: its working directory; what it prints goes to ``folder/printed.txt``.
        display: of the X server that its windows open on.
    """

    def __init__(self, code, folder, display=None, **environ):
        self.environ = environment(**environ) | ({"DISPLAY": display} if display else {})
        self._file = folder / "printed.txt"
        command = [sys.executable, "-c", code]
        with self._file.open("w") as file:
            self.process = subprocess.Popen(command, env=self.environ, cwd=folder, stdout=file, stderr=file)

    @property
    def printed(self):
        """What it has written to stdout and stderr so far."""
        return self._file.read_text()

    def xdotool(self, *arguments):
        """Do something to its screen, e.g. ``xdotool("key", "q")``."""
        command = ["xdotool", *arguments]
        done = subprocess.run(
            command, env=self.environ, capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout

    def focus(self, title="Facial Emotion"):
        """Give its window the keyboard; return the window's number, or "" while there is none."""
        found = self.xdotool("search", "--name", title).split()
        if found:
            self.xdotool("windowfocus", found[-1])
        return found[-1] if found else ""

    def rectangle(self, window):
        """Return (left, top, width, height) of its window, without what a window manager puts around it."""
        lines = self.xdotool("getwindowgeometry", "--shell", window).split()
        values = dict(line.split("=") for line in lines)
        return tuple(int(values[name]) for name in ("X", "Y", "WIDTH", "HEIGHT"))

    def remap(self, window):
        """Take its window off the screen and put it back.

        Without a window manager, Qt on a busy machine may miss that its window came
        to be on the screen, and paints nothing: a screen that stays black needs this.
        """
        self.xdotool("windowunmap", window, "sleep", "0.2", "windowmap", window, "sleep", "1")

    def close(self, window):
        """Press the cross in the window's frame, which is a message that a window manager would send."""
        library = ctypes.CDLL("libX11.so.6")
        library.XOpenDisplay.restype = ctypes.c_void_p
        library.XInternAtom.restype = ctypes.c_ulong
        display = ctypes.c_void_p(library.XOpenDisplay(self.environ["DISPLAY"].encode()))
        protocols, delete = (
            library.XInternAtom(display, word, 0) for word in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
        )
        client_message, format_bits = 33, 32
        # XClientMessageEvent: type, serial, send_event, display, window, message_type, format, data
        start = (client_message, 0, 1, display.value, int(window), protocols, format_bits)
        event = struct.pack("@iLiPLLi5l", *start, delete, 0, 0, 0, 0)
        library.XSendEvent(display, ctypes.c_ulong(int(window)), 0, ctypes.c_long(0), event.ljust(192, b"\0"))
        library.XCloseDisplay(display)

    def wait(self):
        """Wait for its end and return its exit code."""
        return self.process.wait(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(10)


def screenshot(display):
    """The whole virtual screen, BGR."""
    import mss

    with mss.MSS(display=display) as screen:
        return np.asarray(screen.grab(screen.monitors[0]))[..., :3].copy()


class Live(Source):
    """A camera that sends ``images`` over and over, and raises ``error`` after ``count`` of them."""

    live, name = True, "camera 0"

    def __init__(self, images, count=10**9, error=None, fps=100):
        self.images, self.count, self.error, self.rate, self.released = images, count, error, fps, False

    def __iter__(self):
        try:
            for index in range(self.count):
                yield self.images[index % len(self.images)], None
                time.sleep(1 / self.rate)
            if self.error:
                raise self.error
        finally:
            self.released = True


class Images(Source):
    """A file with these images, ``fps`` a second."""

    def __init__(self, images, fps=25.0):
        self.images, self.fps = images, fps

    def __iter__(self):
        for index, image in enumerate(self.images):
            yield image, index / self.fps
