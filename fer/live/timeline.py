"""Draws what faces showed over time as one picture: BGR uint8 (H, W, 3)."""

import itertools
import re
from collections.abc import Iterable
from datetime import timedelta

import cv2
import numpy as np

from fer.labels import COLOURS, EMOTIONS
from fer.live.paint import INK, bgr, fill, ink_on, text_mask, text_width, write

BRIDGED_S = 1.5  # absences that a strip bridges, because few cameras give a face at every step
WIDTH, MARGIN = 1600, 32
TEXT = 20
GREY, EMPTY, PAPER = (110, 112, 116), (238, 238, 240), (255, 255, 255)
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
TOP = MARGIN + 2 * TEXT + 28  # below the legend
PALETTE = np.array([bgr(COLOURS[name]) for name in EMOTIONS], np.uint8)


def strips(faces: Iterable[tuple[str, np.ndarray, np.ndarray]], end_s: float = 0.0) -> np.ndarray:
    """Return a strip for each face: at each time the eight probabilities, stacked to 1; grey where it was not seen.

    Args:
        faces: name ("face 1"), ascending times (T,) in seconds, probabilities (T, 8). A face was not seen in rows of
            NaN, nor between two rows that are further apart than both ``BRIDGED_S`` and the step of the recording.
        end_s: when the recording ended, where that was later than the last face.
    """
    known = []
    for name, times, values in faces:
        seen = ~np.isnan(values).any(1)
        known.append((name, np.asarray(times, float)[seen], np.asarray(values, float)[seen]))
    between = [np.diff(times) for _, times, _ in known]
    step_s = float(np.median(np.concatenate(between))) if any(map(len, between)) else 0.1
    end_s = max([end_s, 0.1, *(times[-1] + step_s / 2 for _, times, _ in known if len(times))])
    known = known or [("no face was seen", np.zeros(0), np.zeros((0, len(EMOTIONS))))]
    height = int(np.clip(640 / len(known), 44, 240))
    left = MARGIN + 24 + max(text_width(name, TEXT) for name, _, _ in known)
    image = _paper(TOP + len(known) * (height + 20) + 3 * TEXT + MARGIN)
    edges = np.linspace(0, end_s, WIDTH - MARGIN - left + 1)
    for top, (name, times, values) in zip(itertools.count(TOP, height + 20), known, strict=False):
        write(image, name, MARGIN, top + height // 2, TEXT, INK)
        _stack(image, averages(times, values, edges, step_s), left, top, height)
    _time_axis(image, left, TOP + len(known) * (height + 20) - 12, end_s)
    return image


def encoded(image: np.ndarray) -> bytes:
    """Return the picture as the bytes of a PNG."""
    return cv2.imencode(".png", image)[1].tobytes()


def averages(times: np.ndarray, values: np.ndarray, edges: np.ndarray, step_s: float) -> np.ndarray:
    """Return the mean of ``values`` between each two neighbouring ``edges`` (W + 1,): (W, 8), NaN where not seen.

    A value lasts half-way to its neighbours, beside an absence half a step.
    """
    if not len(times):
        return np.full((len(edges) - 1, len(EMOTIONS)), np.nan)
    between = np.diff(times)
    reach = np.where(between <= max(BRIDGED_S, 1.5 * step_s), between, step_s) / 2
    starts = times - np.concatenate([[step_s / 2], reach])
    ends = times + np.concatenate([reach, [step_s / 2]])
    # The integral from the beginning on, of the values and of 1; its differences are exact sums over each interval.
    weighted = np.column_stack([values, np.ones(len(times))]) * (ends - starts)[:, None]
    totals = np.concatenate([np.zeros((1, weighted.shape[1])), weighted.cumsum(0)])
    integral = np.repeat(totals, 2, axis=0)[1:-1]
    knots = np.column_stack([starts, ends]).ravel()
    sums = np.column_stack([np.diff(np.interp(edges, knots, total)) for total in integral.T])
    covered = sums[:, -1:]
    return np.divide(sums[:, :-1], covered, out=np.full_like(sums[:, :-1], np.nan), where=covered > 1e-9)


def _stack(image: np.ndarray, columns: np.ndarray, left: int, top: int, height: int) -> None:
    """Draw probabilities (W, 8), NaN where there is no face, with the name of the leading emotion where it has room."""
    fine = 3 * height
    levels = (np.arange(fine)[::-1] + 0.5) / fine  # from 1 at the top to 0
    which = (np.nan_to_num(columns).cumsum(1)[:, :, None] < levels).sum(1).clip(max=len(EMOTIONS) - 1)
    picture = PALETTE[which.T]
    picture[:, np.isnan(columns[:, 0])] = EMPTY
    small = cv2.resize(picture, (len(columns), height), interpolation=cv2.INTER_AREA)
    image[top : top + height, left : left + len(columns)] = small
    best = np.where(np.isnan(columns[:, 0]), -1, np.nan_to_num(columns).argmax(1))
    turns = [0, *(np.flatnonzero(np.diff(best)) + 1).tolist(), len(best)]
    for start, end in itertools.pairwise(turns):
        if best[start] < 0:
            continue
        name, middle = EMOTIONS[best[start]], (start + end) // 2
        flat = text_mask(name, 16)
        for mask in (flat, np.rot90(flat)):
            high, wide = mask.shape
            under = columns[max(start, middle - wide // 2) : middle + wide // 2 + 1].cumsum(1)
            low = under[:, best[start] - 1].max() if best[start] else 0.0
            room = under[:, best[start]].min() - low
            if wide + 8 <= end - start and high + 2 <= room * height:
                y = round(top + height * (1 - low - room / 2) - high / 2)
                fill(image, left + middle - wide // 2, y, mask, ink_on(COLOURS[name]))
                break


def _paper(height: int) -> np.ndarray:
    """Return an empty picture with a legend."""
    image = np.full((height, WIDTH, 3), PAPER, np.uint8)
    x, middle = MARGIN, MARGIN + TEXT // 2
    for name, colour in (*((name, COLOURS[name]) for name in EMOTIONS), ("not seen", EMPTY)):
        cv2.rectangle(image, (x, middle - 9, 18, 18), bgr(colour), -1)
        cv2.rectangle(image, (x, middle - 9, 18, 18), GREY, 1)
        write(image, name, x + 28, middle, TEXT, INK)
        x += 28 + text_width(name, TEXT) + 36
    text = "The height of a colour is the probability of the emotion."
    write(image, text, MARGIN, middle + TEXT + 12, 16, GREY)
    return image


def _time_axis(image: np.ndarray, left: int, y: int, end_s: float) -> None:
    """Draw a line from 0 to ``end_s`` with at most twelve times below it."""
    right = WIDTH - MARGIN
    cv2.line(image, (left, y), (right, y), GREY)
    step = next((step for step in STEPS_S if end_s / step <= 12), end_s / 12)
    for number in range(int(end_s / step + 1e-9) + 1):
        x = round(left + (right - left) * number * step / end_s)
        cv2.line(image, (x, y), (x, y + 8), GREY)
        label = clock(number * step, step)
        width = text_width(label, TEXT)
        write(image, label, min(x - width // 2, WIDTH - 4 - width), y + 8 + TEXT, TEXT, INK)


def clock(time_s: float, step_s: float = 1.0) -> str:
    """Return 0:07, 1:05 or 2:00:00, and 0.5 s where ``step_s`` is below a second."""
    return f"{time_s:.1f} s" if step_s < 1 else re.sub("^0:0?", "", str(timedelta(seconds=round(time_s))))
