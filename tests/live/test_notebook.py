"""The demo beside a notebook lets go of its source however it is ended."""

import signal
import threading
import time

import pytest
from live_support import ColourPredictor, Images, Live, picture

from fer.errors import DeviceError
from fer.live.notebook import Session
from fer.live.options import LiveOptions

IMAGES = [picture(("happiness", 100, 100))]


def start(camera):
    return Session(camera, LiveOptions(), load=ColourPredictor)


def test_it_ends_after_the_given_time_and_leaves_the_last_picture(wait_until):
    camera = Live(IMAGES)
    session = start(camera)
    wait_until(lambda: session.display.jpeg)
    session.wait(0.2)
    assert camera.released
    assert session.display.jpeg.startswith(b"\xff\xd8")
    assert all(button.disabled for button in session.display.buttons)


def test_an_interrupt_of_the_kernel_lets_go_of_the_camera(wait_until):
    camera = Live(IMAGES)
    session = start(camera)
    wait_until(lambda: session.display.jpeg)
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
    wait_until(lambda: camera.released)


@pytest.mark.parametrize(
    ("camera", "options", "error", "words"),
    [
        (Live([], 0, DeviceError("unplugged")), {"load": ColourPredictor}, DeviceError, "unplugged"),
        (Images([]), {}, FileNotFoundError, "no model here"),
    ],
)
def test_what_ended_it_early_is_raised_by_wait(tmp_path, camera, options, error, words):
    session = Session(camera, LiveOptions(model=tmp_path / "no model here"), **options)
    with pytest.raises(error, match=words):
        session.wait(60)
