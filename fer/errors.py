"""Errors that the user can fix: scripts show the message alone, without a traceback.

A message says what was found, what was expected and what to do next.
"""

REQUIREMENTS = (
    "In the folder of the clone: python -m pip install -r requirements-demo.txt (webcam, screen and photos) or "
    "-r requirements.txt (training and notebooks, too)."
)
"""What to do where nothing is installed."""
EXTRA = "The extra [train] brings it, or [notebooks]; in a clone: python -m pip install -r requirements.txt."
"""What to do where only what the demos need is installed, and another package is missing."""


class UserError(Exception):
    """A file, option, device or network is not as the code needs it."""

    exit_code = 1
    """Exit status of a script that ends with this error: see ``fer.cli``."""

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: the message alone, as scripts do."""
        return [f"error: {self}"]


class DataMissing(UserError, FileNotFoundError):
    """A file, folder or package is missing."""

    def __str__(self) -> str:
        return str(self.args[0])  # FileNotFoundError would print an errno


class DataInvalid(UserError, ValueError):
    """A file or an option has a value that cannot be used."""


class UsageError(DataInvalid):
    """An option is out of its range, or contradicts another one."""

    exit_code = 2


class DeviceError(UserError, OSError):
    """A camera, screen or window cannot be used."""

    def __str__(self) -> str:
        return str(self.args[0])


class Stopped(UserError):
    """The work was asked to stop, and what it had done is saved."""

    exit_code = 130
