"""Train a network, choose its best epoch on validation data, and save it with its card.

    python -m fer.train --data ferplus --root dataset/ferplus --model baseline --out models/mine
    accelerate launch --num_processes 2 -m fer.train …          the same on several processes

Stopped in the middle, the same command with ``--resume`` goes on to the same
weights as an unbroken run. Every random choice follows from the seed, the
epoch and the step, and batches are cut from one order that does not depend on
how many processes share them.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal


@dataclass
class TrainConfig:
    """Train a network on AffectNet8, FER+ or the drawn sample."""

    data: Literal["affectnet8", "ferplus", "sample"] = "sample"
    """Which data set."""
    root: Path = Path("dataset")
    """Where the data set is."""
    model: Literal["baseline", "emotion_net", "resnet18"] = "baseline"
    """Architecture."""
    out: Path | None = None
    """Folder for weights, card, history and the state to resume from."""
    resume: bool = False
    """Go on from the state in --out."""
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
    label_smoothing: float = 0.0
    """Share of each label that is spread over all classes."""
    imbalance: Literal["none", "class_weights", "balanced_sampling", "logit_adjustment"] = "none"
    """What is done about rare emotions."""
    augment: Literal["none", "flip", "light", "strong"] = "light"
    """Random changes to training faces; see fer/augment.py."""
    mix: Literal["none", "mixup", "cutmix", "both"] = "none"
    """Blend pairs of faces on half of the batches."""
    size: int | None = None
    """Side of the input in pixels, where the architecture leaves a choice."""
    pretrained: bool = False
    """resnet18 only: start from ImageNet weights."""
    frozen: bool = False
    """resnet18 only: train the last layer alone."""
    metric: Literal["macro_f1", "balanced_accuracy", "accuracy", "loss"] = "macro_f1"
    """Validation score that chooses the epoch."""
    patience: int | None = None
    """Stop after so many epochs without a better score."""
    flip: bool = True
    """Average each face with its mirror image when predicting; kept in the card."""
    seed: int = 0
    """Of every random choice."""
    workers: int = 0
    """Processes that read images; faces held in memory need none."""
    save_steps: int = 500
    """Steps between two savings of the state within an epoch."""
    limit: int | None = None
    """Use only the first so many faces of each split, for a quick look."""
    crop_margin: float = 0.1
    """How much wider than the detected box the demos shall crop for this network; kept in the card."""


if __name__ == "__main__":
    from fer import cli

    cli.run("fer.train", TrainConfig)

import contextlib
import csv
import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from tqdm import tqdm

from fer import checkpoint
from fer.augment import STRENGTHS
from fer.errors import DataInvalid, DataMissing, UserError
from fer.evaluate import Predictions, calibrate, predict, record
from fer.files import replacing
from fer.labels import EMOTIONS
from fer.model import ARCHITECTURES, build
from fer.preprocess import Preprocess

STATE, HISTORY = "state.pt", "history.csv"
FREE_TO_CHANGE = {"resume", "out", "root", "workers", "save_steps", "accumulate"}
"""Options that may differ between the first run and its resumption."""


@dataclass
class History:
    """One row an epoch, as in history.csv, and which epoch was chosen (counted from 1)."""

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0

    def column(self, name: str) -> np.ndarray:
        """Return one value an epoch."""
        return np.array([row[name] for row in self.rows])

    def save(self, file: Path) -> None:
        """Write all rows as CSV."""
        with replacing(file) as temporary, temporary.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, self.rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {k: v if isinstance(v, int) else f"{v:.6g}" for k, v in row.items()} for row in self.rows
            )

    @classmethod
    def load(cls, file: str | Path) -> "History":
        """Read a history.csv; the chosen epoch is the one marked in it."""
        with Path(file).open(newline="") as handle:
            rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(handle)]
        best = max((int(row["epoch"]) for row in rows if row["chosen"]), default=0)
        return cls(rows, best)


class Stopped(UserError):
    """Training was asked to stop, and its state has been saved."""


def fit(
    model: nn.Module,
    train: Dataset,
    valid: Dataset,
    config: TrainConfig,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train ``model`` in place and leave it with the weights of its best epoch.

    Args:
        model: from ``fer.model.build``.
        train, valid: give ``(uint8 image, label)``, the label an int or shares
            (C,); images of one size. ``labels`` and ``keys`` as in ``fer.datasets``.
        config: everything else. With ``config.out`` weights, card, history
            and state are written there as training goes.
        on_epoch: called on the first process after each epoch, e.g. to draw curves.

    Raises:
        DataInvalid: the state in ``config.out`` belongs to another configuration,
            or the loss is no number (the message names the batch).
        DataMissing: ``config.resume`` without a state.
        Stopped: SIGINT or SIGTERM came; the state is saved where ``config.out`` is set.
    """
    return _Training(model, train, valid, config).run(on_epoch)


