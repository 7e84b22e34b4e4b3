"""Figures show what they were given: the numbers are read back from the Axes."""

import inspect
import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from fer import plots
from fer.evaluation.scores import calibration_curve, score
from fer.labels import EMOTIONS
from fer.training import History

matplotlib.use("Agg")

FACE = np.zeros((3, 20, 20), np.uint8)
LABELS = np.arange(16) % 8
POINTS = np.stack([np.arange(68.0), 100 + np.arange(68.0)], 1)
HISTORY = History([{"epoch": e, "train_loss": 3.0 - e, "valid_loss": 2.5 - e / 2} for e in (1, 2)], 2)
PROBABILITIES = np.full((16, 8), 0.05) + 0.6 * np.eye(8)[LABELS]

FIGURES = {
    "class_counts": lambda ax: plots.class_counts({"loaded": range(1, 9)}, ax=ax),
    "face_grid": lambda ax: plots.face_grid({"a": [FACE, FACE], "b": [FACE]}, ax),
    "face": lambda ax: plots.face(FACE, ax),
    "landmarks": lambda ax: plots.landmarks(FACE, POINTS, ax),
    "valence_arousal": lambda ax: plots.valence_arousal(np.zeros(16), np.ones(16), LABELS, ax=ax),
    "valence_arousal_scatter": lambda ax: plots.valence_arousal_scatter(POINTS[:4] * 0, POINTS[:4] * 0, ax),
    "boxplot_by_class": lambda ax: plots.boxplot_by_class(np.arange(16.0), LABELS, ax=ax),
    "filters": lambda ax: plots.filters(torch.randn(7, 3, 3, 3), ax),
    "feature_maps": lambda ax: plots.feature_maps(torch.rand(7, 5, 5), ax),
    "curves": lambda ax: plots.curves(HISTORY, ax=ax),
    "heat_map": lambda ax: plots.heat_map(FACE, np.zeros((20, 20)), ax),
    "confusion": lambda ax: plots.confusion(np.eye(8, dtype=int), ax=ax),
    "per_class": lambda ax: plots.per_class(score(PROBABILITIES, LABELS, resamples=0).per_class, ax),
    "bars_by_class": lambda ax: plots.bars_by_class({"a": PROBABILITIES[0], "b": PROBABILITIES[1]}, ax=ax),
    "reliability": lambda ax: plots.reliability({"raw": calibration_curve(PROBABILITIES, LABELS)}, ax),
    "coverage": lambda ax: plots.coverage(np.linspace(0, 1, 9), np.arange(9) > 4, 0.4, ax),
    "comparison": lambda ax: plots.comparison({"a": (0.5, (0.4, 0.6))}, ax),
    "probabilities": lambda ax: plots.probabilities(PROBABILITIES[0], "fear", ax),
}


@pytest.fixture
def ax():
    made = plots.axes()
    yield made
    plots.plt.close(made.figure)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_draws_into_the_axes_it_is_given_or_makes_its_own(name, ax):
    before = plots.plt.get_fignums()
    assert FIGURES[name](ax) is ax
    assert plots.plt.get_fignums() == before, "a second figure was made"
    assert ax.has_data()
    ax.figure.canvas.draw()
    own = FIGURES[name](None)
    assert isinstance(own, Axes)
    plots.plt.close(own.figure)


def test_every_figure_is_tested():
    functions = {
        name for name, f in inspect.getmembers(plots, inspect.isfunction) if f.__module__ == plots.__name__
    }
    assert {name for name in functions if not name.startswith("_")} == {*FIGURES, "axes", "live_curves"}


def test_importing_plots_loads_no_window_system_and_changes_no_setting():
    code = (
        "import matplotlib; before = {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != 'backend'};"
        "import fer.plots;"
        "assert matplotlib.get_backend(auto_select=False) is None;"
        "assert before == {k: matplotlib.rcParams[k] for k in before}"
    )
    environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_confusion_shows_proportions_of_the_true_class_and_leaves_an_empty_class_at_zero(ax):
    counts = np.array([[3, 1], [0, 0]])
    plots.confusion(counts, ("yes", "no"), ax)
    assert ax.images[0].get_array().tolist() == [[0.75, 0.25], [0, 0]]
    assert [text.get_text() for text in ax.texts] == ["0.75", "0.25", "0", "0"]
    assert ax.get_xlabel() == "predicted" and ax.get_ylabel() == "true"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["yes", "no"]


def test_confusion_in_counts_keeps_the_shade_of_the_proportions(ax):
    plots.confusion(np.array([[3000, 1000], [0, 5]]), ("yes", "no"), ax, normalize=False)
    assert [text.get_text() for text in ax.texts] == ["3,000", "1,000", "0", "5"]
    assert ax.images[0].get_array()[1].tolist() == [0, 1]


def test_class_counts_puts_the_number_at_every_bar(ax):
    plots.class_counts({"loaded": [10] * 8, "published": [1234] * 8}, ax=ax)
    assert [bar.get_width() for bar in ax.patches] == [10] * 8 + [1234] * 8
    assert [text.get_text() for text in ax.texts] == ["10"] * 8 + ["1,234"] * 8
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(EMOTIONS)


