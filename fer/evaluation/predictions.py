"""What a network predicts on a data set: logits, in the order of its samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from fer.datasets.collate import load_batches
from fer.datasets.face_dataset import FaceDataset
from fer.errors import UsageError
from fer.evaluation import valence_arousal
from fer.evaluation.scores import RESAMPLES, Scores, score
from fer.evaluation.valence_arousal import ValenceArousalScores
from fer.model import FaceNetwork, TorchNetwork
from fer.probabilities import class_shift, outputs_of, to_probabilities


@dataclass(frozen=True)
class Predictions:
    """Outputs of a network and the labels of the same samples.

    Attributes:
        names: N unique sample names.
        logits: float32 (N, C), before temperature and prior.
        labels: int64 (N,), the true classes.
        valence_arousal: float16 (N, 2), of a network that predicts them.
        true_valence_arousal: float32 (N, 2), NaN where not annotated; None where the data set has none.
        votes: float32 (N, C), the part of the annotators who named each class; None where there was one annotator.
    """

    names: list[str]
    logits: np.ndarray
    labels: np.ndarray
    valence_arousal: np.ndarray | None = None
    true_valence_arousal: np.ndarray | None = None
    votes: np.ndarray | None = None

    def probabilities(self, card: Mapping | None = None, prior: str = "chosen") -> np.ndarray:
        """Return float64 (N, C) after the card's temperature and the chosen prior."""
        card = card or {}
        return to_probabilities(self.logits, card.get("temperature", 1.0), class_shift(card, prior))

    def score(self, card: Mapping | None = None, prior: str = "chosen", resamples: int = RESAMPLES) -> Scores:
        """Return the scores of these predictions; no intervals with 0 ``resamples``."""
        return score(self.probabilities(card, prior), self.labels, resamples)

    def score_valence_arousal(self) -> ValenceArousalScores | None:
        """Return the scores of valence and arousal, where the network and the data set have them."""
        if self.valence_arousal is None or self.true_valence_arousal is None:
            return None
        return valence_arousal.score(self.valence_arousal, self.true_valence_arousal)

    @classmethod
    def merge(cls, parts: Sequence["Predictions"], order: Sequence[str]) -> "Predictions":
        """Join the parts of several processes in the order of the data set's names."""
        position = {name: i for i, name in enumerate(name for part in parts for name in part.names)}
        chosen = [position[name] for name in order]
        present = [field.name for field in fields(cls)[1:] if getattr(parts[0], field.name) is not None]
        arrays = {key: np.concatenate([getattr(part, key) for part in parts])[chosen] for key in present}
        return cls(list(order), **arrays)


def predict(
    model: FaceNetwork,
    dataset: FaceDataset,
    batch_size: int = 128,
    flip: bool = False,
    workers: int = 0,
    progress: bool = True,
    part: tuple[int, int] = (0, 1),
    change: Callable[[Tensor], Tensor] | None = None,
) -> Predictions:
    """Run a network over a data set, in its order.

    Args:
        model: left in the mode, training or evaluation, that it came in.
        dataset: gives uint8 images of one size.
        batch_size: faces per forward pass.
        flip: average the outputs with those of the mirrored faces.
        workers: processes that read images.
        progress: show a bar.
        part: (rank, world): take every world-th face from rank on.
        change: from uint8 images (N, C, H, W) to those that are predicted instead.

    Raises:
        UsageError: a batch size below 1.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size={batch_size}; expected 1 or more faces per forward pass.")
    indices = list(range(part[0], len(dataset), part[1]))
    batches = [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
    loader = load_batches(dataset, batches, workers)
    network = TorchNetwork(model)
    logits, predicted = [np.zeros((0, model.num_classes), np.float32)], [np.zeros((0, 2), np.float32)]
    was_training = model.training
    model.eval()
    try:
        shown = tqdm(loader, "predicting", len(batches), leave=False, disable=not progress, delay=1)
        for images, _ in shown:
            faces = images if change is None else change(images)
            outputs = outputs_of(network, model.preprocess(faces), flip)
            logits.append(outputs[0])
            if outputs[1] is not None:
                predicted.append(outputs[1])
    finally:
        model.train(was_training)
    annotated = valence_arousal.true_valence_arousal(dataset) if model.valence_arousal else None
    votes = getattr(dataset, "vote_distribution", None)
    return Predictions(
        [dataset.keys[i] for i in indices],
        np.concatenate(logits),
        np.asarray(dataset.labels)[indices],
        # float16 as in the record, so that anybody can compute the same scores from it.
        np.concatenate(predicted).astype(np.float16) if model.valence_arousal else None,
        None if annotated is None else annotated[indices],
        None if votes is None else votes[indices],
    )
