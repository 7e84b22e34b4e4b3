"""Records frames to an .mp4 that browsers and players show: H.264, under its name once it is complete."""

import os
import queue
import sys
import threading
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from fer.errors import DataInvalid, UserError
from fer.files import fitting, unique
from fer.photos.reading import read_video

TICKS = 1000  # a second: frames keep their own times, so a recording is never too fast or too slow
WAITING = 8  # frames that may wait for the encoder
FORMAT = {
    "movflags": "hybrid_fragmented+negative_cts_offsets",
    "frag_duration": "1000000",  # microseconds
    "flush_packets": "1",
}
"""As it grows, all of it plays but for the newest seconds, whatever happens; closed, it is like any other .mp4."""


class VideoWriter:
    """Encodes an .mp4 in a thread of its own, as ``NAME.part-….mp4`` until it is closed.

    What cannot be written is DataInvalid, at once or at a later call; what was written before plays under that name.

    Args:
        drop: leave frames out when the encoder falls behind (live), rather than wait (files).
        zero_s: when the film begins, with its first frame also if that came later; by default at its time.
    """

    def __init__(self, path: Path, drop: bool = False, zero_s: float | None = None) -> None:
        self.path, self.drop, self._zero_s = Path(path), drop, zero_s
        self.frames = self.dropped = 0  # numbers of those written, and left out
        self.start_s: float | None = None  # time of the first frame
        self._part = self.path.with_name(fitting(f"{self.path.stem}.part-{unique()}.mp4"))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._part.touch()
        except OSError as error:
            raise DataInvalid(
                f"{self.path} cannot be written ({error.strerror}). Choose another folder."
            ) from error
        self._queue: queue.Queue[tuple[np.ndarray, float] | None] = queue.Queue(WAITING)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._encode, name=f"write {self.path.name}", daemon=True)
        self._thread.start()

    def write(self, image: np.ndarray, time_s: float) -> None:
        """Append a BGR uint8 frame (H, W, 3), which must not be drawn into afterwards.

        A frame of another size than the first is fitted into the first one's.
        """
        if self._error:
            self.close()  # raises
        if self.start_s is None:
            self.start_s = time_s
        if self.drop and self._queue.full():
            self.dropped += 1
            return
        self._queue.put((image, time_s - (self.start_s if self._zero_s is None else self._zero_s)))
        self.frames += 1

    def close(self) -> Path | None:
        """Finish the file; return its path, or None when it has no frame and so was not made."""
        self._queue.put(None)
        self._thread.join()
        readable = False
        with suppress(UserError):
            readable = not self._error or bool(next(read_video(self._part)))
        if not (readable and self.frames):
            self._part.unlink(missing_ok=True)
        if self._error:
            what = getattr(self._error, "strerror", None) or self._error
            kept = f" What was recorded before is in {self._part}." if readable else ""
            message = f"{self.path} was not recorded: {what}. Is the disk full?{kept}"
            raise DataInvalid(message) from self._error
        if not self.frames:
            return None
        try:
            self._part.replace(self.path)
        except OSError as error:
            raise DataInvalid(
                f"{self.path} cannot be written ({error.strerror}): {self._part} holds it."
            ) from error
        if self.dropped:
            print(f"note: {self.path} lacks {self.dropped} frames: encoding was too slow.", file=sys.stderr)
        return self.path

    def _encode(self) -> None:
        items = iter(self._queue.get, None)
        try:
            # Absolute, because FFmpeg takes what stands before a colon for a protocol.
            with av.open(os.path.abspath(self._part), "w", options=FORMAT) as container:
                stream, size, last = None, (0, 0), -1
                for image, time_s in items:
                    if stream is None:
                        # 4:2:0 needs even sides
                        size = max(2, image.shape[1] // 2 * 2), max(2, image.shape[0] // 2 * 2)
                        stream = self._open(container, size)
                    last = max(last + 1, round(time_s * TICKS)) if last >= 0 else 0
                    frame = av.VideoFrame.from_ndarray(fit(image, size), format="bgr24")
                    frame.pts, frame.time_base = last, Fraction(1, TICKS)
                    container.mux(stream.encode(frame))
                if stream is not None:
                    container.mux(stream.encode(None))
        except BaseException as error:  # noqa: BLE001 - carried to the thread that writes
            self._error = error
        for _ in items:  # nobody may wait for a dead encoder
            pass

    def _open(self, container: av.container.OutputContainer, size: tuple[int, int]) -> av.VideoStream:
        options = {"preset": "veryfast", "crf": "21"}
        stream = container.add_stream("libx264", rate=30, options=options)  # frames have their own times
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        return stream


def fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return ``image`` within (width, height), its proportions kept, the rest black."""
    width, height = size
    if image.shape[1] // 2 * 2 == width and image.shape[0] // 2 * 2 == height:
        return np.ascontiguousarray(image[:height, :width])
    scale = min(width / image.shape[1], height / image.shape[0])
    inner = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    canvas = np.zeros((height, width, 3), np.uint8)
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas[y : y + inner[1], x : x + inner[0]] = cv2.resize(image, inner, interpolation=cv2.INTER_AREA)
    return canvas
