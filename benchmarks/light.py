"""How light the demos are: installation, start, memory, and photos a second beside plain Haar.

xvfb-run -a python -m benchmarks.light --work DIR --photos DIR --before CLONE

Clones the repository as committed, and the one of --before, and lets `make demo`
set up an empty .venv in each; all that follows runs there, the two in turn, and
the best of some runs counts. *First answer* is from the start of the interpreter
to a named face, *window* to the first picture in it (where there is a display).
*Memory* is the most that the webcam demo occupies on a film of 1280x720 with one
face, without a window (Linux). *Photos* is what each further photo of a folder
takes fer.predict, with everything: reading, search, network, table. Plain Haar
reads the same photos and searches them as tutorials do, and names no emotion.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks import record
from fer import cli
from fer.errors import DataInvalid, UserError
from fer.live.video import VideoWriter
from fer.photos.listing import Listing
from fer.photos.reading import read_image
from synthetic_faces.actor import Actor

ROOT = Path(__file__).parents[1]


@dataclass
class LightOptions:
    """Measure what the demos and fer.predict cost."""

    work: Path = Path("outputs/light")
    """Folder for clones, environments, photos; an environment that is there is used again, not measured again."""
    before: Path | None = None
    """Another clone or worktree, to be measured in turn with this one."""
    photos: Path | None = None
    """Folder of photos of faces; synthetic ones if not given."""
    repeats: int = 5
    """How often each is measured."""
    out: Path = Path(__file__).parent / "results" / "light.json"
    """Where the numbers go."""


SIZES = {"350x350": (350, 350, 90), "640x480": (640, 480, 45), "4000x3000": (4000, 3000, 15)}
"""Width, height and number of the photos."""

ANSWER = "import sys; from fer import EmotionPredictor; print(EmotionPredictor()(sys.argv[1])[0].emotion)"
WINDOW = """
import os, sys
from fer.live import environment
environment.prepare()
import cv2
from fer import webcam
show = cv2.imshow
def imshow(*arguments):
    show(*arguments)
    cv2.pollKey()
    print("shown", flush=True)
    os._exit(0)
cv2.imshow = imshow
webcam.main(webcam.WebcamOptions(source=sys.argv[1]))
"""
MEMORY = """
import os, runpy, sys
leave = os._exit
def peak(code=0):
    with open("/proc/self/status") as status:
        print([line for line in status if line.startswith("VmHWM")][0].split()[1], flush=True)
    leave(code)
os._exit = peak
sys.argv[0] = "fer.webcam"
try:
    runpy.run_module("fer.webcam", run_name="__main__", alter_sys=True)
finally:
    peak()
"""
HAAR = """
import sys, time
from pathlib import Path
import cv2
cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
photos = sorted(Path(sys.argv[1]).iterdir())
cascade.detectMultiScale(cv2.imread(str(photos[0]), 0), 1.1, 5)
start = time.perf_counter()
for photo in photos:
    cascade.detectMultiScale(cv2.imread(str(photo), 0), 1.1, 5)