class _Training:
    """What one run of ``fit`` holds. Read ``run`` first, then ``_epoch``, then ``_step``."""

    def __init__(self, model: nn.Module, train: Dataset, valid: Dataset, config: TrainConfig) -> None:
        if not len(train) or not len(valid):
            raise DataInvalid(f"Found {len(train)} training and {len(valid)} validation faces; expected some of both.")
        AcceleratorState._reset_state()  # several runs in one notebook may differ in precision
        self.accelerator = Accelerator(mixed_precision=config.precision)
        self.config, self.train, self.valid = config, train, valid
        self.model = model.to(self.accelerator.device, memory_format=torch.channels_last)
        self.classes = len(EMOTIONS)
        self.shares = np.bincount(train.labels, minlength=self.classes) / len(train)
        self.history = History()
        self.epoch, self.seen, self.totals = 0, 0, torch.zeros(2, dtype=torch.float64)
        self.best_score, self.best_weights = -math.inf, None

        self.optimizer = _optimizer(model, config)
        self.steps_per_epoch = len(list(cut(len(train), config.batch_size)))
        self.scheduler = LambdaLR(self.optimizer, self._rate)
        # Only network and optimizer are prepared: batches are cut below, alike for any number of processes.
        self.network, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)
        self.ema = AveragedModel(self.model, multi_avg_fn=_warming_ema(config.ema), use_buffers=True) if config.ema else None
        self.augment = STRENGTHS[config.augment]
        self.mixers = _mixers(config.mix, self.classes)
        priors = torch.tensor(self.shares, dtype=torch.float32).clamp(min=1 / len(train))
        self.log_prior = priors.log().to(self.accelerator.device)
        self.class_weights = (1 / (priors * self.classes)).clamp(max=20).to(self.accelerator.device)

    # The run: epochs, the choice of the best one, files.

    def run(self, on_epoch: Callable[[History], None] | None) -> History:
        config, first = self.config, self.accelerator.is_main_process
        if config.out and config.resume:
            self._restore()
        elif config.out and (config.out / STATE).exists():
            raise DataInvalid(
                f"{config.out / STATE} holds an unfinished run. Add --resume to go on with it, or delete the file."
            )
        with _stop_signals() as self.stop:
            while self.epoch < config.epochs and not self._out_of_patience():
                self._epoch()
                if first and config.out:
                    self.history.save(config.out / HISTORY)
                if first and on_epoch:
                    on_epoch(self.history)
        self.model.load_state_dict(self.best_weights)
        self.model.eval()
        if first and config.out:
            (config.out / STATE).unlink(missing_ok=True)
        return self.history

    def _epoch(self) -> None:
        began, resumed_at = time.perf_counter(), self.seen
        batches = self._batches()
        total = self.steps_per_epoch
        done = total - len(batches)
        bar = tqdm(
            self._loader([indices for _, indices in batches]),
            f"epoch {self.epoch + 1}/{self.config.epochs}",
            total,
            initial=done,
            leave=False,
            disable=not self.accelerator.is_main_process,
        )
        self.network.train()
        for step, ((size, indices), (images, labels)) in enumerate(zip(batches, bar, strict=True), done):
            self._step(step, size, indices, images, labels)
            self.seen += size
            if self.stop():
                bar.close()
                self._stop()
            if (step + 1) % self.config.save_steps == 0 and step + 1 < total:
                self._save_state()
        train_loss, train_accuracy = self._train_totals()
        seconds = time.perf_counter() - began
        predictions = self._validate()
        self.epoch, self.seen = self.epoch + 1, 0
        self.totals.zero_()
        scores = predictions.score()
        row = {
            "epoch": self.epoch,
            "lr": self.scheduler.get_last_lr()[0],
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "valid_loss": scores.nll,
            "valid_accuracy": scores.accuracy,
            "valid_balanced_accuracy": scores.balanced_accuracy,
            "valid_macro_f1": scores.macro_f1,
            "seconds": seconds,
            "images_per_second": (len(self.train) - resumed_at) / seconds,
            "chosen": 0,
        }
        self.history.rows.append(row)
        self._choose(row)
        if self.accelerator.is_main_process:
            tqdm.write(
                f"epoch {self.epoch:3d}  train loss {train_loss:.3f}  valid loss {scores.nll:.3f}  "
                f"accuracy {scores.accuracy:.3f}  balanced {scores.balanced_accuracy:.3f}  "
                f"macro-F1 {scores.macro_f1:.3f}  {seconds:.0f} s{'  best' if row['chosen'] else ''}"
            )
        self._save_state()

    def _step(self, step: int, size: int, indices: list[int], images: Tensor, labels: Tensor) -> None:
        """One optimizer step on this process's part of a batch of ``size`` faces."""
        accelerator, config = self.accelerator, self.config
        torch.manual_seed(_mix(config.seed, self.epoch, step, accelerator.process_index))
        parts = max(1, min(config.accumulate, len(indices)))
        for k, (some, their) in enumerate(
            zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True)
        ):
            last = k == parts - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.network):
                loss, hits = self._loss(some.to(accelerator.device), their.to(accelerator.device))
                if not torch.isfinite(loss):
                    names = [self.train.keys[i] for i in indices[:3]]
                    raise DataInvalid(
                        f"The loss is {loss.item()} at epoch {self.epoch + 1}, batch {step + 1}, which begins with "
                        f"{', '.join(names)}. Expected a number: lower --lr or --clip, or train with --precision no."
                    )
                # Processes average their gradients; parts of unequal length must count by their faces.
                accelerator.backward(loss * accelerator.num_processes / size)
            self.totals += torch.tensor([loss.item(), hits], dtype=torch.float64)
        if config.clip:
            accelerator.clip_grad_norm_(self.network.parameters(), config.clip)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update_parameters(self.model)

    def _loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, int]:
        """Return the sum of the losses of some faces, and how many were named rightly."""
        config = self.config
        if self.augment is not None:
            images = self.augment(images)
        x = self.model.preprocess(images)
        top = labels if labels.ndim == 1 else labels.argmax(1)
        if self.mixers and torch.rand(()) < 0.5:
            x, labels = self.mixers[int(torch.randint(len(self.mixers), ()))](x, labels)
        with self.accelerator.autocast():
            logits = self.network(x.contiguous(memory_format=torch.channels_last))
        logits = logits.float()
        hits = int((logits.argmax(1) == top).sum())
        if config.imbalance == "logit_adjustment":  # Menon et al. 2021: learn what is left beside the prior
            logits = logits + self.log_prior
        weight = self.class_weights if config.imbalance == "class_weights" else None
        loss = F.cross_entropy(
            logits, labels, weight=weight, label_smoothing=config.label_smoothing, reduction="sum"
        )
        return loss, hits

    # Batches: one order an epoch, cut alike for any number of processes.

    def _batches(self) -> list[tuple[int, list[int]]]:
        """Return what is left of this epoch: the size of each batch, and this process's part of it."""
        order = epoch_order(
            self.train.labels, self.config.seed, self.epoch, self.config.imbalance == "balanced_sampling"
        )
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        spans = [(a, b) for a, b in cut(len(order), self.config.batch_size) if a >= self.seen]
        return [(b - a, order[a:b][rank::world].tolist()) for a, b in spans]

    def _loader(self, batches: list[list[int]]) -> DataLoader:
        workers = self.config.workers
        return DataLoader(self.train, batch_sampler=batches, num_workers=workers)

    # Validation and choice.

    def _scored(self) -> nn.Module:
        return self.model if self.ema is None else self.ema.module

    def _validate(self) -> Predictions:
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        model = self._scored()
        model.preprocess = self.model.preprocess
        mine = predict(
            model, self.valid, self.config.batch_size, workers=self.config.workers, progress=rank == 0, part=(rank, world)
        )
        return Predictions.merge(gather_object([mine]), self.valid.keys)

    def _choose(self, row: dict[str, float]) -> None:
        value = row["valid_" + self.config.metric] * (-1 if self.config.metric == "loss" else 1)
        if value <= self.best_score and self.best_weights is not None:
            return
        self.best_score, self.history.best_epoch = value, self.epoch
        for other in self.history.rows:
            other["chosen"] = int(other is row)
        self.best_weights = {k: v.detach().clone() for k, v in self._scored().state_dict().items()}
        if self.config.out and self.accelerator.is_main_process:
            best = build(self.config.model, preprocess=self.model.preprocess, **options_of(self.config))
            best.load_state_dict(self.best_weights)
            checkpoint.save(self.config.out, best, self._card())

    def _out_of_patience(self) -> bool:
        waited = self.epoch - self.history.best_epoch
        return self.config.patience is not None and waited >= self.config.patience

    def _card(self) -> dict:
        config = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self.config).items()}
        return {
            "arch": self.config.model,
            "options": options_of(self.config),
            "crop_margin": self.config.crop_margin,
            "flip": self.config.flip,
            "temperature": 1.0,
            "train_data": self.train.name,
            "train_size": len(self.train),
            # Training on adjusted or resampled classes teaches that all are equally common.
            "class_shares": self._learned_shares(),
            "epoch": self.epoch,
            "epochs": self.config.epochs,
            "seed": self.config.seed,
            "config": {k: v for k, v in config.items() if k not in ("root", "out", "resume")},
            "seconds": round(sum(row["seconds"] for row in self.history.rows)),
            "device": str(self.accelerator.device),
            "processes": self.accelerator.num_processes,
            "date": datetime.now(UTC).date().isoformat(),
            **checkpoint.provenance(),
        }

    def _learned_shares(self) -> list[float]:
        even = self.config.imbalance != "none"
        shares = np.full(self.classes, 1 / self.classes) if even else self.shares
        return [round(float(share), 6) for share in shares]

    # State: enough to go on to the same weights.

    def _train_totals(self) -> tuple[float, float]:
        totals = self.accelerator.reduce(self.totals.float().to(self.accelerator.device), "sum")
        return totals[0].item() / len(self.train), totals[1].item() / len(self.train)

    def _save_state(self) -> None:
        if not self.config.out:
            return
        totals = self.accelerator.reduce(self.totals.float().to(self.accelerator.device), "sum").cpu()
        if not self.accelerator.is_main_process:
            return
        state = {
            "config": self._fixed_config(),
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "epoch": self.epoch,
            "seen": self.seen,
            "totals": totals,
            "rows": self.history.rows,
            "best_epoch": self.history.best_epoch,
            "best_score": self.best_score,
            "best_weights": self.best_weights,
        }
        with replacing(self.config.out / STATE) as temporary:
            torch.save(state, temporary)

    def _restore(self) -> None:
        file = self.config.out / STATE
        if not file.is_file():
            raise DataMissing(f"Nothing to resume: {file} is missing (a finished run leaves none). Leave out --resume.")
        state = torch.load(file, map_location="cpu", weights_only=True)
        now = self._fixed_config()
        changed = [f"--{k.replace('_', '-')} {state['config'].get(k)} then, {v} now" for k, v in now.items() if state["config"].get(k) != v]
        if changed:
            raise DataInvalid(
                f"{file} was written with other options ({'; '.join(changed)}). Resume with the same ones, "
                "or choose another --out."
            )
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.epoch, self.seen = state["epoch"], state["seen"]
        # The totals of all processes so far are carried by the first one.
        self.totals = state["totals"].double() * self.accelerator.is_main_process
        self.history = History(state["rows"], state["best_epoch"])
        self.best_score, self.best_weights = state["best_score"], state["best_weights"]

    def _fixed_config(self) -> dict:
        config = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self.config).items()}
        fixed = {k: v for k, v in config.items() if k not in FREE_TO_CHANGE}
        return fixed | {"train_size": len(self.train), "valid_size": len(self.valid)}

    def _stop(self) -> None:
        if self.config.out and self.accelerator.num_processes == 1:
            self._save_state()
        where = f"Add --resume to go on from {self.config.out}." if self.config.out else "Without --out nothing was kept."
        raise Stopped(f"Stopped in epoch {self.epoch + 1} after {self.seen:,} of {len(self.train):,} faces. {where}")

    def _rate(self, step: int) -> float:
        """Learning rate as a share of the highest, at a step from 0."""
        total = self.steps_per_epoch * self.config.epochs
        warm = self.config.warmup
        if self.config.schedule == "one_cycle":
            warm = max(warm, 0.1)
        risen = warm * total
        if step < risen:
            return (step + 1) / (risen + 1)
        if self.config.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - risen) / max(1.0, total - risen))))


