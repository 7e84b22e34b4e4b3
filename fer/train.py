"""Train a network, choose its best epoch on validation data, and save it with its card.

    python -m fer.train --data ferplus --root dataset/ferplus --model baseline --out models/mine
    torchrun --nproc_per_node 2 -m fer.train …        the same on several processes, with GPUs or without
    accelerate launch --num_processes 2 -m fer.train …               the same on several GPUs or machines

Stopped in the middle, the same command with ``--resume`` goes on to the same
weights as an unbroken run. Every random choice follows from the seed, the
epoch and the step, and batches are cut from one order that does not depend on
how many processes share them.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from fer.errors import DataInvalid
from fer.files import check_output_folder


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
    """Replace the model that --out holds."""
    epochs: int = 20
    """Passes over the training faces."""
    batch_size: int = 128
    """Faces per step, over all processes."""
    accumulate: int = 1
    """Cut each step's faces into so many parts, for networks that do not fit in memory."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """sgd has Nesterov momentum 0.9."""
    lr: float = 1e-3
    """Highest learning rate."""
    weight_decay: float = 0.01
    """Of weights of more than one dimension; biases and normalisation have none."""
    schedule: Literal["one_cycle", "cosine", "constant"] = "cosine"
    """Course of the learning rate over all steps."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises (one_cycle: at least 0.1)."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision; bf16 is faster on recent CPUs and GPUs."""
    clip: float = 5.0
    """Largest norm of the gradient."""
    ema: float = 0.998
    """Decay of the running mean of the weights, which is what gets scored and saved; 0 turns it off."""
    labels: Literal["majority", "argmax", "soft"] = "soft"
    """FER+ only: what is learned; validation always uses the majority label."""
    synthetic: int = 0
    """FER+ only: add this number of synthetic faces of each emotion to the training faces, for the demos' sample."""
    targets: Literal["expression", "expression,valence-arousal"] = "expression"
    """What is learned: "expression" alone, or "expression,valence-arousal", which needs data that has
    both (AffectNet8, the sample)."""
    label_smoothing: float = 0.0
    """Share of each label that is spread over all classes."""
    imbalance: Literal[
        "none", "class_weights", "balanced_sampling", "square_root_sampling", "logit_adjustment"
    ] = "none"
    """What is done about rare emotions."""
    augment: Literal["none", "flip", "light", "strong"] = "light"
    """Random changes to training faces; see fer/training/augment.py."""
    mix: Literal["none", "mixup", "cutmix", "both"] = "none"
    """Blend pairs of faces on half of the batches."""
    size: int | None = None
    """Side of the input in pixels, where the architecture leaves a choice."""
    start_size: int | None = None
    """Begin with faces of this side and grow to --size over 60 % of the epochs: cheaper (Tan and Le 2021)."""
    init: Path | None = None
    """Start from the weights of this trained model (same architecture) instead of random ones."""
    teachers: tuple[Path, ...] = ()
    """Learn also from what these trained models say of the training faces (distillation)."""
    teachers_weight: float = 0.5
    """Share of what the teachers say in what is learned; the rest is the label."""
    pretrained: bool = False
    """resnet18 only: start from ImageNet weights."""
    frozen: bool = False
    """resnet18 only: train the last layer alone."""
    metric: Literal["macro_f1", "balanced_accuracy", "accuracy", "loss"] = "macro_f1"
    """Validation score that chooses the epoch."""
    patience: int | None = None
    """Stop after so many epochs without a better score."""
    flip: bool = True
    """Average each face with its mirror image when predicting, or with --no-flip do not; kept in the card."""
    seed: int = 0
    """Of every random choice."""
    workers: int = 0
    """Processes that read images; faces held in memory need none."""
    save_steps: int = 500
    """Steps between two savings of the state within an epoch."""
    limit: int | None = None
    """Use only so many faces of each split, every emotion among them, for a quick look."""
    on_error: Literal["raise", "skip"] = "raise"
    """AffectNet8 only: stop at faces that cannot be used, or leave them out and say how many."""
    crop_margin: float = 0.0
    """How much wider than the detected box the demos shall crop for this network; kept in the card."""

    def __post_init__(self) -> None:
        self.out = None if self.out is None else Path(self.out)  # notebooks give strings
        self.teachers = tuple(Path(folder) for folder in self.teachers)

    def check(self) -> None:
        """Raise DataInvalid for a value that is not offered or out of its range, and an ``out`` not to be written."""
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise DataInvalid(f"{name}={getattr(self, name)!r}: expected one of {get_args(kind)}.")
        ranges = {"ema": (0, 0.99999)}
        ranges |= dict.fromkeys(("warmup", "label_smoothing", "teachers_weight"), (0, 1))
        ranges |= {"seed": (0, 2**63 - 1)}
        ranges |= dict.fromkeys(("lr", "workers", "clip", "weight_decay", "synthetic"), (0, math.inf))
        ranges |= dict.fromkeys(("epochs", "batch_size", "accumulate", "save_steps"), (1, math.inf))
        ranges |= dict.fromkeys(("size", "start_size", "patience", "limit"), (1, math.inf))
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                limits = f"{low} to {high}" if high < math.inf else f"{low} or more"
                raise DataInvalid(f"--{name.replace('_', '-')} {value}: expected {limits}.")
        if self.out is not None:
            check_output_folder("--out", self.out)
            for name, models in (("--init", [self.init] if self.init else []), ("--teachers", self.teachers)):
                if self.out.resolve() in (Path(model).resolve() for model in models):
                    raise DataInvalid(
                        f"{name} {self.out} is --out, too: the run would replace what it learns from. "
                        "Choose another --out."
                    )

    def build_options(self) -> dict:
        """Return what ``fer.model.build`` needs beside the name to make this network again, without a download."""
        frozen = {"frozen": True} if self.model == "resnet18" and self.frozen else {}
        return frozen | ({} if self.targets == "expression" else {"valence_arousal": True})


