"""What a platform needs before a camera or a window works, and what to say when it is missing."""

import importlib.util
import os
import sys
from collections.abc import Mapping

from fer.errors import UserError

PACKAGES = {"cv2": "opencv-python", "torch": "torch", "av": "av", "mss": "mss", "PIL": "pillow"}
"""What the demos import, and its name on PyPI."""


class DependencyMissing(UserError, ImportError):
    """A package that the demos need is not installed."""


def prepare(environ: dict[str, str] | os._Environ = os.environ, platform: str = sys.platform) -> None:
    """Check that the packages are installed, and set what OpenCV reads when it is first imported.

    What the user has set stays.
    """
    missing = [module for module in PACKAGES if importlib.util.find_spec(module) is None]
    if missing:
        raise DependencyMissing(
            f"The demos need {', '.join(PACKAGES[m] for m in missing)}, not installed for {sys.executable}. "
            "In the repository's folder: python -m pip install -r requirements.txt"
        )
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
    instead = "Add --no-window (with --save, --csv or --timeline to keep the result)"
    if "JPY_PARENT_PID" in environ:
        instead += "; inside a notebook use fer.live.notebook.show, as notebooks/05_live_demo.ipynb does"
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
            "Wayland does not let programs look at the screen. Log out and choose an X11 session "
            '("Ubuntu on Xorg", "Plasma (X11)") at the login screen, or run '
            "`python -m fer.webcam --source FILE` on a recording of the screen."
        )
    if not environ.get("DISPLAY"):
        return "There is no screen here (DISPLAY is not set). Run it in a desktop session, or under xvfb-run."
    return ""


CAMERA_ADVICE = {
    "darwin": "Allow it under System Settings > Privacy & Security > Camera for the program that runs Python "
    "(Terminal, VS Code), then start that program again.",
    "win32": "Allow desktop apps under Settings > Privacy & security > Camera, and close programs that use it "
    "(Teams, Zoom).",
    "linux": "Is another program using it? May you read /dev/video* (`sudo usermod -aG video $USER`, then log in "
    "again)?",
}
"""What to check when a camera does not open, by ``sys.platform``."""

SCREEN_ADVICE = {
    "darwin": "macOS shows only the wallpaper until you allow Screen Recording for the program that runs Python "
    "(System Settings > Privacy & Security > Screen & System Audio Recording), then start it again.",
    "linux": "A locked or remote session has no screen to capture; run it on the desktop that you see.",
}
"""What to check when the screen cannot be captured."""


def advice(by_platform: Mapping[str, str], platform: str = sys.platform) -> str:
    """Return the text for a platform; that for Linux where it has none of its own."""
    return by_platform.get(platform, by_platform["linux"])