def epoch_order(labels: np.ndarray, seed: int, epoch: int, balanced: bool = False) -> np.ndarray:
    """Return the order of one epoch, int64 (N,): each sample once, or drawn so that classes are equally frequent."""
    rng = np.random.default_rng((seed, epoch))
    if not balanced:
        return rng.permutation(len(labels))
    frequency = np.bincount(labels)
    weights = 1 / frequency[labels]
    return rng.choice(len(labels), len(labels), p=weights / weights.sum())


def cut(n: int, size: int, smallest: int = 8) -> Iterator[tuple[int, int]]:
    """Yield the spans (from, to) of batches over n samples; a last one below ``smallest`` joins the one before."""
    begin = 0
    while begin < n:
        end = begin + size
        if n - end < min(smallest, size):
            end = n
        yield begin, end
        begin = end


def options_of(config: TrainConfig) -> dict:
    """Return what ``build`` needs beside the name to make this network again, without fetching weights."""
    return {"frozen": True} if config.model == "resnet18" and config.frozen else {}


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    learned = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, config.lr, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, config.lr)


def _warming_ema(decay: float) -> Callable:
    """EMA whose decay rises to its value over the first steps, so that short runs are not stuck at the start."""

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        if not averaged[0].is_floating_point():  # batch normalisation's counters
            for mean, now in zip(averaged, current, strict=True):
                mean.copy_(now)
            return
        share = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - share)

    return update


