"""python -m fer.webcam, as a user types it."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_support import ColourPredictor, Program, environment, film, picture, rows_of, screenshot, write_film

from fer import lazy, screen, webcam
from fer.errors import UsageError
from fer.files import MODELS
from fer.interrupt import SIGNALS
from fer.labels import COLOURS
from synthetic_faces.actor import Actor


def run(*arguments, cwd=None, code=None):
    """Run the script without a display; return (exit code, stdout, stderr)."""
    command = [sys.executable, *(["-c", code] if code else ["-m", "fer.webcam"]), *arguments]
    options = {"cwd": cwd, "env": environment(), "timeout": 120}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    return done.returncode, done.stdout, done.stderr


LIGHT = """
import importlib, pkgutil, sys
import fer.live, fer.photos, fer.predict, fer.predictor, fer.screen, fer.webcam
for room in (fer.live, fer.photos):
    for module in pkgutil.iter_modules(room.__path__, room.__name__ + "."):
        importlib.import_module(module.name)
faces = fer.predictor.EmotionPredictor(detector="fast")(sys.argv[1])
heavy = ("torch", "torchvision", "accelerate", "sklearn", "scipy", "matplotlib", "pandas", "IPython", "ipywidgets")
rooms = ("fer.datasets", "fer.training", "fer.evaluation", "fer.model", "fer.plots")
print(len(faces), [name for name in (*heavy, *rooms) if name in sys.modules])
"""


def test_demos_and_photos_leave_the_libraries_of_training_alone(tmp_path):
    """Where they are installed, too: they take gigabytes of disk, and seconds and memory at each start."""
    cv2.imwrite(str(tmp_path / "face.png"), Actor(size=(640, 480)).frame(0.0))
    assert run("face.png", code=LIGHT, cwd=tmp_path) == (0, "1 []\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--source", "9", "--no-window"],
            ["error: Camera 9 did not open", "Cameras found", "--source sample"],
        ),
        (["--source", "sample"], ["DISPLAY is not set", "--no-window"]),
        (["--source", "sample", "--no-window", "--model", "nothing"], ["nothing"]),
    ],
)
def test_what_cannot_be_done_ends_with_1_and_a_message(tmp_path, arguments, words):
    status, _, errors = run(*arguments, cwd=tmp_path)
    assert status == 1
    assert "Traceback" not in errors
    assert all(word in errors for word in words), errors


def test_cameras_are_listed(tmp_path):
    status, printed, _ = run("--list-cameras", cwd=tmp_path)
    assert (status, printed) == (1, "no camera found\n") or printed[0].isdecimal()


STUB = """
from live_support import ColourPredictor
from fer import webcam
from fer.live import app
app.load_predictor = lambda *_: ColourPredictor()
webcam.command()
"""


FULL = """
import errno, io
from fer.live import records
class OnFullDisk(io.FileIO):
    writes = 0
    def write(self, data):
        self.writes += 1
        if self.writes > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)
records.FileIO = OnFullDisk
"""


def test_a_disk_that_fills_up_takes_neither_summary_nor_timeline(tmp_path):
    write_film(tmp_path / "talk.avi", film(25, "surprise"))
    status, printed, errors = run(
        *("--source", "talk.avi", "--no-window", "--csv", "out.csv", "--timeline", "out.png", "--summary"),
        cwd=tmp_path,
        code=FULL + STUB,
    )
    assert status == 1 and "out.csv cannot be written to its end: No space left on device" in errors
    assert "Traceback" not in errors
    assert "wrote out.csv" in printed and "wrote out.png" in printed and "surprise" in printed
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 11
    assert cv2.imread(str(tmp_path / "out.png")) is not None


@pytest.mark.parametrize(
    ("main", "options"),
    [
        (webcam.main, webcam.WebcamOptions(threshold=2)),
        (webcam.main, webcam.WebcamOptions(width=640)),
        (webcam.main, webcam.WebcamOptions(width=-3, height=5)),
        (screen.main, screen.ScreenOptions(save=Path("film.avi"))),
        (screen.main, screen.ScreenOptions(region="left")),
        (screen.main, screen.ScreenOptions(fps=0)),
    ],
)
def test_options_are_refused_before_anything_is_loaded(monkeypatch, main, options):
    monkeypatch.setattr(lazy, "announced", None)
    with pytest.raises(UsageError, match="expected"):
        main(options)


def test_a_video_goes_through_the_same_code_as_a_camera(tmp_path):
    write_film(tmp_path / "talk.avi", film(25, "surprise"))
    status, printed, errors = run(
        *("--source", "talk.avi", "--no-window", "--save", "out.mp4", "--csv", "out.csv", "--summary"),
        cwd=tmp_path,
        code=STUB,
    )
    assert status == 0, errors
    assert "wrote out.mp4\nwrote out.csv" in printed and "surprise" in printed
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 26
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).read()[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.mp4", "talk.avi"]


def test_the_demo_is_a_window_or_files_that_it_names(capsys):
    options = webcam.WebcamOptions(demo=True)
    shown = webcam.demo_options(options, problem="")
    assert (shown.source, shown.no_window, shown.save) == ("sample", False, None)
    options.save = Path("mine.mp4")
    filed = webcam.demo_options(options, problem="no display")
    assert filed.no_window and filed.save == Path("mine.mp4")
    assert (filed.csv, filed.timeline) == (Path("outputs/demo.csv"), Path("outputs/demo.png"))
    assert "mine.mp4" in capsys.readouterr().out


WINDOW = """
import sys
sys.argv = ["webcam", "--source", "photos", "--fps", "0.02"]
exec({stub!r})
"""


def test_the_window_on_a_real_screen_shows_the_box_and_the_label(x_display, tmp_path, wait_until):
    (tmp_path / "photos").mkdir()
    face = picture(("anger", 250, 220))
    cv2.imwrite(str(tmp_path / "photos" / "face.png"), face)
    with Program(WINDOW.format(stub=STUB), tmp_path, x_display) as program:
        colour = np.array(COLOURS["anger"][::-1])

        def shown():
            """What is in the window, which is as large as fits, in the middle of the screen."""
            return screenshot(x_display)[64:744, 186:1093]

        def labelled():
            """Whether a label stands above the face, which is shown 1.42 times as large."""
            above = shown()[262:306, 373:505]
            return (np.abs(above.astype(int) - colour) < 10).all(-1).mean() > 0.2

        number = wait_until(program.focus, 60)
        wait_until(lambda: labelled() or program.remap(number), 60)
        rows, columns = np.nonzero((np.abs(shown().astype(int) - colour) < 10).all(-1))
        # The box: from (354, 312) on, 170 pixels wide and high, with its line, and the label above.
        assert 329 <= columns.min() <= 355 and 257 <= rows.min() <= 307
        program.xdotool("windowfocus", number)
        program.xdotool("key", "q")
        assert program.wait() == 0, program.printed


def test_a_film_that_cannot_be_read_leaves_nothing(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"no film")
    status, printed, errors = run(
        *["--source", "film.mp4", "--no-window", "--csv", "a.csv", "--timeline", "a.png"], cwd=tmp_path
    )
    assert status == 1
    assert "film.mp4" in errors and "Traceback" not in errors
    assert "wrote" not in printed
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_only_the_demo_itself_replaces_files_of_an_earlier_run(tmp_path, monkeypatch):
    source, names = write_film(tmp_path / "talk.avi", film(2)), ("a.mp4", "a.csv", "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fer.live.app.load_predictor", lambda *_: ColourPredictor())
    save, csv, timeline = (Path(name) for name in names)
    for name in names[:2]:
        Path(name).write_text("of the run before")
    options = webcam.WebcamOptions(source=str(source), no_window=True, save=save, csv=csv, timeline=timeline)
    with pytest.raises(UsageError, match=r"a\.mp4 and a\.csv would be replaced\. Delete"):
        webcam.main(options)
    assert save.read_text() == csv.read_text() == "of the run before" and not timeline.exists()
    options.demo, options.max_frames = True, 2
    webcam.main(options)
    assert all(Path(name).read_bytes()[:3] != b"of " for name in names)


SIGNALLED = """
import sys
from fer import cli, webcam
def main(options):
    print("begun")
    return webcam.main(options)
