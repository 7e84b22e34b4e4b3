"""How many faces each way of detection misses, what it sees where no face is, and how long it takes.

python -m benchmarks.detection --photos DIR [--faceless DIR]

DIR has photos of one face each, around the middle. Images without
a face are made here: pages of text, noise of several grains, crops of
scikit-learn's two sample photos; --faceless adds all images below a folder,
whole and one random crop each. The recorded numbers used the wallpapers
of these Debian packages (`apt-get download NAME`, `dpkg -x FILE DIR`):
gnome-backgrounds, mate-backgrounds, plasma-workspace-wallpapers,
lomiri-wallpapers-16.04, lomiri-wallpapers-20.04, ukui-wallpapers, sway-backgrounds.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks import record
from fer import cli
from fer.errors import DataInvalid
from fer.faces import FaceDetector, grey_frame, load_cascade
from fer.photos.listing import Listing
from fer.photos.reading import read_image


@dataclass
class DetectionOptions:
    """Compare plain Haar with the two modes of fer.faces.FaceDetector."""

    photos: Path
    """Folder of photos of one face each."""
    faceless: Path | None = None
    """Folder of images without faces, searched recursively."""
    out: Path = Path(__file__).parent / "results" / "detection.json"
    """Where the numbers go."""
    show: Path | None = None
    """Also write the false boxes and the missed photos, small, to this .png."""


Detector = Callable[[np.ndarray], np.ndarray]
WALLS = (0, 30, 128, 200, 255)
"""Greys of the flat backgrounds that some photos are put before."""
WALLPAPER_SIDE = 900  # screens are not what people photograph; nor do 4K images fit into minutes


def main(options: DetectionOptions) -> None:
    """Print the table and write the JSON."""
    cv2.setNumThreads(1)
    cascade = load_cascade("frontalface_default")
    modes: dict[str, Detector] = {
        "plain Haar": lambda frame: np.reshape(cascade.detectMultiScale(grey_frame(frame), 1.1, 5), (-1, 4)),
        "fast": FaceDetector(),
        "thorough": FaceDetector(thorough=True),
    }
    files = list(Listing([options.photos]))
    photos = [read_image(file.path) for file in tqdm(files, "reading", leave=False, disable=None)]
    if not photos:
        raise DataInvalid(f"There are no photos in {options.photos}.")
    others = list(faceless(options.faceless))
    tiles: list[np.ndarray] = []
    results = {name: measure(name, mode, photos, others, tiles) for name, mode in modes.items()}
    print(table(results))
    record.save(
        options.out,
        modes=results,
    )
    if options.show:
        while not tiles or len(tiles) % 10:
            tiles.append(np.zeros((120, 120, 3), np.uint8))
        rows = [np.hstack(tiles[k : k + 10]) for k in range(0, len(tiles), 10)]
        cv2.imwrite(str(options.show), np.vstack(rows))


def measure(
    name: str, detect: Detector, photos: list[np.ndarray], others: list[np.ndarray], tiles: list[np.ndarray]
) -> dict[str, float]:
    """Return the numbers of one mode; failures are added to ``tiles``."""
    missed = extra = false = fooled = 0
    times = []
    for photo in tqdm(photos, f"{name}: faces", leave=False, disable=None):
        start = time.process_time()
        boxes = detect(photo)
        times.append(time.process_time() - start)
        right = sum(is_the_face(box, photo) for box in boxes)
        missed += right == 0
        extra += len(boxes) - min(right, 1)
        if name == "thorough" and (right != 1 or len(boxes) > 1):
            tiles.append(tile(photo, boxes))
    for picture in tqdm(others, f"{name}: no faces", leave=False, disable=None):
        boxes = detect(picture)
        false += len(boxes)
        fooled += len(boxes) > 0
        if name == "thorough" and len(boxes):
            tiles.append(tile(picture, boxes))
    unseen = {}
    hd = []
    for grey in tqdm(WALLS, f"{name}: walls", leave=False, disable=None):
        hits = 0
        for photo in photos[::6]:
            frame, place = before_a_wall(photo, grey)
            start = time.process_time()
            boxes = detect(frame)
            hd.append(time.process_time() - start)
            hits += any(
                is_the_face(box - (*place[:2], 0, 0), frame[place[1] : place[3], place[0] : place[2]])
                for box in boxes
            )
        unseen[grey] = 1 - hits / len(photos[::6])
    return {
        "photos": len(photos),
        "missed": missed / len(photos),
        "extra_boxes": extra,
        "faceless": len(others),
        "faceless_with_box": fooled,
        "faceless_boxes": false,
        "walls": len(photos[::6]),
        "missed_before_walls": unseen,
        "ms_photo": 1000 * float(np.median(times)),
        "ms_1280x720": 1000 * float(np.median(hd)),
    }


def is_the_face(box: np.ndarray, photo: np.ndarray) -> bool:
    """Whether a box is that of the one large face around the middle of a photo."""
    height, width = photo.shape[:2]
    x, y, w, h = box
    return bool(x < width / 2 < x + w and y < height / 2 < y + h and w > 0.3 * min(height, width))


def before_a_wall(photo: np.ndarray, grey: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Return a frame (720, 1280, 3) of one grey with the photo in it, 350 pixels long, and where: x0, y0, x1, y1."""
    factor = 350 / max(photo.shape[:2])
    small = cv2.resize(
        photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    )
    frame = np.full((720, 1280, 3), grey, np.uint8)
    x, y = (1280 - small.shape[1]) // 2, (720 - small.shape[0]) // 2
    frame[y : y + small.shape[0], x : x + small.shape[1]] = small
    return frame, (x, y, x + small.shape[1], y + small.shape[0])