def _mixers(kind: str, classes: int) -> list[v2.Transform]:
    makers = {"mixup": [v2.MixUp], "cutmix": [v2.CutMix], "both": [v2.MixUp, v2.CutMix]}.get(kind, [])
    alpha = {v2.MixUp: 0.2, v2.CutMix: 1.0}
    return [make(alpha=alpha[make], num_classes=classes) for make in makers]


def _mix(*numbers: int) -> int:
    """One seed from several numbers, without the overlaps that adding them would have."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


@contextlib.contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether SIGINT or SIGTERM came; a second one acts as usual."""
    came: list[int] = []

    def remember(number: int, frame: object) -> None:
        came.append(number)
        signal.signal(number, before[number])

    before = {}
    with contextlib.suppress(ValueError):  # not the main thread: leave signals alone
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, remember)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def training_splits(config: TrainConfig) -> tuple[Dataset, Dataset]:
    """Return training and validation data; what is reported (test, AffectNet's val) is neither.

    FER+ has both. AffectNet8 and the sample have no third split, so a tenth of
    their train split, stratified and seeded, chooses the epoch, and their val
    split stays untouched for the report.
    """
    from fer.datasets import open_split

    if config.data == "ferplus":
        train = open_split("ferplus", config.root, "train", labels=config.labels, limit=config.limit)
        return train, open_split("ferplus", config.root, "valid", limit=config.limit)
    from fer.datasets.splits import split_indices, subset

    whole = open_split(config.data, config.root, "train", limit=config.limit)
    kept, held_out = split_indices(whole, (0.9, 0.1), seed=0)
    return subset(whole, kept), subset(whole, held_out)


