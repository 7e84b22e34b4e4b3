"""Every figure of the notebooks and scripts: numbers and an Axes in, the Axes out; the caller titles, saves, shows.

First what is in a data set, then networks and their training, last how good predictions are.
Emotions keep their colours of ``fer.labels``, and no figure relies on colour alone: bars and rows are named, cells
hold their numbers, lines differ in dashes and markers. An image is uint8, a tensor or an array, RGB or grey:
(3, H, W), (1, H, W), (H, W, 3) or (H, W).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from fer.labels import COLOURS, EMOTIONS

INK, FAINT = "#222222", "#c8c8c8"
COLOUR = ["#{:02x}{:02x}{:02x}".format(*COLOURS[name]) for name in EMOTIONS]  # by class
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
"""For what is no emotion (splits, models): Okabe-Ito, like the emotions' colours."""

DASHES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo", "+++")

LOSSES = ("train_loss", "valid_loss")
SCORES = ("train_accuracy", "valid_accuracy", "valid_macro_f1")
"""Columns of history.csv that share an Axes."""

IBUG_LINES = (
    *(range(0, 17), range(17, 22), range(22, 27), range(27, 31), range(31, 36)),
    *((*range(36, 42), 36), (*range(42, 48), 42), (*range(48, 60), 48), (*range(60, 68), 60)),
)
"""The 68 landmarks as lines: jaw, brows, nose, eyes, lips."""


class TrainingHistory(Protocol):
    """What ``curves`` needs of a ``fer.training.History``."""

    best_epoch: int

    def column(self, name: str) -> np.ndarray: ...  # noqa: D102


def axes(rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None, **options: Any) -> Any:
    """Return the Axes of a new figure, several as an array, like ``plt.subplots``; ``size`` is in inches."""
    return plt.subplots(rows, columns, figsize=size, layout="constrained", **options)[1]


def class_counts(counts: Mapping[str, ArrayLike], ax: Axes | None = None, log: bool = True) -> Axes:
    """Faces of each emotion, one bar an emotion and series, e.g. ``{"loaded": (8,), "published": (8,)}``."""
    ax = ax or axes(size=(7, 0.7 + 0.26 * len(EMOTIONS) * len(counts)))
    height = 0.8 / len(counts)
    for k, (series, values) in enumerate(counts.items()):
        y = np.arange(len(EMOTIONS)) + (k - (len(counts) - 1) / 2) * height
        look: dict[str, Any] = {"hatch": HATCHES[k], "edgecolor": INK, "linewidth": 0.6}
        bars = ax.barh(y, values, 0.92 * height, color="white" if k else COLOUR, label=series, **look)
        ax.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8, color=INK)
    ax.set_yticks(range(len(EMOTIONS)), EMOTIONS)
    ax.invert_yaxis()
    scale, space = ("log", 4) if log else ("linear", 1.25)  # space: for the number beside the longest bar
    ax.set(xscale=scale, xlim=(int(log), space * np.max([*counts.values()])), xlabel=f"faces ({scale} scale)")
    if not log:
        ax.locator_params("x", nbins=4)
    if len(counts) > 1:
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=len(counts), fontsize=8, frameon=False
        )
    return _bare(ax)


