"""Run an exported network with ONNX Runtime: the same numbers as torch on a CPU, in less time.

``python -m fer.export`` writes ``model.onnx`` beside the weights of a model, and
names those weights in it by their hash. Torch stays the reference: without the
file, without the package ``onnxruntime``, or when file and weights have parted,
the predictor runs torch.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fer.errors import DataInvalid, DataMissing

ONNX = "model.onnx"
INPUT, OUTPUT = "faces", "logits"


class OnnxNetwork:
    """An exported network: preprocessed faces float32 (N, channels, size, size) to logits float32 (N, C).

    Args:
        file: written by ``python -m fer.export``.

    Attributes:
        metadata: what the export noted, see ``fer.export``.

    Raises:
        DataMissing: the package onnxruntime is not installed.
        DataInvalid: the file is not there, damaged, or from another program.
    """

    def __init__(self, file: str | Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise DataMissing(
                f"Running {file} needs onnxruntime ({error}): python -m pip install onnxruntime"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Idle threads that spin would take the cores from detection and drawing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except _unusable() as error:
            raise DataInvalid(
                f"{file} cannot be run ({' '.join(str(error).split())[:200]}). "
                "Write it again: python -m fer.export."
            ) from error
        names = [node.name for node in (*self.session.get_inputs(), *self.session.get_outputs())]
        if names != [INPUT, OUTPUT]:
            raise DataInvalid(
                f"{file} has the inputs and outputs {names}; expected {[INPUT, OUTPUT]}, from python -m fer.export."
            )
        self.metadata = {
            key: json.loads(value)
            for key, value in self.session.get_modelmeta().custom_metadata_map.items()
            if key.startswith("fer.")
        }

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits of a batch on the CPU."""
        return torch.from_numpy(self.session.run(None, {INPUT: np.ascontiguousarray(x.numpy())})[0])


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keep torch to the calling thread: after each operation its others spin, on cores that ONNX Runtime needs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _unusable() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises for a file; the exceptions have no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
    return (*(getattr(state, name) for name in names), RuntimeError)


def fastest(folder: Path, model: nn.Module, card: Mapping) -> Callable[[Tensor], Tensor]:
    """Return the exported network of a model's folder where it can be used, otherwise the torch one.

    Warns:
        when the exported network belongs to other weights.
    """
    file = folder / ONNX
    if not file.is_file():
        return model
    try:
        network = OnnxNetwork(file)
    except DataMissing:  # it is only faster
        return model
    if network.metadata.get("fer.weights_sha256") == card.get("weights_sha256"):
        return network
    warnings.warn(
        f"{file} was exported from other weights and is not used. Write it again: python -m fer.export {folder}",
        stacklevel=3,
    )
    return model
