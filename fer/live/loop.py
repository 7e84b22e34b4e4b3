"""The demo itself: frames in, faces drawn, keys obeyed, everything closed at the end. Shared by webcam and screen.

Where somebody watches, or the source is live, the newest frame is drawn at once with the faces of the newest analysis,
moved to where they are now: reading, analysing and drawing do not wait for each other. Otherwise, for a file without
a window, they go *in step*: every frame is analysed, and drawn if it is recorded, as fast as that goes.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from operator import methodcaller
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fer.errors import DeviceError, UserError
from fer.interrupt import Stop
from fer.live import overlay, paint
from fer.live.analysis import Analyser, Analysis, Worker
from fer.live.capture import Capture, Frame
from fer.live.display import Display
from fer.live.options import RECORDING
from fer.live.sources import Photos, Source
from fer.live.video import VideoWriter
from fer.live.view import View

DETECTION_SIZES = 160, 1920  # smallest and largest
OPENING_S = 40.0  # Windows may take half a minute to open a camera
SILENCE_S = 30.0  # a live source that sends no frame for longer is gone; in less, a cable is plugged in again
QUIET_S = 2.0  # most sources open in less, and need no words
SLOW_S = 0.1  # between two frames; a picture shown for longer is drawn again when its faces are detected
SLOW_ANALYSIS = "analysis is slow: press -"
IDLE_S = 0.5  # without a new frame: messages come and go, and windows change their size
NOTICE_S = 6.0  # and as long, in a window, the keys
NO_FACE, SMALLER = "No face found.", " Press + for smaller ones."
NO_FACE_S = 2.0  # of a film or camera without any, until it is said; of a photo, which stays, at once
MOST_HIDDEN = 0.2  # of what is looked at, under the window, without a word


class Player:
    """Plays one source until it ends, the user quits, or ``max_frames`` were shown.

    Args:
        load: makes the analyser; called once, in the thread that uses it.
        record: file to record to from the start.
        on_analysis: called with every analysis, in order. Without it and a display, the recording is all there is, and
            the play ends where that fails.
        max_frames: counted from when the model is loaded; all by default.
    """

    loading = "Loading the model …"  # the message until then

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
        self.shown, self.written = 0, list[Path]()  # number of frames, and the files that were finished
        self.frame: Frame | None = None  # the newest that was shown
        self.stop = Stop(at_once=False)  # a signal that is noted there ends the play at the loop's next turn
        self._load, self._on_analysis, self._max_frames = load, on_analysis, max_frames
        self._in_step = not source.live and not self.display.visible
        self._times: deque[float] = deque(maxlen=60)  # when the newest frames were shown
        self._message, self._message_until = overlay.NOTICE, self._clock() + NOTICE_S
        self._keys_until = 0.0  # they are shown without being asked for
        self._analysis: Analysis | None = None  # the newest that was drawn
        self._drawn_s = self._face_s = 0.0  # when that was, and when a face was drawn or nothing known
        self._fallback: Source | None = None  # the source before, until the next one has sent a frame
        self._worker: Worker  # from ``run`` on
        self._capture: Capture  # from ``run`` on
        self._video: VideoWriter | None = None  # the recording that is being made
        self._failed: UserError | None = None  # why a recording is missing
        self._resources = ExitStack()
        self._resources.callback(self._stop_recording)
        if record:
            self._video = VideoWriter(record, not self._in_step, zero_s=0.0)  # the times of the table

    def run(self) -> None:
        """Play. Whatever way it ends, also with a UserError, devices are let go and files are closed.

        DeviceError where the source ended before anything was analysed.
        """
        ended = False
        try:
            self._worker = Worker(self._load, self._on_analysis or (lambda _: None))
            self._resources.callback(self._worker.close)
            self._open(self.source)
            self._drawn_s = time.monotonic()
            disable = None if self._in_step else True  # None: shown on a terminal
            with tqdm(total=self._max_frames, unit=" frames", disable=disable, leave=False) as progress:
                while not self.stop and self.shown != self._max_frames and self._obey(self.display.key()):
                    if frame := self._next_frame():
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
        self._capture = Capture(source, self._in_step, None if source.stills else self.frame)
        self._resources.callback(self._capture.close)

    def _next_frame(self) -> Frame | None:
        """Return the newest frame not shown yet, or None after a moment; raise if the source is silent."""
        source, capture, paused = self.source, self._capture, self.view.paused
        if not source.live and not self._worker.ready:  # else a short film would be over before
            self._draw()
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
            frame = None
        if frame or source is not self.source:
            self._fallback = None
        elif capture.silent_s > (OPENING_S if self.frame is None else SILENCE_S) and self._waits:
            raise DeviceError(
                f"No picture from {source.name} for {capture.silent_s:.0f} s. Is it unplugged, or used by another "
                "program?"
            )
        return None if paused and source.live else frame

    @property
    def _waits(self) -> bool:
        """Whether a live source has not sent a frame for long."""
        waits = self.source.live and self._capture.alive and not self.view.paused
        return waits and self._capture.silent_s > QUIET_S

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
        self._drawn_s = time.monotonic()
        frame, video = self.frame, self._video if record else None
        if frame is None and self.display.visible:
            width, height = self.display.size((960, 540))
            picture = np.full((height, width, 3), 24, np.uint8)
            overlay.draw(picture, (), overlay.Status(message=self._text()), scale=1.0)
            self.display.show(picture)
        if frame is None or not (self.display.visible or video):
            return
        latest = self._analysis = self._worker.latest  # its figures are true, if its faces are too old
        analysis = self._worker.analysis_of(frame)
        if analysis is None or analysis.faces:
            self._face_s = self._drawn_s
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
            alone = self._drawn_s - self._face_s > (0 if self.source.stills else NO_FACE_S)
            nobody = NO_FACE + SMALLER * self.display.keyboard if alone else ""
            shown = replace(
                status,
                message=f"{self._text() or self._advice()} {nobody}".strip(),
                recording_s=None if start_s is None else frame.time_s - start_s,
                paused=self.view.paused,
                keys=self._keys(),
            )
            size = self.display.size((frame.image.shape[1], frame.image.shape[0]))
            self.display.show(self.view.draw(frame.image, analysis, shown, size))
        if video:
            try:
                video.write(self.view.draw(frame.image, analysis, status), frame.time_s)
            except UserError as error:
                self._video = None
                if not (self.display.visible or self._on_analysis):
                    raise
                self._failed = error
                self._say(str(error), 6.0)

    def _advice(self) -> str:
        """Return what keeps the program from its work, and what to do about it."""
        if self.source.hidden > MOST_HIDDEN:
            part = f"{self.source.hidden:.0%}"
            return f"This window hides {part} of what it looks at: make it smaller or move it aside."
        if self.source.hidden and self._clock() < self._keys_until + NOTICE_S:
            return "The dark part is this window."
        analyser, slow = self._worker.analyser, self._worker.slow and not self.source.stills
        faster = analyser is not None and analyser.detection_size > DETECTION_SIZES[0]
        return SLOW_ANALYSIS if slow and faster and self.display.keyboard else ""

    def _keys(self) -> list[list[tuple[str, str]]]:
        """Return the keys to show in their forms: all, or for a beginner, where they would hide a face, two."""
        useful = {"c": self.source.live, "n  p": self.source.stills}
        table = [(key, text) for key, text, _ in KEYS if useful.get(key, True)]
        forms = [table, [("h", "all keys"), ("q", "quit")]]
        if self.view.help:
            return forms[:1]
        return forms if self._clock() < self._keys_until else []

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
        self._fallback, source = self.source, self.source.next()
        self._change(source)
        self._say(source.name, 2.0)

    def _show_photo(self, step: int) -> None:
        """Go to the next photo of a folder, or the one before, and stay there until space is pressed."""
        if self.frame and isinstance(self.source, Photos):
            self._change(self.source.beside(self.frame.index, step))
            self.view.paused = True

    def _change(self, source: Source) -> None:
        self._capture.close()
        if not source.stills:  # what is known of one photo is never used for another
            self._worker.forget()
        self._open(source)

    def _snapshot(self) -> None:
        if self.frame is None:
            return
        path = _new_path("snapshot", ".png")
        analysis = self._worker.analysis_of(self.frame)
        paint.save(self.view.draw(self.frame.image, analysis, overlay.Status()), path)
        self.written.append(path)
        self._say(f"saved {path}", 3.0)

    def _toggle_recording(self) -> None:
        if self._video is None:
            self._video = VideoWriter(_new_path("recording", RECORDING), drop=not self._in_step)
        else:
            path = self._stop_recording()
            self._say(f"saved {path}" if path else "nothing was recorded", 3.0)

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

    def _say(self, text: str, seconds: float) -> None:
        self._message, self._message_until = text, self._clock() + seconds

    def _text(self, loading: bool = True) -> str:
        """Return the message of the moment and, with ``loading``, what is waited for."""
        texts = [self._message] if self._clock() < self._message_until else []
        if loading and not self._worker.analyser:
            texts.append(self.loading)
        if loading and self._waits:
            texts.append(f"Waiting for {self.source.name} …")
        return " ".join(texts)

    def _clock(self) -> float:
        """Seconds; those of the film in step with it, so that its recordings are alike on all machines."""
        if not self._in_step:
            return time.monotonic()
        return self.frame.time_s if self.frame else 0.0


def _new_path(kind: str, suffix: str) -> Path:
    return Path("outputs") / f"{kind}-{datetime.now():%Y%m%d-%H%M%S-%f}{suffix}"


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
