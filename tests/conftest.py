"""Fixtures that several test files share."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from programs import need


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Sum up skipped tests by their reason alone; let them fail where ``.ci/run`` has installed all but FER+."""
    report = yield
    if report.skipped:
        reason = report.longrepr[2]
        report.longrepr = str(item.config.rootpath / "tests"), None, reason
        if os.environ.get("FER_NO_SKIPS") and "FER+ was not found" not in reason:
            report.outcome, report.longrepr = "failed", f"FER_NO_SKIPS forbids this: {reason}"
    return report


@contextmanager
def x_server(size="1280x800"):
    """A display of its own, like ":99": a real X server that draws into memory, black."""
    if sys.platform != "linux":
        pytest.skip("windows are tested on an X server, which Linux has")
    need("Xvfb", "xdotool", "xrandr")
    readable, writable = os.pipe()
    screen = ["-noreset", "-nolisten", "tcp", "-screen", "0", f"{size}x24"]
    command = ["Xvfb", "-displayfd", str(writable), *screen]
    server = subprocess.Popen(command, pass_fds=[writable], stderr=subprocess.PIPE)
    os.close(writable)
    with os.fdopen(readable) as numbers:
        number = numbers.readline().strip()  # written once the server is ready; empty if it died
    if not number:
        pytest.fail(f"Xvfb did not start: {server.stderr.read().decode()}", pytrace=False)
    try:
        yield f":{number}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="session")
def x_display():
    """A display of 1280x800 without a window manager."""
    with x_server() as display:
        yield display


@pytest.fixture
def desktop(request, tmp_path, wait_until):
    """A display of the size given as parameter, like "1280x800", with a window manager."""
    need("openbox")
    with x_server(request.param) as display:
        ready = tmp_path / "openbox"
        environ = {**os.environ, "DISPLAY": display}
        manager = subprocess.Popen(["openbox", "--startup", f"touch {ready}"], env=environ)
        try:
            wait_until(ready.exists)
            yield display
        finally:
            manager.terminate()
            manager.wait(10)


@pytest.fixture
def no_export(monkeypatch):
    """Training, averaging and calibration without the export at their end, which takes seconds: see test_export."""
    monkeypatch.setattr("fer.training.export.complete", lambda folder: None)


@pytest.fixture(scope="session")
def wait_until():
    """Function that polls ``check()`` until it gives something, and returns that."""

    def wait(check, seconds=90.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            result = check()
            if result:
                return result
            time.sleep(0.05)
        pytest.fail(f"{check} gave nothing within {seconds} s")

    return wait
