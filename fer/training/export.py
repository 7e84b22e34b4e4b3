"""From the folder of a trained model to ONNX, checked against torch: what training and averaging end with.

The inputs are called ``faces``, the outputs ``logits`` and, where it is predicted,
``valence_arousal``. The metadata of the file hold, as JSON, all that its user needs:

    fer.emotions          names of the logits, in order
    fer.preprocess        fields of fer.preprocess.Preprocess: side of the input, channels, scaling
    fer.crop_margins      how much wider than a detected box a face is cut, as fractions of its side; with several, the
                          outputs are averaged. Earlier files have fer.crop_margin, a number
    fer.flip              whether outputs shall be averaged with those of the mirror image, with several margins of
                          every other crop mirrored
    fer.temperature       what logits are divided by before softmax
    fer.temperature_degraded  the same for photos and webcams, whose faces are less clean and clear
    fer.class_shares      class frequencies of the training data
    fer.prior_strength    how much of log(class_shares) to subtract from log(softmax(...)); nothing where absent
    fer.weights_sha256    hash of the weights that it was made from
"""

import contextlib
import io
import json
import logging
import sys
import warnings
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors.torch
import torch

from fer import checkpoint
from fer.card import WEIGHTS, sha256, write_card
from fer.errors import DataInvalid, DataMissing, UserError
from fer.files import replacing
from fer.model import FaceNetwork, TorchNetwork
from fer.probabilities import Network
from fer.runtime import INPUT, LOGITS, ONNX, VALENCE_AROUSAL, OnnxNetwork

if TYPE_CHECKING:  # installed for export alone
    import onnx_ir
    from torch.onnx import ONNXProgram

METADATA = ["emotions", "preprocess", "crop_margins", "flip"]
METADATA += ["temperature", "temperature_degraded", "class_shares", "prior_strength", "weights_sha256"]
TOLERANCE = 1e-4


def complete(folder: Path) -> None:
    """Write ``model.onnx`` into a model's folder, or print why not: no training fails for want of a package."""
    try:
        print(export(folder, folder / ONNX))
    except UserError as error:
        print(f"{folder} has no {ONNX}. {error}\nAfter that: python -m fer.export {folder}", file=sys.stderr)


def export(folder: str | Path, out: str | Path) -> str:
    """Write the model of a folder as ONNX, for any number of faces at once; return what to print.

    Weights that are stored as float16 are so in the file, too; all that is computed is float32. The file takes its
    place only after its outputs have been compared with torch's. As the folder's own ``model.onnx`` it gets its hash
    into the card.

    Raises:
        DataMissing: the packages that export needs are not installed, or as ``fer.checkpoint.load``.
        DataInvalid: ``out`` is a folder or no .onnx.
        UserError: the differences are too large.
    """
    folder, out = Path(folder), Path(out)
    if out.is_dir() or out.suffix.lower() != ".onnx":
        raise DataInvalid(f"{out}: expected a file to write whose name ends in .onnx.")
    model, card = checkpoint.load(folder)
    stored = safetensors.torch.load_file(folder / WEIGHTS)
    half = {name for name, weights in stored.items() if weights.dtype == torch.float16}
    try:
        program = _program(model, half)
    except ModuleNotFoundError as error:
        raise DataMissing(
            f"Export lacks a package ({error.name}): python -m pip install onnx onnxscript onnxruntime"
        ) from error
    program.model.metadata_props.update({f"fer.{k}": json.dumps(card[k]) for k in METADATA if k in card})
    with replacing(out) as temporary:
        program.save(temporary)
        difference = largest_difference(model, OnnxNetwork(temporary))
        if difference > TOLERANCE:
            raise UserError(
                f"The exported network differs from torch by {difference:.2g}; expected at most {TOLERANCE}. {out} was "
                "not written: try the versions of torch, onnx and onnxscript in requirements.txt."
            )
    if out.resolve() == (folder / ONNX).resolve():
        write_card(folder, card | {"onnx_sha256": sha256(out)})
    return f"{out}: {out.stat().st_size / 1e6:.1f} MB, outputs within {difference:.1e} of torch's"


def largest_difference(model: FaceNetwork, network: Network) -> float:
    """Return the largest absolute difference of any output over random faces, in batches of 1, 2 and 7."""
    random, blank, reference = np.random.default_rng(0), model.blank(), TorchNetwork(model)
    batches = [random.standard_normal((n, *blank.shape[1:]), np.float32) for n in (1, 2, 7)]
    pairs = [
        (expected, found)
        for faces in batches
        for expected, found in zip(reference(faces), network(faces), strict=True)
        if expected is not None
    ]
    return max(float(np.abs(expected - found).max()) for expected, found in pairs)


def _program(model: FaceNetwork, half: Container[str]) -> "ONNXProgram":
    """Return the network as ONNX, the weights named in ``half`` as float16."""
    both = model.valence_arousal
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    # Without the exporter's own progress and its libraries' deprecation notes.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", (DeprecationWarning, FutureWarning, UserWarning))
        program = torch.onnx.export(
            model,
            (model.blank(2), True) if both else (model.blank(2),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("n")}, None) if both else ({0: torch.export.Dim("n")},),
            input_names=[INPUT],
            output_names=[LOGITS, VALENCE_AROUSAL] if both else [LOGITS],
            optimize=False,
            verbose=False,
        )
        assert program is not None  # with dynamo it is the program, not a file
        # First, because optimizing multiplies weights by those of the batch normalisation, which float16 would round.
        _store_as_half(program.model.graph, half)
        program.optimize()
    for node in program.model.graph:
        node.metadata_props.clear()  # where in whose file each operation was written
    return program


def _store_as_half(graph: "onnx_ir.Graph", names: Container[str]) -> None:
    """Write weights as float16 and cast them to float32, which runtimes do once, when they open the file."""
    import onnx_ir as ir

    for name, weight in list(graph.initializers.items()):
        if name in names:
            values = ir.tensor(np.asarray(weight.const_value).astype(np.float16), name=f"{name}_half")
            kind = ir.TensorType(values.dtype)
            stored = ir.Value(name=values.name, type=kind, shape=weight.shape, const_value=values)
            cast = ir.node("Cast", [stored], {"to": ir.DataType.FLOAT})
            graph.register_initializer(stored)
            graph.insert_before(graph[0], cast)
            ir.convenience.replace_all_uses_with(weight, cast.outputs[0])
            del graph.initializers[name]