def faceless(folder: Path | None) -> Iterator[np.ndarray]:
    """Yield images without faces."""
    rng = np.random.default_rng(0)
    for number in range(20):
        page = np.full((480, 640, 3), 255, np.uint8)
        for line in range(20, 480, 18 + number):
            text = "".join(map(chr, rng.integers(48, 122, 60)))
            colour = [int(c) for c in rng.integers(0, 120, 3)]
            cv2.putText(
                page, text, (5, line), number % 7, 0.4 + 0.05 * number, colour, 1 + number % 2, cv2.LINE_AA
            )
        yield page
        grain = rng.integers(0, 256, (4 + 3 * number, 4 + 3 * number, 3), np.uint8)
        yield cv2.resize(grain, (400, 400), interpolation=cv2.INTER_CUBIC)
    seen = set()
    for picture in _sample_photos(folder):
        small = cv2.resize(grey_frame(picture), (8, 8), interpolation=cv2.INTER_AREA)
        key = (small > small.mean()).tobytes()
        if key in seen or min(picture.shape[:2]) < 200:
            continue  # the same wallpaper in several sizes; icons
        seen.add(key)
        factor = min(1.0, WALLPAPER_SIDE / max(picture.shape[:2]))
        whole = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        yield whole
        side = int(rng.integers(100, min(whole.shape[:2])))
        y, x = (int(rng.integers(0, n - side + 1)) for n in whole.shape[:2])
        yield np.ascontiguousarray(whole[y : y + side, x : x + side])


def _sample_photos(folder: Path | None) -> Iterator[np.ndarray]:
    from sklearn.datasets import load_sample_images

    for image in load_sample_images().images:
        yield np.ascontiguousarray(image[:, :, ::-1])
    for file in Listing([folder]) if folder else ():
        try:
            yield read_image(file.path)
        except DataInvalid:
            continue  # packages of wallpapers have odd files; one image less does not matter


def table(results: dict[str, dict[str, float]]) -> str:
    """Return the numbers as a Markdown table."""
    lines = [
        f"| | missed | before a wall of grey {', '.join(map(str, WALLS))} | extra boxes | boxes where no face is "
        "| ms a photo | ms at 1280x720 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        lines.append(
            f"| {name} | {r['missed']:.1%} of {r['photos']} "
            f"| {', '.join(f'{rate:.0%}' for rate in r['missed_before_walls'].values())} of {r['walls']} "
            f"| {r['extra_boxes']} "
            f"| {r['faceless_boxes']} in {r['faceless_with_box']} of {r['faceless']} pictures "
            f"| {r['ms_photo']:.0f} | {r['ms_1280x720']:.0f} |"
        )
    return "\n".join(lines)


def tile(picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return a thumbnail (120, 120, 3) with the boxes in it."""
    drawn, factor = picture.copy(), 120 / max(picture.shape[:2])
    for x, y, w, h in boxes.tolist():
        cv2.rectangle(drawn, (x, y), (x + w, y + h), (0, 255, 0), max(1, round(2 / factor)))
    small = cv2.resize(drawn, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)[:120, :120]
    return cv2.copyMakeBorder(small, 0, 120 - small.shape[0], 0, 120 - small.shape[1], cv2.BORDER_CONSTANT)


if __name__ == "__main__":
    cli.run(main, DetectionOptions)
