"""The training loop, to be read top to bottom: ``fit``, then ``run``, ``epoch``, ``step`` and ``loss`` of a Trainer."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast, gather_object
from torch import Tensor
from tqdm.auto import tqdm

from fer import checkpoint
from fer.card import provenance, read_card
from fer.datasets.collate import load_batches
from fer.datasets.face_dataset import FaceDataset
from fer.errors import DataInvalid, Stopped
from fer.evaluation.predictions import Predictions, predict
from fer.evaluation.recorded import drop_derived
from fer.files import locked
from fer.interrupt import stop_signals
from fer.labels import EMOTIONS
from fer.model import FaceNetwork
from fer.preprocess import check
from fer.training import optim
from fer.training.augment import STRENGTHS, Mix, to_grey_uint8
from fer.training.batches import SAMPLING, cut, epoch_order, part_of
from fer.training.config import FREE_TO_CHANGE, NOT_IN_THE_CARD, TrainConfig
from fer.training.degrade import degrade
from fer.training.distillation import soft_targets, teacher_probabilities
from fer.training.distributed import noticing_losses, processes
from fer.training.loss import Loss, learned_prior
from fer.training.preprocess import preprocess_tensor
from fer.training.start import training_targets
from fer.training.state import HISTORY, STATE, History, Progress, TrainingStopped, check_unused, row_summary


def fit(
    model: FaceNetwork,
    train: FaceDataset,
    valid: FaceDataset,
    config: TrainConfig,
    on_epoch: Callable[[History], None] | None = None,
    on_end: Callable[[History], None] | None = None,
) -> History:
    """Train ``model`` in place and leave it with the weights of its best epoch.

    With ``config.out`` weights, card, history and state are written there as training goes.

    Args:
        model: from ``fer.model.build``.
        train, valid: data sets as in ``fer.datasets``, with images of one size.
        config: everything else.
        on_epoch: called on the first process after each epoch, e.g. to draw curves.
        on_end: called on the first process after the last epoch, and, where it was stopped, when resumed.

    Raises:
        DataInvalid: an option is wrong, ``config.out`` is in use, or the loss is no number.
        DataMissing: ``config.resume`` without a state.
        TrainingStopped: SIGINT or SIGTERM came; the state is saved where ``config.out`` is set, and ``model`` has
            the weights of its best epoch so far, if one was finished.
    """
    config.check_values()
    out = config.out if processes().is_main_process else None
    with locked(out, config.allow_unlocked) if out else contextlib.nullcontext():
        return Trainer(model, train, valid, config).run(on_epoch, on_end)


class Trainer:
    """One run of ``fit``: the network, and all that changes while it learns."""

    def __init__(
        self, model: FaceNetwork, train: FaceDataset, valid: FaceDataset, config: TrainConfig
    ) -> None:
        if config.out and not model.arch:
            raise DataInvalid(f"A {type(model).__name__} cannot be saved: make it with fer.model.build.")
        processes()
        AcceleratorState._reset_state()  # several runs in one notebook may differ in precision
        self.accelerator = Accelerator(mixed_precision=config.precision, cpu=config.device == "cpu")
        self.rank, self.world = self.accelerator.process_index, self.accelerator.num_processes
        self.part, self.is_first = (self.rank, self.world), self.rank == 0
        config.check_faces(len(train), len(valid), self.world)
        classes = model.num_classes
        if (highest := max(train.labels.max(), valid.labels.max())) >= classes:
            raise DataInvalid(
                f"Found faces of class {highest} ({EMOTIONS[highest]}); expected the network's, 0 to {classes - 1}. "
                "Leave them out (classes=7), or take a network of more classes."
            )
        self.config, self.train, self.valid = config, train, valid
        self.model = model.to(self.accelerator.device).to(memory_format=torch.channels_last)
        self.class_counts = np.bincount(train.labels, minlength=classes)
        self.provenance = provenance()
        self.progress, self.began = Progress(), 0.0
        # What a step is made of.
        self.augment, self.mix = STRENGTHS[config.augment], Mix(config.mix, classes)
        self.criterion = Loss(self.class_counts, config, self.accelerator.device)
        self.optimizer = optim.optimizer(model, config)
        self.spans = list(cut(len(train), config.batch_size))
        self.scheduler = optim.schedule(self.optimizer, config, len(self.spans) * config.epochs)
        self.ema = optim.ema(self.model, config.ema) if config.ema else None
        self.scored = cast(FaceNetwork, self.ema.module) if self.ema else self.model
        self.annotations = training_targets(model, train, config.targets)
        self.teacher_probabilities = teacher_probabilities(
            config.teachers, train, classes, config.batch_size, self.part, self.accelerator.device
        )
        # Only network and optimizer are prepared: batches are cut below, alike for any number of processes.
        # Last, because ``run`` undoes it, whatever happens there.
        self.network, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)
        # Stopping, and going on to the same weights.
        sizes = {"train_size": len(train), "valid_size": len(valid)}
        self.fixed_options = config.to_json(leave_out=FREE_TO_CHANGE) | sizes
        parts = {name: getattr(self, name) for name in ("model", "ema", "optimizer", "scheduler")}
        parts["scaler"] = self.accelerator.scaler
        self.parts = {name: part for name, part in parts.items() if part is not None}
        out = config.out
        self.advice = f"Add --resume to go on from {out}." if out else "Without --out nothing was kept."

    def run(
        self, on_epoch: Callable[[History], None] | None, on_end: Callable[[History], None] | None
    ) -> History:
        """Train to the end, leave the model with its best weights, and return the record."""
        epochs = self.config.epochs
        try:
            self._begin()
            history, patience = self.progress.history, self.config.patience or epochs
            with noticing_losses(self.advice), stop_signals() as self.stop:
                while self.progress.epoch < min(epochs, history.best_epoch + patience):
                    self.epoch()
                    if self.is_first and on_epoch:
                        on_epoch(history)
        finally:  # the caller gets the plain network back, without mixed precision, whatever happened
            plain = self.accelerator.unwrap_model(self.network, keep_fp32_wrapper=False).eval()
            vars(plain).pop("_is_accelerate_prepared", None)  # another fit must prepare it again
            if self.progress.best_weights:
                self.model.load_state_dict(self.progress.best_weights)
        if self.is_first:
            self.finish(on_end)
        return history

    def epoch(self) -> None:
        """Train on what is left of this epoch's faces, validate, keep the weights if they are the best, save."""
        config, progress = self.config, self.progress
        self.began, resumed_at = time.perf_counter(), progress.seen
        exponent = SAMPLING.get(config.imbalance, 1.0)
        order = epoch_order(self.train.labels, config.seed, progress.epoch, exponent)
        spans = [(begin, end) for begin, end in self.spans if begin >= progress.seen]
        mine = [part_of(order[begin:end], self.rank, self.world).tolist() for begin, end in spans]
        total, first = len(self.spans), len(self.spans) - len(spans)
        loader = load_batches(self.train, mine, config.workers)
        name = f"epoch {progress.epoch + 1}/{config.epochs}"
        bar = tqdm(loader, name, total, initial=first, leave=False, disable=not self.is_first)
        self.network.train()
        batches = zip(spans, mine, bar, strict=True)
        for number, ((begin, end), indices, (images, labels)) in enumerate(batches, first):
            self.step(number, end - begin, indices, images, labels)
            progress.seen = end
            if self.stop:
                self.accelerator.set_trigger()
            if self.accelerator.check_trigger():  # for any of the processes: all leave after the same step
                bar.close()
                self._save_state()
                seen = f"{progress.seen:,} of {len(self.train):,} faces"
                message = f"Stopped in epoch {progress.epoch + 1} after {seen}. {self.advice}"
                raise TrainingStopped(message, progress.history)
            if (number + 1) % config.save_steps == 0 and number + 1 < total:
                self._save_state()
        seconds = time.perf_counter() - self.began
        train_loss, train_accuracy = (self._all_totals() / len(self.train)).tolist()
        row = {
            "epoch": progress.epoch + 1,
            "lr": self.scheduler.get_last_lr()[0],
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            **self.validate(),
            "seconds": progress.earlier + seconds,
            "images_per_second": (len(self.train) - resumed_at) / seconds,
            "chosen": 0,
        }
        progress.epoch, progress.seen, progress.earlier = progress.epoch + 1, 0, 0.0
        progress.totals.zero_()
        progress.history.rows.append(row)
        self._keep_if_best(row)
        if self.is_first:
            tqdm.write(row_summary(row))
            if config.out:
                progress.history.save(config.out / HISTORY)
        self._save_state()

    def step(self, number: int, size: int, indices: list[int], images: Tensor, labels: Tensor) -> None:
        """Change the weights once, by this process's part of a batch of ``size`` faces."""
        accelerator, config = self.accelerator, self.config
        # Mixed, because sums of these numbers would overlap.
        seed = np.random.SeedSequence((config.seed, self.progress.epoch, number, self.rank))
        torch.manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))
        if self.teacher_probabilities is not None:
            labels = soft_targets(labels, self.teacher_probabilities[indices])
        batch = [images, labels] + ([] if self.annotations is None else [self.annotations[indices]])
        counts = self.rank < size  # see fer.training.batches.part_of
        parts = min(config.accumulate, len(indices))
        for k, part in enumerate(zip(*(tensor.tensor_split(parts) for tensor in batch), strict=True)):
            last = k == parts - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.network):
                with _explaining_single_faces():
                    loss, correct = self.loss(*(tensor.to(accelerator.device) for tensor in part))
                if not torch.isfinite(loss):
                    names = ", ".join(self.train.keys[i] for i in indices[:3])
                    where = f"epoch {self.progress.epoch + 1}, batch {number + 1}, which begins with {names}"
                    raise DataInvalid(
                        f"The loss is {loss.item()} at {where}. Lower --lr, or use --precision no."
                    )
                # Processes average their gradients; parts of unequal length must count by their faces.
                accelerator.backward(loss * counts * self.world / size)
            self.progress.totals += counts * torch.tensor([loss.item(), correct], dtype=torch.float64)
        accelerator.clip_grad_norm_(self.network.parameters(), max_norm=5.0)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update_parameters(self.model)

    def loss(self, images: Tensor, labels: Tensor, annotations: Tensor | None = None) -> tuple[Tensor, int]:
        """Return the sum of the losses of some faces, and how many are predicted correctly.

        Images are uint8 (N, channels, H, W), labels int64 (N,) or float32 (N, C), annotations float32 (N, 2).
        """
        check(images.dtype, images.shape)  # before they are changed: anything but uint8 would become noise
        if self.model.preprocess.channels == 1 and (self.augment or self.config.degrade):
            images = to_grey_uint8(images)
        if self.augment is not None:
            images = self.augment(images)
        if self.config.degrade:
            images = degrade(images, self.config.degrade)
        x, side = preprocess_tensor(self.model.preprocess, images), self._side()
        if side < x.shape[-1]:
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
        x, targets, annotations = self.mix(x, labels, annotations)
        with self.accelerator.autocast():
            logits, predicted = self.network(x.contiguous(memory_format=torch.channels_last), both=True)
        logits = logits.float()
        top = labels if labels.ndim == 1 else labels.argmax(1)
        return self.criterion(logits, targets, predicted, annotations), int((logits.argmax(1) == top).sum())

    def _side(self) -> int:
        """Return the side of this epoch's faces: from ``start_size`` up to the full one, in steps of 8 pixels."""
        full = self.model.preprocess.size
        start = min(self.config.start_size or full, full)
        grown = self.progress.epoch / (0.6 * self.config.epochs)
        return full if grown >= 1 else start + math.floor(grown * (full - start) / 8) * 8

    def validate(self) -> dict[str, float]:
        """Score the averaged weights on the validation faces; return columns of history.csv.

        Mirror images (``config.flip``) are left out: after every epoch they would cost as much again.
        """
        # Batch statistics differ between processes: the first one's are scored and saved.
        for buffer in self.scored.buffers():
            broadcast(buffer)
        options = {"workers": self.config.workers, "progress": self.is_first, "part": self.part}
        mine = predict(self.scored, self.valid, self.config.batch_size, **options)
        predictions = Predictions.merge(gather_object([mine]), self.valid.keys)
        scores = predictions.score(resamples=0)
        columns = {"loss": scores.nll, "accuracy": scores.accuracy}
        columns |= {"balanced_accuracy": scores.balanced_accuracy, "macro_f1": scores.macro_f1}
        if (annotated := predictions.score_valence_arousal()) is not None:
            columns |= {"ccc_valence": annotated.valence.ccc, "ccc_arousal": annotated.arousal.ccc}
        return {f"valid_{name}": value for name, value in columns.items()}

    def _keep_if_best(self, row: dict[str, float]) -> None:
        progress, metric = self.progress, self.config.metric
        score = row[f"valid_{metric}"] * (-1 if metric == "loss" else 1)
        if score <= progress.best_score and progress.best_weights:
            return
        progress.best_score, progress.history.best_epoch = score, progress.epoch
        for other in progress.history.rows:
            other["chosen"] = int(other is row)
        progress.best_weights = {k: v.detach().clone() for k, v in self.scored.state_dict().items()}
        if self.config.out and self.is_first:
            drop_derived(self.config.out)
            checkpoint.save(self.config.out, self.scored, self._card())

    def _card(self) -> dict:
        config, prior = self.config, learned_prior(self.class_counts, self.config.imbalance)
        card: dict[str, Any] = {
            "crop_margins": list(config.crop_margins),
            "flip": config.flip,
            "temperature": 1.0,
            "train_data": self.train.name,
            "train_size": len(self.train),
            "class_shares": [round(float(p), 6) for p in prior],
            "epoch": self.progress.epoch,
            "epochs": config.epochs,
            "seed": config.seed,
            "config": config.to_json(leave_out=NOT_IN_THE_CARD),
            "seconds": round(self.progress.history.column("seconds").sum()),
            "device": str(self.accelerator.device),
            "processes": self.world,
        }
        if self.model.started_from:
            card["started_from"] = self.model.started_from
        if config.teachers:
            hashes = [read_card(folder)["weights_sha256"] for folder in config.teachers]
            card["teachers"] = dict(zip(map(str, config.teachers), hashes, strict=True))
        return card | {"date": datetime.now(UTC).date().isoformat(), **self.provenance}

    def _all_totals(self) -> Tensor:
        """Return ``totals`` summed over all processes, float64 (2,)."""
        return torch.tensor(gather_object([self.progress.totals.tolist()]), dtype=torch.float64).sum(0)

    def _save_state(self) -> None:
        progress, totals = self.progress, self._all_totals()
        if self.config.out and self.is_first:
            earlier = progress.earlier + time.perf_counter() - self.began if progress.seen else 0.0
            progress = replace(progress, totals=totals, earlier=earlier)
            progress.save(self.config.out, self.fixed_options, self.parts)

    def _begin(self) -> None:
        """Restore the state to resume, or see to it that nothing is replaced unasked."""
        config, out = self.config, self.config.out
        if out and config.resume:
            self.progress = Progress.restore(out, self.fixed_options, self.parts)
            self.progress.totals *= self.is_first  # the first process carries those of all
        elif out and not config.overwrite:
            check_unused(out)
        elif out and self.is_first:  # or --resume would go on with the run that is replaced
            (out / STATE).unlink(missing_ok=True)

    def finish(self, on_end: Callable[[History], None] | None) -> None:
        """Call ``on_end``, then remove the state: nothing is left to resume."""
        try:
            with stop_signals(at_once=True):
                if on_end:
                    on_end(self.progress.history)
                if self.config.out:
                    (self.config.out / STATE).unlink(missing_ok=True)
        except KeyboardInterrupt:
            raise Stopped(f"Stopped after the last epoch, before its record. {self.advice}") from None


@contextlib.contextmanager
def _explaining_single_faces() -> Iterator[None]:
    """Raise DataInvalid where batch normalisation gets one face, of which the network leaves one pixel."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise DataInvalid(
            "Found a single small face to learn from at once; batch normalisation expects two or more, or larger ones. "
            "Raise --batch-size or --size, or lower --accumulate or the number of processes."
        ) from error