def new_model(config: TrainConfig) -> nn.Module:
    """Return the untrained network of a configuration, its weights drawn from the seed."""
    torch.manual_seed(config.seed)
    usual = ARCHITECTURES[config.model][1]
    preprocess = Preprocess(**usual.to_dict() | ({"size": config.size} if config.size else {}))
    pretrained = {"pretrained": True} if config.pretrained else {}
    return build(config.model, preprocess=preprocess, **options_of(config), **pretrained)


def main(config: TrainConfig) -> None:
    """Train, fit the temperature on validation data, and record the validation scores."""
    if config.model != "resnet18" and (config.pretrained or config.frozen):
        raise DataInvalid("--pretrained and --frozen are for --model resnet18: leave them out.")
    if config.precision == "fp16" and not torch.cuda.is_available():
        raise DataInvalid("--precision fp16 needs a GPU, and none was found: use bf16 or no.")
    config.out = config.out or Path("models") / f"{config.model}-{config.data}"
    train, valid = training_splits(config)
    model = new_model(config)
    history = fit(model, train, valid, config)
    if Accelerator().is_main_process:
        predictions = predict(model, valid, config.batch_size, config.flip)
        card = calibrate(checkpoint.read_card(config.out), predictions)
        card["seconds"] = round(history.column("seconds").sum())
        checkpoint.write_card(config.out, card)
        name = f"{valid.name}-{valid.split}" + ("" if config.data == "ferplus" else "-held-out")
        print(f"\nvalidation, epoch {history.best_epoch} of {len(history.rows)}, temperature {card['temperature']}")
        print(record(config.out, name, predictions, card, {"flip": config.flip, "labels": "majority"}))
        print(f"\nsaved in {config.out}")
