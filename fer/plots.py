"""Every figure of the notebooks and scripts: numbers and an Axes in, the Axes out; the caller titles, saves, shows.

The only file that imports matplotlib. Emotions keep their colours of ``fer.labels``; nothing is told by
colour alone: bars and rows are named, cells hold their numbers, lines differ in dashes and markers.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fer.labels import COLOURS, EMOTIONS
from fer.training.history import History

INK, FAINT = "#222222", "#c8c8c8"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
"""For things that are no emotions (splits, models): Okabe-Ito, like the emotions' colours."""

DASHES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo", "+++")

LOSSES = ("train_loss", "valid_loss")
RATES = ("train_accuracy", "valid_accuracy", "valid_macro_f1")
"""Columns of history.csv that are drawn together."""

IBUG_LINES = (
    *(range(0, 17), range(17, 22), range(22, 27), range(27, 31), range(31, 36)),
    *((*range(36, 42), 36), (*range(42, 48), 42), (*range(48, 60), 48), (*range(60, 68), 60)),
)
"""The 68 landmarks as lines: jaw, brows, nose, eyes, lips."""

Picture = np.ndarray
"""A uint8 image, as a tensor or array: (3, H, W), (1, H, W), (H, W, 3) or (H, W), RGB."""


def axes(
    rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None, **options
) -> Axes | np.ndarray:
    """Return a new figure's Axes: one, or an array of them, as ``plt.subplots`` does. ``size`` is in inches."""
    return plt.subplots(rows, columns, figsize=size, layout="constrained", **options)[1]


def colour(name: str) -> tuple[float, float, float]:
    """Return the colour of an emotion as matplotlib wants it, 0 to 1."""
    return tuple(value / 255 for value in COLOURS[name])


# What is in a data set.


def class_counts(
    counts: Mapping[str, Sequence[int]], names: Sequence[str] = EMOTIONS, ax: Axes | None = None
) -> Axes:
    """Faces of each class, one bar a class and series, e.g. ``{"loaded": (8,), "published": (8,)}``.

    The first series has the emotions' colours, the others are hatched. The
    scale is logarithmic, because the classes may differ by a factor of forty;
    every bar has its number.
    """
    ax = ax or axes(size=(7, 0.7 + 0.26 * len(names) * len(counts)))
    height = 0.8 / len(counts)
    for k, (series, values) in enumerate(counts.items()):
        y = np.arange(len(names)) + (k - (len(counts) - 1) / 2) * height
        fill = [colour(name) for name in names] if k == 0 else "white"
        bars = ax.barh(
            y, values, 0.92 * height, color=fill, edgecolor=INK, linewidth=0.6, hatch=HATCHES[k], label=series
        )
        ax.bar_label(bars, [f"{int(n):,}" for n in values], padding=3, fontsize=8, color=INK)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.set_xlim(1, 4 * max(max(values) for values in counts.values()))
    ax.set_xlabel("faces (logarithmic scale)")
    if len(counts) > 1:
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "ncols": len(counts)}
        handles = ax.legend(**place, fontsize=8, frameon=False).legend_handles
        handles[0].set_facecolor(FAINT)  # the first series has no colour of its own
    return _bare(ax)


