"""What a run starts from: data and network as a configuration asks for them, and a fast allocator."""

import ctypes
import platform
from dataclasses import replace

import torch
from torch import Tensor

from fer import checkpoint
from fer.datasets.face_dataset import FaceDataset
from fer.datasets.ferplus import FERPlus
from fer.datasets.finding import cut_train
from fer.datasets.synthetic.dataset import WithSynthetic
from fer.errors import DataInvalid
from fer.evaluation.valence_arousal import true_valence_arousal
from fer.model import ARCHITECTURES, FaceNetwork, build
from fer.training.config import TrainConfig


def training_splits(config: TrainConfig) -> tuple[FaceDataset, FaceDataset]:
    """Return training and validation data; the split that is reported (test, AffectNet's val) is neither.

    AffectNet8 and the sample have no third split: a tenth of train chooses the epoch.
    """
    if config.data == "ferplus":
        faces = FERPlus(config.root, "train", labels=config.labels, limit=config.limit)
        joined = WithSynthetic(faces, config.synthetic) if config.synthetic else faces
        return joined, FERPlus(config.root, "valid", limit=config.limit)
    lenient = {"on_error": config.on_error} if config.data == "affectnet8" else {}
    train, valid = cut_train(config.data, config.root, limit=config.limit, **lenient)
    if config.targets != "expression":
        true_valence_arousal(train)  # read from a file for each face, the first time: by one process for all
    return train, valid


def new_model(config: TrainConfig) -> FaceNetwork:
    """Return the network of a configuration, its weights sampled from the seed or taken from ``init``.

    It gets the ``Preprocess`` of ``init``, but for a ``size`` that is given.

    Raises:
        DataInvalid: ``init`` is a model of another architecture.
        DataMissing: there is no model at ``init``.
    """
    trained, card = checkpoint.load(config.init) if config.init else (None, {})
    torch.manual_seed(config.seed)
    alike = trained is not None and trained.arch == config.model  # if not, the check below says so
    usual = trained.preprocess if trained and alike else ARCHITECTURES[config.model].preprocess
    options = {"valence_arousal": True} if config.targets != "expression" else {}
    if config.model == "resnet18":
        options |= {"frozen": config.frozen, "pretrained": config.pretrained and not config.init}
    model = build(config.model, preprocess=replace(usual, size=config.size or usual.size), **options)
    if trained is None:
        return model
    if (trained.arch, _layers(trained)) != (model.arch, _layers(model)):
        raise DataInvalid(
            f"--init {config.init} holds {trained.arch} with the options {_layers(trained)}; expected {model.arch} "
            f"with {_layers(model)}, as the other options ask for."
        )
    if trained.num_classes != model.num_classes:
        raise DataInvalid(
            f"--init {config.init} has {trained.num_classes} classes; expected {model.num_classes}."
        )
    model.load_state_dict(trained.state_dict())
    model.started_from = card
    return model


def training_targets(model: FaceNetwork, dataset: FaceDataset, targets: str) -> Tensor | None:
    """Return the annotations to learn from, float32 (N, 2), or None for the targets ``"expression"``.

    Raises:
        DataInvalid: the network does not predict what is asked for, or the data set lacks the annotations.
    """
    wanted = targets != "expression"
    if wanted != model.valence_arousal:
        raise DataInvalid(
            f"targets={targets!r} does not fit this network: expected one of "
            f"fer.model.build(…, valence_arousal={wanted})."
        )
    if not wanted:
        return None
    values = true_valence_arousal(dataset)
    if values is None:
        raise DataInvalid(
            f"{dataset.name} has no valence and arousal: leave out --targets, or use AffectNet8 or the sample."
        )
    return torch.from_numpy(values)


def _layers(model: FaceNetwork) -> dict:
    """Return the options that decide which weights there are; what is frozen may change from run to run."""
    return {name: value for name, value in model.options.items() if name != "frozen"}


def keep_freed_memory() -> bool:
    """Let glibc reuse large blocks of memory, for the rest of the process; return whether it does.

    By default each layer's tens of megabytes come fresh from the kernel, page by
    page: a third of the time of a step on a CPU. Other allocators do not do that.
    """
    options = {-4: 0, -1: 2**31 - 1, -2: 64 << 20}  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD of malloc.h
    glibc = platform.libc_ver()[0] == "glibc"
    return glibc and all(ctypes.CDLL(None).mallopt(*option) == 1 for option in options.items())
