"""Signals are noted, and no more of them than the user wants."""

import signal
import subprocess
import sys

import pytest

from fer.interrupt import SIGNALS, stop_signals


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_the_third_ends_the_work(number):
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), stop_signals() as stop:
            assert not stop
            signal.raise_signal(number)
            signal.raise_signal(number)
            assert stop
            signal.raise_signal(number)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_what_is_noted_around_the_work_is_seen_in_it():
    with stop_signals() as outer, stop_signals() as inner:
        signal.raise_signal(signal.SIGTERM)
        assert outer and inner
    with stop_signals(at_once=True), stop_signals() as inner:
        signal.raise_signal(signal.SIGTERM)
        assert inner


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no terminal that hangs up")
@pytest.mark.parametrize("at_once", [False, True])
def test_under_nohup_a_closed_terminal_stops_nothing(at_once):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals(at_once) as stop:
            signal.raise_signal(signal.SIGHUP)
        assert not stop
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("name", "kept"), [("fer-webcam", False), ("fer-predict.exe", False), ("fermat", True)]
)
def test_a_command_of_the_wheel_is_guarded_from_its_first_import_on(name, kept, tmp_path):
    script = tmp_path / name
    script.write_text(
        "import signal, fer; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert run.stdout == f"{kept}\n"


def test_another_program_that_imports_fer_keeps_its_handlers(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/__init__.py").write_text("import fer")
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    (tmp_path / "other/__main__.py").write_text(code)
    run = subprocess.run(
        [sys.executable, "-m", "other"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout == "True\n"