sys.argv = ["webcam", "--source", "sample", "--no-window", "--save", "a.mp4", "--csv", "a.csv", "--timeline", "a.png"]
sys.argv += {more}
cli.run(main, webcam.WebcamOptions, at_once=False)
"""


@pytest.fixture
def started(tmp_path, wait_until):
    """Start the real demo with more options, and wait until it has begun, to import libraries first."""

    def start(*more):
        program = Program(SIGNALLED.format(more=more), tmp_path)
        wait_until(lambda: "begun" in program.printed or program.process.poll() is not None, 60)
        return program

    return start


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_signal_at_any_moment_ends_it_with_whole_files(tmp_path, started, number, seed):
    with started() as program:
        time.sleep(random.Random(f"{seed} {number}").uniform(0, 3))  # 1.5 are the start
        program.process.send_signal(number)
        assert program.wait() == 130, program.printed
    assert "Traceback" not in program.printed
    files = {path.name for path in tmp_path.iterdir()} - {"printed.txt"}
    assert files <= {"a.mp4", "a.csv", "a.png"}
    assert all(f"wrote {name}" in program.printed for name in files)
    if "a.mp4" in files:
        assert cv2.VideoCapture(str(tmp_path / "a.mp4")).read()[0]
    if "a.csv" in files:
        assert all(row["contempt"] for row in rows_of(tmp_path / "a.csv"))


@pytest.mark.parametrize("times", [1, 4])
def test_a_signal_while_torch_is_imported_ends_it_without_an_abort(tmp_path, started, wait_until, times):
    """However impatient: a thread that is inside of a library must not meet an interpreter that ends."""
    for name in ("card.json", "model.safetensors"):
        (tmp_path / "model").mkdir(exist_ok=True)
        shutil.copy(MODELS / "emotion_net" / name, tmp_path / "model")
    with started("--model", str(tmp_path / "model")) as program:
        wait_until(lambda: "Estimates" in program.printed, 60)
        time.sleep(0.3)
        for _ in range(times):
            program.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        assert program.wait() == 130, program.printed
    assert "Traceback" not in program.printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "printed.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, to see when a signal is handled")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_options_are_read_ends_it_without_a_traceback(wait_until, number):
    def handled():
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16) & 1 << signal.SIGTERM - 1

    command = [sys.executable, "-m", "fer.webcam", "--help"]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        wait_until(handled)
        process.send_signal(number)
        assert process.wait(30) == 130 and b"Traceback" not in process.stdout.read()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs terminals that can be closed")
def test_what_is_written_is_whole_although_the_terminal_is_closed(tmp_path, wait_until):
    terminal, its_end = os.openpty()
    options = ("--no-window", "--csv", "a.csv", "--save", "a.mp4", "--timeline", "a.png", "--summary")
    command = [sys.executable, "-m", "fer.webcam", "--source", "sample", *options]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdin=its_end, stdout=its_end, stderr=its_end
    ) as process:
        os.close(its_end)
        wait_until((tmp_path / "a.csv").exists, 60)
        os.close(terminal)
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.mp4", "a.png"]
    assert cv2.imread(str(tmp_path / "a.png")) is not None
