"""The demo itself: frames in, faces drawn, keys obeyed, everything closed at the end. Shared by webcam and screen.

Two ways to play. *In step*: every frame of a file is analysed and drawn, as
fast as that goes. *Beside*: where somebody watches or the source is live, the
newest frame is drawn at once with the faces of the newest analysis, moved to
where they are now; reading, analysing, and drawing wait for nobody.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from fer.errors import DeviceError, UserError
from fer.files import replacing
from fer.interrupt import Stop
from fer.live import overlay
from fer.live.analysis import DETECTION_SIZES, Analyser, Analysis, Worker
from fer.live.capture import Capture, Frame
from fer.live.display import Display, NoDisplay
from fer.live.media import Source
from fer.live.video import Recorder

KEYS = (
    ("q  Esc", "quit"),
    ("space", "pause"),
    ("m", "mirror"),
    ("b", "bars"),
    ("l", "blur faces"),
    ("c", "next camera or monitor"),
    ("s", "snapshot"),
    ("r", "record"),
    ("+  -", "find smaller faces, or faster"),
    ("h", "these keys"),
)
OPENING_S = 40.0  # Windows may take half a minute to open a camera
SILENCE_S = 10.0  # without a frame for so long, a live source is gone
QUIET_S = 0.3  # most sources open in less, and need no words
SLOW_S = 0.1  # between two frames; a picture shown for longer is drawn again when its faces are found
STALE_S = 1.0  # faces found longer ago are not shown: they may have left
NOTICE_S = 6.0


@dataclass
class View:
    """How frames are shown; keys change it."""

    bars: bool = True
    blur: bool = False
    mirror: bool = False
    can_mirror: bool = False
    help: bool = False
    paused: bool = False


class Player:
    """Plays one source until it ends, the user quits, or ``max_frames`` were shown.

    Args:
        source: where frames come from.
        load: makes the analyser; called once, in the thread that uses it.
        display: where they go.
        view: what is drawn.
        record: file to record to from the start.
        on_analysis: called with every analysis, in order.
        max_frames: frames to show, counted from when the model is loaded; all by default.
        folder: where snapshots and recordings go that a key asks for.
    """

    def __init__(
        self,
        source: Source,
        load: Callable[[], Analyser],
        display: Display | None = None,
        view: View | None = None,
        record: Path | None = None,
        on_analysis: Callable[[Analysis], None] = lambda _: None,
        max_frames: int | None = None,
        folder: Path = Path("outputs"),
    ) -> None:
        self.source, self.load, self.display = source, load, display or NoDisplay()
        self.view, self.on_analysis = view or View(), on_analysis
        self.max_frames, self.folder = max_frames, folder
        self.shown = 0  # frames drawn
        self.snapshots: list[Path] = []
        self._beside = source.live or self.display.visible
        self._recorder = Recorder(drop=self._beside, fps=source.fps or 30.0)
        if record:
            self._recorder.start(record)
        self._times: deque[float] = deque(maxlen=60)
        self._message, self._message_until = overlay.NOTICE, 0.0
        self._frame: Frame | None = None
        self._analysis: Analysis | None = None  # the newest that was drawn
        self._first = 0  # number of the first frame of this source
        self.stop = Stop(at_once=True)  # noted, it ends the play at the next frame
        self._fallback: Source | None = None
        self._capture: Capture | None = None
        self._worker: Worker | None = None

    def run(self) -> None:
        """Play. Whatever way it ends, devices are let go and files are closed.

        Raises:
            UserError: the source, the model or a file cannot be used.
        """
        try:
            self._say(overlay.NOTICE, NOTICE_S)
            if self._beside:
                self._run_beside()
            else:
                self._run_in_step()
        except KeyboardInterrupt:
            pass  # Ctrl-C is a way to quit
        finally:
            self.close()

    def _run_in_step(self) -> None:
        analyser = self.load()
        self._capture = Capture(self.source, drop=False)
        with tqdm(total=self.max_frames, unit=" frames", disable=None, leave=False) as progress:
            while not self._enough() and self._capture.alive:
                frame = self._capture.get(timeout=1.0)
                if frame is None:
                    continue
                self._frame, analysis = frame, analyser(frame)
                self.on_analysis(analysis)
                self._count()
                if self._recorder.on:
                    # Times of a file's frames say nothing about this machine, so a rate would mislead.
                    self._record(frame, analysis, replace(self._status(analysis, frame), fps=None))
                progress.update()

    def _run_beside(self) -> None:
        self._worker = Worker(self.load, self.on_analysis)
        if not self.source.live:
            self._wait_for_model()  # a short film would be over before its faces are found
        self._capture = self._open(self.source)
        while not self._enough() and self._obey(self.display.key()):
            frame = self._next_frame()
            if frame is not None:
                self._frame = frame
                self._present(frame)
            elif not self._capture.alive:
                break
            elif self._capture.silent_s > SLOW_S and self._worker.latest is not self._analysis:
                self._redraw()  # the next frame is not soon, and its faces are known now

    def _wait_for_model(self) -> None:
        while not self._worker.ready:
            self._splash("loading the model …")
            if not self._obey(self.display.key()):
                raise KeyboardInterrupt
            time.sleep(0.03)

    def _splash(self, message: str) -> None:
        picture = np.full((540, 960, 3), 24, np.uint8)
        overlay.draw_status(picture, overlay.Status(message=message))
        self.display.show(picture)

    def _open(self, source: Source) -> Capture:
        after_s = self._frame.time_s if self._frame else 0.0
        self._first = self._frame.index + 1 if self._frame else 0
        return Capture(source, True, True, after_s=after_s, after_index=self._first)

    def _next_frame(self) -> Frame | None:
        """Return the newest frame not shown yet, or None after a moment without one.

        Raises:
            DeviceError: a live source fell silent.
        """
        capture = self._capture
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
            return None if self.view.paused else frame
        if self.source.live and capture.alive and not self.view.paused:
            started = self._frame is not None
            if capture.silent_s > (SILENCE_S if started else OPENING_S):
                raise DeviceError(
                    f"No picture from {self.source.name} for {capture.silent_s:.0f} s: unplugged, asleep, or used by "
                    "another program? Check it and start again."
                )
            if not started and capture.silent_s > QUIET_S:
                self._splash(f"waiting for {self.source.name} …")
            elif capture.silent_s > 2:
                self._say(f"waiting for {self.source.name} …", 1.0)
                self._redraw()
        return None

    def _present(self, frame: Frame) -> None:
        """Draw and show one frame, and hand it to the analysis."""
        ready = self._worker.ready
        self.source.exclude(self.display.rectangle())  # now: the window may have been moved
        self._worker.offer(frame)
        # A photo is looked at for long, and a face that must be hidden may not be seen for a moment: both wait.
        wait = ready and (self.view.blur or self.source.stills)
        if wait:
            self._worker.finish()
        analysis = self._newest_analysis(frame)
        if ready:
            self._count()
        else:
            self._say("loading the model …", 0.2)
        status = self._status(analysis, frame)
        self.display.show(self._drawn(frame, analysis, status, self._size(frame)))
        if self._recorder.on:
            self._record(frame, analysis, status)

    def _newest_analysis(self, frame: Frame) -> Analysis | None:
        """The newest analysis, its faces moved to where they are in ``frame``; None where it tells nothing of it."""
        latest = self._analysis = self._worker.latest
        if latest is None or latest.frame.index < self._first or frame.time_s - latest.frame.time_s > STALE_S:
            return None
        return latest.moved_to(frame.image)

    def _size(self, frame: Frame) -> tuple[int, int]:
        return self.display.size((frame.image.shape[1], frame.image.shape[0]))

    def _drawn(
        self, frame: Frame, analysis: Analysis | None, status: overlay.Status, size: tuple[int, int]
    ) -> np.ndarray:
        """A new picture of ``size`` (width, height) with everything on it."""
        faces = analysis.faces if analysis else ()
        hide = (analysis.hide if analysis else np.zeros((0, 4))) if self.view.blur else None
        picture, faces = overlay.compose(frame.image, faces, size, self.view.mirror, hide)
        overlay.draw(picture, faces, status, self.view.bars)
        return picture

    def _record(self, frame: Frame, analysis: Analysis | None, status: overlay.Status) -> None:
        size = (frame.image.shape[1], frame.image.shape[0])
        status = replace(status, recording_s=None, keys=())  # the mark is for those who are filmed
        self._recorder.write(self._drawn(frame, analysis, status, size), frame.time_s)

    def _status(self, analysis: Analysis | None, frame: Frame) -> overlay.Status:
        passed = self._times[-1] - self._times[0] if len(self._times) > 1 else 0
        return overlay.Status(
            fps=(len(self._times) - 1) / passed if passed > 0 else None,
            detect_ms=analysis.detect_ms if analysis else None,
            classify_ms=analysis.classify_ms if analysis else None,
            recording_s=self._recorder.seconds(frame.time_s),
            paused=self.view.paused,
            message=self._message if self._clock() < self._message_until else "",
            keys=KEYS if self.view.help else (),
        )

    def _redraw(self) -> None:
        if self._frame is not None and self.display.visible:
            analysis = self._newest_analysis(self._frame)
            status = self._status(analysis, self._frame)
            self.display.show(self._drawn(self._frame, analysis, status, self._size(self._frame)))

    def _obey(self, key: str) -> bool:
        """Do what a key asks for; False to quit."""
        if key == "q":
            return False
        if key in ACTIONS:
            ACTIONS[key](self)
            self._redraw()
        return True

    def _toggle(self, what: str) -> None:
        setattr(self.view, what, not getattr(self.view, what))

    def _pause(self) -> None:
        self._toggle("paused")
        if self._capture:
            self._capture.paused = self.view.paused

    def _mirror(self) -> None:
        if self.view.can_mirror:
            self._toggle("mirror")
        else:
            self._say("only a camera is mirrored", 2.0)

    def _next_source(self) -> None:
        try:
            source = self.source.next()
        except DeviceError as error:
            self._say(str(error), 3.0)
            return
        self._fallback = self.source
        self._change(source)
        self._say(source.name, 2.0)

    def _change(self, source: Source) -> None:
        self._capture.close()
        self.source = source
        if self._worker.analyser:
            self._worker.analyser.forget()
        self._capture = self._open(source)

    def _snapshot(self) -> None:
        if self._frame is None:
            return
        picture = self._drawn(
            self._frame,
            self._newest_analysis(self._frame),
            overlay.Status(),
            (self._frame.image.shape[1], self._frame.image.shape[0]),
        )
        path = self._new_path("snapshot", ".png")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:  # half a picture on a full disk is none
                temporary.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        except OSError as error:
            self._say(f"{path} cannot be written: {error.strerror}", 4.0)
            return
        self.snapshots.append(path)
        self._say(f"saved {path}", 3.0)

    def _toggle_recording(self) -> None:
        try:
            if self._recorder.on:
                saved = self._recorder.stop()
                self._say(f"saved {saved}" if saved else "nothing was recorded", 3.0)
            else:
                self._recorder.start(self._new_path("recording", ".mp4"))
        except UserError as error:
            self._say(str(error), 4.0)

    def _resize_detection(self, step: int) -> None:
        analyser = self._worker.analyser if self._worker else None
        if analyser is None:
            return
        nearest = min(
            range(len(DETECTION_SIZES)), key=lambda i: abs(DETECTION_SIZES[i] - analyser.detection_size)
        )
        analyser.detection_size = DETECTION_SIZES[int(np.clip(nearest + step, 0, len(DETECTION_SIZES) - 1))]
        self._say(f"faces are searched in {analyser.detection_size} pixels", 2.0)

    def age_s(self, frame: Frame | None = None) -> float:
        """Seconds since a frame of a live source, by default the one being shown, was captured."""
        return self._capture.age_s(frame or self._frame)

    @property
    def written(self) -> list[Path]:
        """The files that were finished."""
        return [*self._recorder.written, *self.snapshots]

    def _new_path(self, kind: str, suffix: str) -> Path:
        return self.folder / f"{kind}-{datetime.now():%Y%m%d-%H%M%S-%f}{suffix}"

    def _say(self, text: str, seconds: float) -> None:
        self._message, self._message_until = text, self._clock() + seconds

    def _clock(self) -> float:
        """Seconds; those of the film where nobody watches, so that recordings of it are alike on all machines."""
        if self._beside:
            return time.monotonic()
        return self._frame.time_s if self._frame else 0.0

    def _count(self) -> None:
        self.shown += 1
        self.stop.at_once = False
        self._times.append(time.monotonic())

    def _enough(self) -> bool:
        return bool(self.stop) or (self.max_frames is not None and self.shown >= self.max_frames)

    def close(self) -> None:
        """Close everything, each even if another fails; again it does nothing."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.display.close)
            stack.callback(self._recorder.stop)
            if self._worker is not None:
                stack.callback(self._worker.close)
            if self._capture is not None:
                stack.callback(self._capture.close)


ACTIONS: dict[str, Callable[[Player], None]] = {
    " ": Player._pause,
    "m": Player._mirror,
    "b": lambda player: player._toggle("bars"),
    "l": lambda player: player._toggle("blur"),
    "c": Player._next_source,
    "s": Player._snapshot,
    "r": Player._toggle_recording,
    "+": lambda player: player._resize_detection(1),
    "=": lambda player: player._resize_detection(1),  # the same key without shift
    "-": lambda player: player._resize_detection(-1),
    "h": lambda player: player._toggle("help"),
}
"""What the keys of ``KEYS`` do."""