def face_grid(
    rows: Mapping[str, Sequence[Picture]], ax: Axes | None = None, titles: Sequence[str] = ()
) -> Axes:
    """Rows of pictures with a name each, and a title to each column if given; all of one size."""
    pictures = {name: [_picture(image) for image in images] for name, images in rows.items()}
    columns = max(len(images) for images in pictures.values())
    side_y, side_x = next(iter(pictures.values()))[0].shape[:2]
    ax = ax or axes(size=(0.9 + 0.85 * columns, 0.2 + 0.85 * len(rows)))
    gap = max(1, side_x // 32)
    sheet = np.full((len(rows) * (side_y + gap) - gap, columns * (side_x + gap) - gap, 3), 255, np.uint8)
    for r, images in enumerate(pictures.values()):
        for c, image in enumerate(images):
            top, left = r * (side_y + gap), c * (side_x + gap)
            sheet[top : top + side_y, left : left + side_x] = image
    ax.imshow(sheet)
    ax.set_yticks([r * (side_y + gap) + side_y / 2 for r in range(len(rows))], list(rows))
    ax.set_xticks([c * (side_x + gap) + side_x / 2 for c in range(len(titles))], titles)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def face(image: Picture, ax: Axes | None = None) -> Axes:
    """One picture, without ticks."""
    ax = ax or axes(size=(2.2, 2.2))
    ax.imshow(_picture(image))
    ax.autoscale(False)  # what is drawn upon it does not change its frame
    return _no_ticks(ax)


def landmarks(image: Picture, points: np.ndarray, ax: Axes | None = None) -> Axes:
    """A face and its 68 landmarks (68, 2), x and y in its pixels, joined to jaw, brows, nose, eyes and lips."""
    ax = face(image, ax)
    for line in IBUG_LINES:
        x, y = points[list(line)].T
        ax.plot(x, y, color="white", linewidth=2.2, solid_capstyle="round")
        ax.plot(x, y, color=PALETTE[0], linewidth=1, marker="o", markersize=1.6)
    return ax


def valence_arousal(
    valence: np.ndarray,
    arousal: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str] = EMOTIONS,
    ax: Axes | None = None,
) -> Axes:
    """Each face a point, each class its mean: unpleasant to pleasant, calm to excited, both -1 to 1."""
    ax = ax or axes(size=(6, 6))
    ax.add_patch(plt.Circle((0, 0), 1, fill=False, color=FAINT))
    ax.axhline(0, color=FAINT, linewidth=0.8)
    ax.axvline(0, color=FAINT, linewidth=0.8)
    means = []
    for k, name in enumerate(names):
        x, y = valence[labels == k], arousal[labels == k]
        if len(x):
            ax.scatter(x, y, 9, color=colour(name), alpha=0.55, linewidths=0)
            ax.scatter(x.mean(), y.mean(), 70, color=colour(name), edgecolor=INK, zorder=3)
            means.append((y.mean() + 0.08, x.mean(), name))
    placed: list[tuple[float, float]] = []
    for y, x, name in sorted(means):
        clash = [other + 0.075 for other, at in placed if abs(at - x) < 0.3 and y < other + 0.075]
        placed.append((max([y, *clash]), x))
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
        ax.text(x, placed[-1][0], name, ha="center", va="center", fontsize=9, zorder=4, bbox=box)
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
    ax.set(xlabel="valence: unpleasant to pleasant", ylabel="arousal: calm to excited")
    return _bare(ax)


def valence_arousal_scatter(predicted: np.ndarray, true: np.ndarray, ax: Axes | None = None) -> Axes:
    """Predicted against annotated valence and arousal, each (N, 2); on the dashed line the two agree.

    Faces without an annotation (NaN) are left out.
    """
    ax = ax or axes(size=(5, 5))
    ax.plot((-1, 1), (-1, 1), color=INK, linewidth=0.8, linestyle="--")
    for k, (name, marker) in enumerate((("valence", "o"), ("arousal", "^"))):
        there = ~np.isnan(true[:, k])
        style = {"color": PALETTE[k], "marker": marker, "alpha": 0.4, "linewidths": 0, "label": name}
        ax.scatter(true[there, k], predicted[there, k], 12, **style)
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", xlabel="annotated", ylabel="predicted")
    ax.legend(loc="upper left", frameon=False)
    return _bare(ax)


def by_class(
    values: np.ndarray, labels: np.ndarray, names: Sequence[str] = EMOTIONS, ax: Axes | None = None
) -> Axes:
    """How a number is spread in each class: box from quartile to quartile, line at the median, whiskers 5-95 %."""
    ax = ax or axes(size=(6, 3))
    present = [k for k in range(len(names)) if (labels == k).any()]
    boxes = ax.boxplot(
        [values[labels == k] for k in present], whis=(5, 95), showfliers=False, patch_artist=True,
        tick_labels=[names[k] for k in present], medianprops={"color": INK}, widths=0.6,
    )  # fmt: skip
    for patch, k in zip(boxes["boxes"], present, strict=True):
        patch.set_facecolor(colour(names[k]))
    ax.tick_params(axis="x", rotation=35)
    return _bare(ax)


# Networks and their training.


