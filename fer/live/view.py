"""How frames are shown and saved: mirrored, blurred, with bars or without."""

from dataclasses import dataclass, field

import numpy as np

from fer.live import overlay
from fer.live.analysis import Analysis
from fer.live.layout import Layout, Size


@dataclass
class View:
    """What keys change of the pictures."""

    bars: bool = True
    blur: bool = False
    mirror: bool = False
    mirror_saved: bool = False  # recordings and snapshots, too
    help: bool = False
    paused: bool = False
    layouts: dict[bool, Layout] = field(default_factory=dict)
    """The newest of what is displayed (True) and saved: labels stay where they were."""

    def draw(
        self, image: np.ndarray, analysis: Analysis | None, status: overlay.Status, size: Size | None = None
    ) -> np.ndarray:
        """Return a new picture of ``image`` (H, W, 3): for a display of ``size`` (width, height), or as it is saved."""
        displayed, hide = size is not None, analysis.hide if analysis else np.zeros((0, 4))
        picture, faces, lost = overlay.compose(
            image,
            analysis.faces if analysis else (),
            size or (image.shape[1], image.shape[0]),
            self.mirror if displayed else self.mirror_saved,
            hide if self.blur else None,
            [hide[number] for number in analysis.lost] if analysis else (),
        )
        # The display shows each pixel as one; nobody knows at which size a recording will be looked at.
        scale, previous = 1.0 if displayed else None, self.layouts.get(displayed)
        self.layouts[displayed] = overlay.draw(picture, faces, status, self.bars, scale, previous, lost)
        return picture
