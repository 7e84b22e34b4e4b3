"""Write a data set of any size in AffectNet8's exact layout, to measure with: synthetic faces, no real ones.

    python -m benchmarks.make_affectnet8 OUT --images 287651 --tar
    python -m benchmarks.make_affectnet8 OUT --images 287651 --tiny     for the index alone

A few thousand faces are rendered; every image is one of them mirrored, cut,
relit and grained in its own way, and encoded anew as a 224x224 JPEG of 5 to
25 kB. Classes are as frequent as published, ids have gaps and occur in both
splits, numbers are stored as text. A stopped run goes on where it was.
"""

import io
import itertools
import json
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm
from tyro.conf import Positional

from fer import cli
from fer.datasets import PUBLISHED
from fer.errors import DataInvalid
from fer.files import replacing
from fer.labels import EMOTIONS
from synthetic_faces.tree import SIZE, SyntheticFace, render_person


@dataclass(frozen=True)
class MakeOptions:
    """Write train_set/ and val_set/ in AffectNet8's layout."""

    out: Positional[Path]
    """Folder to make."""
    images: int = 2000
    """Training faces; AffectNet8 has 287651. Its val split grows along: 3999 beside those."""
    tar: bool = False
    """Also write train_set.tar and val_set.tar beside the folders."""
    tiny: bool = False
    """One flat JPEG of a few hundred bytes for all faces: listing and labels are as ever, decoding is not."""
    faces: int = 2000
    """Different faces to render, never more than --images; each takes 30 ms."""
    seed: int = 0
    """Of everything."""


SETTINGS = "made.json"
_CHUNK = 64


def main(options: MakeOptions) -> None:
    """Write what is missing, and print the size of each split."""
    make(options)
    for split, count in counts(options.images).items():
        sizes = [entry.stat().st_size for entry in os.scandir(options.out / f"{split}_set/images")]
        print(
            f"{options.out}/{split}_set: {sum(count):,} faces, JPEGs of {np.mean(sizes) / 1000:.1f} kB on average"
        )


def make(options: MakeOptions) -> Path:
    """Write the folders, and the tars if asked for; what is there stays.

    Raises:
        DataInvalid: too few images, or the folder was made with other settings or has other files.
    """
    settings = {k: v for k, v in asdict(options).items() if k not in ("out", "tar")}
    _same_settings(options.out, settings)
    wanted = counts(options.images)
    missing = {split: _missing(options, split, sum(n)) for split, n in wanted.items()}
    if any(missing.values()):
        faces = _render(min(options.faces, options.images), options.seed)
        for split, rows in missing.items():
            _write_split(options, split, wanted[split], rows, faces)
    for split in wanted if options.tar else ():
        if not (options.out / f"{split}_set.tar").is_file():
            _write_tar(options.out, split)
    return options.out


def counts(images: int) -> dict[str, np.ndarray]:
    """Return how many faces of each class a train split of ``images`` has, and the val split beside it."""
    if images < len(EMOTIONS):
        raise DataInvalid(f"--images {images}: expected {len(EMOTIONS)} or more, one of each class.")
    published = {split: np.array(n) for split, n in PUBLISHED.items()}
    totals = {"train": images}
    totals["val"] = max(len(EMOTIONS), round(images * published["val"].sum() / published["train"].sum()))
    return {split: _apportion(published[split], total) for split, total in totals.items()}


def _apportion(published: np.ndarray, total: int) -> np.ndarray:
    """Cut ``total`` in proportion to the published counts, at least one each, by largest remainders."""
    exact = published / published.sum() * (total - len(published)) + 1
    whole = np.floor(exact).astype(int)
    if total == published.sum():
        return published
    whole[np.argsort(whole - exact)[: total - whole.sum()]] += 1
    return whole


def _same_settings(out: Path, settings: dict) -> None:
    path = out / SETTINGS
    if path.is_file():
        found = json.loads(path.read_text())
        if found != settings:
            raise DataInvalid(f"{out} was made with {found}, not {settings}: choose another folder.")
    elif out.is_dir() and any(out.iterdir()):
        raise DataInvalid(f"{out} has other files (no {SETTINGS}): choose another folder.")
    else:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(settings) + "\n")


def _ids(seed: int, n: int) -> np.ndarray:
    """Return ascending ids with gaps, the same ones in both splits."""
    return np.cumsum(np.random.default_rng([seed, 99]).choice((1, 1, 1, 2, 3), n)) - 1


