"""Export: ONNX that gives torch's numbers, and the predictor that runs it."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from helpers import SIZE, small_net

from fer import threads
from fer.card import read_card, write_card
from fer.checkpoint import load, save
from fer.errors import DataInvalid, DataMissing, UserError
from fer.labels import EMOTIONS
from fer.model import TorchNetwork
from fer.predictor import EmotionPredictor
from fer.runtime import INPUT, LOGITS, ONNX, RUNTIMES, OnnxNetwork, OpenVinoNetwork
from fer.training import export as exporting
from fer.training.export import export, largest_difference

CARD = {"flip": True, "crop_margins": [0.1], "temperature": 1.5, "class_shares": [0.65] + [0.05] * 7}
FRAME = np.random.default_rng(0).integers(0, 256, (20, 60), np.uint8)
BOXES = np.array([[0, 0, 20, 20], [20, 0, 20, 20], [40, 0, 20, 20]])


def random_faces(n):
    return np.random.default_rng(n).standard_normal((n, 1, SIZE, SIZE), np.float32)


def probabilities(predictor):
    return [face.probabilities for face in predictor.classify(FRAME, BOXES)]


def model_folder(path, scale=1.0):
    """Save a small network whose logits differ from face to face."""
    model = small_net()
    with torch.no_grad():
        model.head[1].weight.normal_(0, scale, generator=torch.Generator().manual_seed(1))
    save(path, model, CARD)
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = model_folder(tmp_path_factory.mktemp("export") / "model")
    export(folder, folder / ONNX)
    return folder


@pytest.fixture
def folder(exported, tmp_path):
    """A copy to be changed."""
    return shutil.copytree(exported, tmp_path / "model")


def test_other_programs_get_the_same_logits_and_the_notes(exported):
    session = OnnxNetwork(exported / ONNX).session  # imported in any other way, it would look up a host
    faces = random_faces(5)
    model, card = load(exported)
    expected, _ = TorchNetwork(model)(faces)
    assert np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_allclose(session.run([LOGITS], {INPUT: faces})[0], expected, atol=1e-4)
    notes = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    assert notes["fer.emotions"] == list(EMOTIONS)
    assert b".py" not in (exported / ONNX).read_bytes()  # nothing of the machine that it was made on
    assert notes["fer.preprocess"] == card["preprocess"]
    assert notes["fer.weights_sha256"] == card["weights_sha256"]
    assert (notes["fer.flip"], notes["fer.crop_margins"], notes["fer.temperature"]) == (True, [0.1], 1.5)


def test_opencv_gets_the_same_logits(exported):
    net = cv2.dnn.readNetFromONNX(str(exported / ONNX))
    faces = random_faces(2)
    net.setInput(faces)
    np.testing.assert_allclose(net.forward(), OnnxNetwork(exported / ONNX)(faces)[0], atol=1e-4)


def test_predictor_runs_it_with_the_same_result(exported):
    fast, reference = EmotionPredictor(exported), EmotionPredictor(exported, runtime="torch")
    assert isinstance(fast.network, OpenVinoNetwork)
    assert isinstance(reference.network, TorchNetwork)
    expected = probabilities(reference)
    assert np.ptp(expected, axis=0).max() > 1e-3
    # Where the processor is faster with 16 bits, they are used.
    np.testing.assert_allclose(probabilities(fast), expected, atol=5e-3)


@pytest.mark.parametrize("network", [OnnxNetwork, partial(OpenVinoNetwork, exact=True)])
def test_float32_networks_give_the_same_result(exported, network):
    model, _ = load(exported)
    faces = random_faces(3)
    for found, expected in zip(network(exported / ONNX)(faces), TorchNetwork(model)(faces), strict=True):
        if expected is None:
            assert found is None
        else:
            np.testing.assert_allclose(found, expected, atol=1e-4)
    fast, reference = EmotionPredictor(exported), EmotionPredictor(exported, runtime="torch")
    fast.network = network(exported / ONNX)
    np.testing.assert_allclose(probabilities(fast), probabilities(reference), atol=1e-5)


def python(code, *arguments):
    """Return what a process of its own prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_openvino_sends_nothing(exported):
    """Its package would send a message to Google Analytics each time."""
    code = (
        "import socket, sys\n"
        "def refuse(*_): raise SystemExit('asked for ' + str(_[0]))\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from fer.predictor import EmotionPredictor\n"
        "print(type(EmotionPredictor(sys.argv[1]).network).__name__, sys.modules['openvino_telemetry'])\n"
    )
    assert python(code, exported) == "OpenVinoNetwork None\n"


