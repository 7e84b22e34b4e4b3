"""How every script starts: parse first, import the heavy libraries after.

A script is a module with a dataclass of options and a ``main(options)``. Its
first lines are ``if __name__ == "__main__": cli.run("fer.train", TrainConfig)``
so that ``--help`` and a mistyped option are answered before torch is imported.

Exit codes: 0 done, 1 could not do the work (a message on stderr), 2 bad usage,
130 stopped with Ctrl-C (or with SIGTERM, where what was done is kept to go on from).
"""

import importlib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Sequence
from types import UnionType
from typing import NoReturn, cast

import tyro

from fer.errors import UserError


def run(main: Callable | str, options: type | UnionType, arguments: Sequence[str] | None = None) -> NoReturn:
    """Parse ``arguments`` (the command line) into ``options`` and exit with what ``main(options)`` returns."""
    parsed: object = tyro.cli(
        cast(type, options),  # a union of dataclasses is a command with subcommands
        prog=_program() if callable(main) else f"python -m {main}",
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )
    _warn_of_namesake()
    code = 1
    try:
        main = main if callable(main) else importlib.import_module(main).main
        code = main(parsed) or 0
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (UserError, OSError) as error:  # a full disk or a forbidden folder is the user's to mend, too
        print(f"error: {error}", file=sys.stderr)
        code = getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 130
    finally:
        if "torch.distributed" in sys.modules:  # otherwise nobody was met
            importlib.import_module("fer.training.distributed").leave(done=code in (0, 130))
    sys.exit(code)


def _program() -> str | None:
    """Return how the script that runs was called; None, for tyro's own answer, where that was not with ``-m``."""
    spec = sys.modules["__main__"].__spec__
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else None


def _warn_of_namesake() -> None:
    """Say so when PyPI's ``fer``, another project with the same import name, is installed beside this one."""
    try:
        found = importlib.metadata.distribution("fer")
    except importlib.metadata.PackageNotFoundError:
        return
    print(
        f"warning: another package called fer ({found.version}) is installed in this environment. Depending on the "
        "folder that you start from, Python may import that one: run `pip uninstall -y fer`, then "
        "`pip install -e . --no-deps`.",
        file=sys.stderr,
    )