def filters(weights: np.ndarray, ax: Axes | None = None, columns: int = 6) -> Axes:
    """The kernels of a first convolution (N, 3 or 1, h, w) as pictures, all on one scale; zero is middle grey."""
    weights = np.asarray(weights, np.float32)
    scaled = np.uint8(127.5 + 127.5 * weights / np.abs(weights).max())
    rows = [scaled[k : k + columns] for k in range(0, len(scaled), columns)]
    return face_grid({f"{columns * r + 1}-{columns * r + len(row)}": row for r, row in enumerate(rows)}, ax)


def feature_maps(maps: np.ndarray, ax: Axes | None = None, columns: int = 6) -> Axes:
    """What each channel (N, H, W) of a layer answers to one picture: dark nothing, bright its own strongest."""
    maps = np.asarray(maps, np.float32)
    scaled = np.uint8(255 * maps / maps.max((1, 2), keepdims=True).clip(1e-9))
    rows = [scaled[k : k + columns] for k in range(0, len(scaled), columns)]
    return face_grid({f"{columns * r + 1}-{columns * r + len(row)}": row for r, row in enumerate(rows)}, ax)


def curves(history: History, names: Sequence[str] = LOSSES, ax: Axes | None = None) -> Axes:
    """Columns of history.csv over the epochs; the chosen epoch is marked."""
    ax = ax or axes(size=(5, 3))
    epochs = history.column("epoch")
    for k, name in enumerate(names):
        ax.plot(
            epochs,
            history.column(name),
            DASHES[k % 4],
            color=PALETTE[k],
            marker="o",
            markersize=3.5,
            label=_words(name),
        )
    if history.best_epoch:
        ax.axvline(
            history.best_epoch,
            color=INK,
            linewidth=0.9,
            linestyle=":",
            label=f"chosen: epoch {history.best_epoch}",
        )
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylim(0, 1 if not any("loss" in name for name in names) else None)
    ax.legend(fontsize=8)
    return _bare(ax)


def live_curves() -> Callable[[History], None]:
    """Return an ``on_epoch`` for ``fer.train.fit`` that draws loss and scores anew under a notebook's cell."""
    from IPython.display import DisplayHandle, Image

    handle = DisplayHandle()
    shown = False

    def draw(history: History) -> None:
        nonlocal shown
        figure = Figure(
            figsize=(9, 2.8), layout="constrained"
        )  # without pyplot, which would show it once more
        left, right = figure.subplots(1, 2)
        curves(history, LOSSES, left)
        curves(history, RATES, right)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
        (handle.update if shown else handle.display)(Image(buffer.getvalue()))
        shown = True

    return draw


def heat(image: Picture, strength: np.ndarray, ax: Axes | None = None) -> Axes:
    """A picture under a map of strengths (H, W), 0 to 1, of its own size: bright where it counts (Grad-CAM)."""
    ax = ax or axes(size=(2.2, 2.2))
    ax.imshow(_picture(image).mean(2), cmap="gray", vmin=0, vmax=255)
    ax.imshow(strength, cmap="inferno", vmin=0, vmax=1, alpha=0.65 * np.clip(strength, 0, 1))
    return _no_ticks(ax)


# How good predictions are.


def confusion(
    counts: np.ndarray, names: Sequence[str] = EMOTIONS, ax: Axes | None = None, shares: bool = True
) -> Axes:
    """Each true class (row) and what was predicted (columns): as shares of the row, or as counts.

    The shade is the share in both cases, so that rare classes can be read too.
    """
    counts = np.asarray(counts)
    ax = ax or axes(size=(0.62 * len(names) + 1.4, 0.56 * len(names) + 1.2))
    share = counts / counts.sum(1, keepdims=True).clip(1)  # a class without faces stays 0
    text = (
        [[f"{v:.2f}" if v else "0" for v in row] for row in share]
        if shares
        else [[f"{v:,}" for v in row] for row in counts]
    )
    _cells(ax, share, text, "Blues", 1)
    ax.set(xlabel="predicted", ylabel="true")
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), names)
    return ax


def per_class(rows: Mapping[str, Mapping[str, float]], ax: Axes | None = None) -> Axes:
    """Precision, recall and F1 of each class as a heat map, its number of faces beside it: ``Scores.per_class``."""
    columns = ("precision", "recall", "f1")
    ax = ax or axes(size=(4.4, 0.42 * len(rows) + 0.8))
    values = np.array([[row[column] for column in columns] for row in rows.values()])
    _cells(ax, values, [[f"{v:.2f}" for v in row] for row in values], "Blues", 1)
    ax.set_xticks(range(3), ("precision", "recall", "F1"))
    ax.set_yticks(range(len(rows)), [f"{name} ({row['support']:,.0f})" for name, row in rows.items()])
    return ax


