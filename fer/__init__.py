"""Facial-emotion classification: data, models, training, scoring and live demos.

Importing this package has no side effect: no download, no window, no heavy
library. The names below are imported when they are first used.
"""

import os
import sys
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING

from fer.errors import REQUIREMENTS
from fer.interrupt import leave_at_once
from fer.lazy import exports

if TYPE_CHECKING:
    from fer.datasets.affectnet8.dataset import AffectNet8
    from fer.datasets.ferplus import FERPlus
    from fer.labels import EMOTIONS
    from fer.predictor import EmotionPredictor

__version__ = "0.2.0"
__all__ = ["EMOTIONS", "AffectNet8", "EmotionPredictor", "FERPlus"]

# `python -m fer.…`, or a command of the wheel, begins with imports that Ctrl-C may meet; other programs keep their
# handlers.
_program = os.path.basename("".join(sys.argv[:1]))
if _program.startswith(("fer-webcam", "fer-screen", "fer-predict")) or (
    _program == "-m" and any(a == "-m" and b.startswith("fer.") for a, b in pairwise(sys.orig_argv))
):
    leave_at_once()
    if not find_spec("tyro"):  # with which every script reads its options
        sys.exit(f"error: the packages that this needs are not installed. {REQUIREMENTS}")

__getattr__, __dir__ = exports(
    __name__,
    {
        "EMOTIONS": "labels",
        "AffectNet8": "datasets.affectnet8.dataset",
        "EmotionPredictor": "predictor",
        "FERPlus": "datasets.ferplus",
    },
)
