"""A real browser without a window, driven through a pipe: Chromium's DevTools protocol, which needs no library."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from itertools import count

import pytest
from programs import need

PROGRAMS = ("google-chrome", "chromium", "chromium-browser")


class Browser:
    """A page in headless Chromium: ``open`` an address, ``run`` JavaScript in it, press keys, take screenshots.

    Args:
        width, height: of the window in pixels.
        dark: whether the user prefers dark pages.
    """

    def __init__(self, width=1280, height=800, dark=False):
        if os.name == "nt":
            pytest.skip("Chromium is driven otherwise on Windows")
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            need("chromium")
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        # The protocol has the descriptors 3 and 4. As root, the sandbox cannot be had.
        pipes = f"90<&{to_browser} 91>&{from_browser} 3<&90 4>&91"
        command = ["bash", "-c", f'exec "$@" {pipes}', "bash", program, "--headless"]
        command += [
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]
        command += ["--hide-scrollbars", f"--user-data-dir={self._folder.name}", "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, pass_fds=[to_browser, from_browser], **quiet)
        os.close(to_browser)
        os.close(from_browser)
        self._numbers, self._session, self._rest, self.requests, self.messages = count(1), None, b"", [], []
        (target,) = (t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait(60)
        os.close(self._to)
        os.close(self._from)
        self._folder.cleanup()

    def open(self, address):
        """Load an address (file:///…), and wait until it is laid out."""
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script):
        """Return what an expression of JavaScript gives, JSON-ready; of a promise, what it comes to."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self._call("Runtime.evaluate", expression=script, **options)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, condition, seconds=60):
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, f"still not: {condition}"
            time.sleep(0.02)

    def press(self, key):
        """Press a key such as Enter or ArrowRight."""
        code = {"Enter": 13, "Escape": 27, "ArrowRight": 39, "ArrowLeft": 37, "Tab": 9}[key]
        keys = {
            "key": key,
            "code": key,
            "windowsVirtualKeyCode": code,
            **({"text": "\r"} if key == "Enter" else {}),
        }
        self._call("Input.dispatchKeyEvent", type="keyDown", **keys)
        self._call("Input.dispatchKeyEvent", type="keyUp", **keys)

    def screenshot(self):
        """Return the window as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot")["data"])

    def _call(self, method, **options):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": options}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.messages.append(answer["params"])

    def _read(self):
        while b"\0" not in self._rest:
            data = os.read(self._from, 2**16)
            assert data, "Chromium ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)