def _missing(options: MakeOptions, split: str, n: int) -> list[int]:
    folder = options.out / f"{split}_set"
    for name in ("images", "annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    there = {entry.name for entry in os.scandir(folder / "images")}
    return [row for row, one in enumerate(_ids(options.seed, n).tolist()) if f"{one}.jpg" not in there]


def _render(n: int, seed: int) -> list[list[SyntheticFace]]:
    """Draw n faces; return those of each class."""
    people = (render_person(seed, "train", person) for person in itertools.count())
    samples = itertools.islice(itertools.chain.from_iterable(people), max(n, len(EMOTIONS)))
    classes: list[list[SyntheticFace]] = [[] for _ in EMOTIONS]
    for sample in tqdm(samples, "rendering", n, unit="face", disable=None):
        classes[sample.label].append(sample)
    return classes


def _write_split(
    options: MakeOptions, split: str, count: np.ndarray, rows: list[int], faces: list[list[SyntheticFace]]
) -> None:
    folder = options.out / f"{split}_set"
    ids = _ids(options.seed, int(count.sum())).tolist()
    number = list(PUBLISHED).index(split)
    labels = np.random.default_rng([options.seed, number]).permutation(np.repeat(range(len(count)), count))
    flat = cv2.imencode(".jpg", np.full((8, 8, 3), 128, np.uint8))[1].tobytes() if options.tiny else None

    def write(chunk: list[int]) -> int:
        for row in chunk:
            rng = np.random.default_rng([options.seed, number, row])
            own = faces[labels[row]]
            jpeg, annotations = vary(own[int(rng.integers(len(own)))], rng, flat)
            for kind, value in annotations.items():
                with open(f"{folder}/annotations/{ids[row]}_{kind}.npy", "wb") as file:
                    file.write(value)
            # The image comes last and whole: what has one is complete.
            part = f"{folder}/.{ids[row]}.part"
            with open(part, "wb") as file:
                file.write(jpeg)
            os.replace(part, f"{folder}/images/{ids[row]}.jpg")
        return len(chunk)

    chunks = [rows[k : k + _CHUNK] for k in range(0, len(rows), _CHUNK)]
    bar = tqdm(
        total=int(count.sum()), initial=int(count.sum()) - len(rows), desc=f"{split}_set", disable=None
    )
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        for done in pool.map(write, chunks):
            bar.update(done)


def vary(face: SyntheticFace, rng: np.random.Generator, flat: bytes | None) -> tuple[bytes, dict[str, bytes]]:
    """Return the JPEG of a variation of a face, and the bytes of its four annotations.

    Args:
        face: the synthetic face.
        rng: of this variation.
        flat: a JPEG to take instead.
    """
    zoom, shift = rng.uniform(1.0, 1.15), rng.uniform(-8, 8, 2)
    matrix = np.float64([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    matrix[:, 2] += SIZE / 2 * (1 - zoom)
    landmarks = face.landmarks @ matrix[:, :2].T + matrix[:, 2]
    if flat is None:
        image = cv2.warpAffine(face.image, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
        image = cv2.convertScaleAbs(image, alpha=rng.uniform(0.8, 1.2), beta=rng.uniform(-15, 15))
        grain = rng.standard_normal((SIZE, SIZE, 1), np.float32) * np.float32(rng.uniform(1, 4))
        image = np.clip(image + grain, 0, 255).astype(np.uint8)
        flat = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(80, 96))])[1].tobytes()
    scores = np.clip(rng.normal((face.valence, face.arousal), 0.03), -1, 1)
    values = (str(face.label), *(str(round(float(score), 6)) for score in scores), landmarks.reshape(-1))
    return flat, {
        kind: _npy(np.array(value)) for kind, value in zip(("exp", "val", "aro", "lnd"), values, strict=True)
    }


def _npy(value: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=False)
    return buffer.getvalue()


def _write_tar(out: Path, split: str) -> None:
    """Write one split's tar in the order of its listing, under another name until it is whole."""
    with (
        replacing(out / f"{split}_set.tar") as temporary,
        tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for name in ("annotations", "images"):
            folder = out / f"{split}_set" / name
            for entry in tqdm(os.scandir(folder), f"{split}_set.tar, {name}", disable=None):
                member = tarfile.TarInfo(f"{split}_set/{name}/{entry.name}")
                member.size = entry.stat().st_size
                with open(entry.path, "rb") as file:
                    tar.addfile(member, file)


if __name__ == "__main__":
    cli.run(main, MakeOptions)