def grouped(
    values: Mapping[str, Sequence[float]], names: Sequence[str] = EMOTIONS, ax: Axes | None = None
) -> Axes:
    """Shares from 0 to 1, several bars a class: e.g. the recall of each class by several models."""
    ax = ax or axes(size=(9, 3))
    width = 0.82 / len(values)
    for k, (series, shares) in enumerate(values.items()):
        x = np.arange(len(names)) + (k - (len(values) - 1) / 2) * width
        ax.bar(
            x,
            shares,
            width,
            color=PALETTE[k % 7],
            edgecolor="white",
            linewidth=0.5,
            hatch=HATCHES[k % 7],
            label=series,
        )
    ax.set_xticks(range(len(names)), names)
    ax.set_ylim(0, 1)
    ax.legend(fontsize=8, ncols=len(values), loc="lower center", bbox_to_anchor=(0.5, 1))
    return _bare(ax)


def reliability(
    bins: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], ax: Axes | None = None
) -> Axes:
    """Accuracy against confidence, a line for each of what ``fer.evaluation.scores.calibration`` returned.

    On the diagonal a network is right as often as it says; below it, it is too
    sure. The size of a mark grows with the number of faces in its bin.
    """
    ax = ax or axes(size=(4.4, 4.2))
    ax.plot((0, 1), (0, 1), color=FAINT, label="perfectly calibrated")
    for k, (name, (n, confidence, accuracy)) in enumerate(bins.items()):
        some = n > 0
        ax.plot(confidence[some], accuracy[some], DASHES[k % 4], color=PALETTE[k], label=name)
        ax.scatter(
            confidence[some], accuracy[some], 12 + 240 * n[some] / n.sum(), color=PALETTE[k], alpha=0.7
        )
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="confidence", ylabel="share that is right")
    ax.legend(fontsize=8, loc="lower right")
    return _bare(ax)


def coverage(
    confidence: np.ndarray, right: np.ndarray, threshold: float | None = None, ax: Axes | None = None
) -> Axes:
    """What a threshold buys: by threshold, how many faces are still named, and how many of those rightly.

    Args:
        confidence: (N,), probability of the predicted class.
        right: bool (N,), whether it is the true one.
        threshold: marked by a line.
        ax: drawn into.
    """
    ax = ax or axes(size=(5, 3.4))
    steps = np.linspace(0, 1, 101)
    named = np.array([(confidence >= t).mean() for t in steps])
    good = np.array([right[confidence >= t].mean() if (confidence >= t).any() else np.nan for t in steps])
    ax.plot(steps, named, DASHES[1], color=PALETTE[1], label="faces that are named")
    ax.plot(steps, good, color=PALETTE[0], label="of these, named rightly")
    if threshold is not None:
        ax.axvline(threshold, color=INK, linewidth=0.9, linestyle=":", label=f"threshold {threshold:g}")
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="uncertain below this confidence")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.legend(fontsize=8, loc="lower left")
    return _bare(ax)


