"""Valence and arousal, all the way: metrics, loss, the two outputs, training, annotations, tables."""

import copy
import csv
import json
from dataclasses import asdict

import cv2
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from helpers import Spots, small_net, write_face

from fer import plots
from fer.checkpoint import load, save
from fer.datasets import AffectNet8, SyntheticFaces
from fer.datasets.splits import Subset
from fer.errors import DataInvalid
from fer.evaluation.predictions import predict
from fer.evaluation.recorded import RecordedModel, record
from fer.evaluation.valence_arousal import regression_scores, score, true_valence_arousal
from fer.model import build, count_parameters
from fer.predict import PredictOptions
from fer.predict import main as predict_main
from fer.predictor import EmotionPredictor
from fer.preprocess import Preprocess
from fer.training import TrainConfig, fit, new_model
from fer.training.augment import Mix
from fer.training.loss import ccc_loss
from fer.training.start import training_targets

BOTH = "expression,valence-arousal"
NAN = float("nan")


class Annotated(Spots):
    """Spots whose row and column give valence and arousal; every seventh face has no annotation."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        row, column = np.divmod(self.labels, 4)
        missing = np.arange(len(self)) % 7 == 6
        self.valence = np.where(missing, NAN, 0.5 - row).astype(np.float32)
        self.arousal = np.where(missing, NAN, column / 2 - 0.75).astype(np.float32)


def run(model, train=None, valid=None, **options):
    quick = {"epochs": 2, "batch_size": 16, "augment": "none", "lr": 0.01, "ema": 0.0, "targets": BOTH}
    config = TrainConfig(**quick | options)
    return fit(model, train or Annotated(48), valid or Annotated(16, "valid", seed=1), config)


# Loss and scores.


def test_scores_agree_with_scipy_and_sklearn():
    rng = np.random.default_rng(0)
    true = rng.uniform(-1, 1, 200)
    predicted = 0.5 * true + rng.normal(0.1, 0.3, 200)
    found = regression_scores(predicted, true)
    assert found.n == 200
    assert found.pearson == pytest.approx(scipy.stats.pearsonr(predicted, true).statistic)
    assert found.rmse == pytest.approx(sklearn.metrics.root_mean_squared_error(true, predicted))
    assert found.sagr == pytest.approx(sklearn.metrics.accuracy_score(true > 0, predicted > 0))
    # Lin's own form: Pearson's correlation times a factor for scale and place.
    v, u = predicted.std() / true.std(), (predicted.mean() - true.mean()) ** 2 / predicted.std() / true.std()
    assert found.ccc == pytest.approx(found.pearson * 2 / (v + 1 / v + u))


@pytest.mark.parametrize(("predicted", "true", "ccc"), [([1, 1], [1, 2], 0), ([1, 1], [1, 1], 1)])
def test_ccc_of_what_does_not_vary(predicted, true, ccc):
    found = regression_scores(np.array(predicted, float), np.array(true, float))
    assert found.ccc == pytest.approx(ccc)
    assert np.isfinite(found.pearson)


def test_faces_without_an_annotation_do_not_count():
    rng = np.random.default_rng(0)
    predicted, true = rng.uniform(-1, 1, (2, 50, 2))
    true[10:, 0] = NAN
    true[:20, 1] = NAN
    found = score(predicted, true)
    assert found.valence == regression_scores(predicted[:10, 0], true[:10, 0])
    assert found.arousal == regression_scores(predicted[20:, 1], true[20:, 1])
    assert (found.valence.n, found.arousal.n) == (10, 30)
    assert "valence" in str(found) and "arousal" in str(found)
    assert score(predicted, np.full_like(true, NAN)) is None


@pytest.mark.parametrize("bad", [np.full((3, 2), np.inf), np.zeros((2, 2)), np.zeros((3, 3))])
def test_what_cannot_be_scored_is_refused(bad):
    with pytest.raises(DataInvalid):
        score(bad, np.zeros((3, 2)))


def test_the_loss_is_one_minus_the_score():
    rng = np.random.default_rng(0)
    predicted, true = rng.uniform(-1, 1, (2, 60, 2)).astype(np.float32)
    true[::3, 0] = NAN
    found = score(predicted, true)
    loss = ccc_loss(torch.from_numpy(predicted), torch.from_numpy(true))
    assert loss.item() == pytest.approx(1 - (found.valence.ccc + found.arousal.ccc) / 2, abs=1e-5)


def test_missing_annotations_add_nothing_to_the_gradient():
    predicted = torch.rand(6, 2, requires_grad=True)
    true = torch.rand(6, 2)
    true[2, 0] = true[4] = NAN
    ccc_loss(predicted, true).backward()
    assert torch.isfinite(predicted.grad).all()
    assert predicted.grad[2, 0] == 0 and (predicted.grad[4] == 0).all() and (predicted.grad[0] != 0).all()


@pytest.mark.parametrize("annotated", [0, 1])
def test_too_few_annotations_have_no_loss(annotated):
    predicted, true = torch.rand(4, 2, requires_grad=True), torch.full((4, 2), NAN)
    true[:annotated] = 0.5
    loss = ccc_loss(predicted, true)
    loss.backward()
    assert loss.item() == 0 and (predicted.grad == 0).all()


# The head.

ARCHITECTURES = {
    "baseline": {},
    "emotion_net": {"widths": (8, 16), "preprocess": Preprocess(size=16)},
    "resnet18": {"preprocess": Preprocess(size=32, channels=3)},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_can_predict_them(name, tmp_path):
    options = ARCHITECTURES[name]
    plain, model = build(name, **options), build(name, valence_arousal=True, **options).eval()
    assert not plain.valence_arousal and "valence_arousal" not in plain.options
    assert list(plain.state_dict()) == list(model.state_dict())
    shapes = [(p.shape, q.shape) for p, q in zip(plain.parameters(), model.parameters(), strict=True)]
    assert all(p == q for p, q in shapes[:-2])  # only the last layer is wider
    assert [p[0] + 2 == q[0] for p, q in shapes[-2:]] == [True, True]
    x = torch.randn(3, model.preprocess.channels, model.preprocess.size, model.preprocess.size)
    logits, valence_arousal = model(x, both=True)
    assert logits.shape == model(x).shape == (3, 8) and torch.equal(logits, model(x))
    assert valence_arousal.shape == (3, 2) and valence_arousal.abs().max() <= 1
    save(tmp_path, model, {})
    loaded, card = load(tmp_path)
    assert card["options"]["valence_arousal"] is True and card["parameters"] == count_parameters(model)
    assert len(card["emotions"]) == 8
    assert all(map(torch.equal, loaded(x, both=True), (logits, valence_arousal)))
    assert torch.equal(copy.deepcopy(loaded)(x), logits)


def test_a_network_without_it_stays_what_it_was(tmp_path):
    model = small_net()
    save(tmp_path, model, {})
    assert "valence_arousal" not in json.loads((tmp_path / "card.json").read_text())["options"]
    assert sum("valence" in key for key in load(tmp_path)[1]) == 0
    predictions = predict(model, Annotated(16))
    assert predictions.valence_arousal is None and predictions.score_valence_arousal() is None
    assert predict(small_net(valence_arousal=True), Spots(16)).score_valence_arousal() is None
    record(tmp_path, "spots-train", predictions, {})
    assert "valence_arousal" not in json.loads((tmp_path / "metrics.json").read_text())["spots-train"]


# Training.


def test_both_are_learned_and_recorded(tmp_path):
    model = small_net(valence_arousal=True)
    train, valid = Annotated(96), Annotated(32, "valid", seed=1)
    history = run(model, train, valid, epochs=8, batch_size=16, lr=0.03, out=tmp_path)
    assert history.column("valid_ccc_valence")[-1] > 0.6 and history.column("valid_ccc_arousal")[-1] > 0.3
    loaded, card = load(tmp_path)
    assert card["config"]["targets"] == BOTH and card["options"]["valence_arousal"]
    predictions = predict(loaded, valid)
    assert predictions.valence_arousal.dtype == np.float16
    assert predictions.score_valence_arousal().valence.n == 28
    record(tmp_path, "spots-valid", predictions, card)
    recorded = RecordedModel(tmp_path)
    again = recorded.predictions("spots-valid")
    found = score(again.valence_arousal, again.true_valence_arousal)
    assert asdict(found) == recorded.metrics["spots-valid"]["valence_arousal"]
    assert found == predictions.score_valence_arousal()


@pytest.mark.parametrize("options", [{"mix": "both", "augment": "strong", "ema": 0.9}, {"accumulate": 3}])
def test_training_with_both_is_seeded_and_finite(options):
    first, second = (small_net(valence_arousal=True) for _ in range(2))
    rows = [run(model, **options).rows[-1] for model in (first, second)]
    assert rows[0]["train_loss"] == rows[1]["train_loss"] and np.isfinite(rows[0]["train_loss"])
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_labels_and_annotations_are_mixed_alike(kind):
    labels = torch.arange(8)
    annotations = torch.stack([labels / 8, -labels / 8], 1)
    annotations[3, 0] = NAN
    x = labels.float().view(8, 1, 1, 1).expand(8, 1, 16, 16)
    torch.manual_seed(1)
    mixed, targets, values = Mix(kind, 8, probability=1.0)(x, labels, annotations)
    assert targets.shape == (8, 8) and torch.allclose(targets.sum(1), torch.ones(8))
    assert torch.allclose(mixed.mean((1, 2, 3)), targets @ labels.float(), atol=1e-5)
    assert torch.allclose(values[:, 1], targets @ annotations[:, 1])
    assert values[:, 0].isnan().tolist() == [k in (3, 4) for k in range(8)]  # it and the face mixed with it


def test_parts_of_one_face_are_refused():
    """The loss of valence and arousal compares faces: it would be silently 0."""
    for options in ({"batch_size": 16, "accumulate": 16}, {"batch_size": 1}):
        with pytest.raises(DataInvalid, match="two or more"):
            run(small_net(valence_arousal=True), **options)


@pytest.mark.parametrize(
    ("predicts", "train", "targets", "message"),
    [
        (False, Annotated(16), BOTH, "expected a network"),
        (True, Annotated(16), "expression", "expected a network"),
        (True, Spots(16), BOTH, "spots has no valence and arousal"),
        (True, Annotated(16), "arousal", "expected one of"),
    ],
)
def test_unfitting_targets_are_refused(predicts, train, targets, message):
    with pytest.raises(DataInvalid, match=message):
        run(small_net(valence_arousal=predicts), train, targets=targets)


def test_the_configuration_builds_the_network():
    assert new_model(TrainConfig(model="emotion_net", targets=BOTH)).valence_arousal
    assert not new_model(TrainConfig(model="emotion_net")).valence_arousal


# Data.


def write_annotations(root, annotations):
    for k, (valence, arousal) in enumerate(annotations):
        write_face(root / "train_set", k, k % 8, val=valence, aro=arousal)
    return root


def test_affectnet8_has_annotations_of_all_faces(tmp_path):
    write_annotations(tmp_path, [("0.5", "-0.25"), (-2, "-2"), (1.0, NAN), (None, [0.125]), (1.3, "-7")])
    faces = AffectNet8(tmp_path)
    assert faces.valence.dtype == np.float32
    assert np.array_equal(faces.valence, [0.5, NAN, 1, NAN, NAN], equal_nan=True)
    assert np.array_equal(faces.arousal, [-0.25, NAN, NAN, 0.125, NAN], equal_nan=True)
    for i in range(len(faces)):  # one face at a time it is the same
        note = faces.annotations(i)
        one = [NAN if value is None else value for value in (note.valence, note.arousal)]
        assert np.array_equal(one, [faces.valence[i], faces.arousal[i]], equal_nan=True)
    assert np.array_equal(
        true_valence_arousal(Subset(faces, [3, 0])), [[NAN, 0.125], [0.5, -0.25]], equal_nan=True
    )
    few = AffectNet8(tmp_path, limit=2)
    assert np.array_equal(
        few.valence, faces.valence[[faces.keys.index(key) for key in few.keys]], equal_nan=True
    )


def test_annotations_of_added_faces_are_read(tmp_path):
    write_annotations(tmp_path, [(0.5, 0.25), (0.75, 0)])
    assert len(true_valence_arousal(AffectNet8(tmp_path))) == 2
    write_annotations(tmp_path, [(0.5, 0.25), (0.75, 0), (-1, 1)])
    assert true_valence_arousal(AffectNet8(tmp_path))[2].tolist() == [-1, 1]


def test_a_value_that_cannot_be_read_is_named_or_counted(tmp_path, capsys):
    write_annotations(tmp_path, [(0.5, "high"), (0.75, [0, 1])])
    with pytest.raises(DataInvalid, match=r"0_aro\.npy .*high.*on_error=.skip"):
        true_valence_arousal(AffectNet8(tmp_path))
    assert np.isnan(AffectNet8(tmp_path, on_error="skip").arousal).all()
    assert "2 annotations cannot be read" in capsys.readouterr().out


def test_no_annotations_at_all(tmp_path):
    assert true_valence_arousal(Spots(8)) is None
    write_annotations(tmp_path, [(-2, -2), (None, None)])
    assert true_valence_arousal(AffectNet8(tmp_path)) is None
    with pytest.raises(DataInvalid, match="affectnet8 has no valence"):
        training_targets(small_net(valence_arousal=True), AffectNet8(tmp_path), BOTH)


def test_synthetic_faces_have_plausible_annotations(tmp_path):
    faces = SyntheticFaces(tmp_path, per_class=4)
    annotated = true_valence_arousal(faces)
    valence, arousal = np.transpose([annotated[faces.labels == k].mean(0) for k in range(8)])
    assert valence.argmax() == 1 and valence[1] > 0.2 and valence[[2, 4, 5, 6, 7]].max() < 0
    assert arousal[[3, 4, 6]].min() > arousal[[0, 2]].max()


# Prediction.


@pytest.fixture
def model_folder(tmp_path):
    save(tmp_path / "model", small_net(valence_arousal=True), {"flip": True})
    return tmp_path / "model"


def test_the_predictor_predicts_them(model_folder):
    predictor = EmotionPredictor(model_folder)
    frame = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    boxes = np.array([[0, 0, 40, 40], [20, 10, 30, 30]])
    faces = predictor.classify(frame, boxes)
    assert all(-1 <= value <= 1 for face in faces for value in (face.valence, face.arousal))
    (alone,) = predictor.classify(frame[:40, :40], boxes[:1])
    assert alone.valence == pytest.approx(faces[0].valence, abs=1e-4)
    mirrored = predictor.classify(frame[:, ::-1].copy(), np.array([[40, 0, 40, 40]]))
    assert mirrored[0].valence == pytest.approx(faces[0].valence, abs=1e-4)  # flip averages both


@pytest.mark.parametrize("scored", [True, False])
def test_tables_get_two_columns(tmp_path, model_folder, scored):
    if not scored:
        save(model_folder, small_net(), {})
    photos = tmp_path / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "a.png"), np.full((20, 20, 3), 99, np.uint8))
    (photos / "b.png").write_bytes(b"no picture")
    options = PredictOptions((photos,), tmp_path / "out.csv", whole_image=True, model=model_folder)
    assert predict_main(options) == 0
    header, face, broken = csv.reader((tmp_path / "out.csv").open())
    assert len(header) == len(face) == len(broken) == 17 + 2 * scored
    assert (header[-2:] == ["valence", "arousal"]) == scored
    if scored:
        assert all(-1 <= float(value) <= 1 for value in face[-2:]) and broken[-2:] == ["", ""]


def test_the_scatter_leaves_out_missing_annotations():
    true = np.array([[0.5, NAN], [-0.5, 0.25]])
    ax = plots.valence_arousal_scatter(np.zeros((2, 2)), true)
    assert [len(points.get_offsets()) for points in ax.collections] == [2, 1]
    assert ax.get_xlabel() == "annotated"
    plots.plt.close(ax.figure)
