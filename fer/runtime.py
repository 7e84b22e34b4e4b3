"""Run an exported network on a CPU, without torch and in less time than torch takes.

``model.onnx`` lies beside the weights of a model (``fer.training.export``), with their hash in
its metadata. OpenVINO runs it fastest, ONNX Runtime wherever OpenVINO is not installed.
"""

import json
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fer import threads
from fer.card import AGAIN
from fer.errors import DataInvalid, DataMissing

ONNX = "model.onnx"
INPUT, LOGITS, VALENCE_AROUSAL = "faces", "logits", "valence_arousal"


class OpenVinoNetwork:
    """A ``fer.probabilities.Network`` that OpenVINO runs on the CPU.

    Args:
        file: written by ``python -m fer.export``.
        exact: float32 also where the processor is faster with 16 bits, whose logits differ by about 0.01.

    Attributes:
        metadata: entries of the card, see ``fer.training.export``.
        valence_arousal: whether it predicts them.

    Raises:
        DataMissing: the package openvino is not installed.
        DataInvalid: the file is missing, damaged, or from another program.
    """

    def __init__(self, file: str | Path, exact: bool = False) -> None:
        # Importing openvino is reported to Google Analytics, unless its package for that cannot be imported.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        options = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
        options |= {"INFERENCE_NUM_THREADS": threads.count()}
        options |= {"INFERENCE_PRECISION_HINT": "f32"} if exact else {}
        with _opening(file, "openvino"):
            import openvino

            model = _core(openvino).read_model(file)
            self.request = _core(openvino).compile_model(model, "CPU", options).create_infer_request()
        self.lock = threading.Lock()
        names = [name for port in (*model.inputs, *model.outputs) for name in port.names]
        entries = model.get_rt_info()["framework"] if model.has_rt_info("framework") else {}
        self.valence_arousal = _check_names(file, names)
        self.metadata = _metadata({key: value.astype(str) for key, value in entries.items()})

    def __call__(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return logits (N, C), and valence and arousal (N, 2) or None, of a batch."""
        with self.lock:  # one request serves one thread at a time
            outputs = self.request.infer([np.ascontiguousarray(faces)])
            logits = outputs[LOGITS].copy()
            return logits, outputs[VALENCE_AROUSAL].copy() if self.valence_arousal else None


class OnnxNetwork:
    """The same in ONNX Runtime: float32 everywhere, and outputs within 1e-4 of torch's."""

    def __init__(self, file: str | Path) -> None:
        with _opening(file, "onnxruntime"):
            # Read while the library is loaded: without it, it looks up its maker's host and writes a queue of reports.
            os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads.count()
            # Idle threads that spin would take the cores from detection and drawing.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self.session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        names = [node.name for node in (*self.session.get_inputs(), *self.session.get_outputs())]
        self.valence_arousal = _check_names(file, names)
        self.metadata = _metadata(self.session.get_modelmeta().custom_metadata_map)

    def __call__(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return logits (N, C), and valence and arousal (N, 2) or None, of a batch."""
        wanted = [LOGITS, VALENCE_AROUSAL] if self.valence_arousal else [LOGITS]
        outputs = self.session.run(wanted, {INPUT: np.ascontiguousarray(faces)})
        return outputs[0], outputs[1] if self.valence_arousal else None


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
            f"{file} cannot be run ({reason}). {AGAIN} Or write it: python -m fer.export {Path(file).parent}"
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


def _check_names(file: str | Path, names: list[str]) -> bool:
    """Refuse inputs and outputs of other names; return whether there is one for valence and arousal."""
    if names not in ([INPUT, LOGITS], [INPUT, LOGITS, VALENCE_AROUSAL]):
        raise DataInvalid(
            f"{file} has the inputs and outputs {names}; expected {[INPUT, LOGITS]}, and {VALENCE_AROUSAL!r} where it "
            "is predicted, from python -m fer.export."
        )
    return VALENCE_AROUSAL in names


def _metadata(entries: Mapping[str, str]) -> dict:
    """Return what the export noted: entries of other programs are no JSON."""
    return {key: json.loads(value) for key, value in entries.items() if key.startswith("fer.")}


def exported(folder: Path, card: Mapping) -> OpenVinoNetwork | OnnxNetwork | None:
    """Return the exported network of a model's folder; None where it is missing, of other weights, or cannot run.

    Raises:
        DataInvalid: it is damaged.
    """
    file = folder / ONNX
    for runtime in RUNTIMES if file.is_file() else ():
        with suppress(DataMissing):  # without its package, the next best
            network = runtime(file)
            if network.metadata.get("fer.weights_sha256") == card.get("weights_sha256"):
                return network
            what = f"{file} was exported from other weights and is not used"
            warnings.warn(f"{what}. Write it again: python -m fer.export {folder}", stacklevel=3)
            break
    return None
