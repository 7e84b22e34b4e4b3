"""The changed faces that robustness is measured on: the same for each network, and worse with each severity."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.robustness import SEVERITIES, RobustnessOptions, changed, earlier, main
from fer.errors import DataInvalid, UsageError
from synthetic_faces.actor import Actor


@pytest.fixture(scope="module")
def faces():
    frame = Actor().frame(4.5)
    side = min(frame.shape[:2])
    image = torch.from_numpy(frame[:side, :side].copy()).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(image.float(), (48, 48), mode="bilinear", antialias=True)
    return small.mean(1, keepdim=True).byte().repeat(4, 1, 1, 1)


@pytest.mark.parametrize("change", SEVERITIES)
def test_a_change_is_worse_with_each_severity_and_repeats_with_its_seed(faces, change):
    results = [changed(faces, change, amount, seed=1) for amount in SEVERITIES[change]]
    distances = [(result.float() - faces.float()).abs().mean().item() for result in results]
    assert distances == sorted(distances) and 0 < distances[0] < distances[-1]
    assert torch.equal(results[-1], changed(faces, change, SEVERITIES[change][-1], seed=1))


def test_results_of_other_models_stay_and_those_of_other_faces_are_not_overwritten(tmp_path):
    out, settings = tmp_path / "robustness.json", {"split": "valid", "seed": 1, "faces": 9}
    assert earlier(out, settings) == []
    rows = [{"model": "mine", "change": "clean", "accuracy": 0.5}]
    out.write_text(json.dumps(settings | {"rows": rows}))
    assert earlier(out, settings) == rows
    with pytest.raises(DataInvalid, match=r"'seed': 1.* this call of .*'seed': 2.* --out"):
        earlier(out, settings | {"seed": 2})
    out.write_text("[")
    with pytest.raises(DataInvalid, match="--out"):
        earlier(out, settings)


@pytest.mark.parametrize("models", [(), ("models/emotion_net", "outputs/emotion_net")])
def test_models_need_different_names(tmp_path, models):
    with pytest.raises(UsageError, match="a name of its own"):
        main(
            RobustnessOptions(
                root=tmp_path, models=tuple(map(Path, models)), out=tmp_path / "robustness.json"
            )
        )
