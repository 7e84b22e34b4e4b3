"""Whether the webcam demo can run for an hour: its memory, threads and open files, and the frames of its recording.

python -m benchmarks.soak --minutes 60

A film of eight faces, 960x540 and 15 frames a second, is played in a window of a virtual screen (Xvfb and openbox),
recorded with ``--save``, and written to ``--csv`` and ``--timeline``; what the process takes is noted all the time. The
first quarter, in which everything comes to its size, is left out of the comparison: *growth* is from the median of the
second quarter to that of the last. Of the film's frames some are not shown, where drawing is slower, and some not
recorded, where encoding is: the summary and a note count them, and here the frames of the recording are counted.
Memory that grows, more threads or files, or a frame that nobody counted is an error.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import psutil

from benchmarks import record
from benchmarks.first_try import desktop
from fer import cli
from fer.errors import UserError
from fer.interrupt import stop_signals
from fer.live.video import VideoWriter
from synthetic_faces.actor import Actor


@dataclass
class SoakOptions:
    """Let the webcam demo run for long, and look at what it takes."""

    minutes: float = 60.0
    """Length of the film."""
    out: Path = Path(__file__).parent / "results" / "soak.json"
    """Where the numbers go."""


FACES, FPS, SIZE = 8, 15, (960, 540)
SAMPLES = 240
GROWTH_MIB = 16  # more is a leak; an hour of timeline and of a recording's index take about half of it
START_S, END_S = 120, 300  # to wait for, at most


class Sample(NamedTuple):
    """What the process takes ``time_s`` after the film began."""

    time_s: float
    mib: float
    threads: int
    files: int


def main(options: SoakOptions) -> None:
    """Play the film, print the table and write the JSON."""
    with stop_signals(at_once=True), tempfile.TemporaryDirectory() as folder:
        film, saved = Path(folder) / "eight.mp4", Path(folder) / "out.mp4"
        write_film(film, 60 * options.minutes)
        samples, printed = play(film, saved, 60 * options.minutes)
        counts = frames(film, saved, printed)
    numbers = growth(samples)
    print(table(options.minutes, numbers, counts))
    record.save(options.out, minutes=options.minutes, **numbers, frames=counts, samples=samples[::2])
    problems = [f"{name} {numbers[name]:+.0f}" for name in ("threads", "files") if numbers[name] > 0]
    if numbers["growth_mib"] > GROWTH_MIB:
        problems.append(f"memory {numbers['growth_mib']:+.1f} MiB")
    if counts["film"] != counts["read"] or counts["recorded"] + counts["left_out"] != counts["shown"]:
        problems.append(f"frames that nobody counted: {counts}")
    if problems:
        raise UserError(f"The demo cannot run for long: {', '.join(problems)}.")


def write_film(path: Path, seconds: float) -> None:
    """Write the film: eight seconds, forwards and backwards, over and over."""
    actor, unit = Actor(SIZE, seed=1, faces=FACES), path.with_name("unit.mp4")
    video, images = VideoWriter(unit), [actor.frame(step / FPS) for step in range(4 * FPS)]
    for step, image in enumerate([*images, *reversed(images)]):
        video.write(image, step / FPS)
    video.close()
    times = max(1, round(seconds * FPS / (2 * len(images))))
    parts = path.with_name("parts.txt")
    parts.write_text(f"file {unit.name}\n" * times)
    with av.open(str(parts), format="concat") as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)


def play(film: Path, saved: Path, seconds: float) -> tuple[list[Sample], str]:
    """Play the film to its end; return samples from its beginning on, and what was printed."""
    rows, log = saved.with_suffix(".csv"), saved.with_suffix(".txt")
    outputs = ["--save", saved, "--csv", rows, "--timeline", saved.with_suffix(".png"), "--summary"]
    command = [sys.executable, "-m", "fer.webcam", "--source", film, *outputs]
    with log.open("w") as file, desktop("1280x800") as start:
        program = start(*map(str, command), stdout=file, stderr=file)
        process, samples, began_s = psutil.Process(program.pid), list[Sample](), time.monotonic()
        while not rows.exists() and program.poll() is None and time.monotonic() < began_s + START_S:
            time.sleep(0.1)
        began_s = time.monotonic()
        while program.poll() is None and (passed_s := time.monotonic() - began_s) < seconds - 2:
            mib = process.memory_info().rss / 2**20
            samples.append(Sample(passed_s, mib, process.num_threads(), process.num_fds()))
            time.sleep(max(0.5, seconds / SAMPLES))
        try:
            code: int | None = program.wait(END_S)
        except subprocess.TimeoutExpired:
            code = None
    if code != 0:
        ended = "did not end" if code is None else f"ended with {code}"
        raise UserError(f"The demo {ended} after {time.monotonic() - began_s:.0f} s:\n{log.read_text()}")
    return samples, log.read_text()


def frames(film: Path, saved: Path, printed: str) -> dict[str, int]:
    """Return the number of frames of the film, of the recording, and those that the summary counts."""
    summary = re.search(r"of ([\d,]+) frames ([\d,]+) were shown, ([\d,]+) analysed", printed)
    assert summary, printed
    left_out = re.search(r"lacks ([\d,]+) frames", printed)
    read, shown, analysed = (int(number.replace(",", "")) for number in summary.groups())
    counts = {
        "film": count(film),
        "read": read,
        "shown": shown,
        "analysed": analysed,
        "recorded": count(saved),
    }
    return counts | {"left_out": int(left_out[1].replace(",", "")) if left_out else 0}


def count(video: Path) -> int:
    """Return the number of frames in a file."""
    with av.open(str(video)) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


def growth(samples: list[Sample]) -> dict[str, float]:
    """Compare the second quarter with the last."""
    quarter = len(samples) // 4
    if not quarter:
        raise UserError("The film was over before it was looked at: expected --minutes 0.2 or more.")
    before, after = samples[quarter : 2 * quarter], samples[-quarter:]
    mib = [statistics.median(sample.mib for sample in part) for part in (before, after)]
    threads, files = (max(s[k] for s in after) - max(s[k] for s in before) for k in (2, 3))
    return {
        "mib": mib[1],
        "growth_mib": mib[1] - mib[0],
        "peak_mib": max(sample.mib for sample in samples),
        "threads": threads,
        "most_threads": max(sample.threads for sample in samples),
        "files": files,
        "most_files": max(sample.files for sample in samples),
    }


def table(minutes: float, n: dict[str, float], counts: dict[str, int]) -> str:
    """The numbers as a Markdown table."""
    lines = [
        f"| {minutes:g} minutes | second quarter to last | most |",
        "|---|--:|--:|",
        f"| resident memory | {n['growth_mib']:+.1f} MiB | {n['peak_mib']:.0f} MiB |",
        f"| threads | {n['threads']:+.0f} | {n['most_threads']:.0f} |",
        f"| open files | {n['files']:+.0f} | {n['most_files']:.0f} |",
        "",
        f"Of {counts['film']:,} frames {counts['shown']:,} were shown, {counts['analysed']:,} analysed, "
        f"{counts['recorded']:,} recorded, {counts['left_out']:,} left out of the recording.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, SoakOptions)
