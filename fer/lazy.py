"""What is imported only when somebody uses it: names that a package hands on, and words where that takes long."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fer.errors import EXTRA

SILENT_S = 0.5  # in which a script may load something without a word


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Say on stderr what is being loaded in the block, where that takes longer than ``SILENT_S``."""
    timer = threading.Timer(SILENT_S, print, [f"loading {what} …"], {"file": sys.stderr})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` (PEP 562) of a package, each of whose names has a module as its home."""

    def getattr_(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        except ModuleNotFoundError as error:
            error.add_note(EXTRA)
            raise

    return getattr_, lambda: sorted({*vars(sys.modules[package]), *homes})