if __name__ == "__main__":
    from fer import cli

    cli.run("fer.train", TrainConfig)


from collections.abc import Callable

import torch
from torch.utils.data import Dataset

from fer import checkpoint
from fer.evaluate import calibrate, predict, record
from fer.evaluation.valence_arousal import known
from fer.interrupt import stop_signals
from fer.model import ARCHITECTURES, FaceNetwork, build, check_size
from fer.preprocess import Preprocess
from fer.training.history import History
from fer.training.loop import Stopped, Trainer, processes
from fer.training.memory import keep_freed_memory

__all__ = ["History", "Stopped", "TrainConfig", "fit", "main", "new_model", "training_splits"]


def fit(
    model: FaceNetwork,
    train: Dataset,
    valid: Dataset,
    config: TrainConfig,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train ``model`` in place and leave it with the weights of its best epoch.

    A script of one's own that torchrun starts several times calls
    ``fer.training.distributed.leave(done=True)`` as its last line.

    Args:
        model: from ``fer.model.build``.
        train, valid: give ``(uint8 image, label)``, the label an int or shares
            (C,); images of one size. ``labels`` and ``keys`` as in ``fer.datasets``.
        config: everything else. With ``config.out`` weights, card, history
            and state are written there as training goes.
        on_epoch: called on the first process after each epoch, e.g. to draw curves.

    Raises:
        DataInvalid: an option is out of its range, ``config.out`` holds a model
            already or the state of another configuration, or the loss is no
            number (the message names the batch).
        DataMissing: ``config.resume`` without a state.
        Stopped: SIGINT or SIGTERM came; the state is saved where ``config.out`` is set.
    """
    config.check()
    trainer = Trainer(model, train, valid, config)
    history = trainer.run(on_epoch)
    trainer.finish()
    return history


def training_splits(config: TrainConfig) -> tuple[Dataset, Dataset]:
    """Return training and validation data; what is reported (test, AffectNet's val) is neither.

    FER+ has both. Of AffectNet8 and the sample, which have no third split, a tenth
    of train chooses the epoch: see ``fer.datasets.finding.cut_train``.
    """
    from fer.datasets.finding import cut_train, open_split

    if config.data == "ferplus":
        train = open_split("ferplus", config.root, "train", labels=config.labels, limit=config.limit)
        if config.synthetic:
            from fer.datasets.with_synthetic import WithSynthetic

            train = WithSynthetic(train, config.synthetic)
        return train, open_split("ferplus", config.root, "valid", limit=config.limit)
    lenient = {"on_error": config.on_error} if config.data == "affectnet8" else {}
    return cut_train(config.data, config.root, limit=config.limit, **lenient)


def new_model(config: TrainConfig) -> FaceNetwork:
    """Return the network of a configuration, its weights drawn from the seed or taken from ``init``.

    It sees faces as the network of ``init`` does, but for a ``size`` that is given.

    Raises:
        DataInvalid: ``init`` is a model of another architecture.
        DataMissing: ``init`` is none.
    """
    trained, card = checkpoint.load(config.init) if config.init else (None, None)
    torch.manual_seed(config.seed)
    alike = trained and card["arch"] == config.model  # if not, it is told below
    usual = trained.preprocess if alike else ARCHITECTURES[config.model].preprocess
    preprocess = Preprocess(**usual.to_dict() | ({"size": config.size} if config.size else {}))
    pretrained = {"pretrained": True} if config.pretrained and not config.init else {}
    model = build(config.model, preprocess=preprocess, **config.build_options(), **pretrained)
    if trained:
        if (card["arch"], _layers(trained)) != (config.model, _layers(model)):
            raise DataInvalid(
                f"--init {config.init} holds {card['arch']} with the options {_layers(trained)}; expected "
                f"{config.model} with {_layers(model)}, as the other options say."
            )
        if trained.num_classes != model.num_classes:
            raise DataInvalid(
                f"--init {config.init} tells {trained.num_classes} emotions apart; expected {model.num_classes}."
            )
        model.load_state_dict(trained.state_dict())
        model.started_from = card
    return model


def _layers(model: FaceNetwork) -> dict:
    """Return the options that decide which weights there are; what is frozen may change from run to run."""
    return {name: value for name, value in model.options.items() if name != "frozen"}


def main(config: TrainConfig) -> None:
    """Train, fit the temperature on validation data, and record the validation scores.

    Stopped anywhere in between, ``--resume`` does what is left.
    """
    config.out = config.out or Path("models") / f"{config.model}-{config.data}"
    config.check()
    for side in (config.size, config.start_size):
        if side is not None:
            check_size(config.model, side)
    if config.data != "ferplus" and config.synthetic:
        raise DataInvalid("--synthetic is for --data ferplus, whose faces are grey and small: leave it out.")
    if config.model != "resnet18" and (config.pretrained or config.frozen):
        raise DataInvalid("--pretrained and --frozen are for --model resnet18: leave them out.")
    if config.precision == "fp16" and not torch.cuda.is_available():
        raise DataInvalid("--precision fp16 needs a GPU, and none was found: use bf16 or no.")
    keep_freed_memory()
    with processes().main_process_first():  # it may have an index to build, or the sample to draw
        train, valid = training_splits(config)
        if config.targets != "expression":
            known(train)  # read from a file for each face, the first time
    model = new_model(config)
    trainer = Trainer(model, train, valid, config)
    history = trainer.run()
    if processes().is_main_process:
        try:
            with stop_signals(at_once=True):
                _calibrate_and_record(model, valid, config, history)
                trainer.finish()
        except KeyboardInterrupt:
            raise Stopped(
                "Stopped after the last epoch, before the temperature was fitted and the scores were recorded. "
                f"Add --resume to go on from {config.out}."
            ) from None


def _calibrate_and_record(model: FaceNetwork, valid: Dataset, config: TrainConfig, history: History) -> None:
    """Do what comes after the last epoch; done twice, it comes to the same."""
    predictions = predict(model, valid, config.batch_size, config.flip)
    card = calibrate(checkpoint.read_card(config.out), predictions)
    card["seconds"] = round(history.column("seconds").sum())
    checkpoint.write_card(config.out, card)
    print(
        f"\nvalidation, epoch {history.best_epoch} of {len(history.rows)}, temperature {card['temperature']}"
    )
    labels = {"labels": "majority"} if config.data == "ferplus" else {}
    print(
        record(config.out, f"{valid.name}-{valid.split}", predictions, card, {"flip": config.flip, **labels})
    )
    if (told := predictions.score_valence_arousal()) is not None:
        print(f"\n{told}")
    print(f"\nsaved in {config.out}")
