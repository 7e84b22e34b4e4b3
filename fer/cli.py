"""How every script starts and ends.

A script is a module with a dataclass of options and a ``main(options)``, which
imports what is heavy: so ``--help`` and a mistyped option are answered before
torch is imported. ``cli.run(main, Options)`` stands last in the module.

Exit codes: 0 done, 1 could not do the work (a message on stderr), 2 bad usage,
130 stopped by a signal (Ctrl-C, kill, a closed terminal).
"""

import importlib.metadata
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from types import NoneType, UnionType
from typing import NoReturn, cast, get_args

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from fer.errors import EXTRA, READER_KILLED, UserError
from fer.interrupt import stop_signals


def run(
    main: Callable,
    options: type | UnionType,
    arguments: Sequence[str] | None = None,
    at_once: bool = True,
) -> NoReturn:
    """Parse ``arguments`` (by default the command line) and exit with what ``main(options)`` returns, None for 0.

    Args:
        at_once: whether a signal raises KeyboardInterrupt in ``main``, or is noted for its ``stop_signals()``. Then
            the process ends without waiting for the threads of drivers and libraries, which could abort it.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # names of files have letters that not every code page has
        sys.stdout.reconfigure(errors="backslashreplace")
    with stop_signals(at_once) as stop:
        code = _run(main, options, arguments)
        if stop:
            code = 130
        if not at_once:
            os._exit(code)
    sys.exit(code)


def _run(main: Callable, options: type | UnionType, arguments: Sequence[str] | None) -> int:
    spec = sys.modules["__main__"].__spec__  # None where the script was not called with -m
    try:
        parsed: object = tyro.cli(
            cast(type, options),  # a union of dataclasses is a command with subcommands
            prog=f"python -m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).stem,
            args=arguments,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            registry=_REGISTRY,
        )
        _warn_of_namesake()
        code = main(parsed) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has ended
        code = 0
    except (UserError, OSError) as error:  # a full disk or a forbidden folder is for the user to fix, too
        _say(f"error: {error}")
        code = getattr(error, "exit_code", 1)
    except ImportError as error:
        if not (advice := _advice(error)):
            raise
        _say(f"error: {error}. {advice}")
        code = 1
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):  # torch raises it wherever the main process is
            raise
        _say(f"error: {READER_KILLED}")
        code = 1
    except KeyboardInterrupt:
        _say("stopped")
        code = 130
    finally:
        try:
            sys.stdout.flush()  # now, also after --help: later it would be a traceback
        except OSError:  # handled above, or the error was another one
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal is closed
        print(text, file=sys.stderr)


_REGISTRY = ConstructorRegistry()


@_REGISTRY.primitive_rule
def _optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Show an option of type ``X | None`` as one of type X: that it can be left out goes without saying."""
    kinds = [kind for kind in get_args(info.type) if kind is not NoneType]
    if len(kinds) != 1 or NoneType not in get_args(info.type):
        return None
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kinds[0], info.markers))
    assert isinstance(spec, PrimitiveConstructorSpec), f"tyro reads no {info.type}"
    return replace(
        spec,
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda value: ["None"] if value is None else spec.str_from_instance(value),
    )


def _advice(error: ImportError) -> str:
    """Return what to do about something that is not installed; "" where the fault is this program's."""
    if "cannot open shared object file" in str(error):
        return "On a Linux without a desktop OpenCV needs: apt-get install libgl1 libglib2.0-0"
    package = (error.name or "fer").partition(".")[0]
    missing = isinstance(error, ModuleNotFoundError) and package not in ("fer", "synthetic_faces")
    return EXTRA if missing else ""


def _warn_of_namesake() -> None:
    """Warn where PyPI's ``fer``, another project with the same import name, is installed beside this one."""
    try:
        found = importlib.metadata.distribution("fer")
    except importlib.metadata.PackageNotFoundError:
        return
    print(
        f"warning: another package called fer ({found.version}) is installed here, and Python may import that one: run "
        "`pip uninstall -y fer`, then install this one again (in a clone: `pip install -e . --no-deps`).",
        file=sys.stderr,
    )