print((time.perf_counter() - start) / len(photos))
"""


class Installed:
    """A clone with the environment that its `make demo` makes.

    Attributes:
        numbers: what was measured.
    """

    def __init__(self, source: Path, folder: Path) -> None:
        self.python = folder / ".venv" / "bin" / "python"
        self.scratch = folder.parent
        found = folder.with_suffix(".json")
        if not found.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            _run(["git", "clone", "--quiet", "--no-hardlinks", str(source), str(folder)])
            make = ["make", "--silent", "demo", f"PYTHON={_base_python()}"]
            first, again = (_seconds(make, folder) for _ in range(2))
            size = int(_run(["du", "-sk", ".venv"], folder).split()[0]) / 1024
            numbers = {"make_demo_s": first, "make_demo_again_s": again, "venv_mib": size}
            found.write_text(json.dumps({"git": _commit(folder)} | numbers), "utf-8")
        self.numbers: dict = json.loads(found.read_text("utf-8"))

    def code(self, code: str, *arguments: str | Path) -> str:
        """Run a program in the environment; return what it prints."""
        return _run([str(self.python), "-c", code, *map(str, arguments)], self.scratch)

    def seconds(self, code: str, *arguments: str | Path) -> float:
        """Return how long that takes, the start of the interpreter included."""
        return _seconds([str(self.python), "-c", code, *map(str, arguments)], self.scratch)

    def predict(self, photos: Path) -> float:
        """Return how long fer.predict takes for a folder."""
        shutil.rmtree(self.scratch / "faces.csv.parts", ignore_errors=True)  # of a run that was stopped
        command = [str(self.python), "-m", "fer.predict", str(photos), "--csv", "faces.csv"]
        return _seconds(command, self.scratch)


def main(options: LightOptions) -> None:
    """Print the table and write the JSON."""
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    film = write_film(work / "film.mp4")
    folders = write_photos(options.photos, work)
    sources = {"now": ROOT} | ({"before": options.before} if options.before else {})
    checkouts = {name: Installed(source, work / name) for name, source in sources.items()}

    def measure(name: str, once: Callable[..., float]) -> None:
        taken = [[once(checkout) for checkout in checkouts.values()] for _ in range(options.repeats)]
        for checkout, best in zip(checkouts.values(), np.min(taken, axis=0), strict=True):
            checkout.numbers[name] = float(best)
        print(name, {key: round(c.numbers[name], 4) for key, c in checkouts.items()}, flush=True)

    photo = folders["350x350"] / "one" / "0000.jpg"
    measure("first_answer_s", lambda c: c.seconds(ANSWER, photo))
    if os.environ.get("DISPLAY"):
        measure("window_s", lambda c: c.seconds(WINDOW, "sample"))
    if sys.platform == "linux":
        measure(
            "memory_mib", lambda c: int(c.code(MEMORY, "--source", film, "--no-window").split()[-1]) / 1024
        )
    for size, folder in folders.items():
        count = SIZES[size][2]
        measure("one_s", lambda c, at=folder / "one": c.predict(at))
        measure("all_s", lambda c, at=folder / "all": c.predict(at))
        measure("haar_s", lambda c, at=folder / "all": float(c.code(HAAR, at)))
        for numbers in (checkout.numbers for checkout in checkouts.values()):
            further = numbers.pop("all_s") - numbers.pop("one_s")
            numbers[f"photos_per_s_{size}"] = (count - 1) / further
            numbers[f"haar_per_s_{size}"] = 1 / numbers.pop("haar_s")
    results = {name: checkout.numbers for name, checkout in checkouts.items()}
    print(table(results))
    record.save(
        options.out, photos=str(options.photos and options.photos.name), repeats=options.repeats, **results
    )


def write_film(path: Path) -> Path:
    """Write ten seconds of one synthetic face."""
    if not path.is_file():
        writer = VideoWriter(path)
        for image, time_s, *_ in Actor((1280, 720), seconds_per_emotion=1.25):
            writer.write(image, time_s)
        writer.close()
    return path


def write_photos(photos: Path | None, work: Path) -> dict[str, Path]:
    """Write JPEGs of each size, fitted into it, into the folder ``all``, and the first of them into ``one``."""
    if photos:
        images = [
            read_image(file.path) for file in list(Listing([photos]))[: max(n for _, _, n in SIZES.values())]
        ]
    else:
        images = [Actor((640, 480), seed=seed).frame(4.0) for seed in range(30)]
    if not images:
        raise DataInvalid(f"There are no photos in {photos}.")
    folders = {}
    for size, (width, height, count) in SIZES.items():
        folders[size] = folder = work / size
        shutil.rmtree(folder, ignore_errors=True)
        for part, number in (("one", 1), ("all", count)):
            (folder / part).mkdir(parents=True)
            for k in range(number):
                picture = fitted(images[k % len(images)], width, height)
                cv2.imwrite(str(folder / part / f"{k:04}.jpg"), picture)
    return folders


def fitted(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return an image (H, W, 3) scaled into a size, its borders stretched to fill it."""
    factor = min(width / image.shape[1], height / image.shape[0])
    size = round(image.shape[1] * factor), round(image.shape[0] * factor)
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    x, y = width - size[0], height - size[1]
    return cv2.copyMakeBorder(scaled, y // 2, y - y // 2, x // 2, x - x // 2, cv2.BORDER_REPLICATE)


ROWS = {
    "make demo in an empty environment": ("make_demo_s", "{:.0f} s"),
    "the same again": ("make_demo_again_s", "{:.0f} s"),
    "size of .venv": ("venv_mib", "{:,.0f} MiB"),
    "first answer": ("first_answer_s", "{:.2f} s"),
    "window": ("window_s", "{:.2f} s"),
    "memory of the webcam demo": ("memory_mib", "{:,.0f} MiB"),
}
ROWS |= {f"{size}, photos a second": (f"photos_per_s_{size}", "{:.1f}") for size in SIZES}
ROWS |= {f"{size}, plain Haar": (f"haar_per_s_{size}", "{:.1f}") for size in SIZES}


def table(results: dict[str, dict]) -> str:
    """Return the numbers as a Markdown table, a column for each checkout."""
    heads = [f"{name} ({numbers['git']})" for name, numbers in results.items()]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (1 + len(results)) + "|"]
    for title, (key, form) in ROWS.items():
        cells = [form.format(numbers[key]) if key in numbers else "" for numbers in results.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _run(command: list[str], folder: Path | None = None) -> str:
    """Run a command as a fresh shell would, without this environment's packages; return what it prints."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    if command[0] == "make":
        clean.pop("DISPLAY", None)  # the demo goes into files, and ends
    run = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)
    if run.returncode:
        raise UserError(f"{' '.join(command)[:200]} failed: {run.stderr[-2000:]}")
    return run.stdout


def _seconds(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    _run(command, folder)
    return time.perf_counter() - start


def _commit(folder: Path) -> str:
    return _run(["git", "rev-parse", "--short", "HEAD"], folder).strip()


def _base_python() -> str:
    """Return the Python that the present virtual environment was made from."""
    return getattr(sys, "_base_executable", sys.executable)


if __name__ == "__main__":
    cli.run(main, LightOptions)