def test_a_signal_after_two_networks_are_gone_is_no_crash(exported):
    """OpenVINO's cores replace the process's signal stack, and free it."""
    code = (
        "import signal, sys\n"
        "from fer.runtime import OpenVinoNetwork\n"
        "first, second = OpenVinoNetwork(sys.argv[1]), OpenVinoNetwork(sys.argv[1])\n"
        "del first\n"
        "del second\n"
        "signal.signal(signal.SIGINT, lambda *_: print('heard'))\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    assert python(code, exported / ONNX) == "heard\n"


def test_several_threads_may_share_a_network(exported):
    network = OpenVinoNetwork(exported / ONNX)
    batches = [np.full((1 + k % 3, 1, SIZE, SIZE), k / 20, np.float32) for k in range(20)]
    alone = [network(batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = [logits for logits, _ in pool.map(network, batches)]
    for mine, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-6)


def test_torch_uses_no_more_threads_than_the_demos_leave_it(exported, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "_limit", [1])
    try:
        torch.set_num_threads(3)
        EmotionPredictor(exported, runtime="torch")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_an_export_of_other_weights_is_not_used(folder):
    earlier = read_card(folder)["onnx_sha256"]
    model_folder(folder, scale=3.0)
    for entries, message in (
        ({}, "card.json has no hash of it"),
        ({"onnx_sha256": earlier}, "other weights"),
    ):
        write_card(folder, read_card(folder) | entries)
        with pytest.warns(UserWarning, match=f"{message}.*fer.export"):
            predictor = EmotionPredictor(folder)
        assert isinstance(predictor.network, TorchNetwork)


def test_another_network_than_that_of_the_card_is_refused(folder, tmp_path):
    """Of what a whole network says without a word, nothing can be noticed later."""
    other = model_folder(tmp_path / "other", scale=3.0)
    export(other, folder / ONNX)
    with pytest.raises(DataInvalid, match=r"model\.onnx is not that of card\.json.*fer\.export"):
        EmotionPredictor(folder)


@pytest.mark.parametrize("missing", [[], ["openvino"]])
def test_a_network_of_other_inputs_or_outputs_is_refused(folder, monkeypatch, missing):
    for package in missing:
        monkeypatch.setitem(sys.modules, package, None)
    for entries in ({"preprocess": {"size": 24}}, {"emotions": EMOTIONS[:7], "class_shares": []}):
        write_card(folder, read_card(folder) | entries)
        with pytest.raises(DataInvalid, match=r"takes and gives .*16, 16.*; expected .*by its card\.json"):
            EmotionPredictor(folder)


@pytest.mark.parametrize(
    ("missing", "runs"),
    [
        (["openvino"], OnnxNetwork),
        (["onnxruntime"], OpenVinoNetwork),
        (["openvino", "onnxruntime"], TorchNetwork),
    ],
)
def test_what_runs_where_a_package_is_missing(folder, monkeypatch, missing, runs):
    for package in missing:
        monkeypatch.setitem(sys.modules, package, None)
    predictor = EmotionPredictor(folder)
    assert isinstance(predictor.network, runs)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_missing_package_is_named(exported, monkeypatch, runtime):
    package = {OpenVinoNetwork: "openvino", OnnxNetwork: "onnxruntime"}[runtime]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataMissing, match=f"pip install {package}$"):
        runtime(exported / ONNX)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_damaged_export_says_what_to_do(folder, runtime):
    (folder / ONNX).write_bytes((folder / ONNX).read_bytes()[:500])
    with pytest.raises(DataInvalid, match=r"fer\.export"):
        runtime(folder / ONNX)
    with pytest.raises(DataInvalid, match=r"fer\.export"):
        EmotionPredictor(folder)


@pytest.mark.parametrize("metadata", [{}, {"fer.flip": "true", "maker": "somebody"}])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_file_of_another_program(tmp_path, runtime, metadata):
    """Its metadata are ignored; inputs and outputs of other names are refused."""
    file, other = tmp_path / "other.onnx", torch.nn.ReLU().eval()
    names = {"input_names": [INPUT], "output_names": [LOGITS]}
    program = torch.onnx.export(other, (torch.zeros(2),), dynamo=True, verbose=False, **names)
    program.model.metadata_props.clear()
    program.model.metadata_props.update(metadata)
    program.save(file)
    assert runtime(file).metadata == ({"fer.flip": True} if metadata else {})
    torch.onnx.export(other, (torch.zeros(2),), dynamo=True, verbose=False).save(file)
    with pytest.raises(DataInvalid, match=r"expected \['faces', 'logits'\]"):
        runtime(file)


def test_a_network_that_differs_is_not_written(folder, monkeypatch):
    before = (folder / ONNX).read_bytes()
    monkeypatch.setattr(exporting, "largest_difference", lambda *args: 0.01)
    with pytest.raises(UserError, match=r"0\.01"):
        export(folder, folder / ONNX)
    assert (folder / ONNX).read_bytes() == before


def test_a_difference_is_found(exported):
    model, _ = load(exported)
    assert largest_difference(model, OnnxNetwork(exported / ONNX)) < 1e-4
    with torch.no_grad():
        model.head[1].bias[3] += 0.25
    assert largest_difference(model, OnnxNetwork(exported / ONNX)) == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("name", [".", "model.safetensors", "card.json", "new"])
def test_no_other_file_of_the_model_is_replaced(folder, name):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DataInvalid, match=r"name ends in \.onnx"):
        export(folder, folder / name)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
