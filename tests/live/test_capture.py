"""Reading in a thread: newest or all, in time, to the end, and always let go of."""

import threading
import time

import numpy as np
import pytest
from live_support import Images

from fer.errors import DeviceError
from fer.live.capture import AHEAD, Capture, Frame
from fer.live.sources import Source


class Double(Source):
    """A camera that follows ``script``: numbers are sent as shades, "freeze" blocks, an exception is raised."""

    live = True

    def __init__(self, *script):
        self.script, self.sent = script, 0
        self.released, self.thaw = threading.Event(), threading.Event()

    def __iter__(self):
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if step == "freeze":
                    self.thaw.wait(10)
                    continue
                yield np.full((4, 4, 3), step, np.uint8), None
                self.sent += 1
        finally:
            self.released.set()


def black(count, taken):
    """Yield black images, and count them in the list ``taken``."""
    for number in range(count):
        taken.append(number)
        yield np.zeros((2, 2, 3), np.uint8)


def everything(capture):
    frames = []
    while capture.alive:
        frame = capture.get(0.2)
        if frame is not None:
            frames.append(frame)
    return frames


def test_every_frame_arrives_in_order_when_none_may_be_dropped():
    images = [np.full((2, 2, 3), i, np.uint8) for i in range(50)]
    frames = everything(Capture(Images(images, fps=10), in_step=True))
    assert [int(frame.image[0, 0, 0]) for frame in frames] == list(range(50))
    assert [frame.index for frame in frames] == list(range(50))
    assert np.allclose([frame.time_s for frame in frames], np.arange(50) / 10)


def test_reading_ahead_is_bounded(wait_until):
    taken = []
    capture = Capture(Images(black(1000, taken)), in_step=True)
    wait_until(lambda: len(taken) > AHEAD)
    time.sleep(0.1)
    assert len(taken) == AHEAD + 1
    capture.close()
    assert len(taken) < 20


def test_a_slow_reader_gets_the_newest_frame_and_only_that(wait_until):
    camera = Double(*range(9), "freeze", 9)
    capture = Capture(camera, in_step=False)
    wait_until(lambda: camera.sent == 9)
    assert capture.get(1).index == 8
    assert capture.get(0.01) is None and capture.alive
    wait_until(lambda: capture.silent_s > 0.3)  # so that a frozen camera is noticed
    camera.thaw.set()
    assert capture.get(5).index == 9 and camera.released.wait(5)


def test_a_dying_camera_gives_its_last_frame_and_then_its_error():
    camera = Double(1, 2, DeviceError("unplugged"))
    capture = Capture(camera, in_step=True)
    assert [capture.get(5).index, capture.get(5).index] == [0, 1]
    with pytest.raises(DeviceError, match="unplugged"):
        capture.get(5)
    assert camera.released.is_set() and not capture.alive


@pytest.mark.parametrize("in_step", [True, False])
def test_closing_lets_go_of_the_device_and_ends_the_thread(in_step):
    threads = set(threading.enumerate())
    camera = Double(*range(100_000))
    capture = Capture(camera, in_step)
    assert capture.get(5) is not None
    capture.close()
    assert camera.released.is_set() and set(threading.enumerate()) <= threads


def test_a_file_keeps_its_own_time_when_it_is_watched():
    start = time.monotonic()
    capture = Capture(Images(black(6, []), fps=20), in_step=False)
    capture.paused = False
    frames = everything(capture)
    assert time.monotonic() - start >= 0.24  # the sixth frame is due after 5/20 s
    assert len(frames) == 6


def test_a_paused_file_stands_still_after_its_first_picture(wait_until):
    taken = []
    capture = Capture(Images(black(1000, taken), fps=50), in_step=False)
    time.sleep(0.2)
    assert len(taken) == 2 and capture.get(1).index == 0 and capture.get(0.01) is None
    capture.paused = False
    wait_until(lambda: len(taken) > 3)
    capture.paused = True
    time.sleep(0.1)
    before = len(taken)
    time.sleep(0.3)
    assert len(taken) <= before + 1
    capture.close()


def test_numbers_and_times_go_on_after_a_change_of_camera():
    last = Frame(np.zeros((4, 4, 3), np.uint8), 12.0, 299)
    frame = everything(Capture(Double(1), in_step=True, last=last))[0]
    assert frame.index == 300 and 12.0 <= frame.time_s < 17.0
