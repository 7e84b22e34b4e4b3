"""How fast the live demo is, stage by stage and end to end, beside the naive loop.

python -m benchmarks.live_speed --model models/emotion_net

The camera is a stand-in that offers rendered frames 120 times a second,
more than is asked for. *Rate* counts frames displayed with boxes, labels, bars
and history; *latency* is from the camera's frame to the display; *answer*
is from the camera's frame to the end of its analysis, which is what a change
of expression takes to show, before smoothing. The naive loop does the same
work for every frame in turn: Haar on the full frame, one forward pass a face.

Memory comes first, while this process holds what the demo holds and little else:
resident, as 1280x720 frames with one face are read, analysed and drawn.
"""

import gc
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks import record
from fer import cli
from fer.live import overlay
from fer.live.analysis import Analyser, TrackedFace
from fer.live.app import load_predictor
from fer.live.capture import Frame
from fer.live.display import Display
from fer.live.loop import Player
from fer.live.options import LiveOptions
from fer.live.sources import Frames, Source, ticks
from fer.predictor import EmotionPredictor
from synthetic_faces.actor import Actor


@dataclass
class SpeedOptions:
    """Measure the live demo's speed."""

    model: Path | None = None
    """Folder of a trained model; the default one if not given."""
    seconds: float = 8.0
    """How long each case runs."""
    memory_frames: int = 10_000
    """Frames shown until memory is compared with that after the first tenth; 0 leaves this out."""
    out: Path = Path(__file__).parent / "results" / "live_speed.json"
    """Where the numbers go."""


SIZES = ((640, 480), (1280, 720), (1920, 1080))
FACES = (1, 3, 8)
OFFERED = 120  # frames a second


class Offered(Source):
    """A live source that offers ``images`` over and over."""

    live, name = True, "stand-in"

    def __init__(self, images: list[np.ndarray]) -> None:
        self.images = images
        self.given_s: list[float] = []  # when each frame was given

    def __iter__(self) -> Frames:
        for image, _ in zip(itertools.cycle(self.images), ticks(OFFERED), strict=False):
            self.given_s.append(time.monotonic())
            yield image, None

    def age_s(self, frame: Frame) -> float:
        """Seconds since a frame was given."""
        return time.monotonic() - self.given_s[frame.index]


class Watched(Display):
    """A display that is looked at: notes how old each frame is when it is shown, and quits in time."""

    visible = True

    def __init__(self, warm_up_s: float, seconds: float) -> None:
        self.player: Player | None = None
        self.warm_up_s, self.seconds = warm_up_s, seconds
        self.start_s: float | None = None
        self.ages: list[float] = []

    def show(self, image: np.ndarray) -> None:
        """Note the age of the frame, once the model is loaded and warm."""
        player = self.player
        if player.shown == 0:
            return
        now = time.monotonic()
        self.start_s = self.start_s or now + self.warm_up_s
        if now >= self.start_s:
            self.ages.append(player.source.age_s(player.frame))

    def key(self) -> str:
        """Quit when the time is over."""
        over = self.start_s is not None and time.monotonic() > self.start_s + self.seconds
        return "q" if over else ""


def main(options: SpeedOptions) -> None:
    """Print the tables and write the JSON."""
    memory = memory_growth(options) if options.memory_frames else None
    predictor = load_predictor(LiveOptions(model=options.model))
    rows = [measure(predictor, size, faces, options) for size in SIZES for faces in FACES]
    print(table(rows))
    if memory:
        print(
            f"\nmemory after {memory['frames']:,} frames: {memory['end_mib']:.0f} MiB, {memory['growth_mib']:+.1f} MiB "
            "since the first tenth"
        )
    record.save(
        options.out,
        arch=predictor.card["arch"],
        cases=rows,
        memory=memory,
    )


def measure(predictor: EmotionPredictor, size: tuple[int, int], faces: int, options: SpeedOptions) -> dict:
    """All numbers of one size and number of faces, in milliseconds and frames a second."""
    actor = Actor(size=size, faces=faces)
    images = [actor.frame(1.0 + step / 25) for step in range(25)]
    row = {"width": size[0], "height": size[1], "faces": faces}
    row |= stages(predictor, images)
    row |= end_to_end(predictor, images, options.seconds)
    row["naive_fps"] = naive(predictor, images, min(options.seconds, 4.0))
    row["times_naive"] = row["fps"] / row["naive_fps"]
    print(f"{size[0]}x{size[1]}, {faces} faces: {row['fps']:.0f} frames a second", flush=True)
    return row


