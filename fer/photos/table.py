"""The table of ``fer.predict``: its columns, a picture's rows, writing them, counting them."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from fer.interrupt import stop_signals
from fer.labels import EMOTIONS
from fer.photos.annotate import Annotator
from fer.photos.bulk import Picture
from fer.photos.parts import Parts, write_row

COLUMNS = ("path", "frame", "face", "x", "y", "w", "h", "emotion", "confidence", *EMOTIONS)
VALENCE_AROUSAL = ("valence", "arousal")
"""Columns more, for a network that predicts them."""


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


def write_pictures(
    pictures: Iterable[Picture], parts: Parts, annotator: Annotator | None, show_progress: bool
) -> None:
    """Write the rows of pictures to this process's part, and their annotated copies.

    A signal ends it at once; what was written stays for ``--resume``.
    """
    total = sum(1 for _ in parts.todo()) if show_progress else 0
    latest, finished = None, False
    try:
        with (
            stop_signals(at_once=True),
            parts.open() as table,
            tqdm(total=total, unit="file", disable=None if show_progress else True) as bar,
        ):
            for picture in pictures:
                for row in rows(picture, VALENCE_AROUSAL[0] in parts.columns):
                    write_row(table, row)
                table.flush()
                if picture.error:
                    bar.write(f"error: {picture.error}", file=sys.stderr)
                elif annotator:
                    annotator.write(picture)
                bar.update(picture.file is not latest)
                latest = picture.file
        finished = True
    finally:
        if annotator:
            annotator.close()
        if show_progress and not finished:
            print(
                f"stopped: {parts.folder} holds what was done. The same command with --resume goes on from there.",
                file=sys.stderr,
            )


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
