"""Changes that webcams make to faces: some faces, each its own change, reproducible."""

import numpy as np
import pytest
import torch
from helpers import Spots, plain_network, votes, write_ferplus

from fer.datasets.ferplus import FERPlus
from fer.evaluation.predictions import predict
from fer.training import degrade as degrading
from fer.training.degrade import CHANGES, apply, degrade, predict_degraded


@pytest.fixture
def faces():
    """Grey faces with detail in them, uint8 (64, 1, 48, 48)."""
    torch.manual_seed(0)
    return torch.randint(60, 160, (64, 1, 48, 48), dtype=torch.uint8)


def amounts(n, value):
    return torch.full((n, 1, 1, 1), float(value))


@pytest.mark.parametrize("channels", [1, 3])
def test_some_faces_change_and_the_seed_decides_which(faces, channels):
    images = faces.expand(-1, channels, -1, -1).contiguous()
    before = images.clone()
    results = []
    for _ in range(2):
        torch.manual_seed(1)
        results.append(degrade(images, 0.5))
    assert torch.equal(*results)
    assert torch.equal(images, before)
    assert results[0].dtype == torch.uint8
    assert 20 < (results[0] != images).flatten(1).any(1).sum() < 44
    assert torch.equal(degrade(images, 0.0), images)


@pytest.mark.parametrize("name", CHANGES)
def test_the_largest_amount_changes_a_face_more_than_the_smallest(faces, name):
    change, least, most = CHANGES[name]
    smooth = torch.linspace(40, 160, 48).expand(8, 1, 48, 48).clone()
    smooth[:, :, 20:30, 10:20] = 20  # something to blur and to move
    kept = {"turn": 0.0, "crop": 1.0}.get(name, least)
    little, much = (
        (apply(change, smooth.to(torch.uint8), amounts(8, value)).float() - smooth).abs().mean()
        for value in (kept, most)
    )
    assert little < much
    assert much > 1


def test_blur_takes_detail_along_its_direction_only(faces):
    """A face of stripes in a random direction keeps them where the motion is along them."""
    stripes = torch.zeros(64, 1, 48, 48, dtype=torch.uint8)
    stripes[..., ::4] = 200
    left = apply(CHANGES["motion blur"][0], stripes, amounts(64, 0.05)).float().std((1, 2, 3))
    assert left.max() > 5 * left.min()
    even = apply(CHANGES["defocus"][0], stripes, amounts(64, 0.05)).float()[..., 12:-12].std((1, 2, 3))
    assert even.max() < 5  # whatever the angle


def test_turn_and_crop_keep_the_middle(faces):
    spot = torch.zeros(2, 1, 49, 49)
    spot[:, :, 24, 34] = 255
    turned = CHANGES["turn"][0](spot, torch.tensor([90.0, -90.0]).view(2, 1, 1, 1))
    assert [divmod(int(face.argmax()), 49) for face in turned] == [(14, 24), (34, 24)]
    wide = CHANGES["crop"][0](spot, amounts(2, 0.5))
    assert divmod(int(wide[0].argmax()), 49) == (24, 29)


def test_covers_lie_over_the_eyes_and_over_the_mouth(faces):
    glasses = (apply(CHANGES["glasses"][0], faces, amounts(64, 1)) != faces).float().mean((0, 1))
    mask = (apply(CHANGES["mask"][0], faces, amounts(64, 0.5)) != faces).float().mean((0, 1))
    eye, mouth = (slice(15, 20), slice(12, 17)), (slice(34, 42), slice(16, 32))
    assert glasses[eye].mean() > 0.9
    assert glasses[mouth].max() == 0
    assert mask[mouth].mean() > 0.9
    assert mask[:20].max() == 0


def test_predictions_of_degraded_faces_are_the_same_whatever_was_drawn_before(monkeypatch):
    """Of a large split every third face here; what is drawn after it is as without it."""
    model, faces = plain_network().eval(), Spots(21)
    monkeypatch.setattr(degrading, "MOST", 7)
    torch.manual_seed(1)
    first, drawn = predict_degraded(model, faces, flip=False), torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn
    second = predict_degraded(model, faces, flip=False)
    assert first.names == faces.keys[::3] and np.array_equal(first.logits, second.logits)
    assert not np.allclose(first.logits, predict(model, faces).logits[::3], atol=0.01)


def test_of_ferplus_ambiguous_faces_are_degraded_too_with_their_votes(tmp_path):
    rows = [votes(sadness=6, neutral=4), votes(fear=4, surprise=3, anger=3), votes(unknown=6, neutral=4)]
    root = write_ferplus(tmp_path, {"train": [], "valid": rows, "test": []})
    predictions = predict_degraded(plain_network(), FERPlus(root, "valid"), flip=False)
    assert predictions.votes[:, [0, 2, 3, 4, 6]].tolist() == pytest.approx(
        np.array([[0.4, 0.6, 0, 0, 0], [0, 0, 0.3, 0.4, 0.3]])
    )
    limited = predict_degraded(plain_network(), FERPlus(root, "valid", limit=1), flip=False)
    assert len(limited.names) == 1
