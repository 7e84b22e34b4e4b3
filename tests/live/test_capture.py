"""Reading in a thread: newest or all, in time, to the end, and always let go of."""

import threading
import time

import numpy as np
import pytest

from fer.errors import DeviceError
from fer.live.capture import AHEAD, Capture
from fer.live.media import Pictures, Source


class Double(Source):
    """A camera that does what ``script`` says: numbers are sent, "freeze" blocks, an exception is raised."""

    live = True

    def __init__(self, *script):
        self.script, self.released, self.thaw = script, threading.Event(), threading.Event()

    def __iter__(self):
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if step == "freeze":
                    self.thaw.wait(10)
                elif isinstance(step, tuple):
                    yield np.zeros((*step, 3), np.uint8), None
                else:
                    yield np.full((4, 4, 3), step, np.uint8), None
        finally:
            self.released.set()


def everything(capture):
    frames = []
    while capture.alive:
        frame = capture.get(0.2)
        if frame is not None:
            frames.append(frame)
    return frames


def test_every_frame_arrives_in_order_when_none_may_be_dropped():
    images = [np.full((2, 2, 3), i, np.uint8) for i in range(50)]
    frames = everything(Capture(Pictures(images, fps=10), drop=False))
    assert [int(frame.image[0, 0, 0]) for frame in frames] == list(range(50))
    assert [frame.index for frame in frames] == list(range(50))
    assert np.allclose([frame.time_s for frame in frames], np.arange(50) / 10)


def test_reading_ahead_is_bounded(wait_until):
    taken = []
    capture = Capture(
        Pictures(taken.append(i) or np.zeros((2, 2, 3), np.uint8) for i in range(1000)), drop=False
    )
    wait_until(lambda: len(taken) > AHEAD)
    time.sleep(0.1)
    assert len(taken) == AHEAD + 1
    capture.close()
    assert len(taken) < 20


def test_a_slow_reader_gets_the_newest_frame_and_only_that(wait_until):
    camera = Double(*range(9), "freeze", 9)
    capture = Capture(camera, drop=True)
    wait_until(lambda: capture._index == 9)
    assert capture.get(1).index == 8
    assert capture.get(0.01) is None and capture.alive
    camera.thaw.set()
    assert capture.get(5).index == 9


def test_a_frozen_camera_is_noticed(wait_until):
    camera = Double(1, "freeze")
    capture = Capture(camera, drop=True)
    assert capture.get(5) is not None
    wait_until(lambda: capture.silent_s > 0.3)
    assert capture.alive
    camera.thaw.set()
    assert camera.released.wait(5)


def test_a_dying_camera_gives_its_last_frame_and_then_its_error():
    camera = Double(1, 2, DeviceError("unplugged"))
    capture = Capture(camera, drop=False)
    assert [capture.get(5).index, capture.get(5).index] == [0, 1]
    with pytest.raises(DeviceError, match="unplugged"):
        capture.get(5)
    assert camera.released.is_set() and not capture.alive


def test_frames_may_change_their_size():
    frames = everything(Capture(Double((4, 6), (8, 2)), drop=False))
    assert [frame.image.shape for frame in frames] == [(4, 6, 3), (8, 2, 3)]


@pytest.mark.parametrize("drop", [True, False])
def test_closing_lets_go_of_the_device(drop):
    camera = Double(*range(100_000))
    capture = Capture(camera, drop)
    assert capture.get(5) is not None
    capture.close()
    assert camera.released.is_set()
    assert not any(thread is capture._thread for thread in threading.enumerate())


def test_a_file_keeps_its_own_time_when_it_is_watched():
    start = time.monotonic()
    frames = everything(
        Capture(Pictures([np.zeros((2, 2, 3), np.uint8)] * 6, fps=20), drop=False, paced=True)
    )
    assert time.monotonic() - start >= 0.24  # the sixth frame is due after 5/20 s
    assert len(frames) == 6


def test_a_paused_file_stands_still(wait_until):
    capture = Capture(Pictures([np.zeros((2, 2, 3), np.uint8)] * 1000, fps=50), drop=True, paced=True)
    wait_until(lambda: capture._index > 3)
    capture.paused = True
    time.sleep(0.1)
    before = capture._index
    time.sleep(0.3)
    assert capture._index <= before + 1
    capture.paused = False
    wait_until(lambda: capture._index > before + 3)
    capture.close()


def test_numbers_and_times_go_on_after_a_change_of_camera():
    frame = everything(Capture(Double(1), drop=False, after_s=12.0, after_index=300))[0]
    assert frame.index == 300 and 12.0 <= frame.time_s < 17.0
