"""The live demo inside a notebook: an image with buttons under the cell, frames from a source beside it."""

import threading
from pathlib import Path
from typing import Any

from fer.errors import UserError
from fer.live import app
from fer.live.display import NotebookDisplay
from fer.live.loop import Player
from fer.live.options import LiveOptions
from fer.live.sources import Source, open_source


class Session:
    """A demo that runs beside the notebook, so that its buttons answer and other cells can be run.

    The arguments are those of ``fer.live.app.show``.

    Attributes:
        display: what is shown; its ``jpeg`` is the newest picture.
        error: what ended the demo early, or None.
    """

    def __init__(self, source: Source, options: LiveOptions, **more: Any) -> None:
        self.display = NotebookDisplay()
        self.error: UserError | None = None
        self.player: Player | None = None
        self._thread = threading.Thread(target=self._play, args=(source, options, more), daemon=True)
        self._thread.start()

    def wait(self, seconds: float | None = None) -> "Session":
        """Wait until the demo has ended, or for ``seconds`` or an interrupt of the kernel, and then stop it.

        What ended it early is raised here.
        """
        try:
            self._thread.join(seconds)
        finally:
            self.stop()
            self._thread.join()
        if self.error is not None:
            raise self.error
        return self

    def stop(self) -> None:
        """Press the stop button."""
        self.display.press("q")

    def _play(self, source: Source, options: LiveOptions, more: dict[str, Any]) -> None:
        try:
            self.player = app.show(source, options, display=self.display, **more)
        except UserError as error:
            self.error = error
            print(f"error: {error}")


def show(source: str | Source = "sample", model: str | Path | None = None, **options: Any) -> Session:
    """Start the demo under this cell and return at once; its Stop button, or ``wait(10)``, ends it.

    The camera is one of the machine where the notebook's kernel runs; when that is not yours (JupyterHub,
    Colab), play a file or the sample.

    Args:
        source: as ``--source``, or a ``Source``.
        model: folder of a trained model; the default one by default.
        options: fields of ``LiveOptions``, e.g. ``blur=True`` or ``csv=Path("out.csv")``.
    """
    from IPython.display import display

    if isinstance(source, str):
        source = open_source(source, watched=True)
    session = Session(source, LiveOptions(model=Path(model) if model else None, **options))
    display(session.display.widget)
    return session
