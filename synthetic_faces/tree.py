"""Write synthetic faces as a data set in AffectNet8's layout."""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from fer.errors import DataInvalid, UsageError
from fer.labels import EMOTIONS
from synthetic_faces.action_units import VALENCE_AROUSAL, ActionUnits, expression
from synthetic_faces.identity import Identity
from synthetic_faces.relief import Light
from synthetic_faces.render import Portraitist, Pose

SIZE = 224
SETTINGS = "synthetic.json"
VERSION = 1
"""Goes up whenever the images change, so that older trees are rendered again."""

_SPLITS = ("train", "val")


@dataclass(frozen=True, slots=True)
class SyntheticFace:
    """One image: BGR uint8 (224, 224, 3), its true annotations, and the quality of its JPEG.

    ``intensity`` is that of the expression, 0.3 to 1; for neutral it means nothing.
    """

    image: np.ndarray
    label: int
    valence: float
    arousal: float
    landmarks: np.ndarray  # (68, 2) float64, pixels
    quality: int
    intensity: float


def val_per_class(per_class: int) -> int:
    """Return how many validation images a class gets beside ``per_class`` training images."""
    return max(1, per_class // 4)


def render_person(seed: int, split: str, person: int) -> Iterator[SyntheticFace]:
    """Yield one person's eight expressions, in an order of their own.

    Everything follows from the three arguments: which other people are rendered
    does not matter. No person occurs in both splits.
    """
    rng = np.random.default_rng([seed, _SPLITS.index(split), person])
    who = Identity.random(rng)
    light = Light(
        azimuth=float(rng.uniform(12, 58) * rng.choice((-1, 1))),
        elevation=float(rng.uniform(8, 50)),
        ambient=float(rng.uniform(0.3, 0.6)),
        gain=float(rng.uniform(0.86, 1.08)),
        warmth=float(rng.uniform(-0.8, 0.9)),
    )
    artist = Portraitist(who, light, SIZE)
    for label in rng.permutation(len(EMOTIONS)):
        yield _render_face(
            artist, int(label), np.random.default_rng([seed, _SPLITS.index(split), person, label])
        )


def _render_face(artist: Portraitist, label: int, rng: np.random.Generator) -> SyntheticFace:
    intensity = float(rng.uniform(0.3, 1.0))
    au = expression(label, intensity, int(rng.integers(6))).varied(rng, 0.18)
    restless = ActionUnits(
        au1=0.15,
        au2=0.15,
        au4=0.15,
        au6=0.15,
        au12=0.12,
        au14=0.1,
        au15=0.12,
        au23=0.15,
        au25=0.12,
        au43=0.18,
    ).varied(rng, 1.0)
    au = au.at_least(restless.scaled(float(rng.random())))
    yaw, pitch, roll = np.clip(rng.normal(0, (8, 5, 5)), -18, 18)
    image, landmarks = artist.render(
        au,
        Pose(float(yaw), float(pitch), float(roll)),
        background(SIZE, rng),
        zoom=float(rng.uniform(0.96, 1.12)),
        shift=tuple(rng.normal(0, 0.012, 2)),
        gaze=tuple(np.clip(rng.normal(0, 0.3, 2), -1, 1)),
    )
    angle = VALENCE_AROUSAL[EMOTIONS[label]]
    valence, arousal = np.clip(np.array(angle) * intensity + rng.normal(0, 0.05, 2), -1, 1)
    photo, quality = _photograph(image, rng), int(rng.integers(72, 96))
    return SyntheticFace(photo, label, float(valence), float(arousal), landmarks, quality, intensity)


def background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Render something out of focus: BGR uint8 (size, size, 3)."""
    small = 28
    top, bottom = rng.uniform(30, 225, (2, 1)) + rng.normal(0, 18, (2, 3))
    ramp = np.linspace(0, 1, small)[:, None, None]
    wall = np.clip(np.broadcast_to(top * (1 - ramp) + bottom * ramp, (small, small, 3)), 0, 255)
    wall = np.ascontiguousarray(wall, np.float32)
    for _ in range(int(rng.integers(2, 7))):
        x, y, w, h = rng.integers(0, small, 4)
        colour = np.clip(wall[y, x] * rng.uniform(0.5, 1.6) + rng.normal(0, 20, 3), 0, 255).tolist()
        cv2.rectangle(wall, (int(x), int(y)), (int(x + w // 2 + 1), int(y + h)), colour, -1)
    wall = cv2.GaussianBlur(wall, (0, 0), rng.uniform(0.5, 2.5))
    return cv2.convertScaleAbs(cv2.resize(wall, (size, size), interpolation=cv2.INTER_CUBIC).clip(0))


def _photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photograph it with a fair or a poor camera: exposure, focus, sensor noise, some in grey."""
    gamma, gain = rng.uniform(0.62, 1.15), rng.uniform(0.9, 1.12)
    curve = np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
    image = cv2.LUT(image, curve)
    if rng.random() < 0.06:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    focus = rng.uniform(0, 1.5)
    if focus > 0.5:
        image = cv2.GaussianBlur(image, (0, 0), focus)
    grain = rng.standard_normal((SIZE, SIZE, 1), np.float32) * np.float32(rng.uniform(0.5, 5))
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def _text(value: float | int) -> np.ndarray:
    """A 0-d unicode array, as AffectNet stores numbers."""
    return np.array(str(value if isinstance(value, int) else round(value, 6)))


def _write_split(folder: Path, split: str, per_class: int, seed: int, bar: tqdm) -> None:
    images, annotations = folder / "images", folder / "annotations"
    images.mkdir(parents=True)
    annotations.mkdir()
    number = 0
    gaps = np.random.default_rng([seed, 99])  # the same in both splits: so are the ids, as in AffectNet
    for person in range(per_class):
        for sample in render_person(seed, split, person):
            options = [cv2.IMWRITE_JPEG_QUALITY, sample.quality]
            ok, jpeg = cv2.imencode(".jpg", sample.image, options)
            if not ok:
                raise RuntimeError("OpenCV could not encode a JPEG")
            (images / f"{number}.jpg").write_bytes(jpeg.tobytes())
            values = {
                "exp": _text(sample.label),
                "val": _text(sample.valence),
                "aro": _text(sample.arousal),
                "lnd": sample.landmarks.reshape(-1),
            }
            for kind, value in values.items():
                buffer = io.BytesIO()
                np.save(buffer, value, allow_pickle=False)
                (annotations / f"{number}_{kind}.npy").write_bytes(buffer.getvalue())
            number += int(gaps.choice((1, 1, 1, 2, 3)))
            bar.update()


def settings(per_class: int = 100, seed: int = 0) -> dict[str, int]:
    """What a tree is made from; stored in it as ``synthetic.json``."""
    return {"version": VERSION, "per_class": per_class, "seed": seed}


def read_settings(root: Path) -> dict[str, int] | None:
    """Return the settings stored in a tree, or None for any other folder."""
    try:
        found = json.loads((root / SETTINGS).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and all(type(value) is int for value in found.values()) else None


def write_tree(out: str | Path, per_class: int = 100, seed: int = 0) -> Path:
    """Render ``train_set`` and ``val_set`` in AffectNet8's layout, 224x224 JPEGs with annotations.

    The tree is written under another name and renamed when it is complete. An
    older tree is replaced; anything else is left alone.

    Args:
        out: the folder to make.
        per_class: training images of each emotion (and people); a quarter as many are for validation.
        seed: the same seed gives the same images, bit for bit.

    Returns:
        The folder.

    Raises:
        DataInvalid: ``out`` holds something else, ``per_class`` is below 1, or ``seed`` below 0.
    """
    out = Path(out)
    if per_class < 1:
        raise UsageError(f"per_class is {per_class}; expected at least 1 image of each emotion.")
    if seed < 0:
        raise UsageError(f"seed is {seed}; expected 0 or more.")
    _refuse_foreign(out)
    before = read_settings(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-unfinished-", dir=out.parent))
    try:
        counts = {"train": per_class, "val": val_per_class(per_class)}
        total = len(EMOTIONS) * sum(counts.values())
        with tqdm(total=total, desc=f"rendering faces into {out}", unit="face") as bar:
            for split, count in counts.items():
                _write_split(fresh / f"{split}_set", split, count, seed, bar)
        (fresh / SETTINGS).write_text(json.dumps(settings(per_class, seed)) + "\n")
        fresh.chmod(0o755)  # mkdtemp keeps others out
        if before is None and read_settings(out) == settings(per_class, seed):
            return out  # another process has written the same meanwhile, and reads it
        if out.exists():
            _refuse_foreign(out)
            shutil.rmtree(out)
        try:
            os.replace(fresh, out)
        except OSError:  # or another process came first in this very moment
            if read_settings(out) != settings(per_class, seed):
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)  # gone already unless interrupted
    return out


def _refuse_foreign(out: Path) -> None:
    if not out.exists() or read_settings(out) is not None:
        return
    if not out.is_dir() or any(out.iterdir()):
        raise DataInvalid(
            f"{out} exists and was not written by this program (no {SETTINGS} in it). "
            "Nothing was changed: name another folder, or remove this one first."
        )