def stages(predictor: EmotionPredictor, images: list[np.ndarray]) -> dict[str, float]:
    """Median milliseconds of each stage alone."""
    analyser = Analyser(predictor)
    analyses = [analyser(Frame(image, step / 25, step)) for step, image in enumerate(images)]
    last, status = analyses[-1], overlay.Status(60, 5, 9, 10)
    picture = images[0].copy()
    return {
        "found": float(np.median([len(a.faces) for a in analyses])),
        "detect_ms": float(np.median([a.detect_ms for a in analyses])),
        "classify_ms": float(np.median([a.classify_ms for a in analyses])),
        "follow_ms": median_ms(lambda: last.moved_to(images[0])),
        "copy_ms": median_ms(lambda: overlay.compose(images[0], last.faces, images[0].shape[1::-1])),
        "draw_ms": median_ms(lambda: overlay.draw(picture, last.faces, status)),
    }


def median_ms(call: Callable[[], object], repeats: int = 30) -> float:
    """Median milliseconds of a call."""
    took = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        took.append(1000 * (time.perf_counter() - start))
    return float(np.median(took))


def end_to_end(predictor: EmotionPredictor, images: list[np.ndarray], seconds: float) -> dict[str, float]:
    """Rate, latency and age of the answers of the demo as it runs, all threads at work."""
    source, display, answers = Offered(images), Watched(1.0, seconds), []
    player = Player(
        source,
        lambda: Analyser(predictor),
        display,
        on_analysis=lambda analysis: answers.append(source.age_s(analysis.frame)),
    )
    display.player = player
    player.run()
    ages = 1000 * np.array(display.ages)
    answer = 1000 * np.array(answers[len(answers) // 8 :])
    return {
        "fps": len(ages) / seconds,
        "latency_p50_ms": float(np.percentile(ages, 50)),
        "latency_p95_ms": float(np.percentile(ages, 95)),
        "answer_p50_ms": float(np.percentile(answer, 50)),
        "answer_p95_ms": float(np.percentile(answer, 95)),
        "analyses_per_s": len(answers) / (seconds + 1),
    }


def naive(predictor: EmotionPredictor, images: list[np.ndarray], seconds: float) -> float:
    """Frames a second of the naive loop."""
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    count, start = 0, time.monotonic()
    while time.monotonic() - start < seconds:
        picture = images[count % len(images)].copy()
        faces = []
        for box in cascade.detectMultiScale(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), 1.1, 5):
            (face,) = predictor.classify(picture, np.array([box]), turn=0)
            faces.append(TrackedFace(face, len(faces), [None] * 120))
        overlay.draw(picture, faces, overlay.Status(30))
        count += 1
    return count / (time.monotonic() - start)


class Counted(Display):
    """A display that is looked at: notes the memory when a tenth of ``frames`` was shown and when all were."""

    visible = True

    def __init__(self, frames: int) -> None:
        self.frames, self.shown = frames, 0
        self.sizes: list[float] = []

    def show(self, image: np.ndarray) -> None:
        """Count the picture."""
        self.shown += 1
        if self.shown in (self.frames // 10, self.frames):
            gc.collect()
            self.sizes.append(resident_mib())

    def key(self) -> str:
        """Quit when all were shown."""
        return "q" if self.shown >= self.frames else ""


def memory_growth(options: SpeedOptions) -> dict[str, float]:
    """Resident memory of the demo after a tenth of the frames and after all of them."""
    actor, display = Actor(size=(1280, 720)), Counted(options.memory_frames)
    source = Offered([actor.frame(3.0 * step) for step in range(8)])  # an expression each
    Player(source, lambda: Analyser(load_predictor(LiveOptions(model=options.model))), display).run()
    return {
        "frames": options.memory_frames,
        "end_mib": display.sizes[-1],
        "growth_mib": display.sizes[-1] - display.sizes[0],
    }


def resident_mib() -> float:
    """Memory that this process occupies now."""
    with open("/proc/self/statm") as file:  # Linux; there is no portable way without another library
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def table(rows: list[dict]) -> str:
    """The cases as a Markdown table."""
    lines = [
        "| picture | faces | detect | classify | follow | copy | draw | rate | latency p50 / p95 | answer p50 / p95 "
        "| naive loop | times |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r['width']}x{r['height']} | {r['faces']} | {r['detect_ms']:.1f} ms | {r['classify_ms']:.1f} ms | "
            f"{r['follow_ms']:.1f} ms | {r['copy_ms']:.1f} ms | {r['draw_ms']:.1f} ms | {r['fps']:.0f} fps | "
            f"{r['latency_p50_ms']:.0f} / {r['latency_p95_ms']:.0f} ms | "
            f"{r['answer_p50_ms']:.0f} / {r['answer_p95_ms']:.0f} ms | {r['naive_fps']:.1f} fps | "
            f"{r['times_naive']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, SpeedOptions)
