"""The demo itself: frames in, faces drawn, keys obeyed, everything closed at the end. Shared by webcam and screen.

Where somebody watches, or the source is live, the newest frame is drawn at once with the faces of the newest analysis,
moved to where they are now: reading, analysing and drawing do not wait for each other. Otherwise, for a file without
a window, they go *in step*: every frame is analysed, and drawn if it is recorded, as fast as that goes.
"""

import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from operator import methodcaller
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from fer.errors import DeviceError, UserError
from fer.files import replacing
from fer.interrupt import Stop
from fer.live import overlay
from fer.live.analysis import Analyser, Analysis, Worker
from fer.live.capture import Capture, Frame
from fer.live.display import Display
from fer.live.layout import Layout
from fer.live.options import RECORDING
from fer.live.sources import Photos, Source
from fer.live.video import VideoWriter

DETECTION_SIZES = 160, 1920  # smallest and largest
OPENING_S = 40.0  # Windows may take half a minute to open a camera
SILENCE_S = 30.0  # a live source that sends no frame for longer is gone; in less, a cable is plugged in again
QUIET_S = 0.3  # most sources open in less, and need no words
SLOW_S = 0.1  # between two frames; a picture shown for longer is drawn again when its faces are detected
STALE_S = 1.0  # on top of the time of ``PACES`` analyses; faces detected longer ago are not shown: they may have left
PACES = 3  # a picture waits for the analysis before its own, and is shown until that of the next ends
SLOW_ANALYSIS_S = 0.5
SLOW_ANALYSIS = "analysis is slow: press -"
IDLE_S = 0.5  # without a new frame: messages come and go, and windows change their size
NOTICE_S = 6.0  # and as long, in a window, the keys
MOST_HIDDEN = 0.2  # of what is looked at, under the window, without a word


@dataclass
class View:
    """How frames are shown; keys change it."""

    bars: bool = True
    blur: bool = False
    mirror: bool = False
    mirror_saved: bool = False  # recordings and snapshots, too
    help: bool = False
    paused: bool = False


