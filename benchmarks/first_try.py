"""Whether the demos work at first start: a window that leaves faces free, and faces that stay on a slow processor.

python -m benchmarks.first_try

For the first table, four faces fill a virtual screen with a window manager (Xvfb, openbox), and
`python -m fer.screen` is started on it as it is: how many of them it named in one frame, and how long
after its start, within ten seconds or at all. Without these programs the table is left out.

Each line of the second table is a process held to a part of one core, by a quota of its control group
(Linux, cgroup v1 or v2; takes root) or else by the program cpulimit. It plays a film of twelve faces, 1280x720,
as the webcam demo does after one press of `+` (in 320 pixels, Haar misses one of the twelve, however
fast the machine is), on a display that costs nothing. *Drawn*: of all frames from the first with
a face on, the share in which all the faces, or any, were drawn. *Figures*: in which the state's line had its numbers.
"""

import contextlib
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

import cv2
import numpy as np

from benchmarks import record
from fer import cli
from fer.errors import UserError
from fer.labels import EMOTIONS
from fer.live import overlay
from fer.live.analysis import Analyser, Analysis
from fer.live.app import load_predictor
from fer.live.display import Display
from fer.live.loop import Player
from fer.live.options import LiveOptions
from fer.live.sources import VideoFile
from fer.live.video import VideoWriter
from synthetic_faces.actor import Actor

FACES = 12
SCREENS = ("1280x800", "1366x768", "1920x1080")
WAIT_S, IN_TIME_S, ENOUGH = 60.0, 10.0, 3
SHOW = """
import cv2, sys
cv2.namedWindow("faces", cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL)
cv2.setWindowProperty("faces", cv2.WND_PROP_FULLSCREEN, cv2.WINDOW_FULLSCREEN)
cv2.imshow("faces", cv2.imread(sys.argv[1]))
print("shown", cv2.waitKey(1000), flush=True)
cv2.waitKey(0)
"""
CORES = (1.0, 0.5, 0.25)
PERIOD_US = 100_000
GROUPS = Path("/sys/fs/cgroup")


@dataclass
class FirstTryOptions:
    """Measure how the demos do at first start."""

    seconds: float = 20.0
    """Length of the film of twelve faces."""
    play: Path | None = None
    """Only play this film and print its numbers; what the limited processes do."""
    out: Path = Path(__file__).parent / "results" / "first_try.json"
    """Where the numbers go."""


def main(options: FirstTryOptions) -> None:
    """Print the tables and write the JSON."""
    if options.play:
        print(*play(options.play))
        return
    with tempfile.TemporaryDirectory() as folder:
        screens = (
            [screen(size, Path(folder)) for size in SCREENS] if which("Xvfb") and which("openbox") else []
        )
        film = Path(folder) / "twelve.mp4"
        write_film(film, options.seconds)
        rows = [slow(film, cores) for cores in CORES]
    print(table_of_screens(screens), table(rows), sep="\n\n")
    record.save(options.out, screens=screens, slow=rows)


def screen(size: str, folder: Path) -> dict[str, float | str | None]:
    """Start the screen demo on a screen with four faces; return how many it names, and when."""
    actor, rows = Actor((640, 400), rounds=None), folder / f"{size}.csv"
    tiles = [actor.frame(3 * turn + 1.5) for turn in range(4)]
    cv2.imwrite(str(folder / "four.png"), np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])]))
    python = [sys.executable, "-u"]
    with desktop(size) as start:
        show = start(*python, "-c", SHOW, str(folder / "four.png"), stdout=subprocess.PIPE)
        assert show.stdout and "shown" in show.stdout.readline()
        began_s = time.monotonic()
        start(*python, "-m", "fer.screen", "--csv", str(rows))
        named, enough_s = 0, None
        while named < 4 and (passed_s := time.monotonic() - began_s) < (
            WAIT_S if enough_s is None else IN_TIME_S
        ):
            time.sleep(0.1)
            named = max(named, most_named(rows))
            if named >= ENOUGH and enough_s is None:
                enough_s = passed_s
    return {"size": size, "shown": 4, "named": named, "three_named_s": enough_s}


