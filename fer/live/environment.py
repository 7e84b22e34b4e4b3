"""What a platform needs before a camera or a window works, and what to say when it is missing."""

import os
import sys
from collections.abc import Mapping


def prepare(environ: dict[str, str] | os._Environ = os.environ, platform: str = sys.platform) -> None:
    """Set the variables that OpenCV reads when it is first imported, unless the user has."""
    environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # a camera that does not open is explained by us
    if platform == "win32":
        # Else opening a camera takes half a minute.
        environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")
    if platform.startswith("linux") and is_wayland(environ):
        environ.setdefault("QT_QPA_PLATFORM", "xcb")  # the only Qt platform inside the OpenCV wheel


def is_wayland(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the session is a Wayland one (where an X server may run beside it, for older programs)."""
    return bool(environ.get("WAYLAND_DISPLAY")) or environ.get("XDG_SESSION_TYPE") == "wayland"


def display_problem(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> str:
    """Why no window can be opened here, and what to do instead; "" where one can.

    Qt ends the whole process when there is no display, so this must be asked before the first window.
    """
    if not platform.startswith("linux"):
        return ""
    instead = "Add --no-window (and --save, --csv or --timeline), or use notebooks/05_live_demo.ipynb"
    if environ.get("DISPLAY"):
        import mss

        try:
            mss.MSS(display=environ["DISPLAY"]).close()
        except mss.ScreenShotError as error:
            return f"The display {environ['DISPLAY']} cannot be used: {error}. {instead}."
        return ""
    found = "There is no display here (DISPLAY is not set)"
    if environ.get("SSH_CONNECTION"):
        found = "There is no display on this side of ssh (DISPLAY is not set; `ssh -X` would forward yours)"
    elif is_wayland(environ):
        found = "This Wayland session has no X server beside it (DISPLAY is not set; install xwayland)"
    return f"{found}. {instead}."


def screen_problem(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> str:
    """Why the screen cannot be captured here, and what to do; "" where nothing speaks against it."""
    if not platform.startswith("linux"):
        return ""
    if is_wayland(environ):
        return (
            "Wayland does not let programs look at the screen. Choose an X11 session at the login screen where it has "
            f'one ("Ubuntu on Xorg", "Plasma (X11)"). Otherwise {_RECORDED}.'
        )
    if not environ.get("DISPLAY"):
        return "There is no screen here (DISPLAY is not set). Run it in a desktop session, or under xvfb-run."
    return ""


_RECORDED = (
    "record the screen with the system's recorder (or take the film's file or URL) and play that: "
    "`python -m fer.webcam --source FILE`"
)
_SETTINGS = "System Settings > Privacy & Security"
CAMERA_ADVICE = {
    "darwin": f"Allow it under {_SETTINGS} > Camera for the program that runs Python, then start that again.",
    "win32": "Allow desktop apps under Settings > Privacy & security > Camera, and close Teams, Zoom and the like.",
    "linux": "Is another program using it? May you read /dev/video* (`sudo usermod -aG video $USER`, new login)?",
}
"""What to check when a camera does not open, by ``sys.platform``; elsewhere as on Linux."""
SCREEN_ADVICE = {
    "darwin": f"Allow {_SETTINGS} > Screen Recording for the program that runs Python, then start that again. "
    f"Otherwise {_RECORDED}.",
    "linux": "A locked or remote session has no screen to capture; run it on the desktop that you see.",
}
"""What to check when the screen cannot be captured."""
