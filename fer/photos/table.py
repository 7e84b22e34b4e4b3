"""The table of ``fer.predict``: its columns, a picture's rows, writing them, counting them."""

import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping

from tqdm import tqdm

from fer.labels import EMOTIONS, UNCERTAIN
from fer.photos.annotate import Annotator
from fer.photos.bulk import Keep, Picture, analyse
from fer.photos.gallery import Gallery
from fer.photos.listing import File
from fer.photos.parts import line
from fer.predictor import EmotionPredictor

COLUMNS = ("path", "frame", "face", "x", "y", "w", "h", "emotion", "confidence", *EMOTIONS)
VALENCE_AROUSAL = ("valence", "arousal")
"""Columns more, for a network that predicts them."""
PictureRows = tuple[File, str, str | None]
"""A picture's file, its rows as text, and why it cannot be read."""


def rows(picture: Picture, valence_arousal: bool = False) -> list[list[object]]:
    """Return a row for each face; for a picture without one, or an unreadable file, one with empty fields."""
    start = [str(picture.file.path), "" if picture.frame is None else picture.frame]
    more = VALENCE_AROUSAL * valence_arousal
    if picture.error or not picture.faces:
        emotion = "error" if picture.error else ""
        return [[*start, *[""] * 5, emotion, *[""] * (1 + len(EMOTIONS) + len(more))]]
    return [
        [
            *start,
            number,
            *face.box,
            face.emotion,
            *(f"{value:.4f}" for value in (face.confidence, *face.probabilities)),
            *(f"{getattr(face, name):.4f}" for name in more),
        ]
        for number, face in enumerate(picture.faces)
    ]


def rows_of(
    annotator: Annotator | None,
    gallery: Gallery | None,
    whole_image: bool,
    every_s: float,
    batch_size: int,
    files: Iterable[File],
    predictor: EmotionPredictor,
) -> Generator[PictureRows]:
    """Yield the rows of each picture, as ``analyse`` finds its faces, once its copies are written."""
    keep_images: Keep | None = "whole" if annotator else "as read" if gallery else None
    try:
        for picture in analyse(files, predictor, whole_image, every_s, batch_size, keep_images):
            if annotator and not picture.error:
                annotator.write(picture)
            if gallery:
                gallery.add(picture)
            text = "".join(map(line, rows(picture, predictor.valence_arousal)))
            yield picture.file, text, picture.error
    finally:
        if annotator:
            annotator.close()


def with_progress(rows: Iterable[PictureRows], total: int | None) -> Iterator[str]:
    """Yield the text of each, while a bar counts files to ``total`` (None: no bar) and errors are printed."""
    latest = None
    with tqdm(total=total, unit="file", disable=total is None) as bar:
        for file, text, error in rows:
            yield text
            if error:
                bar.write(f"error: {error}", file=sys.stderr)
            bar.update(file != latest)
            latest = file


class Summary(Counter[str]):
    """Counts while rows pass through: photos, video frames, faces of each emotion, pictures without a face, errors."""

    def counting(self, table: Iterable[list[str]]) -> Iterator[list[str]]:
        """Yield the rows."""
        frame, face, emotion = (COLUMNS.index(name) for name in ("frame", "face", "emotion"))
        latest = None
        for row in table:
            new, latest = row[:face] != latest, row[:face]
            if row[emotion] == "error":
                self["unreadable"] += 1
            else:
                self["video frame" if row[frame] else "photo"] += new
                self[row[emotion] or "no face"] += 1
            yield row

    @property
    def pictures(self) -> int:
        """Photos and frames that were read."""
        return self["photo"] + self["video frame"]

    def text(self, passed_over: Mapping[str, int]) -> str:
        """Return the totals as lines: the most frequent emotion first, then the rest, and what was ``passed_over``."""
        emotions = sorted(EMOTIONS, key=lambda name: -self[name])
        faces = {name: self[name] for name in (*emotions, UNCERTAIN) if self[name]}
        total = sum(faces.values())
        read = [_many(self[noun], noun) for noun in ("photo", "video frame") if self[noun]]
        lines = [f"{' and '.join(read) or '0 photos'}, {_many(total, 'face')}"]
        lines += [f"  {name:<12}{number:>9,}  {number / total:>6.1%}" for name, number in faces.items()]
        lines += [f"  {name:<12}{self[name]:>9,}" for name in ("no face", "unreadable") if self[name]]
        whys = ("other files", "ignored"), ("folders", "left out: hidden, @…, or thumbnails")
        lines += [f"  {what:<12}{passed_over[what]:>9,}  {why}" for what, why in whys if passed_over[what]]
        return "\n".join(lines)


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
