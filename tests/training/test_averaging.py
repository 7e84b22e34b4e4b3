"""The mean of fine-tuned networks is their mean, and nothing else is averaged."""

import json

import pytest
import torch
from helpers import Spots, small_net

from fer.checkpoint import load, save, write_card
from fer.errors import DataInvalid
from fer.training import TrainConfig, fit
from fer.training import averaging as soup


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with a trained model, ``first``, and two that went on from it, ``a`` and ``b``."""
    folder = tmp_path_factory.mktemp("models")
    save(folder / "first", small_net(), {"weights_of": "nobody"})
    _, origin = load(folder / "first")
    for seed, name in enumerate("ab"):
        model = small_net()
        model.started_from = origin
        config = TrainConfig(epochs=1, batch_size=16, lr=0.01, seed=seed, out=folder / name)
        fit(model, Spots(), Spots(16, "valid", seed=1), config)
    return folder


def changed(folder, name, new, **changes):
    """A copy of a model with other entries in its card."""
    model, card = load(folder / name)
    save(folder / new, model, card)
    write_card(folder / new, load(folder / new)[1] | changes)
    return folder / new


def test_weights_and_statistics_are_the_mean(begun, tmp_path):
    soup.main(soup.SoupOptions((begun / "a", begun / "b"), out=tmp_path / "mean"))
    mean, _ = load(tmp_path / "mean")
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
    soup.main(soup.SoupOptions((begun / "a", begun / "b"), out=tmp_path))
    card, a, b = load(tmp_path)[1], load(begun / "a")[1], load(begun / "b")[1]
    assert [one["weights_sha256"] for one in card["averaged"]] == [a["weights_sha256"], b["weights_sha256"]]
    assert [one["config"]["seed"] for one in card["averaged"]] == [0, 1]
    assert card["started_from"] == json.loads((begun / "first" / "card.json").read_text())
    assert card["seconds"] == a["seconds"] + b["seconds"]
    assert card["temperature"] == 1.0
    assert "prior_strength" not in card
    assert card["class_shares"] == pytest.approx([1 / 8] * 8)


def test_class_shares_are_the_mean(begun, tmp_path):
    """Networks that were trained with and without sampling expect other shares."""
    shares = [0.51] + [0.07] * 7
    soup.main(
        soup.SoupOptions((begun / "a", changed(begun, "b", "shares", class_shares=shares)), out=tmp_path)
    )
    assert load(tmp_path)[1]["class_shares"] == pytest.approx([(0.125 + 0.51) / 2] + [(0.125 + 0.07) / 2] * 7)


def test_a_mean_may_be_averaged_with_what_began_at_it(begun, tmp_path):
    """A second round of fine-tuning, from the mean of the first."""
    soup.main(soup.SoupOptions((begun / "a", begun / "b"), out=tmp_path / "mean"))
    mean, card = load(tmp_path / "mean")
    mean.started_from = card
    config = TrainConfig(epochs=1, batch_size=16, lr=0.01, seed=2, out=tmp_path / "on")
    fit(mean, Spots(), Spots(16, "valid", seed=1), config)
    _, both = soup.soup([tmp_path / "mean", tmp_path / "on"])
    assert both["started_from"] == card
    assert both["averaged_with_the_start"]
    assert [one["config"]["seed"] for one in both["averaged"]] == [2]
    assert both["seconds"] == load(tmp_path / "on")[1]["seconds"]  # the mean's own are in its card
    _, far = soup.soup([tmp_path / "on", begun / "a"])
    assert far["started_from"]["weights_of"] == "nobody"
    assert not far["averaged_with_the_start"]


def test_networks_that_began_elsewhere_are_not_averaged(begun):
    other = changed(begun, "b", "elsewhere", started_from={"weights_sha256": "of another"})
    with pytest.raises(DataInvalid, match="did not begin at the same"):
        soup.soup([begun / "a", other])
    scratch = small_net()
    scratch.head[1].bias.data.add_(1)
    save(begun / "scratch", scratch, {})
    with pytest.raises(DataInvalid, match="did not begin at the same"):
        soup.soup([begun / "first", begun / "scratch"])


def test_networks_that_see_other_pictures_are_not_averaged(begun):
    with pytest.raises(DataInvalid, match=r"elsewhere_cut and .*a differ in crop_margin \(0\.3, 0\.0\)"):
        soup.soup([begun / "a", changed(begun, "b", "elsewhere_cut", crop_margin=0.3)])


def test_one_network_is_no_mean(begun):
    with pytest.raises(DataInvalid, match="Found 1 model"):
        soup.soup([begun / "a"])
    with pytest.raises(DataInvalid, match="given twice"):
        soup.soup([begun / "a", begun / "b", begun / "a"])


def test_a_trained_model_is_not_replaced_unasked(begun, tmp_path):
    both = (begun / "a", begun / "b")
    soup.main(soup.SoupOptions(both, out=tmp_path))
    with pytest.raises(DataInvalid, match="--overwrite"):
        soup.main(soup.SoupOptions(both, out=tmp_path))
    (tmp_path / "metrics.json").write_text("{}")
    soup.main(soup.SoupOptions(both, out=tmp_path, overwrite=True))
    assert not (tmp_path / "metrics.json").exists()  # of the weights that were replaced


def test_what_another_run_left_is_not_mixed_in(begun, tmp_path):
    """Its curves would be drawn as those of the mean, and --resume would train it on."""
    both = (begun / "a", begun / "b")
    (tmp_path / "state.pt").write_bytes(b"of another run")
    with pytest.raises(DataInvalid, match="unfinished run"):
        soup.main(soup.SoupOptions(both, out=tmp_path))
    (tmp_path / "history.csv").write_text("epoch,lr\n")
    soup.main(soup.SoupOptions(both, out=tmp_path, overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "model.safetensors"]
