"""The mean of fine-tuned networks is their mean, and nothing else is averaged; half precision is half the file."""

import json
import os

import pytest
import torch
from helpers import small_net
from training_support import run

from fer.card import write_card
from fer.checkpoint import load, save
from fer.errors import DataInvalid
from fer.model import build
from fer.training.averaging import Halve, Soup

pytestmark = pytest.mark.usefixtures("no_export")


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with a trained model, ``first``, and two that went on from it, ``a`` and ``b``."""
    folder = tmp_path_factory.mktemp("models")
    save(folder / "first", small_net(), {"weights_of": "nobody"})
    for seed, name in enumerate("ab"):
        go_on(folder / "first", folder / name, seed)
    return folder


def go_on(start, out, seed):
    """Fine-tune a model."""
    model, card = load(start)
    model.started_from = card
    run(model, epochs=1, ema=0.9, seed=seed, out=out)


def soup(models, out, **options):
    """The card of the mean of some models."""
    Soup(tuple(models), out, **options).run()
    return load(out)[1]


def changed(folder, name, new, **changes):
    """A copy of a model with other entries in its card."""
    model, card = load(folder / name)
    save(folder / new, model, card)
    write_card(folder / new, load(folder / new)[1] | changes)
    return folder / new


def test_weights_and_statistics_are_the_mean(begun, tmp_path):
    soup([begun / "a", begun / "b"], tmp_path)
    mean, _ = load(tmp_path)
    a, b = (load(begun / name)[0].state_dict() for name in "ab")
    assert not torch.equal(a["head.1.weight"], b["head.1.weight"])
    assert not torch.equal(a["stem.0.1.running_mean"], b["stem.0.1.running_mean"])
    for name, value in mean.state_dict().items():
        expected = (a[name].double() + b[name].double()) / 2
        torch.testing.assert_close(value, expected.to(value.dtype), rtol=1e-6, atol=1e-8)
    assert mean.preprocess == small_net().preprocess


def test_the_card_tells_where_it_came_from_and_claims_no_calibration(begun, tmp_path):
    for name, temperature in (("a", 0.5), ("b", 3.0)):
        card = load(begun / name)[1]
        write_card(begun / name, card | {"temperature": temperature, "prior_strength": 0.4})
    # A network that was trained with another sampling expects other class frequencies.
    frequencies = [0.51] + [0.07] * 7
    card = soup([begun / "a", changed(begun, "b", "resampled", class_shares=frequencies)], tmp_path)
    a, b = load(begun / "a")[1], load(begun / "b")[1]
    assert [one["weights_sha256"] for one in card["averaged"]] == [a["weights_sha256"], b["weights_sha256"]]
    assert [one["config"]["seed"] for one in card["averaged"]] == [0, 1]
    assert card["started_from"] == json.loads((begun / "first" / "card.json").read_text())
    assert card["seconds"] == a["seconds"] + b["seconds"]
    assert card["temperature"] == 1.0
    assert "prior_strength" not in card
    assert card["class_shares"] == pytest.approx([(0.125 + 0.51) / 2] + [(0.125 + 0.07) / 2] * 7)


def test_other_models_are_not_averaged(begun, tmp_path):
    elsewhere = changed(begun, "b", "elsewhere", started_from={"weights_sha256": "of another"})
    scratch = small_net()
    scratch.head[1].bias.data.add_(1)
    save(begun / "scratch", scratch, {})
    cropped = changed(begun, "b", "cropped", crop_margins=[0.3])
    for models, message in (
        ([begun / "a", elsewhere], "did not begin at the same"),
        ([begun / "first", begun / "scratch"], "did not begin at the same"),
        ([begun / "a", cropped], r"differ in crop_margins: \[\[-0\.05, 0\.0, 0\.05\], \[0\.3\]\]"),
        ([begun / "a"], "Found 1 models"),
        ([begun / "a", begun / "b", begun / "a"], "3 models, 2 of them different"),
    ):
        with pytest.raises(DataInvalid, match=message):
            soup(models, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_trained_model_is_replaced_when_asked_only(begun, tmp_path):
    """What another run left would be taken for the mean's own: its scores, its curves, its state."""
    both = (begun / "a", begun / "b")
    (tmp_path / "state.pt").write_bytes(b"of another run")
    with pytest.raises(DataInvalid, match="unfinished run"):
        soup(both, tmp_path)
    for name in ("history.csv", "metrics.json"):
        (tmp_path / name).write_text("{}")
    soup(both, tmp_path, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["card.json", "model.safetensors"]
    with pytest.raises(DataInvalid, match=r"a trained model.*--overwrite"):
        soup(both, tmp_path)


def test_half_precision_is_half_the_file_and_nearly_the_same_network(tmp_path):
    model = build("emotion_net", widths=(32, 32, 32))
    model.stem[0][1].running_var.fill_(1e-9)  # too small for float16
    save(tmp_path / "model", model.eval(), {})
    whole = (tmp_path / "model" / "model.safetensors").stat().st_size
    (tmp_path / "model" / "metrics.json").write_text("{}")
    Halve(tmp_path / "model").run()
    assert sorted(os.listdir(tmp_path / "model")) == ["card.json", "model.safetensors"]
    assert (tmp_path / "model" / "model.safetensors").stat().st_size < 0.6 * whole
    again, _ = load(tmp_path / "model")
    for name, value in model.state_dict().items():
        found = again.state_dict()[name]
        assert found.dtype == value.dtype
        torch.testing.assert_close(found, value, rtol=1e-3, atol=1e-7 if value.ndim > 1 else 0.0)


def test_an_unfinished_run_is_not_halved(tmp_path):
    save(tmp_path, small_net(), {})
    (tmp_path / "state.pt").touch()
    with pytest.raises(DataInvalid, match="--resume"):
        Halve(tmp_path).run()