def face_grid(
    rows: Mapping[str, Sequence[ArrayLike]], ax: Axes | None = None, titles: Sequence[str] = ()
) -> Axes:
    """Rows of images of one size: a name to each row, and a title to each column if given."""
    images = [[_rgb(image) for image in row] for row in rows.values()]
    columns = max(len(row) for row in images)
    height, width = images[0][0].shape[:2]
    ax = ax or axes(size=(0.9 + 0.85 * columns, 0.2 + 0.85 * len(rows)))
    gap = max(1, width // 32)
    step_y, step_x = height + gap, width + gap
    sheet = np.full((len(rows) * step_y - gap, columns * step_x - gap, 3), 255, np.uint8)
    for r, row in enumerate(images):
        for c, image in enumerate(row):
            sheet[r * step_y : r * step_y + height, c * step_x : c * step_x + width] = image
    ax.imshow(sheet)
    ax.set_yticks([r * step_y + (height - 1) / 2 for r in range(len(rows))], list(rows))
    ax.set_xticks([c * step_x + (width - 1) / 2 for c in range(len(titles))], titles)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def face(image: ArrayLike, ax: Axes | None = None) -> Axes:
    """One image, without ticks."""
    ax = ax or axes(size=(2.2, 2.2))
    ax.imshow(_rgb(image))
    ax.autoscale(False)  # landmarks outside the image do not widen its frame
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def landmarks(image: ArrayLike, points: np.ndarray, ax: Axes | None = None) -> Axes:
    """A face and its 68 landmarks (68, 2), x and y in pixels, joined to jaw, brows, nose, eyes and lips."""
    ax = face(image, ax)
    for line in IBUG_LINES:
        x, y = points[list(line)].T
        ax.plot(x, y, color="white", linewidth=2.2, solid_capstyle="round")
        ax.plot(x, y, color=PALETTE[0], linewidth=1, marker="o", markersize=1.6)
    return ax


def valence_arousal(
    valence: np.ndarray, arousal: np.ndarray, labels: np.ndarray, ax: Axes | None = None
) -> Axes:
    """Valence and arousal (N,), -1 to 1: each face a point, each emotion its mean."""
    ax = ax or axes(size=(6, 6))
    ax.add_patch(Circle((0, 0), 1, fill=False, color=FAINT))
    ax.axhline(0, color=FAINT, linewidth=0.8)
    ax.axvline(0, color=FAINT, linewidth=0.8)
    mixed = np.random.default_rng(0).permutation(len(labels))  # else the last emotion hides the one below it
    ax.scatter(valence[mixed], arousal[mixed], 9, np.array(COLOUR)[labels[mixed]], alpha=0.55, linewidths=0)
    means = sorted((arousal[labels == k].mean(), valence[labels == k].mean(), k) for k in np.unique(labels))
    taken = [(y, x, 0.05, 0.17) for y, x, _ in means]  # by a mean or a name: where, and how far around
    for y, x, k in means:
        ax.scatter(x, y, 70, COLOUR[k], edgecolor=INK, zorder=3)
        places = y + np.array([0.08, -0.08, *np.arange(0.09, 2, 0.01)])  # close above or below, else higher
        free = [all(abs(at - b) >= h or abs(x - a) >= w for b, a, h, w in taken) for at in places]
        place = places[np.argmax(free)]
        taken.append((place, x, 0.075, 0.3))
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": COLOUR[k], "alpha": 0.75}
        ax.text(x, place, EMOTIONS[k], ha="center", va="center", fontsize=9, zorder=4, bbox=box)
    ax.set(xlabel="valence: unpleasant to pleasant", ylabel="arousal: calm to excited")
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
    return _bare(ax)


def valence_arousal_scatter(predicted: np.ndarray, true: np.ndarray, ax: Axes | None = None) -> Axes:
    """Predicted against annotated valence and arousal, each (N, 2), NaN where not annotated; dashed: equal."""
    ax = ax or axes(size=(5, 5))
    ax.plot((-1, 1), (-1, 1), color=INK, linewidth=0.8, linestyle="--")
    for k, (name, marker) in enumerate((("valence", "o"), ("arousal", "^"))):
        known = ~np.isnan(true[:, k])
        x, y = true[known, k], predicted[known, k]
        ax.scatter(x, y, 12, color=PALETTE[k], marker=marker, alpha=0.4, linewidths=0, label=name)
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", xlabel="annotated", ylabel="predicted")
    ax.legend(loc="upper left", frameon=False)
    return _bare(ax)


def boxplot_by_class(values: np.ndarray, labels: np.ndarray, ax: Axes | None = None) -> Axes:
    """How values (N,) spread in each class: box from quartile to quartile, line at the median, whiskers 5-95 %."""
    ax = ax or axes(size=(6, 3))
    present = np.unique(labels)
    boxes = ax.boxplot(
        [values[labels == k] for k in present], whis=(5, 95), showfliers=False, patch_artist=True,
        tick_labels=[EMOTIONS[k] for k in present], medianprops={"color": INK}, widths=0.6,
    )  # fmt: skip
    for patch, k in zip(boxes["boxes"], present, strict=True):
        patch.set_facecolor(COLOUR[k])
    ax.tick_params(axis="x", rotation=35)
    return _bare(ax)


def filters(weights: ArrayLike, ax: Axes | None = None) -> Axes:
    """The kernels of a first convolution (N, 3 or 1, h, w), all on one scale; zero is middle grey."""
    weights = np.asarray(weights, np.float32)
    return _numbered_grid(127.5 + 127.5 * weights / np.abs(weights).max(), ax)


def feature_maps(maps: ArrayLike, ax: Axes | None = None) -> Axes:
    """The channels (N, H, W) of a layer's output for one image, each from 0, black, to its own maximum, white."""
    maps = np.asarray(maps, np.float32)
    return _numbered_grid(255 * maps / maps.max((1, 2), keepdims=True).clip(1e-9), ax)


def curves(history: TrainingHistory, names: Sequence[str] = LOSSES, ax: Axes | None = None) -> Axes:
    """Columns of history.csv over the epochs; the chosen epoch is marked."""
    ax = ax or axes(size=(5, 3))
    epochs, columns = history.column("epoch"), np.array([history.column(name) for name in names])
    for k, (name, values) in enumerate(zip(names, columns, strict=True)):
        label = name.replace("macro_f1", "macro-F1").replace("_", " ")
        ax.plot(epochs, values, f"o{DASHES[k % 4]}", markersize=3.5, color=PALETTE[k], label=label)
    if chosen := history.best_epoch:
        ax.axvline(chosen, color=INK, linewidth=0.9, linestyle=":", label=f"chosen: epoch {chosen}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    top = 1.1 * columns.max(where=np.isfinite(columns), initial=0.1) if "loss" in names[0] else 1
    ax.set(xlabel="epoch", xlim=(epochs.min() - 0.5, epochs.max() + 0.5), ylim=(0, top))
    ax.legend(fontsize=8)
    return _bare(ax)


def live_curves() -> Callable[[TrainingHistory], None]:
    """Return an ``on_epoch`` for ``fer.training.fit``: below a notebook's cell a line an epoch, then the curves."""
    from IPython.display import clear_output, display

    def draw(history: TrainingHistory) -> None:
        both = axes(1, 2, (9, 2.8))
        for names, ax in zip((LOSSES, SCORES), both, strict=True):
            curves(history, names, ax)
        clear_output(wait=True)  # with what closed progress bars leave behind
        print(history)
        display(both[0].figure)
        plt.close(both[0].figure)  # at the end of the cell it would be shown a second time

    return draw


def heat_map(image: ArrayLike, strength: np.ndarray, ax: Axes | None = None) -> Axes:
    """An image in grey under a map (H, W) of its size, 0 to 1, e.g. Grad-CAM's: bright where it is strong."""
    ax = face(_rgb(image).mean(2).astype(np.uint8), ax)
    ax.imshow(strength, cmap="inferno", vmin=0, vmax=1, alpha=0.65 * np.clip(strength, 0, 1))
    return ax


def confusion(
    counts: ArrayLike, names: Sequence[str] = EMOTIONS, ax: Axes | None = None, normalize: bool = True
) -> Axes:
    """Each true class (row) and its predictions (columns): proportions of the row, also as the shade of counts."""
    counts = np.asarray(counts)
    ax = ax or axes(size=(0.62 * len(names) + 1.4, 0.56 * len(names) + 1.2))
    proportions = counts / counts.sum(1, keepdims=True).clip(1)  # a class without faces stays 0
    form = (lambda v: f"{v:.2f}" if v else "0") if normalize else "{:,}".format
    _cells(ax, proportions, [[form(v) for v in row] for row in (proportions if normalize else counts)])
    ax.set(xlabel="predicted", ylabel="true")
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), names)
    return ax


