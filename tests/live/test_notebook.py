"""The demo beside a notebook lets go of its source however it is ended."""

import signal
import threading
import time

import pytest
from live_support import ColourPredictor, picture

from fer.errors import DeviceError
from fer.live.media import Source
from fer.live.notebook import Session
from fer.live.options import LiveOptions


class Camera(Source):
    """Films the same happy square for ever, or breaks; knows whether it was let go."""

    name, live, fps = "camera", True, 25.0

    def __init__(self, breaks=False):
        self.breaks, self.open, self.frames = breaks, False, 0

    def __iter__(self):
        self.open = True
        try:
            while True:
                if self.breaks:
                    raise DeviceError("unplugged")
                self.frames += 1
                yield picture(("happiness", 100, 100)), None
                time.sleep(0.02)
        finally:
            self.open = False


def start(camera):
    return Session(camera, LiveOptions(), load=ColourPredictor)


def test_it_ends_after_so_many_seconds_and_leaves_the_last_picture(wait_until):
    camera = Camera()
    session = start(camera)
    wait_until(lambda: session.display.jpeg)
    session.wait(0.2)
    wait_until(lambda: not camera.open)
    assert session.display.jpeg.startswith(b"\xff\xd8")
    assert all(button.disabled for button in session.display.buttons)


def test_the_stop_button_lets_go_of_the_camera(wait_until):
    camera = Camera()
    session = start(camera)
    wait_until(lambda: camera.frames)
    session.display.buttons[0].click()
    wait_until(lambda: not camera.open)
    session.wait()


def test_an_interrupt_of_the_kernel_lets_go_of_the_camera(wait_until):
    camera = Camera()
    session = start(camera)
    wait_until(lambda: camera.frames)
    caught = threading.Event()

    def interrupt():
        # Again after a while, as a user would: Python drops an interrupt that comes in a finalizer.
        time.sleep(0.3)
        while not caught.is_set():
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            caught.wait(5)

    # What a shell starts in the background ignores interrupts from the start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            session.wait(30)
    finally:
        caught.set()
        thread.join()
        signal.signal(signal.SIGINT, before)
    wait_until(lambda: not camera.open)


def test_what_ended_it_early_is_raised_where_one_waits():
    with pytest.raises(DeviceError, match="unplugged"):
        start(Camera(breaks=True)).wait(20)
