"""How every script starts and ends.

A script is a module with a dataclass of options and a ``main(options)``, which
imports what is heavy: so ``--help`` and a mistyped option are answered before
torch is imported. ``cli.run(main, Options)`` stands last in the module.

Exit codes: 0 done, 1 could not do the work (a message on stderr), 2 bad usage,
130 stopped with Ctrl-C (or with SIGTERM, where the run can be resumed).
"""

import importlib.metadata
import os
import sys
from collections.abc import Callable, Sequence
from types import UnionType
from typing import NoReturn, cast

import tyro

from fer.errors import UserError


def run(main: Callable, options: type | UnionType, arguments: Sequence[str] | None = None) -> NoReturn:
    """Parse ``arguments`` (by default the command line) and exit with what ``main(options)`` returns, None for 0."""
    spec = sys.modules["__main__"].__spec__  # None where the script was not called with -m
    try:
        try:
            parsed: object = tyro.cli(
                cast(type, options),  # a union of dataclasses is a command with subcommands
                prog=f"python -m {spec.name.removesuffix('.__main__')}" if spec else None,
                args=arguments,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )
            _warn_of_namesake()
            code = main(parsed) or 0
        finally:
            sys.stdout.flush()  # now, also after --help: later a reader that has ended is a traceback
    except BrokenPipeError:  # the reader, `head` say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (UserError, OSError) as error:  # a full disk or a forbidden folder is for the user to fix, too
        print(f"error: {error}", file=sys.stderr)
        code = getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 130
    sys.exit(code)


def _warn_of_namesake() -> None:
    """Warn where PyPI's ``fer``, another project with the same import name, is installed beside this one."""
    try:
        found = importlib.metadata.distribution("fer")
    except importlib.metadata.PackageNotFoundError:
        return
    print(
        f"warning: another package called fer ({found.version}) is installed here, and Python may import that one: run "
        "`pip uninstall -y fer`, then `pip install -e . --no-deps`.",
        file=sys.stderr,
    )
