"""Window, notebook, nothing: one interface. The window is a real one, on a virtual screen."""

import cv2
import numpy as np
import pytest
from live_support import Program

from fer.errors import DeviceError
from fer.live.display import NotebookDisplay, Window, overlap, place, within

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
    wait_until(lambda: "b (186, 64, 907, 680)" in program.printed)  # as large as the screen has room for
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


@pytest.mark.parametrize("desktop", ["1280x800"], indirect=True)
def test_the_whole_window_is_on_the_screen_of_a_window_manager(desktop, tmp_path, wait_until):
    with Program(WINDOW, tmp_path, desktop) as program:
        number = wait_until(program.focus)
        wait_until(lambda: program.printed.count("shown") > 9)

        def whole():
            spot = program.rectangle(number)
            return spot[3] > 600 and inside(spot, LAPTOP)

        wait_until(whole, seconds=30)
        program.close(number)
        assert program.wait() == 0, program.printed


class Desktop:
    """Stands in for OpenCV's windows: the window manager puts the window at ``first``, and later where it is told."""

    WND_PROP_VISIBLE = WINDOW_NORMAL = WINDOW_KEEPRATIO = WINDOW_GUI_NORMAL = 0
    error = cv2.error

    def __init__(self, first):
        self.first, self.moves, self.size = first, [], (0, 0)

    def namedWindow(self, title, flags):
        pass

    def imshow(self, title, image):
        pass

    def resizeWindow(self, title, width, height):
        self.size = width, height

    def moveWindow(self, title, left, top):
        self.moves.append((left, top))

    def getWindowImageRect(self, title):
        left, top = self.first if len(self.moves) < 2 else self.moves[-1]
        return left, top, *self.size


def test_a_window_that_was_put_elsewhere_is_moved_once_and_then_left_alone(monkeypatch):
    desktop = Desktop(first=(600, 500))
    monkeypatch.setattr("fer.live.display.cv2", desktop)
    monkeypatch.setattr("fer.live.display.environment.display_problem", lambda: "")
    monkeypatch.setattr("fer.live.display.list_monitors", lambda: [(0, 0, 1280, 800)] * 2)
    monkeypatch.setattr("fer.live.display.SETTLE_S", -1.0)
    window = Window()
    window.avoid((0, 0, 1280, 800))
    image = np.zeros((280, 448, 3), np.uint8)
    for _ in range(3):
        window.show(image)
    assert desktop.moves == [(820, 464), (1040, 428)]  # by as much again as it was off
    window.avoid((640, 0, 640, 800))
    window.show(image)
    assert desktop.moves[2:] == [(12, 464)]  # beside what is looked at now


def inside(one, monitor):
    return overlap(one, monitor) == one[2] * one[3]


@pytest.mark.parametrize(
    ("codes", "key"),
    [
        ((ord("b"), ord("B"), 0x10042, 0x100062), "b"),  # with GTK's flags of shift and number lock
        ((27, ord("q"), ord("Q")), "q"),
        ((ord(" "),), " "),
        (
            (-1, 0xFF51, 0xFF52, 0xFF53, 0xF702, 0xFFE1, -55),
            "",
        ),  # arrows on Linux (Q, R, S below), on macOS, shift, é
    ],
)
def test_capital_letters_are_keys_and_arrows_are_not(monkeypatch, codes, key):
    window = Window.__new__(Window)
    window._ratio = 0.0
    for code in codes:
        monkeypatch.setattr("fer.live.display.cv2.pollKey", lambda code=code: code)
        monkeypatch.setattr("fer.live.display.cv2.getWindowProperty", lambda *_: 1.0)
        assert window.key() == key, code


LAPTOP, RIGHT = (0, 0, 1280, 800), (1280, -280, 1920, 1080)


@pytest.mark.parametrize("frame", [(640, 480), (1280, 720), (1280, 800), (600, 900), (2000, 100)])
@pytest.mark.parametrize("monitor", [LAPTOP, RIGHT, (0, 0, 1366, 768)])
def test_what_looks_at_a_monitor_is_small_and_in_its_corner(monitor, frame):
    spot = place([monitor], frame, region=monitor)
    assert inside(spot, monitor) and spot[2] <= 0.4 * monitor[2] and spot[3] <= 0.4 * monitor[3]
    assert abs(spot[2] / spot[3] / (frame[0] / frame[1]) - 1) < 0.02
    middle = (monitor[0] + monitor[2] // 4, monitor[1] + monitor[3] // 4, monitor[2] // 2, monitor[3] // 2)
    assert overlap(spot, middle) < 0.15 * middle[2] * middle[3]


@pytest.mark.parametrize(
    ("monitors", "region", "across", "down"),
    [
        ([LAPTOP], (0, 0, 640, 800), "right", "below"),
        ([LAPTOP], (640, 0, 640, 800), "left", "below"),
        ([LAPTOP], (0, 400, 1280, 400), "right", "above"),
        ([LAPTOP], (400, 200, 880, 600), "left", "above"),
        ([LAPTOP, RIGHT], LAPTOP, "other", "below"),  # another monitor is freer than any corner
        ([LAPTOP, RIGHT], (640, 0, 640, 800), "left", "below"),  # but the same one is nearer
    ],
)
def test_the_window_goes_where_it_covers_least_of_the_region(monitors, region, across, down):
    spot = place(monitors, (region[2], region[3]), region)
    assert overlap(spot, region) == 0 or region == (400, 200, 880, 600)
    if across == "other":
        assert inside(spot, RIGHT)
    else:
        assert (spot[0] > 500) == (across == "right") and inside(spot, LAPTOP)
    assert (spot[1] > 250) == (down == "below")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (None, (35, 64, 1209, 680)),  # as large as fits
        ((1300, 20, 400, 300), (1300, 20, 1280, 720)),  # where the user moved it
        ((2900, 700, 400, 300), (1908, 24, 1280, 720)),  # there it would leave the monitor
    ],
)
def test_a_window_that_looks_at_no_screen_is_whole_on_the_monitor_where_it_is(now, expected):
    assert place([LAPTOP, RIGHT], (1280, 720), now=now) == expected


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