class Player:
    """Plays one source until it ends, the user quits, or ``max_frames`` were shown.

    Args:
        load: makes the analyser; called once, in the thread that uses it.
        record: file to record to from the start.
        on_analysis: called with every analysis, in order. Without it and a display, the recording is all there is, and
            the play ends where that fails.
        max_frames: counted from when the model is loaded; all by default.

    Attributes:
        shown, frame: number of frames shown, and the newest of them.
        written: the files that were finished.
        stop: when a signal is noted there, the play ends at the next turn of the loop.
        loading: shown until the model is loaded.
    """

    loading = "Loading the model …"

    def __init__(
        self,
        source: Source,
        load: Callable[[], Analyser],
        display: Display | None = None,
        view: View | None = None,
        record: Path | None = None,
        on_analysis: Callable[[Analysis], None] | None = None,
        max_frames: int | None = None,
    ) -> None:
        self.source, self.display, self.view = source, display or Display(), view or View()
        self.shown, self.written = 0, list[Path]()
        self.frame: Frame | None = None
        self.stop = Stop(at_once=False)
        self._load, self._on_analysis, self._max_frames = load, on_analysis, max_frames
        self._in_step = not source.live and not self.display.visible
        self._times: deque[float] = deque(maxlen=60)  # when the newest frames were shown
        self._message, self._message_until = overlay.NOTICE, 0.0
        self._keys_until = 0.0  # they are shown without being asked for
        self._analysis: Analysis | None = None  # the newest that was drawn
        self._layouts: dict[bool, Layout] = {}  # the newest of what is displayed (True) and saved
        self._drawn_s = 0.0  # when that was
        self._first = 0  # number of the first frame of this source
        self._fallback: Source | None = None  # the source before, until the next one has sent a frame
        self._worker: Worker  # from ``run`` on
        self._capture: Capture  # from ``run`` on
        self._video: VideoWriter | None = None  # the recording that is being made
        self._record = record
        self._failed: UserError | None = None  # why ``record`` is missing
        self._resources = ExitStack()
        self._resources.callback(self._stop_recording)
        if record:
            self._start_recording(record, 0.0)  # with the times of the table

    def run(self) -> None:
        """Play. Whatever way it ends, also with a UserError, devices are let go and files are closed.

        DeviceError where the source ended before anything was analysed.
        """
        ended = False
        try:
            self._say(overlay.NOTICE, NOTICE_S)
            self._worker = Worker(self._load, self._on_analysis or (lambda _: None))
            self._resources.callback(self._worker.close)
            self._open(self.source)
            hidden = None if self._in_step else True  # None: shown on a terminal
            with tqdm(total=self._max_frames, unit=" frames", disable=hidden, leave=False) as progress:
                while not self.stop and self.shown != self._max_frames and self._obey(self.display.key()):
                    frame = self._next_frame()
                    if frame is not None:
                        self._present(frame)
                        progress.update()
                    elif ended := not self._capture.alive:
                        break
                    elif self._capture.silent_s > SLOW_S and self._worker.latest is not self._analysis:
                        self._draw()  # the next frame is not soon, and its faces are known now
                    elif time.monotonic() - self._drawn_s > IDLE_S:
                        self._draw()
        finally:
            self.close()
        if self._failed:
            raise self._failed
        if ended and self._worker.ready and self._worker.latest is None:
            raise DeviceError(
                f"{self.source.name} ended before anything was analysed. Is it over, or does it want a password? Does "
                "it play in VLC?"
            )

    def close(self) -> None:
        """Close everything, each even if another fails; the window at once: a model that still loads is waited for."""
        with self._resources:
            self.display.close()

    def _open(self, source: Source) -> None:
        self.source = source
        if self.display.visible:
            self.display.avoid(source.region())
        last = None if source.stills else self.frame
        self._first = last.index + 1 if last else 0
        self._capture = Capture(source, self._in_step, last)
        self._resources.callback(self._capture.close)

    def _next_frame(self) -> Frame | None:
        """Return the newest frame not shown yet, or None after a moment; raise if the source is silent."""
        capture, paused = self._capture, self.view.paused
        if not self.source.live and not self._worker.ready:  # else a short film would be over before
            self._splash()
            time.sleep(0.03)
            return None
        capture.paused = paused
        try:
            frame = capture.get(timeout=0.01)
        except UserError as error:
            if self._fallback is None:
                raise
            self._say(str(error), 6.0)
            self._change(self._fallback)
            self._fallback = None
            return None
        if frame is not None:
            self._fallback = None
            return None if paused and self.source.live else frame
        if self.source.live and capture.alive and not paused:
            started = self.frame is not None
            if capture.silent_s > (SILENCE_S if started else OPENING_S):
                raise DeviceError(
                    f"No picture from {self.source.name} for {capture.silent_s:.0f} s. Is it unplugged, or used by "
                    "another program?"
                )
            if not started and capture.silent_s > QUIET_S:
                self._splash(f"Waiting for {self.source.name} …")
            elif capture.silent_s > 2:
                self._say(f"waiting for {self.source.name} …", 1.0)
                self._draw()
        return None

    def _splash(self, message: str = "") -> None:
        if self.display.visible:
            width, height = self.display.size((960, 540))
            picture = np.full((height, width, 3), 24, np.uint8)
            overlay.draw(picture, (), overlay.Status(message=f"{self._text()} {message}"), scale=1.0)
            self.display.show(picture)

    def _present(self, frame: Frame) -> None:
        ready = self._worker.ready
        if self.frame is None and self.display.keyboard:
            self._keys_until = self._clock() + NOTICE_S
        self.frame = frame
        self.source.exclude(self.display.rectangle())  # now: the window may have been moved
        self._worker.offer(frame)
        # A photo is looked at for long, and a face that must be hidden may not be seen for a moment: both wait.
        if self._in_step or (ready and (self.view.blur or self.source.stills)):
            self._worker.finish()
        if ready:
            self.shown += 1
            self._times.append(time.monotonic())
        self._draw(record=True)

    def _draw(self, record: bool = False) -> None:
        """Draw the newest frame for the display and, with ``record``, for the recording."""
        frame, video = self.frame, self._video if record else None
        if frame is None or not (self.display.visible or video):
            return
        self._drawn_s = time.monotonic()
        analysis = self._analysis_of(frame)
        latest = self._analysis  # its figures are true, also where its faces are too old
        # The times of a file's frames say nothing about this machine, nor do those of photos: a rate would mislead.
        times = [] if self._in_step or self.source.stills else self._times
        status = overlay.Status(
            fps=(len(times) - 1) / (times[-1] - times[0]) if times and times[-1] > times[0] else None,
            detect_ms=latest.detect_ms if latest else None,
            classify_ms=latest.classify_ms if latest else None,
            message=self._text(loading=False),
        )
        if self.display.visible:
            start_s = self._video.start_s if self._video else None
            analyser = self._worker.analyser
            faster = analyser is not None and analyser.detection_size > DETECTION_SIZES[0]
            faster = faster and self._slow and self.display.keyboard
            hides, started = "", self._clock() < self._keys_until + NOTICE_S
            if self.source.hidden > MOST_HIDDEN:
                part = f"{self.source.hidden:.0%}"
                hides = f"This window hides {part} of what it looks at: make it smaller or move it aside."
            elif self.source.hidden and started:
                hides = "The dark part is this window."
            shown = replace(
                status,
                message=self._text() or hides or (SLOW_ANALYSIS if faster else ""),
                recording_s=None if start_s is None else frame.time_s - start_s,
                paused=self.view.paused,
                keys=self._keys(),
            )
            self.display.show(self._drawn(frame, analysis, shown, displayed=True))
        if video:
            try:
                video.write(self._drawn(frame, analysis, status), frame.time_s)
            except UserError:
                self._lose_recording(video)

    def _lose_recording(self, video: VideoWriter) -> None:
        """Go on without it, where that is of use."""
        self._video = None
        try:
            video.close()
        except UserError as error:
            if not self.display.visible and self._on_analysis is None:
                raise
            if video.path == self._record:
                self._failed = error  # printed at the end
            else:
                print(f"error: {error}", file=sys.stderr)
            self._say(str(error), 6.0)

    def _keys(self) -> list[list[tuple[str, str]]]:
        """Return the keys to show in their forms: all, or for a beginner, where they would hide a face, two."""
        useful = {"c": self.source.live, "n  p": self.source.stills}
        table = [(key, text) for key, text, _ in KEYS if useful.get(key, True)]
        forms = [table, [("h", "all keys"), ("q", "quit")]]
        if self.view.help:
            return forms[:1]
        return forms if self._clock() < self._keys_until else []

    def _analysis_of(self, frame: Frame) -> Analysis | None:
        """The newest analysis, its faces moved to where they are in ``frame``; None where it is too old.

        Where analysis is slow, faces of earlier frames are marked as not detected in this one: they may be elsewhere.
        """
        latest = self._analysis = self._worker.latest
        if latest is None or latest.frame.index < self._first:
            return None
        if frame.time_s - latest.frame.time_s > STALE_S + PACES * self._worker.pace_s:
            return None
        moved = latest.moved_to(frame.image)
        if self._slow and frame is not latest.frame:
            moved = replace(moved, faces=tuple(replace(face, detected=False) for face in moved.faces))
        return moved

    @property
    def _slow(self) -> bool:
        return not self.source.stills and self._worker.pace_s > SLOW_ANALYSIS_S

    def _drawn(
        self, frame: Frame, analysis: Analysis | None, status: overlay.Status, displayed: bool = False
    ) -> np.ndarray:
        """Return a new picture: as the display wants it, or as it is saved."""
        size = frame.image.shape[1], frame.image.shape[0]
        hide = analysis.hide if analysis else np.zeros((0, 4))
        picture, faces, lost = overlay.compose(
            frame.image,
            analysis.faces if analysis else (),
            self.display.size(size) if displayed else size,
            self.view.mirror if displayed else self.view.mirror_saved,
            hide if self.view.blur else None,
            [hide[number] for number in analysis.lost] if analysis else (),
        )
        # The display shows each pixel as one; nobody knows at which size a recording will be looked at.
        scale, previous = 1.0 if displayed else None, self._layouts.get(displayed)
        self._layouts[displayed] = overlay.draw(picture, faces, status, self.view.bars, scale, previous, lost)
        return picture

    def _obey(self, key: str) -> bool:
        if key in ACTIONS:
            self._keys_until = 0.0
            try:
                ACTIONS[key](self)
            except UserError as error:
                self._say(str(error), 4.0)
            self._draw()
        return key != "q"

    def _toggle(self, what: str) -> None:
        setattr(self.view, what, not getattr(self.view, what))

    def _next_source(self) -> None:
        source = self.source.next()
        self._fallback = self.source
        self._change(source)
        self._say(source.name, 2.0)

    def _show_photo(self, step: int) -> None:
        """Go to the next photo of a folder, or the one before, and stay there until space is pressed."""
        if self.frame and isinstance(self.source, Photos):
            self._change(self.source.beside(self.frame.index, step))
            self.view.paused = True

    def _change(self, source: Source) -> None:
        self._capture.close()
        if self._worker.analyser:
            self._worker.analyser.forget()
        self._open(source)

    def _snapshot(self) -> None:
        if self.frame is None:
            return
        analysis = self._analysis_of(self.frame)
        picture = self._drawn(self.frame, analysis, overlay.Status())
        path = self._new_path("snapshot", ".png")
        try:
            with replacing(path) as temporary:  # no half of a picture on a full disk
                temporary.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        except OSError as error:
            self._say(f"{path} cannot be written: {error.strerror}", 4.0)
            return
        self.written.append(path)
        self._say(f"saved {path}", 3.0)

    def _toggle_recording(self) -> None:
        if self._video is None:
            self._start_recording(self._new_path("recording", RECORDING))
        else:
            path = self._stop_recording()
            self._say(f"saved {path}" if path else "nothing was recorded", 3.0)

    def _start_recording(self, path: Path, zero_s: float | None = None) -> None:
        self._video = VideoWriter(path, not self._in_step, zero_s)

    def _stop_recording(self) -> Path | None:
        """Finish the recording, if one is made; return its path, or None where it has no frame."""
        video, self._video = self._video, None
        path = video.close() if video else None
        if path:
            self.written.append(path)
        return path

    def _resize_detection(self, key: str) -> None:
        analyser = self._worker.analyser
        if analyser is None:
            return
        size = round(analyser.detection_size * (1 / 1.5 if key == "-" else 1.5))  # = is + without shift
        analyser.detection_size = min(max(size, DETECTION_SIZES[0]), DETECTION_SIZES[1])
        self._say(f"faces are searched in {analyser.detection_size} pixels", 2.0)

    def _new_path(self, kind: str, suffix: str) -> Path:
        return Path("outputs") / f"{kind}-{datetime.now():%Y%m%d-%H%M%S-%f}{suffix}"

    def _say(self, text: str, seconds: float) -> None:
        self._message, self._message_until = text, self._clock() + seconds

    def _text(self, loading: bool = True) -> str:
        """Return the message of the moment and, with ``loading``, what is being loaded."""
        message = self._message if self._clock() < self._message_until else ""
        return f"{message} {self.loading}".strip() if loading and not self._worker.analyser else message

    def _clock(self) -> float:
        """Seconds; those of the film in step with it, so that its recordings are alike on all machines."""
        if not self._in_step:
            return time.monotonic()
        return self.frame.time_s if self.frame else 0.0


KEYS: tuple[tuple[str, str, dict[str, Callable[[Player], None]]], ...] = (
    ("q  Esc", "quit", {}),
    ("space", "pause", {" ": methodcaller("_toggle", "paused")}),
    ("m", "mirror", {"m": methodcaller("_toggle", "mirror")}),
    ("b", "bars", {"b": methodcaller("_toggle", "bars")}),
    ("l", "blur faces", {"l": methodcaller("_toggle", "blur")}),
    ("c", "next camera or monitor", {"c": Player._next_source}),
    (
        "n  p",
        "next or previous photo",
        {"n": methodcaller("_show_photo", 1), "p": methodcaller("_show_photo", -1)},
    ),
    ("s", "snapshot", {"s": Player._snapshot}),
    ("r", "record", {"r": Player._toggle_recording}),
    ("+  -", "find smaller faces, or faster", {key: methodcaller("_resize_detection", key) for key in "+=-"}),
    ("h", "these keys", {"h": methodcaller("_toggle", "help")}),
)
"""Names of the keys, what they do in words, and their actions."""
ACTIONS = {key: action for _, _, actions in KEYS for key, action in actions.items()}
