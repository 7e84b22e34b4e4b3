"""python -m fer.screen on real, virtual screens."""

import os
import signal
import subprocess
import time
from collections import Counter

import cv2
import numpy as np
import pytest
from live_support import Program, rows_of, screenshot

from fer import screen
from fer.errors import DataInvalid, DeviceError
from fer.labels import EMOTIONS
from fer.live import screens
from synthetic_faces.actor import Actor

SHOWN = """
import cv2, sys
from live_support import *
from fer.live.environment import prepare
prepare()
cv2.namedWindow("picture", cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL)
cv2.resizeWindow("picture", 640, 480)
cv2.moveWindow("picture", {left}, {top})
cv2.imshow("picture", picture(({emotion!r}, 200, 150)))
while True:
    cv2.waitKey(50)
    print("shown")
"""
STUB = """
import sys
from live_support import ColourPredictor
from fer import screen
from fer.live import app
app.load_predictor = lambda *_: ColourPredictor()
sys.argv = ["screen", *{arguments!r}]
screen.command()
"""


@pytest.fixture(scope="module")
def two_monitors(x_display, tmp_path_factory, wait_until):
    """The display with its 1280x800 shared by two monitors, and a face shown on the right one."""
    environ = {**os.environ, "DISPLAY": x_display}
    for monitor in ("left 640/169x800/212+0+0 screen", "right 640/169x800/212+640+0 none"):
        subprocess.run(["xrandr", "--setmonitor", *monitor.split()], env=environ, check=True, timeout=20)
    folder = tmp_path_factory.mktemp("picture")
    with Program(SHOWN.format(left=640, top=100, emotion="sadness"), folder, x_display) as program:
        wait_until(lambda: "shown" in program.printed)
        wait_until(lambda: screenshot(x_display)[300, 900].any() or program.remap(program.focus("picture")))
        yield x_display
    for name in ("right", "left"):
        subprocess.run(["xrandr", "--delmonitor", name], env=environ, check=True, timeout=20)


def run(display, folder, *arguments):
    """Run the script with the stub; return (exit code, what it printed)."""
    with Program(STUB.format(arguments=arguments), folder, display) as program:
        return program.wait(), program.printed


def test_both_monitors_are_listed(two_monitors, tmp_path):
    status, printed = run(two_monitors, tmp_path, "--list-monitors")
    assert status == 0
    assert printed.splitlines() == ["0  0,0,1280,800  (all together)", "1  0,0,640,800", "2  640,0,640,800"]


@pytest.mark.parametrize(
    ("arguments", "left"),
    [(["--monitor", "2"], 200), (["--monitor", "0"], 840), (["--region", "700,150,500,400"], 140)],
)
def test_a_face_shown_on_the_screen_is_found_where_it_is(two_monitors, tmp_path, wait_until, arguments, left):
    table = tmp_path / "o.csv"
    code = STUB.format(arguments=[*arguments, "--no-window", "--csv", table.name])
    with Program(code, tmp_path, two_monitors) as program:
        # Not a number of frames: a busy machine shows many before the first is analysed.
        wait_until(lambda: table.exists() and rows_of(table))
        program.process.send_signal(signal.SIGINT)
        assert program.wait() == 130, program.printed
    rows = rows_of(table)
    assert {row["emotion"] for row in rows} == {"sadness"}
    assert abs(int(rows[-1]["x"]) - left) <= 3 and abs(int(rows[-1]["w"]) - 120) <= 3


def test_the_other_monitor_has_no_face(two_monitors, tmp_path):
    status, _ = run(
        two_monitors, tmp_path, "--monitor", "1", "--no-window", "--max-frames", "10", "--csv", "o.csv"
    )
    assert status == 0 and rows_of(tmp_path / "o.csv") == []


def test_its_own_window_is_not_looked_at(two_monitors, tmp_path):
    """The window, at the left, shows the face of the right again: that copy must not be found."""
    arguments = ["--monitor", "0", "--max-frames", "90", "--csv", "o.csv", "--save", "o.mp4"]
    status, printed = run(two_monitors, tmp_path, *arguments)
    assert status == 0, printed
    late = [row for row in rows_of(tmp_path / "o.csv") if int(row["frame"]) > 60]
    assert all(int(row["x"]) >= 0 for row in late)
    assert max(sum(row["frame"] == other["frame"] for other in late) for row in late) == 1 if late else True


def test_how_much_its_own_window_hides_is_known():
    image = np.full((400, 640, 3), 200, np.uint8)  # of an area half as large: a high-density screen
    area = 100, 50, 320, 200
    assert screens.darken(image, area, (0, 0, 180, 100)) == 0.0625  # 80 x 50 of 320 x 200
    assert (image[:100, :160] < 50).all() and (image[100:] == 200).all() and (image[:, 160:] == 200).all()
    assert screens.darken(image, area, (500, 0, 50, 50)) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--monitor", "7"], ["no monitor 7", "--list-monitors"]),
        (["--region", "900,700,640,480"], ["not inside the desktop", "0,0,1280,800"]),
        (["--region=-5,0,100,100"], ["not inside the desktop"]),
        (["--region", "0,0,0,10"], ["not inside the desktop"]),
    ],
)
def test_what_is_not_there_ends_with_1_and_a_message(x_display, tmp_path, arguments, words):
    status, printed = run(x_display, tmp_path, *arguments, "--no-window")
    assert status == 1 and "Traceback" not in printed
    assert all(word in printed for word in words), printed


