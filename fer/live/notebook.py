"""The live demo inside a notebook: an image with buttons under the cell, frames from a source beside it."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from fer.errors import DataMissing, Stopped, UserError
from fer.files import PHOTOS, UNREADABLE_PHOTOS
from fer.live import app
from fer.live.display import NotebookDisplay
from fer.live.loop import Player
from fer.live.options import LiveOptions
from fer.live.sources import SomeFrames, Source, open_source


class Session:
    """A demo that runs beside the notebook, so that its buttons answer and other cells can be run.

    The arguments are those of ``fer.live.app.show``, and ``source`` may be what ``--source`` names. ``error`` is what
    ended the demo early.
    """

    newest: ClassVar["Session | None"] = None

    def __init__(self, source: str | Source, options: LiveOptions, **more: Any) -> None:
        self.display, self.options = NotebookDisplay(), options
        self.error: UserError | None = None
        self.player: Player | None = None
        self._earlier = self._written_ns()
        self._thread = threading.Thread(target=self._play, args=(source, more), daemon=True)
        self._thread.start()

    async def finished(self, seconds: float | None = None) -> "Session":
        """Wait until the demo has ended, at most ``seconds``, then stop it: ``await session.finished(60)``.

        The kernel handles clicks meanwhile, which wait while a cell blocks. What ended the demo early is raised; after
        an interrupt of the kernel, Stopped.
        """
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._thread.is_alive():
                        await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            raise Stopped("Interrupted: the demo has ended, and its source is free again.") from None
        finally:
            self.close()
        if self.error:
            raise self.error
        return self

    def close(self, seconds: float = 10) -> None:
        """Press the stop button, and wait until source and files are closed, at most ``seconds``."""
        self.display.press("q")
        self._thread.join(seconds)

    @property
    def jpeg(self) -> bytes:
        """The newest picture; what ended the demo is raised where it has shown none."""
        return self.display.jpeg or self._nothing()

    @property
    def table(self) -> Path | None:
        """The file of ``options.csv``; what ended the demo is raised where it has written none."""
        return self.options.csv if self._written_ns() not in (0, self._earlier) else self._nothing()

    def _written_ns(self) -> int:
        """When the table was written, 0 if never: one of an earlier run must not pass for this one's."""
        path = self.options.csv
        return path.stat().st_mtime_ns if path and path.is_file() else 0

    def _nothing(self) -> Any:
        raise self.error or DataMissing("Nothing was recorded: run the cell that starts the demo again.")

    def _play(self, source: str | Source, more: dict[str, Any]) -> None:
        try:
            source = open_source(source, watched=True) if isinstance(source, str) else source
            self.player = app.show(source, self.options, display=self.display, **more)
        except UserError as error:
            self.error = error
            self.display.say(str(error))
        finally:
            self.display.close()


class Upload(Source):
    """A photo or film that was sent to the kernel; it is on disk while it plays, and deleted then."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name, self._content = Path(name).name, content
        self.stills = Path(name).suffix.lower() in PHOTOS | UNREADABLE_PHOTOS

    def __iter__(self) -> SomeFrames:
        with TemporaryDirectory() as folder:
            path = Path(folder) / self.name
            path.write_bytes(self._content)
            yield from open_source(str(path))


async def upload() -> Upload:
    """Show a button that takes a photo or film from the reader's computer; ``await`` the choice."""
    from IPython.display import display
    from ipywidgets import FileUpload

    button = FileUpload(accept="image/*,video/*", description="Photo or film", layout={"width": "auto"})
    display(button)
    while not button.value:
        await asyncio.sleep(0.05)
    button.disabled = True
    return Upload(button.value[0]["name"], bytes(button.value[0]["content"]))


def show(source: str | Source = "sample", model: str | Path | None = None, **options: Any) -> Session:
    """Start the demo under this cell and return at once; its Stop button, or ``finished(10)``, ends it.

    The one that was started before is stopped: two would share the camera and the table. The camera is one of the
    machine where the notebook's kernel runs; when that is not yours (JupyterHub, Colab), ``upload`` a photo or film.

    Args:
        source: as ``--source``, or a ``Source``.
        model: folder of a trained model; the default one by default.
        options: fields of ``LiveOptions``, e.g. ``blur=True`` or ``csv=Path("out.csv")``.
    """
    from IPython.display import display

    if Session.newest:
        Session.newest.close(60)  # also for a model that still loads: only then is its table free
    session = Session.newest = Session(source, LiveOptions(model=Path(model) if model else None, **options))
    display(session.display.widget)
    return session
