"""Learning from trained networks: their probabilities, the targets made of them, and what the card keeps."""

import pytest
import torch
from helpers import Spots, plain_network, small_net
from training_support import run

from fer import checkpoint
from fer.card import read_card
from fer.errors import DataInvalid
from fer.training.distillation import soft_targets, teacher_probabilities

ONCE = {"epochs": 1, "lr": 0.0}


@pytest.fixture
def teachers(tmp_path):
    """Two networks of different weights; the cards' temperature and prior must not matter."""
    folders = [tmp_path / "teacher-1", tmp_path / "teacher-2"]
    for seed, folder in enumerate(folders, 1):
        network = small_net()
        torch.manual_seed(seed)
        torch.nn.init.normal_(network.head[-1].weight, std=10)
        card = {"temperature": 0.1, "prior_strength": 1, "class_shares": [1 / 8] * 8}
        checkpoint.save(folder, network, card)
    return folders


def probabilities_by_hand(folder, images):
    network, _ = checkpoint.load(folder)
    x = torch.from_numpy(network.preprocess(images))
    with torch.inference_mode():
        return ((network(x) + network(x.flip(-1))) / 2).softmax(1)


def test_probabilities_are_the_mean_over_teachers_and_mirror_images(teachers):
    faces = Spots(20)
    found = teacher_probabilities(teachers, faces, 8, 7, (0, 1), torch.device("cpu"))
    expected = sum(probabilities_by_hand(folder, faces.images) for folder in teachers) / 2
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_teachers_predict_where_the_network_learns(teachers, monkeypatch):
    class Seen(Exception):
        pass

    def predict(model, *_, **__):
        raise Seen(next(model.parameters()).device.type)

    monkeypatch.setattr("fer.training.distillation.predict", predict)
    with pytest.raises(Seen, match="meta"):
        teacher_probabilities(teachers, Spots(20), 8, 7, (0, 1), torch.device("meta"))


@pytest.mark.parametrize("soft", [False, True])
def test_labels_and_probabilities_make_soft_targets(soft):
    labels = torch.tensor([0, 2])
    probabilities = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]])
    given = torch.eye(3)[labels] if soft else labels
    expected = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]])
    torch.testing.assert_close(soft_targets(given, probabilities), expected)


def test_each_face_learns_from_its_own_probabilities(teachers):
    """In whatever order faces come. Without steps and batch statistics the loss can be taken by hand."""
    faces, network = Spots(32), plain_network()
    for i, image in enumerate(faces.images):  # so that it matters whose probabilities a face gets
        image[..., :: 1 + i % 4] = 255
    with torch.no_grad():
        network.fc.weight *= 10
        logs = network(torch.from_numpy(network.preprocess(faces.images))).log_softmax(1)
    probabilities = probabilities_by_hand(teachers[0], faces.images)
    targets = (torch.eye(8)[torch.from_numpy(faces.labels)] + probabilities) / 2
    history = run(network, faces, teachers=teachers[:1], **ONCE)
    assert faces.seen[-32:] != list(range(32))
    assert history.rows[0]["train_loss"] == pytest.approx(-(targets * logs).sum(1).mean().item(), rel=1e-4)
    shifted = -(targets.roll(1, 0) * logs).sum(1).mean().item()
    assert history.rows[0]["train_loss"] != pytest.approx(shifted, rel=1e-2)


def test_the_card_names_the_teachers(teachers, tmp_path):
    out = tmp_path / "student"
    run(small_net(), teachers=map(str, teachers), out=out, **ONCE)
    card = read_card(out)
    assert card["config"]["teachers"] == [str(folder) for folder in teachers]
    assert card["teachers"] == {str(one): read_card(one)["weights_sha256"] for one in teachers}


def test_a_teacher_of_other_classes_is_refused(tmp_path):
    checkpoint.save(tmp_path, small_net(num_classes=7), {})
    with pytest.raises(DataInvalid, match="has 7 classes; expected 8"):
        run(small_net(), teachers=(tmp_path,))
