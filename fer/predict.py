"""Name the emotions in photos, folders and videos, as a table.

python -m fer.predict photo.jpg holiday/ clip.mp4 --csv faces.csv
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from fer.labels import EMOTIONS

COLUMNS = ("path", "frame", "face", "x", "y", "w", "h", "emotion", "confidence", *EMOTIONS)


@dataclass
class PredictOptions:
    """Write one row per face; a picture without one gets a row with empty fields, an unreadable file an `error` row.

    Of an animation or a file with several pages the first picture counts. Exit code 1 only when not one file
    could be read.
    """

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Photos, videos, and folders, which are searched with all that is below them."""
    csv: Path
    """The table: path, frame (videos: from 0), face (0 is the largest), box in pixels, emotion, probabilities."""
    whole_image: bool = False
    """Every picture is one face, already cut out: look for none."""
    save_annotated: Path | None = None
    """Also write copies with the faces drawn in to this folder, laid out like the originals."""
    model: Path | None = None
    """Folder of a trained model. By default models/emotion_net, or models/baseline_cnn where that is missing."""
    threshold: float = 0.4
    """Below this probability a face is called uncertain."""
    prior: Literal["chosen", "training", "uniform"] = "chosen"
    """Expect emotions as often as in training, all equally often, or in between as the model's card says."""
    every_seconds: float = 0.0
    """Videos: look at one frame in so many seconds; 0 looks at all."""
    frame_step: int = 1
    """Videos: look at every so many-th frame."""
    batch_size: int = 64
    """Faces per forward pass."""


if __name__ == "__main__":
    from fer import cli

    cli.run("fer.predict", PredictOptions)

import csv
import sys
from collections import Counter
from collections.abc import Iterator

from tqdm import tqdm

from fer.annotate import Annotator
from fer.bulk import Picture, Sampling, analyse, collect
from fer.errors import DataInvalid, DataMissing
from fer.faces import FaceDetector
from fer.predictor import EmotionPredictor


def main(options: PredictOptions) -> int:
    """Do what the options say; return the exit code.

    Raises:
        UserError: a path, the model, or a place to write is missing or unusable, found before work starts.
    """
    if not options.paths:
        print("error: no PATH was given: name photos, videos or folders.", file=sys.stderr)
        return 2
    check(options)
    files, others = collect(options.paths, leave_out=options.save_annotated)
    if not files:
        raise DataMissing(
            f"Found no photo or video in {', '.join(map(str, options.paths))} ({others} other files)."
        )
    annotator = Annotator(options.save_annotated, files) if options.save_annotated else None
    predictor = EmotionPredictor(options.model, options.threshold, prior=options.prior)
    with_faces = not options.whole_image
    pictures = analyse(
        files,
        predictor,
        # A photo is looked at once and may take its time; what one frame of a video misses, the next one has.
        photo_detector=FaceDetector(thorough=True) if with_faces else None,
        video_detector=FaceDetector() if with_faces else None,
        sampling=Sampling(options.frame_step, options.every_seconds),
        batch_size=options.batch_size,
        keep_images=annotator is not None,
    )
    count = write(pictures, options.csv, len(files), annotator)
    parts = [
        f"{count['pictures']:,} pictures, {count['faces']:,} faces",
        f"{count['empty']:,} pictures without a face",
        f"{count['errors']:,} files not readable",
        f"{others:,} other files ignored",
    ]
    print(f"{options.csv}: {'; '.join(parts)}")
    return 0 if count["pictures"] else 1


def check(options: PredictOptions) -> None:
    """Refuse options that cannot work.

    Raises:
        DataInvalid: saying which one and what was expected.
    """
    if options.csv.is_dir():
        raise DataInvalid(f"--csv {options.csv} is a folder; expected the name of a file to write.")
    limits = {
        "--threshold": 0 <= options.threshold <= 1,
        "--every-seconds": options.every_seconds >= 0,
        "--frame-step": options.frame_step >= 1,
        "--batch-size": options.batch_size >= 1,
    }
    for name, holds in limits.items():
        if not holds:
            value = getattr(options, name[2:].replace("-", "_"))
            raise DataInvalid(f"{name} {value} makes no sense; see python -m fer.predict --help.")


def write(pictures: Iterator[Picture], path: Path, total: int, annotator: Annotator | None) -> Counter:
    """Write the table, and the drawn copies; return how many pictures, faces, empty pictures and errors there were.

    The table grows as ``PATH.part`` and gets its name when it is complete.
    """
    part, count = path.with_name(path.name + ".part"), Counter()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # surrogateescape: names of files may be any bytes
        table = part.open("w", newline="", encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise DataInvalid(
            f"--csv {path} cannot be written: {error.strerror}. Choose another place."
        ) from error
    done, latest = False, None
    try:
        with table, tqdm(total=total, unit="file", disable=None) as bar:
            writer = csv.writer(table, lineterminator="\n")
            writer.writerow(COLUMNS)
            for picture in pictures:
                writer.writerows(rows(picture))
                table.flush()
                count.update(
                    pictures=not picture.error, faces=len(picture.faces), errors=bool(picture.error),
                    empty=not picture.error and not picture.faces,
                )  # fmt: skip
                if picture.error:
                    bar.write(f"error: {picture.error}", file=sys.stderr)
                elif annotator:
                    annotator.draw(picture)
                bar.update(picture.file is not latest)
                latest = picture.file
        part.replace(path)
        done = True
    finally:
        if annotator:
            annotator.close()
        if not done:
            print(f"stopped: {part} holds the {count['pictures']:,} pictures done so far.", file=sys.stderr)
    return count


def rows(picture: Picture) -> list[list]:
    """Return the rows of a picture, in the order of COLUMNS."""
    start = [str(picture.file.path), "" if picture.frame is None else picture.frame]
    if picture.error or not picture.faces:
        return [[*start, *[""] * 5, "error" if picture.error else "", *[""] * (1 + len(EMOTIONS))]]
    return [
        [
            *start,
            number,
            *face.box,
            face.emotion,
            f"{face.confidence:.4f}",
            *(f"{p:.4f}" for p in face.probabilities),
        ]
        for number, face in enumerate(picture.faces)
    ]
