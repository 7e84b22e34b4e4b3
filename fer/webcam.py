"""Name the expression of every face before a camera, in a video, a stream, or the built-in sample.

python -m fer.webcam                       the first camera; press h for the keys, q to quit
python -m fer.webcam --source sample       a synthetic actor, without a camera
python -m fer.webcam --source talk.mp4 --no-window --save out.mp4 --csv out.csv
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from fer import cli, lazy
from fer.errors import UsageError
from fer.live.options import LiveOptions, check_rate


@dataclass
class WebcamOptions(LiveOptions):
    """Name the expression of every face before a camera, in a video, a stream, or the built-in sample."""

    source: Annotated[str, arg(metavar="NAME")] = "0"
    """Number, name or /dev/video of a camera, a video, a photo, a folder of them, an http or rtsp URL, or `sample`."""
    width: int | None = None
    """Width to ask the camera for (with --height)."""
    height: int | None = None
    """Height to ask the camera for (with --width)."""
    fps: float | None = None
    """Frames a second to ask the camera for; for a folder, photos a second (1 by default)."""
    mirror: bool = False
    """Swap left and right, as in a mirror, in the window (where cameras are so anyway; key m) and what is saved."""
    list_cameras: bool = False
    """Print the cameras that are connected, and stop."""
    demo: bool = False
    """Play the built-in sample: in a window, or where there is no display into outputs/."""

    def check(self) -> None:
        """Refuse also a size and a rate that are not above 0."""
        super().check()
        check_rate(self.fps)
        size = self.width, self.height
        if size != (None, None) and any(side is None or side <= 0 for side in size):
            raise UsageError(f"--width and --height go together: expected both, above 0, found {size}.")


def main(options: WebcamOptions) -> int | None:
    """Play the source."""
    from fer.live import environment

    options.check()  # before what takes long
    environment.prepare()  # before cv2 is imported below
    with lazy.announced("OpenCV and all that reads cameras and films"):
        from fer.live import app, sources

    if options.list_cameras:
        cameras = sources.list_cameras()
        print("\n".join(f"{index}  {name}" for index, name in cameras) or "no camera found")
        return None if cameras else 1
    if options.demo:
        options = demo_options(options, environment.display_problem())
    size = (options.width, options.height) if options.width and options.height else None
    if options.demo and options.no_window:  # short: `make demo` waits for the files
        source: sources.Source = sources.SampleActor(seconds=1.5)
    else:
        source = sources.open_source(options.source, size, options.fps, watched=not options.no_window)
    app.show(source, options, mirror=options.mirror, replace=options.demo)
    return None


def demo_options(options: WebcamOptions, problem: str) -> WebcamOptions:
    """Turn ``--demo`` into a window, or into files where a window has a ``problem``."""
    options = replace(options, source="sample")
    if problem:
        folder = Path("outputs")
        options.no_window = options.summary = True
        options.save = options.save or folder / "demo.mp4"
        options.csv = options.csv or folder / "demo.csv"
        options.timeline = options.timeline or folder / "demo.png"
        place = options.save.resolve()
        print(f"There is no display, so the demo goes into files: open {place} in a browser or player.")
    return options


def command() -> None:
    """Run ``fer-webcam``, the command that installing the package brings."""
    cli.run(main, WebcamOptions, at_once=False)


if __name__ == "__main__":
    command()
