"""From a script's options to a running demo, and what it leaves behind."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from fer.errors import DataInvalid
from fer.live import overlay
from fer.live.analysis import Analyser, Analysis, Predictor
from fer.live.display import Display, NoDisplay, Window
from fer.live.loop import Player, View
from fer.live.media import Source
from fer.live.options import LiveOptions
from fer.live.records import CsvWriter, Tally

FIGURES = (".png", ".pdf", ".svg", ".jpg")
SMALLEST_FACE = 0.05  # of the picture's height: people in the last row of a room; `+` makes it reach that far


def show(
    source: Source,
    options: LiveOptions,
    load: Callable[[], Predictor] | None = None,
    display: Display | None = None,
    mirror: bool | None = None,
) -> Player:
    """Play ``source`` as ``options`` say; return the player when it is over.

    Args:
        source: where frames come from.
        options: of the script.
        load: makes the predictor; by default ``EmotionPredictor`` with the options' model.
        display: by default a window, or none with ``no_window``.
        mirror: whether left and right are swapped; None where that makes no sense.

    Raises:
        UserError: something the user can mend; the files written so far are closed and valid.
    """
    check(options)
    if display is None:
        display = NoDisplay() if options.no_window else Window()
    load = load or (lambda: load_predictor(options))

    def analyser() -> Analyser:
        return Analyser(load(), options.threshold, options.smoothing, options.detection_size, source.stills)

    table = CsvWriter(options.csv) if options.csv else None
    tally = Tally() if options.summary or options.timeline else None

    def keep(analysis: Analysis) -> None:
        if table:
            table.write(analysis)
        if tally:
            tally.add(analysis)

    view = View(not options.no_bars, options.blur, bool(mirror), can_mirror=mirror is not None)
    player = Player(source, analyser, display, view, options.save, keep, options.max_frames)
    if not display.visible:  # elsewhere it is written on the picture
        print(overlay.NOTICE, file=sys.stderr)
    try:
        with _stop_on_terminate(player):
            player.run()
    finally:
        written = list(player.written)
        if table:
            table.close()
            written += [options.csv] * table.written
        if options.timeline and tally.frames:
            _draw_timeline(tally, options)
            written.append(options.timeline)
        for path in written:
            print(f"wrote {path}")
        if options.summary:
            print(tally.table())
    return player


def check(options: LiveOptions) -> None:
    """Refuse options that could not work, before anything is opened.

    Raises:
        DataInvalid: a value is out of its range.
    """
    if not 0 <= options.threshold <= 1:
        raise DataInvalid(f"--threshold {options.threshold}: a probability, from 0 to 1, is expected.")
    if options.smoothing < 0:
        raise DataInvalid(f"--smoothing {options.smoothing}: seconds, 0 or more, are expected.")
    if options.detection_size < 64:
        raise DataInvalid(f"--detection-size {options.detection_size}: 64 pixels or more are expected.")
    if options.max_frames is not None and options.max_frames < 1:
        raise DataInvalid(f"--max-frames {options.max_frames}: 1 or more is expected.")
    if options.timeline and options.timeline.suffix.lower() not in FIGURES:
        raise DataInvalid(
            f"--timeline {options.timeline}: a name that ends in {', '.join(FIGURES)} is expected."
        )


def load_predictor(options: LiveOptions) -> Predictor:
    """Load the model; torch is imported here, while the camera opens."""
    import torch

    from fer.faces import FaceDetector
    from fer.predictor import EmotionPredictor

    # Half of the cores think, the others read and draw. With all of them, torch's threads wait for each other
    # whenever something is drawn: on two busy cores a face took 18 times as long.
    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    detector = FaceDetector(options.detection_size, min_size=SMALLEST_FACE)
    return EmotionPredictor(options.model, options.threshold, detector, prior=options.prior)


def _draw_timeline(tally: Tally, options: LiveOptions) -> None:
    from fer import plots

    options.timeline.parent.mkdir(parents=True, exist_ok=True)
    plots.timeline(list(tally.curves()))[0].figure.savefig(options.timeline)


class _stop_on_terminate:
    """While it lasts, `kill` and a closed terminal end the program as Ctrl-C does: with its files closed."""

    def __init__(self, player: Player) -> None:
        self.player = player

    def __enter__(self) -> None:
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                if hasattr(signal, name):
                    number = getattr(signal, name)
                    self.before[number] = signal.signal(number, self._stop)

    def _stop(self, number: int, frame: object) -> NoReturn:
        # Python swallows an exception that comes in a finalizer; the mark is seen at the next frame.
        self.player.stopped = True
        raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
