"""The options that both demos share. Imports nothing heavy: ``--help`` is made from it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fer.errors import UsageError, check_ranges
from fer.files import check_output

RECORDING = ".mp4"
PICTURES = (".png", ".jpg", ".jpeg")  # of a timeline


@dataclass
class LiveOptions:
    """Options of the webcam and of the screen demo."""

    model: Path | None = None
    """Folder of a trained model. By default the one that comes with this program, emotion_net."""
    save: Path | None = None
    """Record what is shown to this .mp4 (H.264, plays in browsers). Nothing is written unless asked, nor replaced."""
    csv: Path | None = None
    """Write one row per face and analysed frame to this file, as it goes. Where many faces take turns, those that wait
    have no probabilities."""
    timeline: Path | None = None
    """At the end, draw the probabilities of every face over time to this .png or .jpg; not of photos."""
    summary: bool = False
    """At the end, print how long each face showed each emotion."""
    no_window: bool = False
    """Show nothing. Files are then read as fast as possible and every frame is analysed."""
    max_frames: int | None = None
    """Stop after this many frames (counted from when the model is loaded)."""
    threshold: float = 0.4
    """Below this probability a face is called uncertain."""
    prior: Literal["chosen", "training", "uniform"] = "chosen"
    """Expect emotions as often as in training, all equally often, or in between as the model's card says."""
    smoothing: float = 0.25
    """Seconds over which a face's probabilities are averaged; 0 shows every frame's own, unsteady prediction."""
    detection_size: int | None = None
    """Longer side, in pixels, of the picture that faces are searched in; by default 320, of photos 640. Larger finds
    smaller faces, slower."""
    blur: bool = False
    """Blur faces wherever they are shown or saved, and the whole picture while none is found. Of several faces, one
    that is missed stays recognisable: look at what you saved before you show it."""
    allow_unlocked: bool = False
    """Write files where the file system has no locks, too: nothing then keeps two runs from writing the same ones."""
    no_bars: bool = False
    """Draw only box and label, without the eight bars."""

    def outputs(self) -> dict[str, Path]:
        """Return the files to write, by option."""
        return {name: path for name in ("save", "csv", "timeline") if (path := getattr(self, name))}

    def check(self) -> None:
        """Refuse values out of range, and outputs that cannot be written, are no files or named twice."""
        outputs = self.outputs()
        for name, path in outputs.items():
            check_output(f"--{name}", path)
            if path.is_symlink():
                raise UsageError(f"--{name} {path} is a link: expected the name of a file itself.")
        if len({path.resolve() for path in outputs.values()}) < len(outputs):
            given = ", ".join(f"--{name} {path}" for name, path in outputs.items())
            raise UsageError(f"{given}: expected a name for each.")
        if self.save and self.save.suffix.lower() != RECORDING:
            raise UsageError(f"--save {self.save}: expected a name that ends in {RECORDING}.")
        if self.timeline and self.timeline.suffix.lower() not in PICTURES:
            raise UsageError(
                f"--timeline {self.timeline}: expected a name that ends in .png or .jpg (the picture is made of "
                "pixels: there is no .pdf or .svg)."
            )
        more, some = (0, math.inf), (1, math.inf)
        check_ranges(self, threshold=(0, 1), smoothing=more, detection_size=(64, math.inf), max_frames=some)


def check_rate(fps: float | None) -> None:
    """Refuse a rate that is not above 0; None, the source's own, is fine."""
    if fps is not None and not 0 < fps < math.inf:
        raise UsageError(f"--fps {fps}: a number above 0 is expected.")
