"""The table of ``fer.predict``: its columns, a picture's rows, writing them, counting them."""

import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator

from tqdm import tqdm

from fer.labels import EMOTIONS
from fer.photos.annotate import Annotator
from fer.photos.bulk import Picture, Sampling, analyse
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
    whole_image: bool,
    sampling: Sampling,
    batch_size: int,
    files: Iterable[File],
    predictor: EmotionPredictor,
) -> Generator[PictureRows]:
    """Yield the rows of each picture, as ``analyse`` finds its faces, once its annotated copy is written."""
    try:
        for picture in analyse(files, predictor, whole_image, sampling, batch_size, annotator is not None):
            if annotator and not picture.error:
                annotator.write(picture)
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
    """Counts pictures, faces, pictures without a face and unreadable files while rows pass through."""

    def counting(self, table: Iterable[list[str]]) -> Iterator[list[str]]:
        """Yield the rows."""
        face, emotion = COLUMNS.index("face"), COLUMNS.index("emotion")
        latest = None
        for row in table:
            error, has_face = row[emotion] == "error", row[face] != ""
            new, latest = row[:face] != latest, row[:face]
            self.update(
                pictures=new and not error, faces=has_face, errors=error, empty=not error and not has_face
            )
            yield row

    def __str__(self) -> str:
        return (
            f"{self['pictures']:,} pictures, {self['faces']:,} faces; {self['empty']:,} pictures without a face; "
            f"{self['errors']:,} files not readable"
        )
