"""Learning from trained networks: what is asked of them, how it is blended, what is kept of them."""

import numpy as np
import pytest
import torch
from helpers import Spots, small_net

from fer import checkpoint
from fer.errors import DataInvalid
from fer.labels import EMOTIONS
from fer.training import TrainConfig, distillation, fit

ONCE = {"epochs": 1, "batch_size": 16, "augment": "none", "lr": 0.0, "ema": 0.0}


@pytest.fixture
def teachers(tmp_path):
    """Two networks of different weights; the cards' temperature and prior must not matter."""
    folders = []
    for seed in (1, 2):
        network = small_net()
        torch.manual_seed(seed)
        torch.nn.init.normal_(network.head[-1].weight)
        folders.append(tmp_path / f"teacher-{seed}")
        shares = [1 / len(EMOTIONS)] * len(EMOTIONS)
        checkpoint.save(
            folders[-1], network, {"temperature": 0.1, "prior_strength": 1, "class_shares": shares}
        )
    return folders


def asked_by_hand(folder, images):
    network, _ = checkpoint.load(folder)
    x = network.preprocess(images)
    with torch.inference_mode():
        return ((network(x) + network(x.flip(-1))) / 2).softmax(1)


def test_opinions_are_the_mean_over_teachers_and_mirror_images(teachers):
    faces = Spots(20)
    found = distillation.opinions(teachers, faces, 8, batch_size=7)
    expected = sum(asked_by_hand(folder, faces.images) for folder in teachers) / 2
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shares", [False, True])
def test_labels_and_opinions_are_blended(shares):
    labels = torch.tensor([0, 2])
    opinions = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]])
    given = torch.eye(3)[labels] if shares else labels
    expected = torch.tensor([[0.75, 0.25, 0.0], [0.125, 0.125, 0.75]])
    torch.testing.assert_close(distillation.blend(given, opinions, 0.25), expected)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_what_is_learned_is_the_blend(teachers, weight):
    """With statistics of the batch and no step, the loss of the only batch can be taken by hand."""
    faces, network = Spots(16), small_net(drop=0.0)
    network.train()
    with torch.no_grad():
        logs = network(network.preprocess(faces.images)).log_softmax(1)
    opinions = asked_by_hand(teachers[0], faces.images)
    target = (1 - weight) * torch.eye(8)[torch.from_numpy(faces.labels)] + weight * opinions
    config = TrainConfig(**ONCE, teachers=teachers[:1], teachers_weight=weight)
    history = fit(small_net(drop=0.0), faces, Spots(8, "valid"), config)
    assert history.rows[0]["train_loss"] == pytest.approx(-(target * logs).sum(1).mean().item(), rel=1e-4)


def test_each_face_meets_its_own_opinion(teachers, monkeypatch):
    """In whatever order faces are drawn."""
    met = []
    keep = distillation.blend
    monkeypatch.setattr(distillation, "blend", lambda *a: met.append(a[1]) or keep(*a))
    faces = Spots(32)
    fit(small_net(), faces, Spots(8, "valid"), TrainConfig(**ONCE, teachers=teachers))
    order = faces.seen[-32:]
    expected = distillation.opinions(teachers, faces, 8)[order]
    assert not np.array_equal(order, np.arange(32))
    torch.testing.assert_close(torch.cat(met), expected)


def test_the_card_names_the_teachers(teachers, tmp_path):
    out = tmp_path / "student"
    fit(small_net(), Spots(16), Spots(8, "valid"), TrainConfig(**ONCE, teachers=map(str, teachers), out=out))
    card = checkpoint.read_card(out)
    assert card["config"]["teachers"] == [str(folder) for folder in teachers]
    assert card["teachers"] == {str(one): checkpoint.read_card(one)["weights_sha256"] for one in teachers}


def test_a_teacher_of_other_classes_is_refused(tmp_path):
    checkpoint.save(tmp_path, small_net(num_classes=7), {})
    with pytest.raises(DataInvalid, match="tells 7 emotions apart; expected 8"):
        fit(small_net(), Spots(16), Spots(8, "valid"), TrainConfig(**ONCE, teachers=(tmp_path,)))
