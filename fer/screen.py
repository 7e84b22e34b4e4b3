"""Name the expression of every face on the screen: a video call, a film, a web page.

python -m fer.screen                       the main monitor; press h for the keys, q to quit
python -m fer.screen --list-monitors
python -m fer.screen --select              select the region with the mouse
python -m fer.screen --region 100,80,640,480 --no-window --csv call.csv
"""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from fer import cli, lazy
from fer.errors import UsageError
from fer.live.options import LiveOptions, check_rate


def parse_region(text: str) -> tuple[int, int, int, int]:
    """Return (left, top, width, height) from "L,T,W,H"; UsageError where that is not four whole numbers."""
    try:
        left, top, width, height = (int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--region {text!r}: expected left,top,width,height, whole numbers.") from error
    return left, top, width, height


@dataclass
class ScreenOptions(LiveOptions):
    """Name the expression of every face on the screen: a video call, a film, a web page."""

    monitor: int = 1
    """Which monitor, as --list-monitors numbers them; 0 is all of them together."""
    region: Annotated[str | None, arg(metavar="L,T,W,H")] = None
    """Only this part of the desktop (left, top, width, height). Left and top may be negative."""
    select: bool = False
    """Select the region with the mouse first."""
    fps: float = 30.0
    """At most this many pictures of the screen a second."""
    list_monitors: bool = False
    """Print the monitors and where they are on the desktop, and stop."""

    def check(self) -> None:
        """Refuse also a region that is none, and a rate that is not above 0."""
        super().check()
        check_rate(self.fps)
        if self.region is not None:
            parse_region(self.region)


def main(options: ScreenOptions) -> None:
    """Play the screen."""
    from fer.live import environment

    options.check()  # before what takes long
    environment.prepare()  # before cv2 is imported below
    with lazy.announced("OpenCV and all that reads the screen"):
        from fer.live import app, screens

    if options.list_monitors:
        for number, (left, top, width, height) in enumerate(screens.list_monitors()):
            print(f"{number}  {left},{top},{width},{height}{'  (all together)' if number == 0 else ''}")
        return
    region = parse_region(options.region) if options.region is not None else None
    if options.select:
        region = screens.select_region(options.monitor)
    app.show(screens.Screen(options.monitor, region, options.fps), options, replace=False)


def command() -> None:
    """Run ``fer-screen``, the command that installing the package brings."""
    cli.run(main, ScreenOptions, at_once=False)


if __name__ == "__main__":
    command()
