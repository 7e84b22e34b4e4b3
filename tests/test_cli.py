"""Every script answers --help at once, and says in one line what went wrong."""

import os
import pkgutil
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import fer
from fer import cli
from fer.errors import EXTRA, DataInvalid, DataMissing, DeviceError, Stopped, UsageError, UserError
from fer.interrupt import SIGNALS

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "cv2", "sklearn", "scipy", "matplotlib", "pandas", "accelerate", "av", "mss")


def scripts():
    """Modules of the package that run as ``python -m``."""
    for module in pkgutil.walk_packages(fer.__path__, "fer."):
        spec = module.module_finder.find_spec(module.name)
        if spec.origin and "\nif __name__ == " in Path(spec.origin).read_text("utf-8"):
            yield module.name.removesuffix(".__main__")


SCRIPTS = sorted(scripts())


def test_the_scripts_are_found():
    assert {"fer.train", "fer.evaluate"} <= set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_answers_without_heavy_imports(script):
    """Run as -m does, then see what was imported when it exited."""
    code = (
        "import atexit, runpy, sys\n"
        f"atexit.register(lambda: print('\\nLOADED', *[m for m in {HEAVY} if m in sys.modules]))\n"
        "sys.argv = ['script', '--help']\n"
        f"runpy.run_module({script!r}, run_name='__main__', alter_sys=True)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert f"python -m {script}" in run.stdout
    assert "{None}" not in run.stdout  # an option of type X | None takes an X
    assert run.stdout.rstrip().endswith("LOADED"), run.stdout.splitlines()[-1]


@pytest.mark.parametrize("encoding", ["cp1252", "cp932", "ascii"])
def test_what_a_code_page_lacks_is_escaped(tmp_path, encoding):
    script = tmp_path / "script.py"
    script.write_text(
        "from dataclasses import make_dataclass\nfrom fer import cli\n"
        "cli.run(lambda options: print('\\u65e5\\u672c.csv \\u0142 \\udcff'), make_dataclass('Options', []))\n"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, script], capture_output=True, env=environment, check=False)
    japanese = "日本" if encoding == "cp932" else r"\u65e5\u672c"
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout.decode(encoding).rstrip() == rf"{japanese}.csv \u0142 \udcff"


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_the_requirements_the_pip_line_is_shown(script):
    """-S leaves out what is installed."""
    command = [sys.executable, "-S", "-m", script, "--help"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.count("\n") == 1 and "python -m pip install -r requirements-demo.txt" in run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows reports a closed pipe in another way")
@pytest.mark.parametrize(
    "arguments",
    [
        ["fer.webcam", "--help"],
        ["fer.evaluation.results", "--models", ROOT / "models"],
        ["fer.predict", ROOT / "assets/demo.webp", "--csv", "faces.csv"],
    ],
)
def test_a_reader_that_has_ended_is_no_error(arguments, tmp_path):
    """As ``head`` has, when it has its lines."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", *arguments]
    run = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    os.close(writer)
    assert (run.returncode, run.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"faces.csv"} & {*arguments}


def test_an_error_is_shown_although_the_reader_has_ended(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from dataclasses import make_dataclass\nfrom fer import cli\nfrom fer.errors import EXTRA, DataInvalid\n"
        "def main(options):\n    print('half')\n    raise DataInvalid('the rest is damaged')\n"
        "cli.run(main, make_dataclass('Options', []))\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}  # else the reader is missed at once
    run = subprocess.run(
        [sys.executable, script],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        check=False,
    )
    os.close(writer)
    assert (run.returncode, run.stderr) == (1, "error: the rest is damaged\n")


@pytest.mark.parametrize(
    ("module", "arguments", "option"),
    [
        ("fer.datasets.affectnet8", ["extract", "train_set.tar", "OUT"], "FOLDER"),
        ("fer.datasets.packed", ["write", "tree", "OUT"], "OUT"),
        ("fer.datasets.synthetic", ["OUT"], "OUT"),
        ("fer.export", ["OUT"], "MODEL"),
        ("fer.export", ["models/one", "OUT/one.onnx"], "OUT"),
        ("fer.training.averaging", ["halve", "OUT"], "MODEL"),
        ("fer.training.averaging", ["soup", "one", "two", "--out", "OUT"], "--out"),
    ],
)
def test_a_folder_that_cannot_be_written_is_named_with_its_option(module, arguments, option, tmp_path):
    """Before anything else is looked at."""
    (tmp_path / "file").touch()
    arguments = [text.replace("OUT", "file/out") for text in arguments]
    command = [sys.executable, "-m", module, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 1
    assert re.match(f"error: {option} file/out.* cannot be written to", run.stderr), run.stderr


@pytest.mark.parametrize(
    ("module", "arguments", "code", "message"),
    [
        ("fer.train", ["--no-such-option"], 2, "--no-such-option"),
        ("fer.evaluate", ["--data", "imagenet"], 2, "imagenet"),
        ("fer.evaluate", ["--model", "no/such/model"], 1, "No model at no/such/model"),
        ("fer.train", ["--epochs", "0"], 2, "--epochs 0: expected 1 or more"),
        ("fer.predict", ["a.jpg", "--csv", "a.jpg"], 2, "would replace a photo"),
        ("fer.predict", ["a.jpg", "--csv=a.csv", "--threshold=40"], 2, "--threshold 40.0: expected 0 to 1"),
        ("fer.screen", ["--region", "1,2,3", "--no-window"], 2, "expected left,top,width,height"),
        ("fer.evaluation.results", ["--models", "emtpy"], 1, "No results in emtpy"),
        ("fer.webcam", ["--width", "640", "--no-window"], 2, "--width and --height go together"),
    ],
)
def test_mistakes_end_with_a_line_and_no_traceback(module, arguments, code, message, tmp_path):
    command = [sys.executable, "-m", module, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == code
    assert message in run.stderr
    assert "Traceback" not in run.stderr + run.stdout
    assert not list(tmp_path.iterdir())


@dataclass
class Options:
    """Options of a script that exists only here."""

    times: int = 1
    limit: int | None = None


def ended(main, *arguments):
    """The exit code of a script with this main."""
    with pytest.raises(SystemExit) as done:
        cli.run(main, Options, arguments)
    return done.value.code or 0


def test_options_are_parsed_and_the_exit_code_is_what_main_returns():
    assert ended(lambda options: options.times, "--times", "7") == 7
    assert ended(lambda options: options.limit, "--limit", "7") == 7
    assert ended(lambda options: options.limit) == ended(lambda options: None) == 0


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("three of four"), 1, "error: three of four"),
        (DataMissing("no file"), 1, "error: no file"),
        (DataInvalid("bad value"), 1, "error: bad value"),
        (UsageError("0 epochs"), 2, "error: 0 epochs"),
        (DeviceError("no camera"), 1, "error: no camera"),
        (PermissionError(13, "Permission denied", "/x"), 1, "Permission denied: '/x'"),
        (KeyboardInterrupt(), 130, "stopped"),
        (ModuleNotFoundError("No module named 'torch'", name="torch.nn"), 1, f"'torch'. {EXTRA}"),
        (ImportError("libGL.so.1: cannot open shared object file"), 1, "apt-get install libgl1"),
        (Stopped("Stopped in epoch 3. Add --resume."), 130, "Stopped in epoch 3. Add --resume."),
    ],
)
def test_errors_become_messages(error, code, message, capsys):
    def main(options):
        raise error

    assert ended(main) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("number", SIGNALS)
def test_a_script_ends_by_a_signal_as_by_ctrl_c(number, capsys):
    assert ended(lambda options: signal.raise_signal(number)) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_fault_of_the_code_keeps_its_traceback():
    with pytest.raises(AttributeError):
        cli.run(lambda options: options.no_such_field, Options, [])
    for name in ("fer.nothing", "fer.cli"):  # no such module, and no such name in one
        with pytest.raises(ImportError):
            cli.run(lambda options, name=name: exec(f"from {name} import nothing"), Options, [])


def test_warns_of_the_other_package_called_fer(tmp_path, monkeypatch, capsys):
    ended(lambda options: None)
    assert "another package" not in capsys.readouterr().err
    folder = tmp_path / "fer-25.10.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: fer\nVersion: 25.10\n")
    monkeypatch.syspath_prepend(tmp_path)
    ended(lambda options: None)
    assert "another package called fer (25.10)" in capsys.readouterr().err
