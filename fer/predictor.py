"""Picture in, faces with their emotions out: every demo and script goes through here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer import threads
from fer.card import AGAIN, preprocess_of, read_card
from fer.errors import EXTRA, DataInvalid, DataMissing
from fer.faces import FaceDetector, check_frame, clip, crop
from fer.files import MODELS
from fer.labels import EMOTIONS, label
from fer.photos.reading import Photo, read_photo
from fer.probabilities import Network, class_shift, to_probabilities
from fer.runtime import ONNX, exported

Detector = Callable[..., np.ndarray]
"""From a BGR uint8 frame (H, W, 3) to boxes int (K, 4), as a ``FaceDetector``; the demos also give ``max_side``."""
Views = np.ndarray
"""A face as the network takes it, float32 (V, channels, size, size), in V slightly different ways: their outputs are
averaged."""


@dataclass(frozen=True, eq=False)
class FaceEmotion:
    """A face that was found in a picture.

    Attributes:
        box: left, top, width, height, inside the picture: ``picture[y : y + h, x : x + w]`` is the face.
        probabilities: float32 (8,), calibrated, in the order of EMOTIONS, summing to 1.
        emotion: the most probable emotion, or ``"uncertain"`` below the threshold.
        confidence: its probability.
        valence, arousal: -1 to 1; None where the network does not predict them.
    """

    box: tuple[int, int, int, int]
    probabilities: np.ndarray
    emotion: str
    confidence: float
    valence: float | None = None
    arousal: float | None = None

    @classmethod
    def from_probabilities(
        cls,
        box: Sequence[int] | np.ndarray,
        probabilities: np.ndarray,
        threshold: float,
        *valence_arousal: float,
    ) -> "FaceEmotion":
        """Return the face with its most probable emotion."""
        best, confidence = int(probabilities.argmax()), float(probabilities.max())
        x, y, w, h = (int(v) for v in box)
        emotion = label(best, confidence, threshold)
        return cls((x, y, w, h), probabilities, emotion, confidence, *valence_arousal)

    def as_dict(self) -> dict[str, float]:
        """Return the probabilities by name: ``{"neutral": 0.02, …}``."""
        return dict(zip(EMOTIONS, self.probabilities.tolist(), strict=True))


class EmotionPredictor:
    """Predict the emotion of every face in a picture.

    Args:
        model: folder of a trained model; by default the best one that is shipped.
        threshold: a face whose emotion is less probable than this is ``"uncertain"``.
        detector: ``"thorough"``, for photos; ``"fast"``, for live frames; or a function from frame to boxes (K, 4).
        prior: ``"chosen"``, ``"training"`` or ``"uniform"``; see ``fer.probabilities.class_shift``.
        runtime: ``"auto"`` runs the model's ``model.onnx``, without torch, or the weights where there is none;
            ``"torch"`` runs the weights.

    Attributes:
        card, preprocess: of the model; see ``fer.card``.
        flip: whether a face is also looked at in the mirror.
        margins: how much wider than its box it is cut, as fractions of its side.
        valence_arousal: whether the model predicts them.

    Raises:
        DataMissing, DataInvalid: as ``fer.checkpoint.load``; or only torch could run the model, and is not installed.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        threshold: float = 0.4,
        detector: str | Detector = "thorough",
        prior: str = "chosen",
        runtime: str = "auto",
    ) -> None:
        if not 0 <= threshold <= 1:
            raise DataInvalid(f"threshold={threshold}; expected a probability, 0 to 1.")
        if runtime not in ("auto", "torch"):
            raise DataInvalid(f"runtime={runtime!r}; expected 'auto' or 'torch'.")
        if isinstance(detector, str):
            if detector not in ("thorough", "fast"):
                raise DataInvalid(f"detector={detector!r}; expected 'thorough', 'fast' or a FaceDetector.")
            detector = FaceDetector(thorough=detector == "thorough")
        self._folder = folder = Path(model or default_model())
        self.card = read_card(folder)
        self.preprocess = preprocess_of(folder, self.card)
        network = exported(folder, self.card) if runtime == "auto" else None
        self.network: Network = network or _torch_network(folder)
        self.valence_arousal: bool = getattr(self.network, "valence_arousal", False)
        self.threshold = threshold
        self.detect = detector
        self.flip: bool = self.card.get("flip", False)
        self.margins: Sequence[float] = self.card.get("crop_margins", [0.0])
        # What is predicted here are photos and frames of webcams, not faces like those of training.
        self.temperature = self.card.get("temperature_degraded", self.card.get("temperature", 1.0))
        self.shift = class_shift(self.card, prior)

    def __call__(self, picture: str | Path | np.ndarray, image_format: str = "BGR") -> list[FaceEmotion]:
        """Return the faces of a picture, largest first.

        Args:
            picture: path of a photo, or a uint8 array (H, W, 3) or grey (H, W).
            image_format: channel order of an array, ``"BGR"`` (OpenCV) or ``"RGB"`` (Pillow, matplotlib).

        Raises:
            DataInvalid: the file cannot be read, or the array has another type or shape, or is None.
        """
        if image_format not in ("BGR", "RGB"):
            raise DataInvalid(f"image_format={image_format!r}; expected 'BGR' or 'RGB'.")
        if isinstance(picture, str | Path):
            _, boxes, faces = self.find(picture)
            return self.classify_views(faces, boxes)
        if not isinstance(picture, np.ndarray):
            raise DataInvalid(
                f"Found a picture of type {type(picture).__name__}; expected a path or a uint8 array (H, W, 3): "
                "cv2.imread gives None for a file that it cannot read."
            )
        check_frame(picture)
        swapped = image_format == "RGB" and picture.ndim == 3
        frame = np.ascontiguousarray(picture[:, :, ::-1] if swapped else picture)
        return self.classify(frame, self.detect(frame))

    def find(self, path: str | Path) -> tuple[Photo, np.ndarray, list[Views]]:
        """Return a photo, boxes int32 (K, 4) of its faces, within the whole photo and largest first, and their views.

        A large JPEG is read at reduced size, but large enough to find the same faces and to fill the input
        of the network with each. Threads may call this at the same time, if the detector may be shared.
        """
        photo = read_photo(path, getattr(self.detect, "max_side", None))  # a function may want all pixels
        boxes = np.asarray(self.detect(photo.image)).reshape(-1, 4)
        smallest = boxes[:, 2:].max(1).min(initial=self.preprocess.size) * (1 + 2 * min(self.margins))
        if photo.factor > 1 and smallest < self.preprocess.size:
            finer = read_photo(path, max(photo.image.shape) * self.preprocess.size / smallest)
            photo, boxes = finer, boxes * (photo.factor // finer.factor)
        faces = [self.views(photo.image, box) for box in boxes]
        return photo, clip(boxes * photo.factor, photo.shape), faces

    def views(self, image: np.ndarray, box: np.ndarray, turn: int | None = None) -> Views:
        """Return a face of a BGR image, cut with each margin of the card, or with the one that has its turn.

        With several margins every other one is mirrored, with one there are both: three
        views in all are as good as three and their mirror images (models/README.md).
        """
        cuts = [(margin, self.flip and number % 2 == 1) for number, margin in enumerate(self.margins)]
        if self.flip and len(cuts) == 1:
            cuts.append((self.margins[0], True))
        if turn is not None:
            cuts = [cuts[turn % len(cuts)]]
        return np.stack([self._input(crop(image, box, margin), mirrored) for margin, mirrored in cuts])

    def whole_face(self, image: np.ndarray) -> Views:
        """Return the views of a BGR (H, W, 3) or grey (H, W) image that is one face, already cut out."""
        return np.stack([self._input(image, mirrored) for mirrored in (False, True)[: 1 + self.flip]])

    def _input(self, face: np.ndarray, mirrored: bool) -> np.ndarray:
        """Return the network input of BGR (H, W, 3) or grey (H, W) pixels."""
        prepared = self.preprocess(np.atleast_3d(face)[:, :, ::-1].transpose(2, 0, 1))
        return prepared[..., ::-1] if mirrored else prepared

    def classify(self, frame: np.ndarray, boxes: np.ndarray, turn: int | None = None) -> list[FaceEmotion]:
        """Return a face for each box (K, 4) of a BGR frame, all in one forward pass.

        A box that reaches over the border is cropped as it is, with padding, and reported within the frame.
        Of frames whose predictions are averaged later, each has one view of a face, by the number ``turn``.
        """
        boxes = np.asarray(boxes).reshape(-1, 4)
        return self.classify_views([self.views(frame, box, turn) for box in boxes], clip(boxes, frame.shape))

    def classify_views(
        self, faces: Sequence[Views], boxes: Sequence[np.ndarray] | np.ndarray
    ) -> list[FaceEmotion]:
        """Return a face for each entry of ``faces``, all in one forward pass; ``boxes`` (K, 4) says where they lie."""
        if not len(faces):
            return []
        counts = np.array([len(views) for views in faces])

        def mean(outputs: np.ndarray) -> np.ndarray:
            return np.add.reduceat(outputs, counts.cumsum() - counts) / counts[:, None]

        logits, valence_arousal = self.network(np.concatenate(faces))
        known = to_probabilities(mean(logits), self.temperature, self.shift)
        if not np.isfinite(known).all():
            raise DataInvalid(
                f"{self._folder} gives outputs that are not finite: its weights are damaged. {AGAIN}"
            )
        probabilities = np.zeros((len(faces), len(EMOTIONS)), np.float32)
        probabilities[:, : known.shape[1]] = known  # a network of seven classes never predicts contempt
        pairs = [()] * len(faces) if valence_arousal is None else mean(valence_arousal).tolist()
        return [
            FaceEmotion.from_probabilities(box, row, self.threshold, *pair)
            for box, row, pair in zip(boxes, probabilities, pairs, strict=True)
        ]


def _torch_network(folder: Path) -> Network:
    """Load weights into torch: the only place of the demos that needs it, where no exported network can run."""
    try:
        import torch

        from fer import checkpoint
        from fer.model import TorchNetwork
    except ModuleNotFoundError as error:
        what = f"{folder / ONNX} cannot be run" if (folder / ONNX).is_file() else f"{folder} has no {ONNX}"
        raise DataMissing(
            f"{what}, and its weights need {error.name}. {EXTRA} Or write {ONNX} where "
            f"that is installed: python -m fer.export {folder}"
        ) from error
    torch.set_num_threads(min(torch.get_num_threads(), threads.count()))
    model, _ = checkpoint.load(folder)
    return TorchNetwork(model.to(memory_format=torch.channels_last))


def default_model() -> Path:
    """Return the folder of the best model that is shipped."""
    return MODELS / "emotion_net"