def per_class(rows: Mapping[str, Mapping[str, float]], ax: Axes | None = None) -> Axes:
    """``Scores.per_class`` as cells: precision, recall and F1 of each class, its number of faces beside it."""
    ax = ax or axes(size=(4.4, 0.42 * len(rows) + 0.8))
    values = np.array([[row[column] for column in ("precision", "recall", "f1")] for row in rows.values()])
    _cells(ax, values, [[f"{v:.2f}" for v in row] for row in values])
    ax.set_xticks(range(3), ("precision", "recall", "F1"))
    ax.set_yticks(range(len(rows)), [f"{name} ({row['support']:,.0f})" for name, row in rows.items()])
    return ax


def bars_by_class(values: Mapping[str, Sequence[float]], ax: Axes | None = None) -> Axes:
    """Values from 0 to 1, a bar a class and series, e.g. the recall of each class by several models."""
    ax = ax or axes(size=(9, 3))
    width = 0.82 / len(values)
    for k, (series, heights) in enumerate(values.items()):
        x = np.arange(len(EMOTIONS)) + (k - (len(values) - 1) / 2) * width
        look: dict[str, Any] = {"hatch": HATCHES[k % 7], "edgecolor": "white", "linewidth": 0.5}
        ax.bar(x, heights, width, color=PALETTE[k % 7], label=series, **look)
    ax.set_xticks(range(len(EMOTIONS)), EMOTIONS)
    ax.set_ylim(0, 1)
    ax.legend(fontsize=8, ncols=len(values), loc="lower center", bbox_to_anchor=(0.5, 1))
    return _bare(ax)


