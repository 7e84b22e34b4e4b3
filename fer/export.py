"""Export a trained model as ONNX, for other programs and for a faster demo, and check it against torch.

python -m fer.export models/emotion_net OUT.onnx

Without OUT.onnx it is written into the model's folder, where the predictor
finds it. The metadata of the file hold, as JSON, all that its user needs:

    fer.emotions          names of the outputs, in order
    fer.preprocess        fields of fer.preprocess.Preprocess: side of the input, channels, scaling
    fer.crop_margin       how much wider than a detected box a face is cut, as a fraction of its side
    fer.flip              whether logits shall be averaged with those of the mirror image
    fer.temperature       what logits are divided by before softmax
    fer.class_shares      class frequencies of the training data
    fer.prior_strength    how much of log(class_shares) to subtract from log(softmax(...)); nothing where absent
    fer.weights_sha256    hash of the weights that it was made from
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from fer import cli
from fer.errors import DataInvalid, DataMissing, UserError
from fer.files import replacing

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram

    from fer.model import FaceNetwork
    from fer.probabilities import Network

METADATA = ["emotions", "preprocess", "crop_margin", "flip"]
METADATA += ["temperature", "class_shares", "prior_strength", "weights_sha256"]
TOLERANCE = 1e-4


@dataclass
class ExportOptions:
    """Write a trained model as ONNX and check that it gives the same logits as torch."""

    model: tyro.conf.Positional[Path]
    """Folder of the model."""
    out: tyro.conf.Positional[Path | None] = None
    """The file to write; by default model.onnx in the model's folder."""


def main(options: ExportOptions) -> None:
    """Export, and print where the file is."""
    from fer.runtime import ONNX

    out = options.out or options.model / ONNX
    difference = export(options.model, out)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, logits within {difference:.1e} of torch's")


def export(folder: str | Path, out: str | Path) -> float:
    """Write the model of a folder as ONNX, float32, for any number of faces at once.

    The file takes its place only after its logits have been compared with torch's; the largest difference is returned.

    Raises:
        DataMissing: the packages that export needs are not installed, or as ``fer.checkpoint.load``.
        DataInvalid: ``out`` is a folder or no .onnx.
        UserError: the differences are too large.
    """
    from fer import checkpoint
    from fer.runtime import OnnxNetwork

    out = Path(out)
    if out.is_dir() or out.suffix.lower() != ".onnx":
        raise DataInvalid(f"{out}: expected a file to write whose name ends in .onnx.")
    model, card = checkpoint.load(folder)
    try:
        program = _exported(model)
    except ModuleNotFoundError as error:
        raise DataMissing(
            f"Export lacks a package ({error}): python -m pip install onnx onnxscript"
        ) from error
    for node in program.model.graph:
        node.metadata_props.clear()  # where in whose file each operation was written
    program.model.metadata_props.update({f"fer.{k}": json.dumps(card[k]) for k in METADATA if k in card})
    with replacing(out) as temporary:
        program.save(temporary)
        difference = largest_difference(model, OnnxNetwork(temporary))
        if difference > TOLERANCE:
            raise UserError(
                f"The exported network differs from torch by {difference:.2g}; expected at most {TOLERANCE}. {out} was "
                "not written: try the versions of torch, onnx and onnxscript in requirements.txt."
            )
    return difference


def largest_difference(model: FaceNetwork, network: Network) -> float:
    """Return the largest absolute difference of logits over random faces, in batches of 1, 2 and 7."""
    import numpy as np

    from fer.model import TorchNetwork

    random, blank = np.random.default_rng(0), model.blank()
    batches = [random.standard_normal((n, *blank.shape[1:]), np.float32) for n in (1, 2, 7)]
    reference = TorchNetwork(model)
    return max(float(np.abs(reference(faces)[0] - network(faces)[0]).max()) for faces in batches)


def _exported(model: FaceNetwork) -> ONNXProgram:
    """Return the program, without the exporter's own progress and its libraries' deprecation notes."""
    import torch

    from fer.runtime import INPUT, LOGITS

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", (DeprecationWarning, FutureWarning, UserWarning))
        program = torch.onnx.export(
            model,
            (model.blank(2),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            input_names=[INPUT],
            output_names=[LOGITS],
            verbose=False,
        )
    assert program is not None  # with dynamo it is the program, not a file
    return program


if __name__ == "__main__":
    cli.run(main, ExportOptions)
