"""Window, notebook, nothing: one interface. The window is a real one, on a virtual screen."""

import cv2
import numpy as np
import pytest
from live_support import Program

from fer.errors import DeviceError
from fer.live.display import NotebookDisplay, Window, within

WINDOW = """
import cv2, numpy as np
from fer.live.environment import prepare
prepare()
from fer.live.display import Window
window = Window()
size = window.size((640, 480))
while True:
    window.show(np.full((size[1], size[0], 3), (40, 80, 160), np.uint8))
    print("shown")
    if window.size((640, 480)) != size:
        size = window.size((640, 480))
        print(*size)
    key = window.key()
    if key:
        print(key, window.rectangle(), flush=True)
    if key == "q":
        break
window.close()
print("closed")
"""


@pytest.fixture
def window(x_display, tmp_path, wait_until):
    """A program with a window that has the keyboard, and the window's number."""
    with Program(WINDOW, tmp_path, x_display) as program:
        number = wait_until(program.focus)
        wait_until(lambda: "shown" in program.printed)
        yield program, number


@pytest.mark.parametrize("key", ["q", "Escape"])
def test_keys_arrive_and_q_or_escape_quit(window, key, wait_until):
    program, _ = window
    program.xdotool("key", "b")
    wait_until(lambda: "b (0, 0, 960, 720)" in program.printed)  # enlarged to what a screen has room for
    program.xdotool("key", "plus")
    wait_until(lambda: "+ (" in program.printed)
    program.xdotool("key", key)
    assert program.wait() == 0, program.printed
    assert "closed" in program.printed


EMPTY = """
import time
from fer.live.environment import prepare
prepare()
from fer.live.display import Window
window = Window()
while window.key() != "q":
    time.sleep(0.03)
window.close()
print("closed")
"""


def test_closing_a_window_in_which_nothing_was_shown_quits(x_display, tmp_path, wait_until):
    with Program(EMPTY, tmp_path, x_display) as program:
        program.close(wait_until(program.focus))
        assert program.wait() == 0, program.printed
        assert program.printed == "closed\n"


def test_closing_the_window_quits(window, wait_until):
    program, number = window
    program.close(number)
    assert program.wait() == 0, program.printed
    assert "closed" in program.printed


def test_the_window_knows_its_size_so_that_letters_are_drawn_sharp(window, wait_until):
    program, number = window
    program.xdotool("windowsize", number, "600", "450")
    wait_until(lambda: "600 450" in program.printed)


@pytest.mark.parametrize(("display", "words"), [(None, "--no-window"), (":987", ":987")])
def test_a_display_that_is_missing_or_does_not_answer_is_an_error_and_not_an_abort(
    monkeypatch, display, words
):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(DeviceError, match=words):
        Window()


def test_the_notebook_gets_a_jpeg_of_its_width_and_buttons_are_keys():
    display = NotebookDisplay()
    assert display.size((1280, 720)) == (960, 540)
    display.show(np.full((540, 960, 3), (10, 200, 30), np.uint8))
    shown = cv2.imdecode(np.frombuffer(display.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (540, 960, 3) and np.abs(shown[90, 160] - np.array((10, 200, 30.0))).max() < 4
    display.buttons[1].click()
    display.buttons[0].click()
    assert [display.key(), display.key(), display.key()] == [" ", "q", ""]


@pytest.mark.parametrize(
    ("frame", "room", "expected"),
    [
        ((640, 480), (1280, 720), (960, 720)),
        ((1280, 720), (300, 900), (300, 169)),
        ((10, 10), (2, 2), (2, 2)),
    ],
)
def test_within_keeps_proportions(frame, room, expected):
    assert within(frame, room) == expected
