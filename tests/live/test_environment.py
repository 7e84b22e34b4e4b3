"""Messages for each platform."""

import pytest

from fer.live import environment


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, ["DISPLAY is not set", "--no-window"]),
        ({"SSH_CONNECTION": "10.0.0.1"}, ["this side of ssh", "ssh -X", "--no-window"]),
        ({"WAYLAND_DISPLAY": "wayland-0"}, ["Wayland", "xwayland", "--no-window"]),
        ({"DISPLAY": ":987"}, [":987 cannot be used", "--no-window"]),
    ],
)
def test_without_a_display_the_message_says_why_and_what_instead(environ, words):
    message = environment.display_problem(environ, "linux")
    assert all(word in message for word in words), message


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_mac_and_windows_always_have_a_display(platform):
    assert environment.display_problem({}, platform) == ""
    assert environment.screen_problem({}, platform) == ""


def test_an_x_session_that_answers_has_no_problem(x_display):
    assert environment.display_problem({"DISPLAY": x_display}, "linux") == ""
    assert environment.screen_problem({"DISPLAY": ":0", "XDG_SESSION_TYPE": "x11"}, "linux") == ""


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"XDG_SESSION_TYPE": "wayland", "DISPLAY": ":0"}, "Wayland"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "X11 session"),
        ({}, "DISPLAY is not set"),
    ],
)
def test_a_screen_that_cannot_be_captured(environ, word):
    assert word in environment.screen_problem(environ, "linux")


def test_without_permission_for_the_screen_a_film_can_be_played():
    for message in (
        environment.SCREEN_ADVICE["darwin"],
        environment.screen_problem({"WAYLAND_DISPLAY": "wayland-0"}, "linux"),
    ):
        assert "fer.webcam --source FILE" in message


def test_variables_that_opencv_reads_are_set_and_the_users_stay():
    windows, wayland = {}, {"WAYLAND_DISPLAY": "wayland-0"}
    environment.prepare(windows, "win32")
    environment.prepare(wayland, "linux")
    assert windows["OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS"] == "0"
    assert wayland["QT_QPA_PLATFORM"] == "xcb"
    chosen = {"WAYLAND_DISPLAY": "wayland-0", "QT_QPA_PLATFORM": "wayland", "OPENCV_LOG_LEVEL": "INFO"}
    before = dict(chosen)
    environment.prepare(chosen, "linux")
    assert chosen == before
