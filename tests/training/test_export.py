"""Every way to new weights or another calibration ends with the export, of all outputs, with weights as stored."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from helpers import small_net, votes, write_ferplus
from onnx import numpy_helper
from safetensors.numpy import load_file

from fer import evaluate, train
from fer.card import CARD, WEIGHTS, read_card, sha256, write_card
from fer.checkpoint import load, save
from fer.evaluate import EvaluateConfig
from fer.export import ExportOptions, main
from fer.files import MODELS
from fer.labels import EMOTIONS
from fer.model import TorchNetwork
from fer.runtime import ONNX, RUNTIMES, OnnxNetwork
from fer.training import TrainConfig
from fer.training.averaging import Halve, Soup
from fer.training.export import METADATA, complete, largest_difference


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that predicts valence and arousal and is stored as float16."""
    folder = tmp_path_factory.mktemp("model")
    save(folder, small_net(widths=(64, 64), valence_arousal=True), {"temperature": 1.5}, half=True)
    main(ExportOptions(folder))
    return folder


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_valence_and_arousal_are_a_second_output(folder, runtime):
    model, _ = load(folder)
    faces = np.random.default_rng(0).standard_normal((3, *model.blank().shape[1:]), np.float32)
    pairs = zip(runtime(folder / ONNX)(faces), TorchNetwork(model)(faces), strict=True)
    for (found, expected), width in zip(pairs, (len(EMOTIONS), 2), strict=True):
        assert found.shape == (3, width)
        np.testing.assert_allclose(found, expected, atol=5e-3)  # 16 bits where the processor has them


def test_a_difference_of_valence_is_found(folder):
    model, _ = load(folder)
    model.head[1].bias.data[len(EMOTIONS)] += 1
    assert largest_difference(model, OnnxNetwork(folder / ONNX)) > 0.1


def test_weights_stored_as_float16_are_exported_so_to_the_last_bit(folder):
    stored = load_file(folder / WEIGHTS)
    exported = {one.name: numpy_helper.to_array(one) for one in onnx.load(folder / ONNX).graph.initializer}
    large = [name for name, values in stored.items() if values.size > 10_000]  # small ones are cast at once
    assert len(large) == 4
    for name in large:
        np.testing.assert_array_equal(exported[f"{name}_half"], stored[name], strict=True)
    save(folder / "single", load(folder)[0], {})
    complete(folder / "single")
    assert (folder / ONNX).stat().st_size < 0.6 * (folder / "single" / ONNX).stat().st_size


def check_export(folder):
    """The exported network says what the card says, and the card knows the file."""
    card = read_card(folder)
    expected = {f"fer.{key}": card[key] for key in METADATA if key in card}
    assert OnnxNetwork(folder / ONNX).metadata == expected
    assert card["onnx_sha256"] == sha256(folder / ONNX)


@pytest.mark.parametrize("name", sorted(card.parent.name for card in MODELS.glob(f"*/{CARD}")))
def test_every_shipped_model_is_complete(name):
    check_export(MODELS / name)


def test_training_calibration_and_averaging_end_with_the_export(tmp_path, capsys):
    rows = [votes(**{name: 10}) for name in EMOTIONS] * 2
    data = {"data": "ferplus", "root": write_ferplus(tmp_path / "data", {"train": rows, "valid": rows[:8]})}
    out, mean = tmp_path / "model", tmp_path / "mean"
    train.main(TrainConfig(**data, out=out, epochs=1, batch_size=8))
    assert f"{out / ONNX}: 0.2 MB, outputs within" in capsys.readouterr().out
    check_export(out)

    temperature = read_card(out)["temperature"]
    write_card(out, read_card(out) | {"temperature": 9.0})
    evaluate.main(EvaluateConfig(**data, model=out, split="valid", calibrate=True))
    assert read_card(out)["temperature"] == pytest.approx(temperature)
    check_export(out)

    model, card = load(out)
    further = tmp_path / "second", tmp_path / "third"
    for folder in further:
        model.fc.bias.data += 1
        save(folder, model, card | {"started_from": card})
    Soup(further, mean).run()
    check_export(mean)
    Halve(mean).run()
    check_export(mean)


def test_without_the_packages_of_export_a_model_is_kept_and_the_command_named(tmp_path):
    """In a process of its own, because they are imported once."""
    save(tmp_path, small_net(), {})
    code = (
        "import pathlib, sys\n"
        "sys.modules['onnxscript'] = None\n"
        "from fer.training.export import complete\n"
        "complete(pathlib.Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert f"{tmp_path} has no model.onnx" in done.stderr
    assert "python -m pip install onnx onnxscript onnxruntime" in done.stderr
    assert f"python -m fer.export {tmp_path}" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "model.safetensors"]
