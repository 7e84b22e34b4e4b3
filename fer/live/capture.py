"""Reads a source in a thread of its own, so that nobody waits for a camera and a camera waits for nobody."""

import math
import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from fer.live.sources import Source

AHEAD = 4  # frames read ahead in step


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source."""

    image: np.ndarray  # BGR uint8 (H, W, 3); nobody draws into it
    time_s: float  # media time of files; for live sources, seconds by the clock since the capture began
    index: (
        int  # 0, 1, 2 … as the source gave them; some are missing where frames were dropped or cannot be read
    )


class Capture:
    """Frames of ``source``, whose iterator is opened and closed inside the thread.

    Args:
        in_step: give every frame, waiting for the reader; else only the newest, those of a file at their times.
        last: the frame before, where this goes on from another capture.

    Attributes:
        paused: whether the time of a file stands still after its first frame, as it does at first; can be changed at
            any time.
        alive: False once the source has ended and its last frame was taken.
    """

    def __init__(self, source: Source, in_step: bool, last: Frame | None = None) -> None:
        self.source, self.in_step = source, in_step
        self.alive = self.paused = True
        self._start_s, self._index = (last.time_s, last.index + 1) if last else (0.0, source.first)
        self._last_read_s = time.monotonic()
        self._origin_s = self._last_read_s - self._start_s  # when the clock showed 0
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._stop = self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name=f"capture {source.name}", daemon=True)
        self._thread.start()

    def get(self, timeout: float) -> Frame | None:
        """Return the next frame, or None when none came within ``timeout`` seconds; raise what the source raised."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._ended, timeout)
            if self._frames:
                frame = self._frames.popleft()
                self._changed.notify_all()
                return frame
            self.alive = not self._ended
            if self._error is not None:
                raise self._error
            return None

    @property
    def silent_s(self) -> float:
        """Seconds since the source last gave a frame."""
        return time.monotonic() - self._last_read_s

    def close(self) -> None:
        """Stop reading and let go of the device."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        self._thread.join(timeout=3.0)  # a device that hangs inside its driver is left to the system

    def _read(self) -> None:
        frames, time_s = iter(self.source), self._start_s
        paced, started = not (self.in_step or self.source.live), False
        try:
            for image, media_s in frames:
                if self._stop:
                    return
                if image is None:
                    self._index += not self.source.live
                    continue
                self._last_read_s = time.monotonic()
                time_s = self._last_read_s - self._origin_s if media_s is None else self._start_s + media_s
                if paced and started:
                    self._wait_until(time_s)
                elif paced:  # this one now, the others as long after it as in the file
                    self._origin_s = self._last_read_s - time_s
                started = True
                with self._changed:
                    if self.in_step:
                        self._changed.wait_for(lambda: self._stop or len(self._frames) < AHEAD)
                    else:
                        self._frames.clear()
                    self._frames.append(Frame(image, time_s, self._index))
                    self._index += 1
                    self._changed.notify_all()
                    if self._stop:
                        return
            if paced and self.source.stills:
                self._wait_until(math.inf)  # the last photo stays
        except BaseException as error:  # noqa: BLE001 - carried to the thread that reads
            self._error = error
        finally:
            frames.close()  # the source lets go of its device here
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _wait_until(self, time_s: float) -> None:
        """Sleep until ``time_s`` on the player's clock, which stands still while paused."""
        while not self._stop:
            if self.paused:
                self._origin_s += 0.02
                time.sleep(0.02)
                continue
            wait = self._origin_s + time_s - time.monotonic()
            if wait <= 0:
                if wait < -0.25:  # the file was slow to open or decode: go on from here, do not race
                    self._origin_s -= wait
                return
            time.sleep(min(wait, 0.02))
