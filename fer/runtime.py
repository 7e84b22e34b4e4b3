"""Run an exported network on a CPU, in less time than torch takes.

``python -m fer.export`` writes ``model.onnx`` beside the weights of a model, and
names those weights in it by their hash. OpenVINO runs it fastest, ONNX Runtime
wherever OpenVINO is not installed. Torch stays the reference: without the file,
without both packages, or when file and weights have parted, the predictor runs
torch.
"""

import json
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from fer.errors import DataInvalid, DataMissing

ONNX = "model.onnx"
INPUT, OUTPUT = "faces", "logits"


class OpenVinoNetwork:
    """An exported network: preprocessed faces float32 (N, channels, size, size) to logits float32 (N, C).

    Args:
        file: written by ``python -m fer.export``.
        exact: compute in float32 also where the processor is faster with 16 bits,
            whose logits differ by about 0.01.

    Attributes:
        metadata: what the export noted, see ``fer.export``.

    Raises:
        DataMissing: the package openvino is not installed.
        DataInvalid: the file is not there, damaged, or from another program.
    """

    def __init__(self, file: str | Path, exact: bool = False) -> None:
        # Importing openvino tells Google Analytics so, unless its package for that cannot be found.
        sys.modules.setdefault("openvino_telemetry", None)
        try:
            import openvino
        except ImportError as error:
            raise _package_missing(file, "openvino", error) from error
        options = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
        options |= {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
        options |= {"INFERENCE_PRECISION_HINT": "f32"} if exact else {}
        try:
            model = _core(openvino).read_model(file)
            self.compiled = _core(openvino).compile_model(model, "CPU", options)
        except RuntimeError as error:
            raise _unusable(file, error) from error
        self.request, self.lock = self.compiled.create_infer_request(), threading.Lock()
        _check_names(file, [name for port in (*model.inputs, *model.outputs) for name in port.names])
        notes = model.get_rt_info()["framework"] if model.has_rt_info("framework") else {}
        self.metadata = _metadata({key: value.astype(str) for key, value in notes.items()})

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits of a batch on the CPU."""
        with self.lock:  # one request serves one thread at a time
            return torch.from_numpy(self.request.infer([np.ascontiguousarray(x.numpy())])[OUTPUT].copy())


class OnnxNetwork:
    """The same in ONNX Runtime: float32 everywhere, and logits within 1e-4 of torch's.

    Raises:
        DataMissing: the package onnxruntime is not installed.
        DataInvalid: the file is not there, damaged, or from another program.
    """

    def __init__(self, file: str | Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise _package_missing(file, "onnxruntime", error) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Idle threads that spin would take the cores from detection and drawing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except _failures_of_onnxruntime() as error:
            raise _unusable(file, error) from error
        _check_names(file, [node.name for node in (*self.session.get_inputs(), *self.session.get_outputs())])
        self.metadata = _metadata(self.session.get_modelmeta().custom_metadata_map)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits of a batch on the CPU."""
        return torch.from_numpy(self.session.run(None, {INPUT: np.ascontiguousarray(x.numpy())})[0])


RUNTIMES = (OpenVinoNetwork, OnnxNetwork)
"""Fastest first: see benchmarks/README.md."""


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keep torch to the calling thread: after each operation its others spin, on cores that the network needs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fastest(folder: Path, model: nn.Module, card: Mapping) -> Callable[[Tensor], Tensor]:
    """Return the exported network of a model's folder where it can be used, otherwise the torch one.

    Warns:
        when the exported network belongs to other weights.
    """
    file = folder / ONNX
    if not file.is_file():
        return model
    for runtime in RUNTIMES:
        with suppress(DataMissing):  # it is only faster
            network = runtime(file)
            break
    else:
        return model
    if network.metadata.get("fer.weights_sha256") == card.get("weights_sha256"):
        return network
    warnings.warn(
        f"{file} was exported from other weights and is not used. Write it again: python -m fer.export {folder}",
        stacklevel=3,
    )
    return model


@cache
def _core(openvino: ModuleType):
    """Return the only core of the process, to be kept.

    Each core's CPU plugin replaces the thread's signal stack, and puts the one before back when
    it is freed. Of two, freed in the order they were made, the second puts back what the first
    has freed: the next signal that Python handles, Ctrl-C for one, is a segmentation fault.
    """
    return openvino.Core()


def _metadata(notes: Mapping[str, str]) -> dict:
    """Return those of ``fer.export``; other programs leave notes, too, and no JSON."""
    return {key: json.loads(value) for key, value in notes.items() if key.startswith("fer.")}


def _package_missing(file: str | Path, package: str, error: ImportError) -> DataMissing:
    return DataMissing(f"Running {file} needs {package} ({error}): python -m pip install {package}")


def _unusable(file: str | Path, error: Exception) -> DataInvalid:
    return DataInvalid(
        f"{file} cannot be run ({' '.join(str(error).split())[:200]}). Write it again: python -m fer.export."
    )


def _check_names(file: str | Path, names: list[str]) -> None:
    if names != [INPUT, OUTPUT]:
        raise DataInvalid(
            f"{file} has the inputs and outputs {names}; expected {[INPUT, OUTPUT]}, from python -m fer.export."
        )


def _failures_of_onnxruntime() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises for a file; the exceptions have no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
    return (*(getattr(state, name) for name in names), RuntimeError)
