"""The options that both demos share. Imports nothing heavy: ``--help`` is made from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass
class LiveOptions:
    """Options of the webcam and of the screen demo."""

    model: Path | None = None
    """Folder of a trained model. By default the one that comes with this program, emotion_net."""
    save: Path | None = None
    """Record what is shown to this .mp4 (H.264, plays in browsers). Nothing is written unless asked."""
    csv: Path | None = None
    """Write one row per face and analysed frame to this file, as it goes. Where many faces take turns, those that wait
    have no probabilities."""
    timeline: Path | None = None
    """At the end, draw the probabilities of every face over time, or of every photo, to this .png or .jpg."""
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
