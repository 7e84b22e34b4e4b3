"""Run an exported network on a CPU, without torch and in less time than torch takes.

``model.onnx`` lies beside the weights of a model (``fer.training.export``), with their hash in
its metadata. OpenVINO runs it fastest, ONNX Runtime wherever OpenVINO is not installed.
"""

import json
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fer import threads
from fer.card import AGAIN, CARD, preprocess_of, sha256
from fer.errors import DAMAGE, DataInvalid, DataMissing, reading

ONNX = "model.onnx"
INPUT, LOGITS, VALENCE_AROUSAL = "faces", "logits", "valence_arousal"


class _Exported:
    """A ``fer.probabilities.Network`` from a file that ``python -m fer.export`` has written.

    Attributes:
        metadata: entries of the card, see ``fer.training.export``.
        valence_arousal: whether it predicts them.
        shapes: of a face and of its outputs, by name, None for what is not fixed: ``{"faces": (1, 48, 48), …}``.

    Raises:
        DataMissing: the package that runs it is not installed.
        DataInvalid: the file is missing, damaged, or from another program.
    """

    def _describe(
        self, file: str | Path, ports: Mapping[str, Sequence[object]], notes: Mapping[str, str]
    ) -> None:
        """Check the shapes of inputs and outputs by name, with that of the batch, and read the metadata."""
        names = list(ports)
        if names not in ([INPUT, LOGITS], [INPUT, LOGITS, VALENCE_AROUSAL]):
            raise DataInvalid(
                f"{file} has inputs and outputs {names}; expected {[INPUT, LOGITS]}, as python -m fer.export writes."
            )
        self.valence_arousal = VALENCE_AROUSAL in names
        self.shapes = {
            k: tuple(n if isinstance(n, int) else None for n in shape[1:]) for k, shape in ports.items()
        }
        with reading(file, AGAIN):  # entries of other programs are no JSON
            self.metadata = {key: json.loads(note) for key, note in notes.items() if key.startswith("fer.")}


class OpenVinoNetwork(_Exported):
    """Run by OpenVINO on the CPU.

    Args:
        file: to run.
        exact: float32 also where the processor is faster with 16 bits, whose logits differ by about 0.01.
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
            entries = model.get_rt_info()["framework"] if model.has_rt_info("framework") else {}
            notes = {key: value.astype(str) for key, value in entries.items()}
            ports = {
                name: [n.get_length() if n.is_static else None for n in port.partial_shape]
                for port in (*model.inputs, *model.outputs)
                for name in port.names
            }
        self.lock = threading.Lock()
        self._describe(file, ports, notes)

    def __call__(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return logits (N, C), and valence and arousal (N, 2) or None, of a batch."""
        with self.lock:  # one request serves one thread at a time
            outputs = self.request.infer([np.ascontiguousarray(faces)])
            logits = outputs[LOGITS].copy()
            return logits, outputs[VALENCE_AROUSAL].copy() if self.valence_arousal else None


class OnnxNetwork(_Exported):
    """Run by ONNX Runtime: float32 everywhere, and outputs within 1e-4 of torch's."""

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
            notes = self.session.get_modelmeta().custom_metadata_map
        ports = {node.name: node.shape for node in (*self.session.get_inputs(), *self.session.get_outputs())}
        self._describe(file, ports, notes)

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
    return (*DAMAGE, *(getattr(state, name) for name in (*names, "RuntimeException") if state))


@cache
def _core(openvino: ModuleType) -> Any:
    """Return the only OpenVINO core of the process, which is never freed.

    A core replaces the thread's signal stack, and restores the earlier one when it is freed. Of
    two, freed in the order they were made, the second restores what the first has freed: the next
    signal that Python handles, Ctrl-C for one, is a segmentation fault.
    """
    return openvino.Core()


def exported(folder: Path, card: Mapping) -> OpenVinoNetwork | OnnxNetwork | None:
    """Return the exported network of a model's folder.

    None where it is missing, of other weights, or cannot run, or the card does not vouch for it.

    Raises:
        DataInvalid: it is damaged, or its hash differs from the card's.
    """
    file = folder / ONNX
    if not file.is_file():
        return None
    again = f"Write it again: python -m fer.export {folder}"
    if "onnx_sha256" not in card:
        warnings.warn(f"{file} is not used: {CARD} has no hash of it (onnx_sha256). {again}", stacklevel=3)
        return None
    if sha256(file) != card["onnx_sha256"]:
        raise DataInvalid(
            f"{file} is not that of {CARD}: its sha256 differs. {AGAIN} Of your own model: {again}"
        )
    for runtime in RUNTIMES:
        with suppress(DataMissing):  # without its package, the next best
            network = runtime(file)
            if network.metadata.get("fer.weights_sha256") != card.get("weights_sha256"):
                warnings.warn(
                    f"{file} was exported from other weights and is not used. {again}", stacklevel=3
                )
                return None
            prepared = preprocess_of(folder, card)
            shapes: dict[str, tuple[int, ...]] = {INPUT: (prepared.channels, prepared.size, prepared.size)}
            shapes |= {LOGITS: (len(card["emotions"]),)}
            shapes |= {VALENCE_AROUSAL: (2,)} if network.valence_arousal else {}
            if network.shapes != shapes:
                raise DataInvalid(
                    f"{file} takes and gives {network.shapes}; expected {shapes}, by its {CARD}. {again}"
                )
            return network
    return None
