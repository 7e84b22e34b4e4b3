"""Names that a package hands on without importing their modules before somebody uses them."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from fer.errors import EXTRA


def exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Args:
        package: its ``__name__``.
        homes: each public name, and the module below ``package`` that defines it.
    """

    def getattr_(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        except ModuleNotFoundError as error:
            error.add_note(EXTRA)
            raise

    return getattr_, lambda: sorted({*vars(sys.modules[package]), *homes})