def reliability(bins: Mapping[str, Sequence[np.ndarray]], ax: Axes | None = None) -> Axes:
    """Accuracy against confidence, a line for each result of ``fer.evaluation.calibration_curve``.

    Below the diagonal a network is overconfident. The size of a mark grows with the faces in its bin.
    """
    ax = ax or axes(size=(4.4, 4.2))
    ax.plot((0, 1), (0, 1), color=FAINT, label="perfectly calibrated")
    for k, (name, (n, confidence, accuracy)) in enumerate(bins.items()):
        x, y, size = confidence[n > 0], accuracy[n > 0], 12 + 240 * n[n > 0] / n.sum()
        ax.plot(x, y, DASHES[k % 4], color=PALETTE[k], label=name)
        ax.scatter(x, y, size, color=PALETTE[k], alpha=0.7, clip_on=False)  # the fullest bin is in the corner
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="confidence", ylabel="accuracy")
    ax.legend(fontsize=8, loc="lower right")
    return _bare(ax)


def coverage(
    confidence: np.ndarray, correct: np.ndarray, threshold: float | None = None, ax: Axes | None = None
) -> Axes:
    """What a threshold of confidence (N,) brings: the proportion of faces that reach it, and the accuracy on these."""
    ax = ax or axes(size=(5, 3.4))
    steps = np.linspace(0, 1, 101)
    kept = confidence >= steps[:, None]
    named = kept.mean(1)
    accuracy = np.where(named > 0, (kept & correct).sum(1) / kept.sum(1).clip(1), np.nan)
    ax.plot(steps, named, DASHES[1], color=PALETTE[1], label="faces with a name")
    ax.plot(steps, accuracy, color=PALETTE[0], label="accuracy on these")
    if threshold is not None:
        ax.axvline(threshold, color=INK, linewidth=0.9, linestyle=":", label=f"threshold {threshold:g}")
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="uncertain below this confidence")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.legend(fontsize=8, loc="lower left")
    return _bare(ax)


def comparison(values: Mapping[str, tuple[float, tuple[float, float]]], ax: Axes | None = None) -> Axes:
    """A score of several models, 0 to 1, with its interval: ``{name: (value, (low, high))}``."""
    ax = ax or axes(size=(5, 0.6 + 0.42 * len(values)))
    for k, (value, (low, high)) in enumerate(values.values()):
        ax.plot((low, high), (k, k), color=PALETTE[0], linewidth=2.5, solid_capstyle="butt")
        ax.plot(value, k, "o", color=PALETTE[0], markersize=7)
        ax.annotate(f"{value:.1%}", (high, k), (6, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.margins(x=0.18)
    ax.grid(axis="x", color=FAINT, linewidth=0.5)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    return _bare(ax)


def probabilities(values: Sequence[float], truth: str | None = None, ax: Axes | None = None) -> Axes:
    """The probabilities of one face as bars; the true emotion, if it is known, marked."""
    ax = ax or axes(size=(3.2, 2.4))
    rows = range(len(values))
    bars = ax.barh(rows, values, color=COLOUR, edgecolor=INK, linewidth=0.5)
    ax.bar_label(bars, [f"{value:.0%}" for value in values], padding=3, fontsize=8)
    ax.set_yticks(rows, [f"{name} (true)" if name == truth else name for name in EMOTIONS[: len(rows)]])
    ax.set(xlim=(0, 1.15), xticks=[])
    ax.invert_yaxis()
    return _bare(ax)


def _rgb(image: ArrayLike) -> np.ndarray:
    """Return an image of any layout as (H, W, 3)."""
    image = np.atleast_3d(image)
    image = image.transpose(1, 2, 0) if image.shape[0] in (1, 3) else image
    return np.broadcast_to(image, (*image.shape[:2], 3))


def _numbered_grid(images: np.ndarray, ax: Axes | None) -> Axes:
    """Images of values 0 to 255 in rows of six, each named by the numbers of its images, from 1."""
    starts = range(0, len(images), 6)
    rows = [list(images[start : start + 6].astype(np.uint8)) for start in starts]
    return face_grid({f"{k + 1}-{k + len(row)}": row for k, row in zip(starts, rows, strict=True)}, ax)


def _cells(ax: Axes, values: np.ndarray, text: Sequence[Sequence[str]]) -> None:
    """Values from 0 to 1 as shades with a text in each cell, dark on light and light on dark."""
    ax.imshow(values, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for (r, c), value in np.ndenumerate(values):
        ink = "white" if value > 0.67 else INK
        ax.text(c, r, text[r][c], ha="center", va="center", fontsize=8, color=ink)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def _bare(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax
