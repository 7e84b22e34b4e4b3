"""Frame in, named faces out: what every demo and script shows goes through here."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fer import checkpoint
from fer.errors import DataInvalid
from fer.faces import FaceDetector, crop
from fer.labels import EMOTIONS, UNCERTAIN
from fer.probabilities import class_shift, outputs_of, to_probabilities
from fer.runtime import fastest, one_torch_thread

MODELS = Path(__file__).parent.parent / "models"
DEFAULTS = ("emotion_net", "baseline_cnn")
"""Shipped models, best first."""


@dataclass(frozen=True)
class FaceEmotion:
    """One face of a frame.

    Attributes:
        box: left, top, width, height, in pixels of the frame.
        probabilities: float32 (8,), calibrated, in the order of EMOTIONS, summing to 1.
        emotion: the likeliest emotion, or ``"uncertain"`` below the threshold.
        confidence: its probability.
        valence, arousal: -1 to 1, where the network tells them, otherwise None.
    """

    box: tuple[int, int, int, int]
    probabilities: np.ndarray
    emotion: str
    confidence: float
    valence: float | None = None
    arousal: float | None = None

    @classmethod
    def name(
        cls,
        box: Sequence[int],
        probabilities: np.ndarray,
        threshold: float,
        valence_arousal: Sequence[float] = (None, None),
    ) -> "FaceEmotion":
        """Return the face named after its likeliest emotion."""
        best = int(probabilities.argmax())
        confidence = float(probabilities[best])
        emotion = EMOTIONS[best] if confidence >= threshold else UNCERTAIN
        return cls(tuple(int(v) for v in box), probabilities, emotion, confidence, *valence_arousal)


class EmotionPredictor:
    """Name the emotion of every face in a picture.

    Args:
        model: folder of a trained model.
        threshold: an emotion less probable than this is called ``"uncertain"``.
        detector: from frame to boxes (K, 4); ``FaceDetector()`` by default.
        flip: average each face with its mirror image; by default as the card says.
        prior: ``"chosen"``, ``"training"`` or ``"uniform"``; see ``fer.probabilities.class_shift``.
        runtime: ``"auto"`` runs the model's ``model.onnx`` where it can, ``"torch"`` the weights themselves.

    Raises:
        DataMissing, DataInvalid: as ``fer.checkpoint.load``.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        threshold: float = 0.4,
        detector: FaceDetector | None = None,
        flip: bool | None = None,
        prior: str = "chosen",
        runtime: str = "auto",
    ) -> None:
        if not 0 <= threshold <= 1:
            raise DataInvalid(f"threshold={threshold}; expected a probability, 0 to 1.")
        if runtime not in ("auto", "torch"):
            raise DataInvalid(f"runtime={runtime!r}; expected 'auto' or 'torch'.")
        folder = Path(model or default_model())
        self.model, self.card = checkpoint.load(folder)
        self.model.to(memory_format=torch.channels_last)
        self.tells_valence_arousal = self.model.valence_arousal
        # An exported network gives logits alone.
        auto = runtime == "auto" and not self.tells_valence_arousal
        self.network = fastest(folder, self.model, self.card) if auto else self.model
        self.threshold = threshold
        self.detect = detector or FaceDetector()
        self.flip = self.card.get("flip", False) if flip is None else flip
        self.margin = self.card.get("crop_margin", 0.0)
        self.temperature = self.card.get("temperature", 1.0)
        self.shift = class_shift(self.card, prior)

    def __call__(self, frame: np.ndarray) -> list[FaceEmotion]:
        """Return the faces of a frame, BGR uint8 (H, W, 3), largest first.

        Raises:
            DataInvalid: the frame is None, as from cv2.imread where there is no picture.
        """
        if frame is None:
            raise DataInvalid("Found None; expected a BGR picture (H, W, 3). Did cv2.imread find the file?")
        return self.classify(frame, self.detect(frame))

    def classify(self, frame: np.ndarray, boxes: np.ndarray) -> list[FaceEmotion]:
        """Return one face for each box (K, 4) of a frame, in one forward pass."""
        return self.name_crops(boxes, [crop(frame, box, self.margin) for box in boxes])

    def name_crops(self, boxes: Sequence[np.ndarray], crops: Sequence[np.ndarray]) -> list[FaceEmotion]:
        """Return one face for each box (4,), from its crop as for ``classify_crops``."""
        probabilities, told = self.read_crops(crops)
        pairs = [(None, None)] * len(crops) if told is None else told.tolist()
        rows = zip(boxes, probabilities, pairs, strict=True)
        return [FaceEmotion.name(box, row, self.threshold, pair) for box, row, pair in rows]

    def classify_crops(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Return probabilities, float32 (N, 8), of face crops: BGR (H, W, 3) or grey (H, W), uint8, of any size."""
        return self.read_crops(crops)[0]

    def read_crops(self, crops: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """Return probabilities (N, 8) and, where the network tells them, valence and arousal (N, 2)."""
        if not crops:
            return np.zeros((0, len(EMOTIONS)), np.float32), None
        with nullcontext() if isinstance(self.network, nn.Module) else one_torch_thread():
            inputs = torch.stack([self.model.preprocess(_to_tensor(face)) for face in crops])
            logits, told = outputs_of(self.network, inputs, self.flip)
        found = to_probabilities(logits.numpy(), self.temperature, self.shift)
        probabilities = np.zeros((len(crops), len(EMOTIONS)), np.float32)
        probabilities[:, : found.shape[1]] = found  # a network of seven classes never says contempt
        return probabilities, None if told is None else told.numpy()


def default_model() -> Path:
    """Return the folder of the best model that is shipped."""
    return next((path for name in DEFAULTS if (path := MODELS / name).is_dir()), MODELS / DEFAULTS[0])


def _to_tensor(face: np.ndarray) -> Tensor:
    """BGR (H, W, 3) or grey (H, W) to an RGB or grey tensor (C, H, W)."""
    if face.ndim == 2:
        return torch.from_numpy(np.ascontiguousarray(face))[None]
    return torch.from_numpy(face[:, :, ::-1].copy()).permute(2, 0, 1)
