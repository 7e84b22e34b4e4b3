"""Run an exported network on a CPU, in less time than torch takes.

``python -m fer.export`` writes ``model.onnx`` beside the weights of a model, with
their hash in its metadata. OpenVINO runs it fastest, ONNX Runtime wherever
OpenVINO is not installed. Torch stays the reference: without the file, without
both packages, or when the file belongs to other weights, the predictor runs torch.
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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fer.errors import DataInvalid, DataMissing

ONNX = "model.onnx"
INPUT, OUTPUT = "faces", "logits"

Network = Callable[[Tensor], Tensor]
"""Preprocessed faces, float32 (N, channels, size, size), to logits, float32 (N, C)."""


class OpenVinoNetwork:
    """A ``Network`` that OpenVINO runs on the CPU.

    Args:
        file: written by ``python -m fer.export``.
        exact: float32 also where the processor is faster with 16 bits, whose logits differ by about 0.01.

    Attributes:
        metadata: entries of the card, see ``fer.export``.

    Raises:
        DataMissing: the package openvino is not installed.
        DataInvalid: the file is missing, damaged, or from another program.
    """

    def __init__(self, file: str | Path, exact: bool = False) -> None:
        # Importing openvino is reported to Google Analytics, unless its package for that cannot be imported.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        options = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
        options |= {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
        options |= {"INFERENCE_PRECISION_HINT": "f32"} if exact else {}
        with _opening(file, "openvino"):
            import openvino

            model = _core(openvino).read_model(file)
            self.request = _core(openvino).compile_model(model, "CPU", options).create_infer_request()
        self.lock = threading.Lock()
        names = [name for port in (*model.inputs, *model.outputs) for name in port.names]
        entries = model.get_rt_info()["framework"] if model.has_rt_info("framework") else {}
        self.metadata = _metadata(file, names, {key: value.astype(str) for key, value in entries.items()})

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits of a batch on the CPU."""
        with self.lock:  # one request serves one thread at a time
            return torch.from_numpy(self.request.infer([np.ascontiguousarray(x.numpy())])[OUTPUT].copy())


class OnnxNetwork:
    """The same in ONNX Runtime: float32 everywhere, and logits within 1e-4 of torch's."""

    def __init__(self, file: str | Path) -> None:
        with _opening(file, "onnxruntime"):
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            # Idle threads that spin would take the cores from detection and drawing.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self.session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        names = [node.name for node in (*self.session.get_inputs(), *self.session.get_outputs())]
        self.metadata = _metadata(file, names, self.session.get_modelmeta().custom_metadata_map)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits of a batch on the CPU."""
        return torch.from_numpy(self.session.run(None, {INPUT: np.ascontiguousarray(x.numpy())})[0])


RUNTIMES = (OpenVinoNetwork, OnnxNetwork)
"""Fastest first: see benchmarks/README.md."""


@contextmanager
def _opening(file: str | Path, package: str) -> Iterator[None]:
    """Say of an error on opening a network what to do."""
    try:
        yield
    except ImportError as error:
        raise DataMissing(
            f"Running {file} needs {package} ({error}): python -m pip install {package}"
        ) from error
    except _failures() as error:
        reason = " ".join(str(error).split())[:200]
        raise DataInvalid(
            f"{file} cannot be run ({reason}). Write it again: python -m fer.export."
        ) from error


def _failures() -> tuple[type[Exception], ...]:
    """Return what OpenVINO raises for a file, and ONNX Runtime, if it is imported: these have no base of their own."""
    state = sys.modules.get("onnxruntime.capi.onnxruntime_pybind11_state")
    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
    return (RuntimeError, *(getattr(state, name) for name in names if state))


@cache
def _core(openvino: ModuleType) -> Any:
    """Return the only OpenVINO core of the process, which is never freed.

    A core replaces the thread's signal stack, and restores the earlier one when it is freed. Of
    two, freed in the order they were made, the second restores what the first has freed: the next
    signal that Python handles, Ctrl-C for one, is a segmentation fault.
    """
    return openvino.Core()


def _metadata(file: str | Path, names: list[str], entries: Mapping[str, str]) -> dict:
    """Check the names of inputs and outputs; return what ``fer.export`` noted: entries of others are no JSON."""
    if names != [INPUT, OUTPUT]:
        raise DataInvalid(
            f"{file} has the inputs and outputs {names}; expected {[INPUT, OUTPUT]}, from python -m fer.export."
        )
    return {key: json.loads(value) for key, value in entries.items() if key.startswith("fer.")}


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keep torch to the calling thread: after each operation its others spin on cores that the network needs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fastest(folder: Path, model: Network, card: Mapping) -> Network:
    """Return the exported network of a model's folder, or the torch one where it is missing or of other weights."""
    file = folder / ONNX
    for runtime in RUNTIMES if file.is_file() else ():
        with suppress(DataMissing):  # without its package, the next best
            network = runtime(file)
            if network.metadata.get("fer.weights_sha256") == card.get("weights_sha256"):
                return network
            what = f"{file} was exported from other weights and is not used"
            warnings.warn(f"{what}. Write it again: python -m fer.export {folder}", stacklevel=3)
            break
    return model