@contextlib.contextmanager
def desktop(size: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Give a function that starts a command on a virtual screen of ``size`` with a window manager, until the end."""
    environ = dict(os.environ)
    with ExitStack() as programs:

        def start(*command: str, **options: Any) -> subprocess.Popen[str]:
            program = programs.enter_context(subprocess.Popen(command, text=True, env=environ, **options))
            programs.callback(program.wait)  # Popen's own does not wait after Ctrl-C
            programs.callback(program.terminate)
            return program

        readable, writable = os.pipe()
        start("Xvfb", "-displayfd", str(writable), "-screen", "0", f"{size}x24", pass_fds=[writable])
        os.close(writable)
        with os.fdopen(readable) as numbers:
            environ["DISPLAY"] = f":{numbers.readline().strip()}"
        start("openbox", stderr=subprocess.DEVNULL)
        yield start


def most_named(table: Path) -> int:
    """Return how many faces of one frame have an emotion, at most."""
    if not table.exists():
        return 0
    with table.open(newline="") as file:
        rows = csv.DictReader(line for line in file if line.endswith("\n"))
        return max(Counter(row["frame"] for row in rows if row["emotion"] in EMOTIONS).values(), default=0)


def write_film(path: Path, seconds: float) -> None:
    """Record the film of twelve faces: two seconds, forwards and backwards in turn."""
    actor, video = Actor((1280, 720), seed=1, faces=FACES), VideoWriter(path)
    frames = [actor.frame(step / 25) for step in range(50)]
    for step in range(round(25 * seconds)):
        turn = step % 98
        video.write(frames[min(turn, 98 - turn)], step / 25)
    video.close()


def slow(film: Path, cores: float) -> dict[str, float | str]:
    """Play the film on ``cores`` of one core; return what was drawn."""
    command = [sys.executable, "-m", "benchmarks.first_try", "--play", str(film)]
    with held_to(cores) as (how, prefix):
        done = subprocess.run([*prefix, *command], check=True, stdout=subprocess.PIPE, text=True)
    names = ("frames", "all_faces", "any_face", "figures", "fps", "analyses", "analysis_s")
    numbers = map(float, done.stdout.splitlines()[-1].split())
    return {"cores": cores, "held_by": how} | dict(zip(names, numbers, strict=True))


@contextlib.contextmanager
def held_to(cores: float) -> Iterator[tuple[str, list[str]]]:
    """Give the way in which a command is held to ``cores``, and what is to be put before it."""
    v2 = (GROUPS / "cgroup.controllers").exists()
    group = (GROUPS if v2 else GROUPS / "cpu") / f"first_try_{time.time_ns()}"
    quota = round(cores * PERIOD_US)
    try:
        group.mkdir()
        if v2:
            (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        (group / "cgroup.procs").read_text()
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        if not (program := which("cpulimit")):
            raise UserError("A quota takes root, or Debian's package cpulimit: install that.") from None
        yield "cpulimit", [program, "-l", str(round(100 * cores)), "-f", "-m", "--"]
        return
    try:
        join = 'echo $$ > "$0"/cgroup.procs && exec "$@"'
        yield f"cgroup v{2 if v2 else 1} quota", ["sh", "-c", join, str(group)]
    finally:
        group.rmdir()


def play(film: Path) -> tuple[float, ...]:
    """Play the film; return the columns of the table after ``held_by``."""
    drawn, draw, took = list[tuple[float, int, bool]](), overlay.draw, list[float]()

    def note(
        image: np.ndarray, faces: list, status: overlay.Status, *rest: Any, **more: Any
    ) -> overlay.Layout:
        drawn.append((time.monotonic(), len(faces), status.detect_ms is not None))
        return draw(image, faces, status, *rest, **more)

    def count(analysis: Analysis) -> None:
        took.append(analysis.detect_ms + analysis.classify_ms)

    overlay.draw = note
    display = Display()
    display.visible = True
    Player(
        VideoFile(film),
        lambda: Analyser(load_predictor(LiveOptions()), detection_size=480, turns=True),
        display,
        on_analysis=count,
    ).run()
    first = next(number for number, (_, faces, _) in enumerate(drawn) if faces)
    times, faces, figures = (np.array(column) for column in zip(*drawn[first:], strict=True))
    return (
        len(faces),
        float((faces >= FACES).mean()),
        float((faces > 0).mean()),
        float(figures.mean()),
        (len(times) - 1) / (times[-1] - times[0]),
        len(took),
        float(np.median(took)) / 1000,
    )


def table_of_screens(rows: list[dict]) -> str:
    """The screens as a Markdown table."""
    lines = ["| screen | faces shown | named | three named after |", "|---|--:|--:|--:|"]
    for r in rows:
        seconds = r["three_named_s"]
        lines.append(
            f"| {r['size']} | {r['shown']} | {r['named']} | {'never' if seconds is None else f'{seconds:.1f} s'} |"
        )
    return "\n".join(lines)


def table(rows: list[dict]) -> str:
    """The limited processes as a Markdown table."""
    lines = [
        "| cores | held by | frames drawn | with all twelve faces | with any | with figures | rate | an analysis |",
        "|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r['cores']} | {r['held_by']} | {r['frames']:.0f} | {r['all_faces']:.0%} | {r['any_face']:.0%} | "
        f"{r['figures']:.0%} | {r['fps']:.1f} fps | {r['analysis_s']:.2f} s |"
        for r in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, FirstTryOptions)
