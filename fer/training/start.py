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
    """Return training and validation data; where there is no third split to report, a tenth of train validates."""
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
    options = {"valence_arousal": True} if config.targets != "expression" else {}
    if config.model == "resnet18":
        options |= {"frozen": config.frozen, "pretrained": config.pretrained and not config.init}
    preprocess = ARCHITECTURES[config.model].preprocess
    if config.init:
        trained, card = checkpoint.load(config.init)
        if trained.arch == config.model:  # if not, an error below
            preprocess = trained.preprocess
    preprocess = replace(preprocess, size=config.size or preprocess.size)
    torch.manual_seed(config.seed)
    model = build(config.model, preprocess=preprocess, **options)
    if config.init:  # what is frozen may change from run to run; all else decides which weights there are
        found, wanted = ((m.arch, m.num_classes, m.options | {"frozen": False}) for m in (trained, model))
        if found != wanted:
            raise DataInvalid(f"--init {config.init} holds {found}; the other options ask for {wanted}.")
        model.load_state_dict(trained.state_dict())
        model.started_from = card
    return model


def training_targets(model: FaceNetwork, dataset: FaceDataset, targets: str) -> Tensor | None:
    """Return the valence and arousal to learn from, float32 (N, 2), or None for the targets ``"expression"``."""
    wanted = targets != "expression"
    if wanted != model.valence_arousal:
        raise DataInvalid(
            f"targets={targets!r}: expected a network of fer.model.build(…, valence_arousal={wanted})."
        )
    if not wanted:
        return None
    values = true_valence_arousal(dataset)
    if values is None:
        raise DataInvalid(
            f"{dataset.name} has no valence and arousal: leave out --targets, or use AffectNet8 or the sample."
        )
    return torch.from_numpy(values)


def keep_freed_memory() -> None:
    """Let glibc, where there is one, reuse large blocks of memory, for the rest of the process.

    By default they come fresh from the kernel, page by page: a third of the time of a step on a CPU.
    """
    if platform.libc_ver()[0] == "glibc":
        # M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD of malloc.h.
        for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 64 << 20)):
            ctypes.CDLL(None).mallopt(option, value)