@pytest.mark.parametrize(
    ("environ", "word"), [({}, "no screen here"), ({"WAYLAND_DISPLAY": "w", "DISPLAY": ":1"}, "Wayland")]
)
def test_without_a_screen_it_says_why(tmp_path, environ, word):
    code = STUB.format(arguments=["--no-window"])
    with Program(code, tmp_path, **environ) as program:
        assert program.wait() == 1
        assert word in program.printed and "Traceback" not in program.printed


def test_a_monitor_that_goes_away_is_an_error_that_says_so(x_display, monkeypatch):
    monkeypatch.setenv("DISPLAY", x_display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    source = screens.Screen(region=(0, 0, 64, 48))
    frames = iter(source)
    assert next(frames)[0].shape == (48, 64, 3)
    frames.gi_frame.f_locals["sides"]["left"] = 5000  # as if the desktop had become smaller
    with pytest.raises(DeviceError, match="cannot be captured any more"):
        for _ in range(3):
            next(frames)


DEMO = """
import sys
from fer.screen import command
sys.argv = ["screen", "--csv", "o.csv"]
command()
"""
WATCHED = """
import cv2
from fer.live.environment import prepare
prepare()
cv2.namedWindow("faces", cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL)
cv2.setWindowProperty("faces", cv2.WND_PROP_FULLSCREEN, cv2.WINDOW_FULLSCREEN)
cv2.imshow("faces", cv2.imread({path!r}))
while True:
    cv2.waitKey(50)
    print("shown")
"""


@pytest.fixture(scope="module")
def four_faces(tmp_path_factory):
    """A picture of a video call: neutral, happy, sad and surprised."""
    actor = Actor((640, 400), rounds=None)
    tiles = [actor.frame(3 * turn + 1.5) for turn in range(4)]
    path = tmp_path_factory.mktemp("faces") / "faces.png"
    cv2.imwrite(str(path), np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])]))
    return path


@pytest.mark.parametrize("desktop", ["1280x800", "1366x768", "1920x1080"], indirect=True)
def test_of_four_faces_on_the_screen_three_are_named_and_nothing_was_moved(
    desktop, tmp_path, four_faces, wait_until
):
    """As a beginner starts it, with the real model; the window of the demo may cover one face."""
    table = tmp_path / "o.csv"

    def named():
        rows = rows_of(table) if table.exists() else []
        return any(
            count >= 3 for count in Counter(r["frame"] for r in rows if r["emotion"] in EMOTIONS).values()
        )

    (tmp_path / "shown").mkdir()
    with Program(WATCHED.format(path=str(four_faces)), tmp_path / "shown", desktop) as faces:
        wait_until(lambda: "shown" in faces.printed)
        start = time.monotonic()
        with Program(DEMO, tmp_path, desktop) as demo:
            wait_until(named, seconds=60)  # 10 on a machine that does nothing else
            print(f"three faces named after {time.monotonic() - start:.1f} s")
            left, top, width, height = demo.rectangle(wait_until(demo.focus))
            screen_height, screen_width, _ = screenshot(desktop).shape
            demo.xdotool("key", "q")
            assert demo.wait() == 0, demo.printed
    assert width <= 0.4 * screen_width and height <= 0.4 * screen_height
    assert left >= 0 and top >= 0 and left + width <= screen_width and top + height <= screen_height


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "", "1.5,2,3,4"])
def test_a_region_is_four_whole_numbers(text):
    with pytest.raises(DataInvalid, match="whole numbers"):
        screen.parse_region(text)


def test_regions_may_begin_left_of_the_main_monitor():
    assert screen.parse_region("-1920,-200,640,480") == (-1920, -200, 640, 480)


def test_the_region_is_drawn_with_the_mouse(x_display, tmp_path, wait_until):
    code = """
from fer.live.environment import prepare
prepare()
from fer.live.screens import select_region
print(select_region(0))
"""
    with Program(code, tmp_path, x_display) as program:
        wait_until(lambda: program.focus("Draw the region"))
        for step in (
            ["mousemove", "310", "250"],
            ["mousedown", "1"],
            ["mousemove", "610", "400"],
            ["mouseup", "1"],
        ):
            program.xdotool(*step, "sleep", "0.3")
        program.xdotool("key", "Return")
        assert program.wait() == 0, program.printed
        left, top, width, height = eval(program.printed.splitlines()[-1])
    # The picture of the 1280x800 desktop is shown at three quarters of its size.
    assert np.allclose((left, top, width, height), (200, 200, 400, 200), atol=6)
