"""The loop behind ``fer.train.fit``: epochs, steps, the choice of the best epoch, the state to resume from."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast, gather_object
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from fer import checkpoint
from fer.datasets.collate import collate
from fer.errors import DataInvalid, DataMissing, UserError
from fer.evaluation import valence_arousal
from fer.evaluation.predictions import Predictions, predict
from fer.evaluation.recorded import drop_records
from fer.files import check_same_options, replacing
from fer.interrupt import leave_to_the_main_process, stop_signals
from fer.labels import EMOTIONS
from fer.model import FaceNetwork
from fer.training import distillation, optim
from fer.training.batches import cut, epoch_order, share
from fer.training.config import FREE_TO_CHANGE, NOT_IN_THE_CARD, TrainConfig
from fer.training.distributed import noticing_losses, processes
from fer.training.history import History
from fer.training.loss import Objective

STATE, HISTORY = "state.pt", "history.csv"

EVENNESS = {
    **{"none": 0.0, "square_root_sampling": 0.5},
    **{"balanced_sampling": 1.0, "class_weights": 1.0, "logit_adjustment": 1.0},
}
"""How even each ``imbalance`` makes the classes: N faces count as N ** (1 - evenness)."""


def held(out: Path) -> str:
    """Say what a folder holds that must not be replaced unasked; empty where there is nothing."""
    kinds = {STATE: "an unfinished run", checkpoint.WEIGHTS: "a trained model"}
    return next((f"{what} ({name})" for name, what in kinds.items() if (out / name).exists()), "")


class Stopped(UserError):
    """Training was asked to stop, and its state has been saved."""

    exit_code = 130


def fit(
    model: FaceNetwork,
    train: Dataset,
    valid: Dataset,
    config: TrainConfig,
    on_epoch: Callable[[History], None] | None = None,
    on_end: Callable[[History], None] | None = None,
) -> History:
    """Train ``model`` in place and leave it with the weights of its best epoch.

    Args:
        model: from ``fer.model.build``.
        train, valid: give ``(uint8 image, label)``, the label an int or a soft target
            (C,); images of one size. ``labels`` and ``keys`` as in ``fer.datasets``.
        config: everything else. With ``config.out`` weights, card, history
            and state are written there as training goes.
        on_epoch: called on the first process after each epoch, e.g. to draw curves.
        on_end: called on the first process after the last epoch. The state is removed
            after it, so that what it does, done again, can be resumed, too.

    Raises:
        DataInvalid: an option is out of its range, ``config.out`` holds a model
            already or the state of another configuration, or the loss is no
            number (the message names the batch).
        DataMissing: ``config.resume`` without a state.
        Stopped: SIGINT or SIGTERM came; the state is saved where ``config.out`` is set.
    """
    config.check_values()
    trainer = Trainer(model, train, valid, config)
    history = trainer.run(on_epoch)
    if trainer.accelerator.is_main_process:
        try:
            with stop_signals(at_once=True) if on_end else contextlib.nullcontext():
                if on_end:
                    on_end(history)
                trainer.finish()
        except KeyboardInterrupt:
            if not config.out:
                raise
            raise Stopped(
                "Stopped after the last epoch, before the temperature was fitted and the scores were recorded. "
                f"Add --resume to go on from {config.out}."
            ) from None
    return history


class Trainer:
    """What one run of ``fit`` holds. Read ``run`` first, then ``_epoch``, then ``_step``."""

    def __init__(self, model: FaceNetwork, train: Dataset, valid: Dataset, config: TrainConfig) -> None:
        if config.out and not model.arch:
            raise DataInvalid(
                f"A {type(model).__name__} cannot be saved with a card: make it with fer.model.build."
            )
        processes()
        AcceleratorState._reset_state()  # several runs in one notebook may differ in precision
        self.accelerator = Accelerator(mixed_precision=config.precision)
        self.config, self.train, self.valid = config, train, valid
        self.model = model.to(self.accelerator.device, memory_format=torch.channels_last)
        self.classes = model.num_classes
        world = self.accelerator.num_processes
        config.check_faces(len(train), len(valid), world)
        if (most := max(train.labels.max(), valid.labels.max())) >= self.classes:
            raise DataInvalid(
                f"Found faces of class {most} ({EMOTIONS[most]}); expected 0 to {self.classes - 1}, which the network "
                "tells apart. Leave them out (classes=7), or take a network of more classes."
            )
        self.shares = np.bincount(train.labels, minlength=self.classes) / len(train)
        self.history, self.provenance = History(), checkpoint.provenance()
        self.epoch, self.seen, self.totals = 0, 0, torch.zeros(2, dtype=torch.float64)
        self.best_score, self.best_weights = -math.inf, None
        self.earlier = 0.0  # seconds that this epoch took before the run was stopped in it

        self.optimizer = optim.optimizer(model, config)
        self.spans = list(cut(len(train), config.batch_size))
        self.steps_per_epoch = len(self.spans)
        self.scheduler = optim.schedule(self.optimizer, config, self.steps_per_epoch * config.epochs)
        self.ema = optim.running_mean(self.model, config.ema) if config.ema else None
        self.pairs = valence_arousal.training_targets(model, train, config.targets)
        self.opinions = self._opinions() if config.teachers else None
        self.loss = Objective(
            model, self.shares, len(train), config, self.accelerator, paired=self.pairs is not None
        )
        # Only network and optimizer are prepared: batches are cut below, alike for any number of processes.
        # Last, because ``run`` undoes it, whatever happens there.
        self.network, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)

    def _opinions(self) -> Tensor:
        config, here = self.config, (self.accelerator.process_index, self.accelerator.num_processes)
        return distillation.opinions(config.teachers, self.train, self.classes, config.batch_size, here)

    # The run: epochs, the choice of the best one, files.

    def run(self, on_epoch: Callable[[History], None] | None = None) -> History:
        """Train to the end, leave the model with its best weights, and return the record.

        The state stays until ``finish``: what the caller does with the network may be stopped, too.
        """
        config, first = self.config, self.accelerator.is_main_process
        try:
            if config.out and config.resume:
                self._restore()
                # The stop may have come after the state, but before the curves.
                if first and self.history.rows:
                    self.history.save(config.out / HISTORY)
            elif config.out and not config.overwrite:
                self._refuse_to_overwrite()
            elif config.out and first:  # or --resume would go on with the run that is replaced
                (config.out / STATE).unlink(missing_ok=True)
            with noticing_losses(self._how_to_go_on()), stop_signals() as self.stop:
                while self.epoch < config.epochs and not self._out_of_patience():
                    self._epoch()
                    if first and config.out:
                        self.history.save(config.out / HISTORY)
                    if first and on_epoch:
                        on_epoch(self.history)
        finally:  # the caller gets the plain network back, without mixed precision, whatever happened
            plain = self.accelerator.unwrap_model(self.network, keep_fp32_wrapper=False).eval()
            vars(plain).pop("_is_accelerate_prepared", None)  # another fit must prepare it again
        self.model.load_state_dict(self.best_weights)
        return self.history

    def finish(self) -> None:
        """Remove the state: nothing is left to resume."""
        if self.config.out:
            (self.config.out / STATE).unlink(missing_ok=True)

    def _refuse_to_overwrite(self) -> None:
        if there := held(self.config.out):
            raise DataInvalid(
                f"{self.config.out} already holds {there}. Choose another --out, add --overwrite to "
                "replace it, or --resume to go on with an unfinished run."
            )

    def _epoch(self) -> None:
        self.began, resumed_at = time.perf_counter(), self.seen
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
            if self._must_stop():
                bar.close()
                self._stop()
            if (step + 1) % self.config.save_steps == 0 and step + 1 < total:
                self._save_state()
        train_loss, train_accuracy = (self._all_totals() / len(self.train)).tolist()
        seconds = time.perf_counter() - self.began
        spent = self.earlier + seconds
        predictions = self._validate()
        self.epoch, self.seen, self.earlier = self.epoch + 1, 0, 0.0
        self.totals.zero_()
        scores = predictions.score(resamples=0)
        row = {
            "epoch": self.epoch,
            "lr": self.scheduler.get_last_lr()[0],
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "valid_loss": scores.nll,
            "valid_accuracy": scores.accuracy,
            "valid_balanced_accuracy": scores.balanced_accuracy,
            "valid_macro_f1": scores.macro_f1,
            "seconds": spent,
            "images_per_second": (len(self.train) - resumed_at) / seconds,
            "chosen": 0,
        }
        if (told := predictions.score_valence_arousal()) is not None:
            row |= {"valid_ccc_valence": told.valence.ccc, "valid_ccc_arousal": told.arousal.ccc}
        self.history.rows.append(row)
        self._choose(row)
        if self.accelerator.is_main_process:
            tqdm.write(
                f"epoch {self.epoch:3d}  train loss {train_loss:.3f}  valid loss {scores.nll:.3f}  "
                f"accuracy {scores.accuracy:.3f}  balanced {scores.balanced_accuracy:.3f}  "
                f"macro-F1 {scores.macro_f1:.3f}  "
                + (f"CCC {told.valence.ccc:.3f} {told.arousal.ccc:.3f}  " if told else "")
                + f"{spent:.0f} s{'  best' if row['chosen'] else ''}"
            )
        self._save_state()

    def _step(self, step: int, size: int, indices: list[int], images: Tensor, labels: Tensor) -> None:
        """One optimizer step on this process's part of a batch of ``size`` faces."""
        accelerator, config = self.accelerator, self.config
        torch.manual_seed(_mix(config.seed, self.epoch, step, accelerator.process_index))
        parts = max(1, min(config.accumulate, len(indices)))
        counts = accelerator.process_index < size  # see fer.training.batches.share
        if self.opinions is not None:
            labels = distillation.blend(labels, self.opinions[indices], config.teachers_weight)
        batch = [images, labels] + ([] if self.pairs is None else [self.pairs[indices]])
        for k, part in enumerate(zip(*(one.tensor_split(parts) for one in batch), strict=True)):
            last = k == parts - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.network):
                there = [one.to(accelerator.device) for one in part]
                with _naming_lone_faces():
                    loss, hits = self.loss(self.network, self.epoch, *there)
                if not torch.isfinite(loss):
                    names = [self.train.keys[i] for i in indices[:3]]
                    raise DataInvalid(
                        f"The loss is {loss.item()} at epoch {self.epoch + 1}, batch {step + 1}, which begins with "
                        f"{', '.join(names)}. Expected a number: lower --lr or --clip, or train with --precision no."
                    )
                # Processes average their gradients; parts of unequal length must count by their faces.
                accelerator.backward(loss * counts * accelerator.num_processes / size)
            self.totals += counts * torch.tensor([loss.item(), hits], dtype=torch.float64)
        if config.clip:
            accelerator.clip_grad_norm_(self.network.parameters(), config.clip)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update_parameters(self.model)

    # Batches: one order an epoch, cut alike for any number of processes.

    def _batches(self) -> list[tuple[int, list[int]]]:
        """Return what is left of this epoch: the size of each batch, and this process's part of it."""
        sampled = self.config.imbalance.endswith("sampling")
        evenness = EVENNESS[self.config.imbalance] if sampled else 0.0
        order = epoch_order(self.train.labels, self.config.seed, self.epoch, evenness)
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        return [(b - a, share(order[a:b], rank, world).tolist()) for a, b in self.spans if a >= self.seen]

    def _loader(self, batches: list[list[int]]) -> DataLoader:
        workers = self.config.workers
        return DataLoader(
            self.train,
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=leave_to_the_main_process,
        )

    # Validation and choice.

    def _scored(self) -> FaceNetwork:
        return self.model if self.ema is None else self.ema.module

    def _validate(self) -> Predictions:
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        scored = self._scored()
        # Batch statistics differ between processes: the first one's are saved.
        for buffer in scored.buffers():
            broadcast(buffer)
        mine = predict(
            scored,
            self.valid,
            self.config.batch_size,
            workers=self.config.workers,
            progress=rank == 0,
            part=(rank, world),
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
            drop_records(self.config.out)
            checkpoint.save(self.config.out, self._scored(), self._card())

    def _out_of_patience(self) -> bool:
        waited = self.epoch - self.history.best_epoch
        return self.config.patience is not None and waited >= self.config.patience

    def _card(self) -> dict:
        return {
            "arch": self.model.arch,
            "options": self.model.options,
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
            "config": self.config.to_json(leave_out=NOT_IN_THE_CARD),
            "seconds": round(sum(row["seconds"] for row in self.history.rows)),
            "device": str(self.accelerator.device),
            "processes": self.accelerator.num_processes,
            **({"started_from": self.model.started_from} if self.model.started_from else {}),
            **({"teachers": self._teachers()} if self.config.teachers else {}),
            "date": datetime.now(UTC).date().isoformat(),
            **self.provenance,
        }

    def _teachers(self) -> dict[str, str]:
        return {str(one): checkpoint.read_card(one)["weights_sha256"] for one in self.config.teachers}

    def _learned_shares(self) -> list[float]:
        shares = np.where(self.shares > 0, self.shares ** (1 - EVENNESS[self.config.imbalance]), 0)
        return [round(float(share), 6) for share in shares / shares.sum()]

    # State: enough to go on to the same weights.

    def _all_totals(self) -> Tensor:
        """Return sum of losses and hits of this epoch over all processes, float64 (2,)."""
        return torch.tensor(gather_object([self.totals.tolist()]), dtype=torch.float64).sum(0)

    def _save_state(self) -> None:
        if not self.config.out:
            return
        totals = self._all_totals()
        if not self.accelerator.is_main_process:
            return
        state = {
            "config": self._fixed_config(),
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
            "epoch": self.epoch,
            "seen": self.seen,
            "totals": totals,
            "earlier": self.earlier + time.perf_counter() - self.began if self.seen else 0.0,
            "rows": self.history.rows,
            "best_epoch": self.history.best_epoch,
            "best_score": self.best_score,
            "best_weights": self.best_weights,
        }
        with replacing(self.config.out / STATE) as temporary, temporary.open("wb") as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:  # torch hides why the file could not be written, e.g. a full disk
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise

    def _restore(self) -> None:
        file = self.config.out / STATE
        if not file.is_file():
            raise DataMissing(
                f"Nothing to resume: {file} is missing (a finished run leaves none). Leave out --resume."
            )
        state = checkpoint.read_plain(file)
        check_same_options(file, state["config"], self._fixed_config(), "--out")
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.epoch, self.seen, self.earlier = state["epoch"], state["seen"], state.get("earlier", 0.0)
        # The totals of all processes so far are carried by the first one.
        self.totals = state["totals"] * self.accelerator.is_main_process
        self.history = History(state["rows"], state["best_epoch"])
        self.best_score, self.best_weights = state["best_score"], state["best_weights"]

    def _fixed_config(self) -> dict:
        return self.config.to_json(leave_out=FREE_TO_CHANGE) | {
            "train_size": len(self.train),
            "valid_size": len(self.valid),
        }

    def _must_stop(self) -> bool:
        """Whether any process was asked to stop: all must leave after the same step."""
        if self.stop:
            self.accelerator.set_trigger()
        return self.accelerator.check_trigger()

    def _stop(self) -> None:
        self._save_state()
        raise Stopped(
            f"Stopped in epoch {self.epoch + 1} after {self.seen:,} of {len(self.train):,} faces. "
            + self._how_to_go_on()
        )

    def _how_to_go_on(self) -> str:
        out = self.config.out
        return f"Add --resume to go on from {out}." if out else "Without --out nothing was kept."


@contextlib.contextmanager
def _naming_lone_faces() -> Iterator[None]:
    """Say what to change when batch normalisation gets one face, of which the network leaves one pixel."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise DataInvalid(
            "Found a single small face to learn from at once; batch normalisation expects two or more, or larger ones. "
            "Raise --batch-size or --size, or lower --accumulate or the number of processes."
        ) from error


def _mix(*numbers: int) -> int:
    """One seed from several numbers, without the overlaps that adding them would have."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