@pytest.mark.parametrize("shape", [(3, 8, 6), (1, 8, 6), (8, 6, 3), (8, 6)])
def test_images_of_any_layout_are_shown_upright(shape, ax):
    image = np.zeros(shape, np.uint8)
    image[(slice(None), 0) if shape[0] in (1, 3) else 0] = 200
    plots.face(torch.from_numpy(image), ax)
    shown = ax.images[0].get_array()
    assert shown.shape == (8, 6, 3)
    assert (shown[0] == 200).all() and (shown[1:] == 0).all()


def test_the_grid_puts_each_image_in_its_row_and_column(ax):
    grey = [np.full((3, 32, 32), shade, np.uint8) for shade in (10, 20, 30)]
    plots.face_grid({"first": grey[:2], "second": grey[2:]}, ax)
    sheet = ax.images[0].get_array()
    assert [sheet[16, 16, 0], sheet[16, 49, 0], sheet[49, 16, 0], sheet[49, 49, 0]] == [10, 20, 30, 255]


def test_the_names_of_a_grid_stand_at_the_centres_of_small_images(ax):
    plots.face_grid({"first": [np.zeros((3, 3, 3))] * 2, "second": [np.zeros((3, 3, 3))]}, ax, ("a", "b"))
    assert list(ax.get_yticks()) == list(ax.get_xticks()) == [1, 5]  # the pixels 0 to 2 and 4 to 6


def test_all_68_landmarks_are_drawn_where_they_are(ax):
    plots.landmarks(FACE, POINTS, ax)
    shown = {(x, y) for line in ax.lines for x, y in zip(*line.get_data(), strict=True)}
    assert shown == set(map(tuple, POINTS))


def test_curves_mark_the_chosen_epoch(ax):
    plots.curves(HISTORY, ("train_loss", "valid_loss"), ax)
    assert ax.lines[0].get_ydata().tolist() == [2.0, 1.0]
    assert set(ax.lines[2].get_xdata()) == {2}
    labels = [text.get_text() for text in ax.get_legend().texts]
    assert labels == ["train loss", "valid loss", "chosen: epoch 2"]


def test_curves_of_one_epoch_are_not_cut_off(ax):
    plots.curves(History([{"epoch": 1, "train_loss": 2.0, "valid_loss": np.inf}], 1), plots.LOSSES, ax)
    assert ax.get_ylim()[1] > 2.1
    assert [tick for tick in ax.get_xticks() if 0.5 < tick < 1.5] == [1]


def test_live_curves_replace_what_stood_there(monkeypatch, capsys):
    calls = []
    monkeypatch.setattr("IPython.display.clear_output", lambda wait: calls.append("cleared"))
    monkeypatch.setattr("IPython.display.display", lambda figure: calls.append(len(figure.axes)))
    columns = ("epoch", *plots.LOSSES, *plots.SCORES, "valid_balanced_accuracy", "seconds", "chosen")
    history = History([dict.fromkeys(columns, 1)], 1)
    draw = plots.live_curves()
    draw(history)
    draw(history)
    assert calls == 2 * ["cleared", 2] and not plots.plt.get_fignums()
    assert capsys.readouterr().out.count("epoch   1  train loss 1.000") == 2


def test_reliability_leaves_empty_bins_out(ax):
    n, confidence, accuracy = np.array([0, 2, 2]), np.array([0, 0.5, 0.9]), np.array([0, 0.5, 1.0])
    plots.reliability({"raw": (n, confidence, accuracy)}, ax)
    assert ax.lines[1].get_xdata().tolist() == [0.5, 0.9]


def test_the_mark_of_the_surest_faces_is_whole(ax):
    plots.reliability({"raw": (np.array([8]), np.array([1.0]), np.array([1.0]))}, ax)
    ax.figure.canvas.draw()
    _, _, right, top = (round(edge) for edge in ax.get_window_extent().extents)
    pixels = np.asarray(ax.figure.canvas.buffer_rgba())[::-1]  # like the Axes, from the bottom
    assert (pixels[top - 3 : top + 6, right + 3, :3] != 255).any()


def test_coverage_gives_the_faces_above_a_threshold_and_their_accuracy(ax):
    plots.coverage(np.array([0.2, 0.6, 0.7, 0.9]), np.array([False, False, True, True]), ax=ax)
    named, accuracy = (line.get_ydata() for line in ax.lines[:2])
    assert (named[0], named[50], named[100]) == (1, 0.75, 0)
    assert (accuracy[0], accuracy[65]) == (0.5, 1) and np.isnan(accuracy[100])


def test_names_of_means_at_one_place_do_not_lie_upon_each_other(ax):
    plots.valence_arousal(np.zeros(16), np.zeros(16), LABELS, ax=ax)
    heights = sorted(text.get_position()[1] for text in ax.texts)
    assert len(heights) == 8 and min(np.diff(heights)) > 0.07


def test_the_name_of_a_mean_does_not_stand_upon_the_mean_above_it(ax):
    plots.valence_arousal(np.array([-0.36, -0.42]), np.array([0.18, 0.25]), np.array([7, 5]), ax)
    contempt, disgust = (text.get_position()[1] for text in ax.texts)
    assert contempt < 0.18 and disgust > 0.25
