"""Steady predictions: a face's probabilities averaged over time, and a label that does not flicker."""

from collections import deque

import numpy as np

from fer.labels import EMOTIONS, UNCERTAIN, label

RECENT_STEP_S = 0.25
RECENT_STEPS = 120  # half a minute
LEAD = 0.1  # by which a new emotion must be more probable than the one shown
LEAST_PROBABILITY = 1e-3  # one frame that is sure of the opposite does not outweigh all others


class Smoother:
    """The running prediction for one face.

    Probabilities are averaged as evidence (their logarithms, then normalised again), with weights that fall by 1/e
    every ``tau_s`` seconds: errors of the evidence cancel, those of probabilities flatten, and frames that disagree
    would end below the threshold (benchmarks/live_quality.py). A name changes to another only when that leads by
    ``LEAD``, so two that are nearly equal do not take turns; between a name and "uncertain" the ``threshold`` alone
    decides. ``tau_s`` 0 takes every frame as it is, without memory and without lead.
    """

    def __init__(self, tau_s: float = 0.25, threshold: float = 0.4) -> None:
        self.tau_s, self.threshold = tau_s, threshold
        self.probabilities = np.full(len(EMOTIONS), 1 / len(EMOTIONS), np.float32)  # (8,)
        self.emotion = ""  # the label that is shown; empty before the first update
        # Emotion and confidence of each quarter of the last half minute's seconds; None where it was not seen.
        self.recent: deque[tuple[str, float] | None] = deque([None] * RECENT_STEPS, RECENT_STEPS)
        self._lead = LEAD if tau_s > 0 else 0.0
        self._evidence = np.zeros(len(EMOTIONS))
        self._time_s = 0.0

    @property
    def confidence(self) -> float:
        """Probability of the emotion shown; while uncertain, of the most probable one."""
        shown = EMOTIONS.index(self.emotion) if self.emotion in EMOTIONS else self.probabilities.argmax()
        return float(self.probabilities[shown])

    def update(self, probabilities: np.ndarray, time_s: float) -> None:
        """Take in the probabilities (8,) of the frame at ``time_s``."""
        evidence = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
        if not self.emotion or self.tau_s <= 0:
            self._evidence, self.probabilities = evidence, np.asarray(probabilities, np.float32)
        else:
            weight = 1 - np.exp(-max(time_s - self._time_s, 0.0) / self.tau_s)
            self._evidence = self._evidence + weight * (evidence - self._evidence)
            unnormalised = np.exp(self._evidence)
            self.probabilities = (unnormalised / unnormalised.sum()).astype(np.float32)
        new_steps = int(time_s / RECENT_STEP_S) - int(self._time_s / RECENT_STEP_S)
        self._time_s = time_s
        self.emotion = self._label()
        self.recent.extend([None] * min(new_steps, RECENT_STEPS))
        self.recent[-1] = self.emotion, self.confidence

    def _label(self) -> str:
        best = int(self.probabilities.argmax())
        if self.emotion in EMOTIONS and self.probabilities[best] - self.confidence < self._lead:
            same = label(EMOTIONS.index(self.emotion), self.confidence, self.threshold)
            if same != UNCERTAIN:
                return same
        return label(best, self.probabilities[best], self.threshold)
