"""A page that shows every photo of a table with its faces; it opens in any browser, without a network.

    OUT.html          totals, filters, and for each photo the names of its faces
    OUT.thumbnails/   a small copy of each photo with its boxes, which the page loads when it comes into view

Of a video the page has a frame each second.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

from fer.files import replacing
from fer.labels import COLOURS, EMOTIONS, UNCERTAIN, percent
from fer.live import paint
from fer.photos.bulk import Picture
from fer.photos.listing import thumbnails
from fer.predictor import FaceEmotion

SIDE = 280
"""Longer side of a thumbnail in pixels."""
LETTERS = 12
"""Size of the names in it."""
VIDEO_STEP_S = 1.0
TEMPLATE = Path(__file__).with_name("gallery.html")
NAMES = (*EMOTIONS, UNCERTAIN)


class Gallery:
    """The HTML page and its thumbnails. They hold faces: made only when asked for."""

    def __init__(self, page: Path) -> None:
        self.page, self.folder = page, thumbnails(page)
        self._shown: tuple[Path | None, float] = (
            None,
            0.0,
        )  # video and time of the latest frame with a thumbnail

    def add(self, picture: Picture) -> None:
        """Write the thumbnail of a photo or frame, whose image was kept; or why the file cannot be read."""
        path, frame = str(picture.file.path), "" if picture.frame is None else str(picture.frame)
        if picture.image is None:
            with replacing(self._beside(path, frame, ".txt")) as temporary:
                temporary.write_text(_printable((picture.error or "").removeprefix(f"{path}: ")), "utf-8")
            return
        if frame:
            video, shown_s = self._shown
            if video == picture.file.path and picture.time_s < shown_s + VIDEO_STEP_S:
                return
            self._shown = picture.file.path, picture.time_s
        data = cv2.imencode(
            ".jpg", _thumbnail(picture.image, picture.factor, picture.faces), [cv2.IMWRITE_JPEG_QUALITY, 85]
        )[1]
        with replacing(self._beside(path, frame, ".jpg")) as temporary:
            temporary.write_bytes(data.tobytes())

    def writing(self, columns: Sequence[str], rows: Iterable[list[str]]) -> Iterator[list[str]]:
        """Yield the rows of the table with such columns; the page of them is in its place when they end."""
        text = TEMPLATE.read_text("utf-8")
        script = text.partition("<script>")[2].partition("</script>")[0]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        before, after = text.replace("SCRIPT-SHA256", digest).split("PHOTOS")
        labels = {
            "names": NAMES,
            "colours": [f"rgb{COLOURS[name]}" for name in NAMES],
            "thumbnails": quote(os.fsencode(self.folder.name)),
        }
        named = (dict(zip(columns, row, strict=True)) for row in rows)
        used, separator = set(), ""
        with replacing(self.page) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as page:
            page.write(before.replace("LABELS", json.dumps(labels), 1))
            for (path, frame), group in groupby(named, itemgetter("path", "frame")):
                faces = list(group)
                thumbnail = self._beside(path, frame, ".jpg")
                seen = thumbnail.is_file()
                if seen or not frame:
                    used.add(thumbnail.stem)
                    where = _printable(path) + (f", frame {frame}" if frame else "")
                    photo = where, self._link(Path(path)), thumbnail.stem if seen else "", self._faces(faces)
                    # "</script>" in the name of a file must not end the script.
                    page.write(separator + json.dumps(photo, separators=(",", ":")).replace("<", "\\u003c"))
                    separator = ",\n"
                for face in faces:
                    yield list(face.values())
            page.write(after)
        for old in self.folder.glob("*.*"):  # faces of an earlier run
            if re.fullmatch(r"[0-9a-f]{24}\.(jpg|txt)", old.name) and old.stem not in used:
                old.unlink()

    def _faces(self, rows: list[dict[str, str]]) -> list[list[int]] | str:
        """Return (number of the emotion, percent, box) of each face of a picture, or why it cannot be read."""
        if rows[0]["emotion"] == "error":
            reason = self._beside(rows[0]["path"], rows[0]["frame"], ".txt")
            return reason.read_text("utf-8") if reason.is_file() else ""
        named = [(NAMES.index(row["emotion"]), row) for row in rows if row["emotion"]]
        return [
            [name, percent(float(row["confidence"])), *(int(row[k]) for k in "xywh")] for name, row in named
        ]

    def _beside(self, path: str, frame: str, ending: str) -> Path:
        """Return a file whose name follows from the photo alone, so that a resumed run and every process agree."""
        key = f"{path}\0{frame}".encode("utf-8", "surrogateescape")
        return self.folder / (hashlib.blake2b(key, digest_size=12).hexdigest() + ending)

    def _link(self, path: Path) -> str:
        """Return the address of a file for the page, which may be moved together with the photos."""
        try:
            relative = os.path.relpath(path, self.page.parent)
        except ValueError:  # on another drive
            return path.absolute().as_uri()
        return quote(os.fsencode(relative.replace(os.sep, "/")))


def _thumbnail(image: np.ndarray, factor: int, faces: Sequence[FaceEmotion]) -> np.ndarray:
    """Return a small copy with boxes, and names where they cover little else; the faces' boxes are reduced first."""
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    step = max(1, max(height, width) // (4 * SIDE))  # of a large photo every pixel would take 30 ms
    small = cv2.resize(image[::step, ::step], size, interpolation=cv2.INTER_AREA)
    for face in faces:
        x, y, w, h = (round(side / factor * scale) for side in face.box)
        colour = COLOURS[face.emotion]
        if w >= size[0] - 1 and h >= size[1] - 1:  # all of it is the face
            continue
        paint.outline(small, x, y, w, h, round(0.08 * w), 2, colour)
        length = paint.text_width(face.emotion, LETTERS) + 8
        if length < 1.5 * w:
            left = int(np.clip(x + (w - length) // 2, 0, max(0, size[0] - length)))
            top = max(0, y - LETTERS - 4)
            paint.panel(small, left, top, length, LETTERS + 4, 4, colour)
            paint.write(small, face.emotion, left + 4, top + LETTERS // 2 + 2, LETTERS, paint.ink_on(colour))
    return small


def _printable(text: str) -> str:
    """Return the text of a path as it can be shown: names of files may be any bytes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
