"""What a run starts from: the data and the network that a configuration asks for."""

import torch
from torch.utils.data import Dataset

from fer import checkpoint
from fer.datasets.finding import cut_train, open_split
from fer.errors import DataInvalid
from fer.evaluation.valence_arousal import true_valence_arousal
from fer.model import ARCHITECTURES, FaceNetwork, build
from fer.preprocess import Preprocess
from fer.training.config import TrainConfig


def training_splits(config: TrainConfig) -> tuple[Dataset, Dataset]:
    """Return training and validation data; what is reported (test, AffectNet's val) is neither.

    FER+ has both. Of AffectNet8 and the sample, which have no third split, a tenth
    of train chooses the epoch: see ``fer.datasets.finding.cut_train``.
    """
    if config.data == "ferplus":
        train = open_split("ferplus", config.root, "train", labels=config.labels, limit=config.limit)
        if config.synthetic:
            from fer.datasets.synthetic import WithSynthetic

            train = WithSynthetic(train, config.synthetic)
        return train, open_split("ferplus", config.root, "valid", limit=config.limit)
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
    trained, card = checkpoint.load(config.init) if config.init else (None, None)
    torch.manual_seed(config.seed)
    alike = trained and card["arch"] == config.model  # if not, the check below says so
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
                f"--init {config.init} has {trained.num_classes} classes; expected {model.num_classes}."
            )
        model.load_state_dict(trained.state_dict())
        model.started_from = card
    return model


def _layers(model: FaceNetwork) -> dict:
    """Return the options that decide which weights there are; what is frozen may change from run to run."""
    return {name: value for name, value in model.options.items() if name != "frozen"}
