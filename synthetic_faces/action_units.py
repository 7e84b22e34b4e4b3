"""What the muscles do: facial action units and the expressions made of them."""

from dataclasses import dataclass, fields, replace

import numpy as np

from fer.labels import EMOTIONS


@dataclass(frozen=True, slots=True)
class ActionUnits:
    """Strength of each action unit, 0 (at rest) to 1 (as strong as it gets).

    Numbers are those of the Facial Action Coding System (Ekman & Friesen 1978).
    ``side`` weighs the two halves of the mouth in AU10, 12 and 14: 0 moves both,
    1 only the right half of the image, -1 only the left one.
    """

    au1: float = 0.0  # inner brow raiser
    au2: float = 0.0  # outer brow raiser
    au4: float = 0.0  # brow lowerer
    au5: float = 0.0  # upper lid raiser
    au6: float = 0.0  # cheek raiser
    au7: float = 0.0  # lid tightener
    au9: float = 0.0  # nose wrinkler
    au10: float = 0.0  # upper lip raiser
    au12: float = 0.0  # lip corner puller
    au14: float = 0.0  # dimpler
    au15: float = 0.0  # lip corner depressor
    au16: float = 0.0  # lower lip depressor
    au17: float = 0.0  # chin raiser
    au20: float = 0.0  # lip stretcher
    au23: float = 0.0  # lip tightener
    au25: float = 0.0  # lips part
    au26: float = 0.0  # jaw drop
    au43: float = 0.0  # eyes closed
    side: float = 0.0

    def scaled(self, intensity: float) -> "ActionUnits":
        """Return the same expression at ``intensity`` (0-1); its one-sidedness stays."""
        return ActionUnits(**{n: getattr(self, n) * intensity for n in _UNITS}, side=self.side)

    def varied(self, rng: np.random.Generator, spread: float) -> "ActionUnits":
        """Return it as another person would show it: each unit stronger or weaker by about ``spread``."""
        factors = np.clip(rng.normal(1.0, spread, len(_UNITS)), 0.3, 1.5)
        changed = {n: min(1.0, getattr(self, n) * f) for n, f in zip(_UNITS, factors, strict=True)}
        return ActionUnits(**changed, side=self.side)

    def closing_eyes(self, closed: float) -> "ActionUnits":
        """Return it with the lids closed by at least ``closed`` (0-1): a blink."""
        return replace(self, au43=max(self.au43, closed))

    def at_least(self, other: "ActionUnits") -> "ActionUnits":
        """Return both at once: of each unit the stronger; the one-sidedness is this one's."""
        return ActionUnits(**{n: max(getattr(self, n), getattr(other, n)) for n in _UNITS}, side=self.side)

    def halves(self, name: str) -> tuple[float, float]:
        """Return one unit's strength on the left and on the right half of the image."""
        value = getattr(self, name)
        return value * min(1.0, 1.0 - self.side), value * min(1.0, 1.0 + self.side)


_UNITS = tuple(f.name for f in fields(ActionUnits) if f.name != "side")

PROTOTYPES: dict[str, tuple[ActionUnits, ...]] = {
    "neutral": (ActionUnits(),),
    "happiness": (
        ActionUnits(au6=1.0, au12=1.0, au25=1.0),
        ActionUnits(au6=0.9, au12=0.95),
        ActionUnits(au6=1.0, au12=1.0, au25=1.0, au26=0.35),
    ),
    "sadness": (
        ActionUnits(au1=1.0, au4=0.75, au15=1.0, au17=0.45, au43=0.18),
        ActionUnits(au1=1.0, au4=0.6, au15=0.9, au43=0.3),
    ),
    "surprise": (
        ActionUnits(au1=1.0, au2=1.0, au5=0.9, au25=1.0, au26=1.0),
        ActionUnits(au1=0.9, au2=1.0, au5=0.8, au25=0.9, au26=0.7),
    ),
    "fear": (
        ActionUnits(au1=1.0, au2=0.55, au4=0.75, au5=1.0, au20=0.9, au25=1.0, au26=0.45),
        ActionUnits(au1=1.0, au2=0.6, au4=0.8, au5=1.0, au20=1.0, au25=0.8, au26=0.2),
    ),
    "disgust": (
        ActionUnits(au9=1.0, au10=0.8, au15=0.6, au4=0.5, au6=0.45, au7=0.5, au17=0.5),
        ActionUnits(au9=1.0, au10=1.0, au15=0.5, au4=0.5, au6=0.5, au7=0.5, au25=0.7, au16=0.3),
    ),
    "anger": (
        ActionUnits(au4=1.0, au5=0.45, au7=0.9, au23=1.0, au17=0.5),
        ActionUnits(au4=1.0, au5=0.4, au7=0.9, au10=0.7, au16=0.8, au20=0.25, au25=1.0, au26=0.35, au9=0.4),
    ),
    "contempt": (
        ActionUnits(au12=0.85, au14=1.0, side=1.0),
        ActionUnits(au12=0.85, au14=1.0, side=-1.0),
    ),
}
"""EMFACS prototypes at full strength (Ekman & Friesen 1983), the commonest variant first."""

VALENCE_AROUSAL = {
    "neutral": (0.0, 0.0),
    "happiness": (0.82, 0.35),
    "sadness": (-0.68, -0.32),
    "surprise": (0.18, 0.82),
    "fear": (-0.42, 0.84),
    "disgust": (-0.72, 0.42),
    "anger": (-0.52, 0.74),
    "contempt": (-0.56, 0.28),
}
"""Where each full-strength expression lies on the circumplex of affect (Russell 1980), each axis -1 to 1."""


def expression(label: int, intensity: float = 1.0, variant: int = 0) -> ActionUnits:
    """Return emotion ``label`` (an index into EMOTIONS) shown at ``intensity`` (0-1).

    ``variant`` picks among the ways an emotion is shown; it wraps around.
    """
    choices = PROTOTYPES[EMOTIONS[label]]
    return choices[variant % len(choices)].scaled(intensity)
