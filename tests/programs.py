"""Programs that tests need beside Python: where one is not installed they are skipped, and told what to install."""

import shutil

import pytest

PACKAGES = {
    **{"Xvfb": "xvfb", "xdotool": "xdotool", "xrandr": "x11-xserver-utils", "openbox": "openbox"},
    **{"chromium": "chromium", "strace": "strace"},
}
"""What brings each; ``.ci/run`` installs all of them, and sets FER_NO_SKIPS (see conftest)."""


def need(*names):
    """Skip the test unless these programs are installed."""
    missing = [PACKAGES[name] for name in names if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs a program that is not installed: apt-get install {' '.join(missing)}")
