"""What a network predicts on a data set: logits, in the order of its samples."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from fer.datasets.collate import collate
from fer.errors import DataInvalid
from fer.evaluation import valence_arousal
from fer.evaluation.scores import RESAMPLES, Scores, score
from fer.evaluation.valence_arousal import ValenceArousalScores
from fer.interrupt import leave_to_the_main_process
from fer.labels import EMOTIONS
from fer.model import FaceNetwork
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
    """

    names: list[str]
    logits: np.ndarray
    labels: np.ndarray
    valence_arousal: np.ndarray | None = None
    true_valence_arousal: np.ndarray | None = None

    def probabilities(self, card: Mapping | None = None, prior: str = "chosen") -> np.ndarray:
        """Return float64 (N, C) after the card's temperature and the chosen prior."""
        card = card or {}
        return to_probabilities(self.logits, card.get("temperature", 1.0), class_shift(card, prior))

    def score(self, card: Mapping | None = None, prior: str = "chosen", resamples: int = RESAMPLES) -> Scores:
        """Return the scores of these predictions; no intervals with 0 ``resamples``."""
        return score(self.probabilities(card, prior), self.labels, resamples)

    def score_valence_arousal(self) -> ValenceArousalScores | None:
        """Return the scores of valence and arousal, where the network and the data set have them."""
        if self.valence_arousal is None:
            return None
        return valence_arousal.score(self.valence_arousal, self.true_valence_arousal)

    @classmethod
    def merge(cls, parts: Sequence["Predictions"], order: Sequence[str]) -> "Predictions":
        """Join the parts of several processes in the order of the data set's names."""
        names = [name for part in parts for name in part.names]
        place = {name: i for i, name in enumerate(names)}
        chosen = [place[name] for name in order]

        def joined(name: str) -> np.ndarray | None:
            values = [getattr(part, name) for part in parts]
            return None if values[0] is None else np.concatenate(values)[chosen]

        return cls(list(order), *map(joined, [field.name for field in fields(cls)][1:]))


def predict(
    model: FaceNetwork,
    dataset: Dataset,
    batch_size: int = 128,
    flip: bool = False,
    workers: int = 0,
    progress: bool = True,
    part: tuple[int, int] = (0, 1),
) -> Predictions:
    """Run a network over a data set, in its order.

    Args:
        model: with its ``preprocess``; its mode is put back afterwards.
        dataset: gives uint8 images of one size; has ``labels`` (N,) and ``keys``.
        batch_size: faces per forward pass.
        flip: average with the mirrored faces.
        workers: processes that read images.
        progress: show a bar.
        part: (rank, world): take every world-th face from rank on.

    Raises:
        DataInvalid: a batch size below 1.

    Warns:
        when the number of faces that came is not ``len(dataset)``.
    """
    if batch_size < 1:
        raise DataInvalid(f"batch_size={batch_size}; expected 1 or more faces per forward pass.")
    mine = range(part[0], len(dataset), part[1])
    device = next(model.parameters()).device
    loader = DataLoader(
        Subset(dataset, mine),
        batch_size,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=leave_to_the_main_process,
    )
    was_training = model.training
    model.eval()
    outputs, predicted = [], []
    try:
        for images, _ in tqdm(loader, "predicting", leave=False, disable=not progress, delay=1):
            logits, pairs = outputs_of(model, model.preprocess(images.to(device)), flip)
            outputs.append(logits.cpu().numpy())
            predicted += [] if pairs is None else [pairs.cpu().numpy()]
    finally:
        model.train(was_training)
    logits = np.concatenate(outputs) if outputs else np.zeros((0, len(EMOTIONS)), np.float32)
    if len(logits) != len(mine):
        warnings.warn(f"{len(logits)} faces were predicted, but the data set has {len(mine)}.", stacklevel=2)
    predictions = Predictions([dataset.keys[i] for i in mine], logits, np.asarray(dataset.labels)[list(mine)])
    if not model.valence_arousal:
        return predictions
    true = valence_arousal.known(dataset)
    return replace(
        predictions,
        # As it is recorded, so that anybody can compute the same scores from the file.
        valence_arousal=np.concatenate([np.zeros((0, 2)), *predicted]).astype(np.float16),
        true_valence_arousal=None if true is None else true[list(mine)],
    )
