"""From a script's options to a running demo, and the files that it writes."""

import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path

from fer import lazy, threads
from fer.errors import UsageError
from fer.faces import FaceDetector
from fer.files import locked
from fer.interrupt import stop_signals
from fer.live import overlay, paint, timeline
from fer.live.analysis import Analyser, Analysis
from fer.live.display import Display, Window
from fer.live.loop import Player
from fer.live.options import LiveOptions
from fer.live.records import CsvWriter, Tally
from fer.live.sources import Photos, Source
from fer.live.view import View
from fer.predictor import EmotionPredictor, default_model

SMALLEST_FACE = 0.05  # of the picture's height: people in the last row of a room; `+` makes it reach that far


def show(
    source: Source,
    options: LiveOptions,
    load: Callable[[], EmotionPredictor] | None = None,
    display: Display | None = None,
    mirror: bool = False,
    replace: bool = True,
) -> Player:
    """Play ``source`` with ``options``; return the player when it has ended.

    A UserError, which the user can fix, leaves valid files behind, too.

    Args:
        load: makes the predictor; by default ``load_predictor``.
        display: by default a window, or none with ``no_window``.
        mirror: swap left and right, also in what is saved; by default only in the window and of cameras.
        replace: files that are there; else they are a UsageError.
    """
    options.check()
    for name, path in options.outputs().items():
        if path.resolve() in {played.resolve() for played in source.files()}:
            raise UsageError(f"--{name} {path} would replace what is played. Choose another name.")
    if options.timeline and source.stills:
        raise UsageError(
            "--timeline shows faces over time, which photos have not: expected a film or camera. For photos there is "
            "`python -m fer.predict FOLDER --gallery OUT.html`."
        )
    watched = display.visible if display else not options.no_window
    make = load or (lambda: load_predictor(options, source.stills))
    loading = (options.model or default_model()).resolve().name

    def analyser() -> Analyser:
        with nullcontext() if watched else lazy.announced(f"the model {loading}"):
            predictor = make()
        size = options.detection_size or int(getattr(predictor.detect, "max_side", 320))
        turns = (source.live or watched) and not source.stills
        return Analyser(predictor, options.threshold, options.smoothing, size, source.stills, turns)

    def record(analysis: Analysis) -> None:
        if analysis.frame.index in tally.photos:
            return  # seen again, by going back
        if table:
            table.write(analysis)
        tally.add(analysis)

    table, tally = CsvWriter(options.csv) if options.csv else None, Tally(source.stills)
    on_analysis = record if options.csv or options.summary or options.timeline else None
    view = View(not options.no_bars, options.blur, mirror or source.mirrored, mirror)
    # A signal is noted and seen at the next turn of the loop: an exception could come between the taking of a lock and
    # its release. The lock of Python's imports is one that every thread needs while the demo starts.
    with stop_signals() as stop, ExitStack() as files:
        for path in options.outputs().values():
            files.enter_context(locked(path, options.allow_unlocked))
        if earlier := [str(path) for path in options.outputs().values() if path.exists() and not replace]:
            raise UsageError(f"{' and '.join(earlier)} would be replaced. Delete it, or choose another name.")
        if stop:  # while libraries were imported
            raise KeyboardInterrupt
        display = display or (Display() if options.no_window else Window())
        player = Player(source, analyser, display, view, options.save, on_analysis, options.max_frames)
        player.stop, player.loading = stop, f"Loading the model {loading} …"
        try:
            if not watched:  # elsewhere it is written on the picture
                print(overlay.NOTICE, file=sys.stderr)
            if table:
                files.callback(table.close)
            player.run()
        finally:
            player.close()
            written = [*player.written, *([table.path] if table and table.written else [])]
            try:
                if options.timeline and tally.frames:
                    paint.save(timeline.strips(tally.curves(), tally.end_s), options.timeline)
                    written.append(options.timeline)
            finally:  # last, because a closed terminal is an error
                _print_results(player, tally, written, options)
    return player


def _print_results(player: Player, tally: Tally, written: list[Path], options: LiveOptions) -> None:
    if options.csv in written and isinstance(player.source, Photos) and player.source.path.is_dir():
        names = [path.name for path in player.source.files()]
        print(
            f"frames 0 to {len(names) - 1} are the photos by name, {names[0]} to {names[-1]}; "
            f"`python -m fer.predict {player.source.path} --csv …` writes names"
        )
    for path in written:
        print(f"wrote {path}")
    if options.summary and tally.frames and player.frame:
        print(tally.table())
        read, shown, analysed = player.frame.index + 1, player.shown, tally.frames
        print(f"of {read:,} frames {shown:,} were shown, {analysed:,} analysed")


def load_predictor(options: LiveOptions, photos: bool = False) -> EmotionPredictor:
    """Load the model, while the camera opens, with a detector that may take its time for ``photos``."""
    # Half of the processors classify, the others read and draw. With all of them, answers come no sooner on two cores;
    # and torch's threads wait for each other whenever something is drawn: on busy cores a face took 18 times as long.
    threads.limit(threads.processors() // 2)
    detector = FaceDetector(thorough=photos, min_size=SMALLEST_FACE)
    return EmotionPredictor(options.model, options.threshold, detector, prior=options.prior)