def comparison(
    values: Mapping[str, tuple[float, tuple[float, float]]], ax: Axes | None = None, percent: bool = True
) -> Axes:
    """A score of several models with its interval: ``{name: (value, (low, high))}``, best seen by position."""
    ax = ax or axes(size=(5, 0.6 + 0.42 * len(values)))
    for k, (value, (low, high)) in enumerate(values.values()):
        ax.plot((low, high), (k, k), color=PALETTE[0], linewidth=2.5, solid_capstyle="butt")
        ax.plot(value, k, "o", color=PALETTE[0], markersize=7)
        ax.annotate(
            f"{value:.1%}" if percent else f"{value:,.4g}",
            (high, k),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.margins(x=0.18)
    ax.grid(axis="x", color=FAINT, linewidth=0.5)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    if percent:
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    return _bare(ax)


def probabilities(shares: Sequence[float], truth: str | None = None, ax: Axes | None = None) -> Axes:
    """The eight probabilities of one face as bars; the true emotion, when it is known, in bold with a mark."""
    ax = ax or axes(size=(3.2, 2.4))
    names = EMOTIONS[: len(shares)]
    bars = ax.barh(
        range(len(names)), shares, color=[colour(name) for name in names], edgecolor=INK, linewidth=0.5
    )
    ax.bar_label(bars, [f"{share:.0%}" for share in shares], padding=3, fontsize=8)
    ax.set_yticks(range(len(names)), [f"{name} (true)" if name == truth else name for name in names])
    for label, name in zip(ax.get_yticklabels(), names, strict=True):
        label.set_fontweight("bold" if name == truth else "normal")
    ax.set(xlim=(0, 1.15), xticks=[])
    ax.invert_yaxis()
    ax.spines["bottom"].set_visible(False)
    return _bare(ax)


def timeline(
    faces: Iterable[tuple[int, np.ndarray, np.ndarray]],
    axes: Sequence[Axes] | None = None,
    bridge_s: float = 1.5,
) -> list[Axes]:
    """Probabilities over time, stacked to 1, a row for each face: what ``fer.live.records.Tally.curves`` gives.

    Args:
        faces: (number of the face, times (T,) in seconds, probabilities (T, 8));
            a face that was not seen at a time has NaN there.
        axes: one for each face; by default in a new figure, without pyplot:
            beside OpenCV's window, pyplot may load a second Qt, and then both crash.
        bridge_s: shorter absences are drawn through, because few cameras give a face at every step.

    Returns:
        An Axes for each face; a single one that says so when there was none.
    """
    faces = list(faces)
    if axes is None:
        rows = max(1, len(faces))
        figure = Figure(figsize=(10, 1.1 + rows * max(0.45, min(1.5, 8 / rows))), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    axes = list(axes)
    for ax, (number, times, shares) in zip(axes, faces, strict=True) if faces else ():
        seen = ~np.isnan(shares).any(1)
        step = np.diff(times).min(initial=0.1)
        runs = np.split(np.flatnonzero(seen), np.flatnonzero(np.diff(times[seen]) > bridge_s) + 1)
        for run in runs:
            # Each value holds for a step, so that a face seen once is there to be seen.
            at = np.concatenate([times[run] - step / 2, times[run[-1:]] + step / 2])
            heights = np.concatenate([shares[run], shares[run[-1:]]]).T
            ax.stackplot(
                at, heights, colors=[colour(name) for name in EMOTIONS], edgecolor="white", linewidth=0.3
            )
        ax.set(ylim=(0, 1), yticks=(0, 0.5, 1))
        # Upright ones would meet, of many faces.
        ax.set_ylabel(f"face {number}", rotation=0, ha="right", va="center")
        ax.margins(x=0)
        _bare(ax)
    axes[-1].set_xlabel("seconds")
    if not faces:
        axes[0].text(0.5, 0.5, "no face was seen", ha="center", va="center", transform=axes[0].transAxes)
        _no_ticks(axes[0])
    keys = [
        plt.Rectangle((0, 0), 1, 1, facecolor=colour(name), edgecolor=INK, linewidth=0.4) for name in EMOTIONS
    ]
    axes[0].legend(keys, EMOTIONS, ncols=8, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.02), frameon=False,
                   columnspacing=1.2, handlelength=1.2)  # fmt: skip
    return axes


def _picture(image: Picture) -> np.ndarray:
    """Return an image of any layout as uint8 (H, W, 3)."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[0] in (1, 3):
        image = image.transpose(1, 2, 0)
    if image.ndim == 2:
        image = image[:, :, None]
    return np.broadcast_to(image, (*image.shape[:2], 3))


def _cells(ax: Axes, values: np.ndarray, text: Sequence[Sequence[str]], cmap: str, most: float) -> None:
    """A heat map with a text in each cell, dark on light and light on dark."""
    ax.imshow(values, vmin=0, vmax=most, cmap=cmap, aspect="auto")
    for (r, c), value in np.ndenumerate(values):
        shade = "white" if value > 0.55 * most else INK
        ax.text(c, r, text[r][c], ha="center", va="center", fontsize=8, color=shade)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def _words(name: str) -> str:
    """Turn valid_macro_f1 into valid macro-F1."""
    return name.replace("macro_f1", "macro-F1").replace("_", " ")


def _bare(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _no_ticks(ax: Axes) -> Axes:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax
