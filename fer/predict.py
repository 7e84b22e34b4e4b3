"""Name the emotions in photos, folders and videos, as a table.

    python -m fer.predict photo.jpg holiday/ clip.mp4 --csv faces.csv
    torchrun --nproc_per_node 8 -m fer.predict photos/ --csv faces.csv --resume     on several cores or machines

Memory does not grow with the number of files (but with --save-annotated). A
stopped run leaves what it did in ``faces.csv.parts``; the same command with
``--resume`` goes on from there, also with another number of processes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from fer.labels import EMOTIONS

COLUMNS = ("path", "frame", "face", "x", "y", "w", "h", "emotion", "confidence", *EMOTIONS)
SCORES = ("valence", "arousal")
"""Columns more, for a network that tells them."""


@dataclass
class PredictOptions:
    """Write one row per face; a picture without one gets a row with empty fields, an unreadable file an `error` row.

    Of an animation or a file with several pages the first picture counts. Exit code 1 only when not one file
    could be read.
    """

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Photos, videos, and folders, which are searched with all that is below them."""
    csv: Path
    """The table: path, frame (videos: from 0), face (0 is the largest), box in pixels, emotion, probabilities;
    valence and arousal, too, where the model tells them."""
    resume: bool = False
    """Go on with the run for --csv that was stopped, if there is one."""
    detector: Literal["thorough", "fast"] = "thorough"
    """How faces are looked for in photos. fast takes a ninth of the time and misses more; videos always have it."""
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

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import cv2
import torch
from tqdm import tqdm

from fer.errors import DataInvalid, DataMissing
from fer.files import check_output
from fer.interrupt import stop_signals
from fer.photos.annotate import Annotator
from fer.photos.bulk import Picture, Sampling, analyse
from fer.photos.listing import KNOWN, Listing
from fer.photos.parts import Parts, write_row
from fer.predictor import EmotionPredictor
from fer.training.distributed import Processes, noticing_losses

FREE_TO_CHANGE = {"csv", "resume", "batch_size", "model"}
"""Options that may differ between the first run and its resumption (the model's weights may not)."""


def main(options: PredictOptions) -> int:
    """Do what the options say; return the exit code.

    Raises:
        UserError: a path, the model, or a place to write is missing or unusable, found before work starts.
    """
    if not options.paths:
        print("error: no PATH was given: name photos, videos or folders.", file=sys.stderr)
        return 2
    check(options)
    processes = Processes.meet()
    if processes.world > 1:
        cv2.setNumThreads(processes.cores)
        torch.set_num_threads(processes.cores)
    listing = Listing(options.paths, leave_out=options.save_annotated)
    annotator = Annotator(options.save_annotated, list(listing)) if options.save_annotated else None
    predictor = EmotionPredictor(options.model, options.threshold, options.detector, prior=options.prior)
    columns = (*COLUMNS, *SCORES * predictor.model.valence_arousal)
    parts = Parts(options.csv, columns, listing, processes)

    def begin() -> tuple[bool, int]:
        if options.resume and options.csv.is_file() and not parts.folder.exists():
            return False, 0
        files, others = listing.count()
        if not files:
            raise DataMissing(
                f"Found no photo or video in {', '.join(map(str, options.paths))} ({others} other files)."
            )
        parts.begin(fixed(options, predictor.card), options.resume)
        return True, others

    on = f"The same command with --resume goes on from {parts.folder}."
    with noticing_losses(on):
        unfinished, others = processes.first(begin)
    if not unfinished:
        if processes.rank == 0:
            print(f"{options.csv} is finished: there is nothing to resume.", file=sys.stderr)
        return 0
    write(options, predictor, parts, annotator, first=processes.rank == 0)
    with noticing_losses(on):
        processes.wait()
    if processes.rank > 0:
        return 0
    count = Counter()
    parts.finish(counted(parts.merged(), count))
    summary = [
        f"{count['pictures']:,} pictures, {count['faces']:,} faces",
        f"{count['empty']:,} pictures without a face",
        f"{count['errors']:,} files not readable",
        f"{others:,} other files ignored",
    ]
    print(f"{options.csv}: {'; '.join(summary)}")
    return 0 if count["pictures"] else 1


def check(options: PredictOptions) -> None:
    """Refuse options that cannot work.

    Raises:
        DataInvalid: saying which one and what was expected.
    """
    check_output("--csv", options.csv)
    inputs = {path.resolve() for path in options.paths}
    if options.csv.suffix.lower() in KNOWN or options.csv.resolve() in inputs:
        raise DataInvalid(
            f"--csv {options.csv} would replace a photo or video; expected a name such as faces.csv."
        )
    if options.save_annotated:
        copies = options.save_annotated.resolve()
        if copies.exists() and not copies.is_dir():
            raise DataInvalid(f"--save-annotated {options.save_annotated} is a file; expected a folder.")
        if copies == options.csv.resolve() or options.csv.resolve() in copies.parents:
            raise DataInvalid(
                f"--csv {options.csv} and --save-annotated {options.save_annotated}: expected a file and a folder "
                "beside each other."
            )
        if any(copies == path or copies in path.parents for path in inputs):
            raise DataInvalid(
                f"--save-annotated {options.save_annotated} holds the photos, which copies might replace. "
                "Choose a folder of its own."
            )
    limits = {
        "--threshold": (0 <= options.threshold <= 1, "0 to 1"),
        "--every-seconds": (options.every_seconds >= 0, "0 or more"),
        "--frame-step": (options.frame_step >= 1, "1 or more"),
        "--batch-size": (options.batch_size >= 1, "1 or more"),
    }
    for name, (holds, expected) in limits.items():
        if not holds:
            value = getattr(options, name[2:].replace("-", "_"))
            raise DataInvalid(f"{name} {value}: expected {expected}.")


def fixed(options: PredictOptions, card: dict) -> dict:
    """Return what must be the same when a run goes on, ready for JSON."""
    given = {name: value for name, value in asdict(options).items() if name not in FREE_TO_CHANGE}
    given["paths"] = [str(path) for path in options.paths]
    given["save_annotated"] = options.save_annotated and str(options.save_annotated)
    return {**given, "weights": card.get("weights_sha256")}


def write(
    options: PredictOptions,
    predictor: EmotionPredictor,
    parts: Parts,
    annotator: Annotator | None,
    first: bool,
) -> None:
    """Write this process's part of the table, and the drawn copies."""
    total = sum(1 for _ in parts.todo()) if first else 0
    pictures = analyse(
        parts.todo(),
        predictor,
        whole_image=options.whole_image,
        sampling=Sampling(options.frame_step, options.every_seconds),
        batch_size=options.batch_size,
        keep_images=annotator is not None,
    )
    done, latest = False, None
    try:
        with (
            stop_signals(at_once=True),
            parts.open() as table,
            tqdm(total=total, unit="file", disable=None if first else True) as bar,
        ):
            for picture in pictures:
                for row in rows(picture, predictor.model.valence_arousal):
                    write_row(table, row)
                table.flush()
                if picture.error:
                    bar.write(f"error: {picture.error}", file=sys.stderr)
                elif annotator:
                    annotator.draw(picture)
                bar.update(picture.file is not latest)
                latest = picture.file
        done = True
    finally:
        if annotator:
            annotator.close()
        if first and not done:
            print(
                f"stopped: {parts.folder} holds what was done. The same command with --resume goes on from there.",
                file=sys.stderr,
            )


def counted(table: Iterable[list[str]], count: Counter) -> Iterator[list[str]]:
    """Pass rows on; count pictures, faces, empty pictures and errors."""
    face, emotion = COLUMNS.index("face"), COLUMNS.index("emotion")
    latest = None
    for row in table:
        error, found = row[emotion] == "error", row[face] != ""
        new, latest = row[:face] != latest, row[:face]
        count.update(pictures=new and not error, faces=found, errors=error, empty=not error and not found)
        yield row


def rows(picture: Picture, scored: bool = False) -> list[list]:
    """Return the rows of a picture, in the order of COLUMNS, and of SCORES where faces are ``scored``."""
    start = [str(picture.file.path), "" if picture.frame is None else picture.frame]
    if picture.error or not picture.faces:
        return [
            [
                *start,
                *[""] * 5,
                "error" if picture.error else "",
                *[""] * (1 + len(EMOTIONS) + scored * len(SCORES)),
            ]
        ]
    return [
        [
            *start,
            number,
            *face.box,
            face.emotion,
            f"{face.confidence:.4f}",
            *(f"{p:.4f}" for p in face.probabilities),
            *(f"{getattr(face, name):.4f}" for name in SCORES * scored),
        ]
        for number, face in enumerate(picture.faces)
    ]
