"""The options of a training run, and every check of them. Light: no torch, so that ``--help`` answers at once."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

from tyro.conf import arg

from fer.errors import DataInvalid, UsageError, check_ranges
from fer.files import check_output_folder

NOT_IN_THE_CARD = {"root", "out", "resume", "overwrite", "device", "allow_unlocked"}
FREE_TO_CHANGE = {*NOT_IN_THE_CARD, "workers", "save_steps", "accumulate"}
"""Options that may differ between the first run and its resumption."""

_RANGES: dict[str, tuple[float, float]] = {
    **{"ema": (0, 0.99999), "seed": (0, 2**63 - 1)},
    **dict.fromkeys(("warmup", "degrade", "label_smoothing"), (0, 1)),
    **dict.fromkeys(("lr", "workers", "weight_decay", "synthetic"), (0, math.inf)),
    **dict.fromkeys(("epochs", "batch_size", "accumulate", "save_steps"), (1, math.inf)),
    **dict.fromkeys(("size", "start_size", "patience", "limit"), (1, math.inf)),
}


@dataclass
class TrainConfig:
    """Train a network on AffectNet8, FER+ or the synthetic sample."""

    data: Literal["affectnet8", "ferplus", "sample"] = "sample"
    """Which data set."""
    root: Path = Path("dataset")
    """Where the data set is."""
    model: Literal["baseline", "emotion_net", "resnet18"] = "baseline"
    """Architecture."""
    out: Path | None = None
    """Folder for weights, card, history and the state to resume from; by default models/MODEL-DATA."""
    resume: bool = False
    """Go on from the state in --out."""
    overwrite: bool = False
    """Replace the model in --out."""
    allow_unlocked: bool = False
    """Go on where the file system has no locks: nothing then keeps two runs from writing to one --out."""
    epochs: int = 20
    """Passes over the training faces."""
    batch_size: int = 128
    """Faces per step, over all processes."""
    accumulate: int = 1
    """Cut each step's faces into this many parts, for networks that do not fit in memory."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """sgd has Nesterov momentum 0.9."""
    lr: float = 1e-3
    """Highest learning rate."""
    weight_decay: float = 0.01
    """Of weights of more than one dimension; biases and normalisation have none."""
    schedule: Literal["one_cycle", "cosine"] = "cosine"
    """Course of the learning rate over all steps."""
    warmup: float = 0.05
    """Proportion of the steps in which the learning rate rises (one_cycle: at least 0.1)."""
    device: Literal["auto", "cpu"] = "auto"
    """auto: the GPU if there is one."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision; bf16 is faster on recent CPUs and GPUs."""
    ema: float = 0.998
    """Decay of the exponential moving average of the weights, which is what is scored and saved; 0 turns it off."""
    labels: Literal["majority", "argmax", "soft"] = "soft"
    """FER+ only: the target to learn; validation always uses the majority label."""
    synthetic: int = 0
    """FER+ only: add this number of synthetic faces of each emotion to the training faces, for the demos' sample."""
    targets: Annotated[
        Literal["expression", "expression,valence-arousal"],
        arg(metavar="expression|expression,valence-arousal"),
    ] = "expression"
    """What is learned; valence and arousal need data that has them (AffectNet8, the sample)."""
    label_smoothing: float = 0.0
    """Proportion of each label that is spread over all classes."""
    imbalance: Literal[
        "none", "class_weights", "balanced_sampling", "square_root_sampling", "logit_adjustment"
    ] = "none"
    """What is done about rare emotions."""
    augment: Literal["none", "flip", "light", "strong"] = "light"
    """Random changes to training faces; see fer/training/augment.py."""
    degrade: float = 0.0
    """Probability that a training face is then darkened, blurred, turned or covered; see fer/training/degrade.py."""
    mix: Literal["none", "mixup", "cutmix", "both"] = "none"
    """Mix pairs of faces on half of the batches."""
    size: int | None = None
    """Side of the input in pixels, where the architecture leaves a choice."""
    start_size: int | None = None
    """Begin with faces of this side and grow to --size over 60 % of the epochs: cheaper (Tan and Le 2021)."""
    init: Path | None = None
    """Start from the weights of this trained model (same architecture) instead of random ones."""
    teachers: tuple[Path, ...] = ()
    """Learn half from the probabilities that these trained models predict, half from the labels (distillation)."""
    pretrained: bool = False
    """resnet18 only: start from ImageNet weights."""
    frozen: bool = False
    """resnet18 only: train the last layer alone."""
    metric: Literal["macro_f1", "balanced_accuracy", "accuracy", "loss"] = "macro_f1"
    """Validation score that chooses the epoch; of the faces alone, without their mirror images."""
    patience: int | None = None
    """Stop after this many epochs without a better score."""
    flip: bool = True
    """Average each face with its mirror image when predicting, or with --no-flip do not; kept in the card."""
    seed: int = 0
    """Of every random choice."""
    workers: int = 0
    """Processes that read images; a data set that lies in memory needs none."""
    save_steps: int = 500
    """Steps between two savings of the state within an epoch."""
    limit: int | None = None
    """Use at most N faces of each split, every emotion among them, for a quick look."""
    on_error: Literal["raise", "skip"] = "raise"
    """AffectNet8 only: stop at faces that cannot be used, or leave them out and print their number."""
    crop_margins: tuple[float, ...] = (-0.05, 0.0, 0.05)
    """How much wider than its box a face is to be cut, each time with one of these; kept in the card."""

    def __post_init__(self) -> None:
        self.out = None if self.out is None else Path(self.out)  # notebooks give strings
        self.teachers = tuple(Path(folder) for folder in self.teachers)
        self.crop_margins = tuple(self.crop_margins)

    def check(self) -> None:
        """Raise DataInvalid (mostly UsageError) for what can be known to be wrong before data and network are there."""
        self.check_values()
        if self.data != "ferplus" and self.synthetic:
            raise UsageError("--synthetic is for --data ferplus: leave it out.")
        if self.model != "resnet18" and (self.pretrained or self.frozen):
            raise UsageError("--pretrained and --frozen are for --model resnet18: leave them out.")
        import torch

        from fer.model import check_size

        for side in filter(None, (self.size, self.start_size)):
            check_size(self.model, side)
        if self.precision == "fp16" and not torch.cuda.is_available():
            raise DataInvalid("--precision fp16 needs a GPU, and none was found: use bf16 or no.")

    def check_values(self) -> None:
        """Raise UsageError for an option that is wrong on its own, whatever network and data ``fit`` is given."""
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise UsageError(f"{name}={getattr(self, name)!r}: expected one of {get_args(kind)}.")
        check_ranges(self, **_RANGES)
        if self.out is None:
            return
        check_output_folder("--out", self.out)
        for model in filter(None, (self.init, *self.teachers)):
            if self.out.resolve() == Path(model).resolve():
                raise UsageError(
                    f"The run would replace {model}, which it learns from. Choose another --out."
                )

    def check_faces(self, train: int, valid: int, processes: int) -> None:
        """Raise DataInvalid for an empty split, or batches too small for the loss of valence and arousal."""
        if not train or not valid:
            raise DataInvalid(
                f"Found {train} training and {valid} validation faces; expected some of both. Raise --limit."
            )
        parts = processes * self.accumulate
        if self.targets != "expression" and self.batch_size < 2 * parts:
            raise DataInvalid(
                f"Found batches of {self.batch_size} faces in {parts} parts; the loss of valence and arousal compares "
                "the faces of a part, two or more. Raise --batch-size, or lower --accumulate."
            )

    def to_json(self, leave_out: set[str]) -> dict:
        """Return the options as the card and the state hold them."""
        options = json.loads(json.dumps(asdict(self), default=str))
        return {name: value for name, value in options.items() if name not in leave_out}
