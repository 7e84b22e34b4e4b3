"""Name the expression of every face on the screen: a video call, a film, a web page.

python -m fer.screen                       the main monitor; press h for the keys, q to quit
python -m fer.screen --list-monitors
python -m fer.screen --select              select the region with the mouse
python -m fer.screen --region 100,80,640,480 --no-window --csv call.csv
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from fer import cli
from fer.live.options import LiveOptions


def parse_region(text: str) -> tuple[int, int, int, int]:
    """Return (left, top, width, height) from "L,T,W,H"; ValueError, which tyro reports, where it is no such region."""
    try:
        left, top, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"{text!r} is not left,top,width,height in whole numbers, like 100,80,640,480"
        ) from None
    if width <= 0 or height <= 0:
        raise ValueError(f"{text!r}: width and height (the last two numbers) must be positive")
    return left, top, width, height


Region = Annotated[
    tuple[int, int, int, int] | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="L,T,W,H",
        instance_from_str=lambda words: parse_region(words[0]),
        is_instance=lambda value: value is None or isinstance(value, tuple),
        str_from_instance=lambda value: ["none" if value is None else ",".join(map(str, value))],
    ),
]


@dataclass
class ScreenOptions(LiveOptions):
    """Name the expression of every face on the screen: a video call, a film, a web page."""

    monitor: int = 1
    """Which monitor, as --list-monitors numbers them; 0 is all of them together."""
    region: Region = None
    """Only this part of the desktop: left,top,width,height. Left and top may be negative."""
    select: bool = False
    """Select the region with the mouse first."""
    fps: float = 30.0
    """At most this many pictures of the screen a second."""
    list_monitors: bool = False
    """Print the monitors and where they are on the desktop, and stop."""


def main(options: ScreenOptions) -> None:
    """Play the screen."""
    from fer.live import environment

    environment.prepare()  # before cv2 is imported below
    from fer.live import app, screens

    if options.list_monitors:
        for number, (left, top, width, height) in enumerate(screens.list_monitors()):
            print(f"{number}  {left},{top},{width},{height}{'  (all together)' if number == 0 else ''}")
        return
    region = screens.select_region(options.monitor) if options.select else options.region
    app.show(screens.Screen(options.monitor, region, options.fps), options)


if __name__ == "__main__":
    cli.run(main, ScreenOptions)
