"""Export a trained model as ONNX, for other programs and for a faster demo, and check it against torch.

python -m fer.export models/emotion_net OUT.onnx

Without OUT.onnx it is written into the model's folder, where the predictor
finds it. The file says in its metadata, as JSON, all that its user needs:

    fer.emotions          names of the outputs, in order
    fer.preprocess        fields of fer.preprocess.Preprocess: side of the input, channels, scaling
    fer.crop_margin       how much wider than a detected box a face is cut, as a share of its side
    fer.flip              whether logits shall be averaged with those of the mirror image
    fer.temperature       what logits are divided by before softmax
    fer.class_shares      shares of the emotions in the training data
    fer.prior_strength    how much of log(class_shares) to take from log(softmax(...)); nothing where absent
    fer.weights_sha256    hash of the weights that it was made from
"""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass
class ExportOptions:
    """Write a trained model as ONNX and check that it gives the same logits as torch."""

    model: tyro.conf.Positional[Path]
    """Folder of the model."""
    out: tyro.conf.Positional[Path | None] = None
    """The file to write; by default model.onnx in the model's folder."""


if __name__ == "__main__":
    from fer import cli

    cli.run("fer.export", ExportOptions)

import contextlib
import io
import json
import logging
import warnings

import numpy as np
import torch

from fer import checkpoint
from fer.errors import DataInvalid, DataMissing, UserError
from fer.files import replacing
from fer.model import FaceNetwork
from fer.runtime import INPUT, ONNX, OUTPUT, OnnxNetwork

NOTED = (
    *("emotions", "preprocess", "crop_margin", "flip"),
    *("temperature", "class_shares", "prior_strength", "weights_sha256"),
)
TOLERANCE = 1e-4


def export(folder: str | Path, out: str | Path) -> float:
    """Write the model of a folder as ONNX, float32, for any number of faces at once.

    The file takes its place only after its logits have been compared with
    torch's on random faces, one and several at a time.

    Returns:
        the largest difference of a logit.

    Raises:
        DataMissing: the packages that export needs are not installed, or as ``fer.checkpoint.load``.
        DataInvalid: ``out`` is a folder or no .onnx, or the differences are too large.
    """
    out = Path(out)
    if out.is_dir():
        raise DataInvalid(f"{out} is a folder; expected the name of the file to write, e.g. {out / ONNX}.")
    if out.suffix.lower() != ".onnx":
        raise DataInvalid(f"{out}: expected a name that ends in .onnx.")
    model, card = checkpoint.load(folder)
    shape = (model.preprocess.channels, model.preprocess.size, model.preprocess.size)
    try:
        program = _quietly_exported(model, torch.zeros(2, *shape))
    except ModuleNotFoundError as error:
        raise DataMissing(
            f"Export needs a package that is missing ({error}): python -m pip install onnx onnxscript"
        ) from error
    for node in program.model.graph:
        node.metadata_props.clear()  # where in whose file each operation was written
    program.model.metadata_props.update({f"fer.{k}": json.dumps(card[k]) for k in NOTED if k in card})
    with replacing(out) as temporary:
        program.save(temporary)
        difference = largest_difference(model, OnnxNetwork(temporary), shape)
        if difference > TOLERANCE:
            raise Different(
                f"The exported network differs from torch by {difference:.2g}; expected at most {TOLERANCE}. "
                f"{out} was not written: try the versions of torch, onnx and onnxscript in requirements.txt."
            )
    return difference


class Different(UserError):
    """The exported network gives other logits than torch."""


def largest_difference(model: FaceNetwork, network: OnnxNetwork, shape: tuple[int, ...]) -> float:
    """Return the largest absolute difference of logits over random faces, in batches of 1, 2 and 7."""
    random = torch.Generator().manual_seed(0)
    found = []
    for n in (1, 2, 7):
        faces = torch.randn(n, *shape, generator=random)
        with torch.inference_mode():
            found.append(np.abs(model(faces).numpy() - network(faces).numpy()).max())
    return float(max(found))


def _quietly_exported(model: FaceNetwork, faces: torch.Tensor) -> torch.onnx.ONNXProgram:
    """Export without the exporter's own progress and its libraries' deprecation notes."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", (DeprecationWarning, FutureWarning, UserWarning))
        return torch.onnx.export(
            model,
            (faces,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )


def main(options: ExportOptions) -> None:
    """Export, check, and say where the file is."""
    out = options.out or options.model / ONNX
    difference = export(options.model, out)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, logits within {difference:.1e} of torch's")
