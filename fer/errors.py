"""Errors that are the user's to mend: scripts show the message alone, without a traceback.

A message says what was found, what was expected and what to do next.
"""


class UserError(Exception):
    """Something outside this code is not as it must be."""

    exit_code = 1
    """What a script that ends with this error ends with: see ``fer.cli``."""


class DataMissing(UserError, FileNotFoundError):
    """A file or folder is not there."""

    def __str__(self) -> str:
        return str(self.args[0])  # FileNotFoundError would print an errno


class DataInvalid(UserError, ValueError):
    """A file, or a value that was asked for, is there but wrong."""


class DeviceError(UserError, OSError):
    """A camera, screen or window cannot be used."""

    def __str__(self) -> str:
        return str(self.args[0])
