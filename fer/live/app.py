"""From a script's options to a running demo, and what it leaves behind."""

import math
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from fer.errors import DataInvalid
from fer.files import check_output, replacing
from fer.interrupt import stop_signals
from fer.live import overlay
from fer.live.analysis import Analyser, Analysis, Predictor
from fer.live.display import Display, NoDisplay, Window
from fer.live.loop import Player, View
from fer.live.media import Source
from fer.live.options import LiveOptions
from fer.live.records import CsvWriter, Tally
from fer.live.video import RECORDING

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
    check(options, source)
    if display is None:
        display = NoDisplay() if options.no_window else Window()
    load = load or (lambda: load_predictor(options))

    def analyser() -> Analyser:
        return Analyser(load(), options.threshold, options.smoothing, options.detection_size, source.stills)

    table = None
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
    # Until a frame was shown, which may take long, a signal ends it at once. Later it is noted and seen at the next
    # frame: an exception could come between the taking of a lock and what lets go of it.
    with stop_signals(at_once=True) as player.stop, ExitStack() as files:
        try:
            table = files.enter_context(closing(CsvWriter(options.csv))) if options.csv else None
            player.run()
        finally:
            player.stop.at_once = False
            player.close()
            for path in [*player.written, *[options.csv] * bool(table and table.written)]:
                print(f"wrote {path}")
            if options.summary and tally.frames:
                print(tally.table())
            if options.timeline and tally.frames:  # last, because it is the one that may fail
                _draw_timeline(tally, options.timeline)
                print(f"wrote {options.timeline}")
    return player


def check(options: LiveOptions, source: Source) -> None:
    """Refuse options that could not work, before anything is opened.

    Raises:
        DataInvalid: a value is out of its range, or a file that is to be written cannot be, is the
            source itself, or is named twice.
    """
    outputs = {name: getattr(options, name) for name in ("save", "csv", "timeline") if getattr(options, name)}
    for name, path in outputs.items():
        check_output(f"--{name}", path)
        if source.reads(path):
            raise DataInvalid(f"--{name} {path} would replace what is played. Choose another name.")
    if len({path.resolve() for path in outputs.values()}) < len(outputs):
        given = ", ".join(f"--{name} {path}" for name, path in outputs.items())
        raise DataInvalid(f"{given}: expected a name for each.")
    if options.save and options.save.suffix.lower() != RECORDING:
        raise DataInvalid(f"--save {options.save}: a name that ends in {RECORDING} is expected.")
    if not 0 <= options.threshold <= 1:
        raise DataInvalid(f"--threshold {options.threshold}: a probability, from 0 to 1, is expected.")
    if not 0 <= options.smoothing < math.inf:  # nan is neither
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


def _draw_timeline(tally: Tally, path: Path) -> None:
    from fer import plots

    figure = plots.timeline(list(tally.curves()))[0].figure
    try:
        with replacing(path) as temporary:
            figure.savefig(temporary)
    except OSError as error:
        raise DataInvalid(f"--timeline {path} cannot be written: {error.strerror}.") from error
