"""Name the emotions in photos, folders and videos: as text, or as a table.

    python -m fer.predict photo.jpg                               prints the emotion of each face
    python -m fer.predict photo.jpg holiday/ clip.mp4 --csv faces.csv
    python -m fer.predict photos/ --csv faces.csv --gallery faces.html
    python -m fer.predict photos/ --csv faces.csv --jobs 8        in eight processes
    python -m fer.predict photos/ --csv faces.csv --part 3/20     on twenty machines, this is the third

Memory does not grow with the number of files (but with --save-annotated and --gallery). A
stopped run leaves what it did in ``faces.csv.parts``; the same command with
``--resume`` goes on from there, also with other --jobs and --part.
"""

import csv
import math
import os
import sys
from collections.abc import Iterable
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from fer import cli
from fer.errors import DataInvalid, DataMissing, Stopped, UsageError, UserError, check_ranges
from fer.files import check_output, check_output_folder, locked
from fer.interrupt import stop_signals
from fer.labels import percent

if TYPE_CHECKING:
    from fer.photos.listing import Listing
    from fer.photos.parts import Part
    from fer.photos.table import PictureRows

FREE_TO_CHANGE = {"csv", "resume", "jobs", "part", "batch_size", "model", "allow_unlocked"}
"""Options that may differ between the first run and its resumption (the model's weights may not)."""


@dataclass
class PredictOptions:
    """Print the emotion of each face, or with --csv write a row each: empty without a face, `error` if unreadable.

    Of an animation or a file with several pages the first picture counts. Exit code 1 only when not one file
    could be read.
    """

    paths: Positional[tuple[Path, ...]]
    """Photos, videos, and folders, which are searched with all below them but for folders that begin with a dot or @,
    and thumbnails. If one is missing, nothing is done."""
    csv: Path | None = None
    """The table: path, frame (videos: from 0), face (0 is the largest), box in pixels, emotion, probabilities;
    valence and arousal, too, where the model predicts them. A path that a spreadsheet would take for a formula has ./
    in front: ./=x.jpg. Once complete, it replaces an earlier one."""
    resume: bool = False
    """Go on with the run for --csv that was stopped, if there is one."""
    jobs: int = 1
    """Processes that share the work, and the cores."""
    part: Annotated[str | None, arg(metavar="K/N")] = None
    """Do the K-th of N parts; the process that finishes last writes the table. Implies --resume for N > 1."""
    detector: Literal["thorough", "fast"] = "thorough"
    """How faces are searched in photos. fast takes 0.6 of the time and misses more; videos always have it."""
    whole_image: bool = False
    """Every picture is one face, already cut out: search for none."""
    gallery: Path | None = None
    """Also write a page with totals and small copies of all photos, sorted and filtered by emotion and confidence:
    OUT.html, and beside it the folder OUT.thumbnails. It opens without a network. Both hold faces."""
    save_annotated: Path | None = None
    """Also write copies with boxes and emotions to this folder, laid out like the originals; beside that of a video
    VIDEO.timeline.png, the probabilities of each face over time."""
    model: Path | None = None
    """Folder of a trained model. By default the one that comes with this program, emotion_net."""
    threshold: float = 0.4
    """Below this probability a face is called uncertain."""
    prior: Literal["chosen", "training", "uniform"] = "chosen"
    """Expect emotions as often as in training, all equally often, or in between as the model's card says."""
    every_seconds: float = 0.0
    """Videos: analyse at most one frame in this time; 0 analyses all."""
    batch_size: int = 64
    """Faces per forward pass."""
    allow_unlocked: bool = False
    """Go on where the file system has no locks: nothing then keeps two runs from writing the same table."""

    def check(self) -> None:
        """Refuse values out of range, and outputs that would replace an input: UsageError says what was expected."""
        if not self.paths:
            raise UsageError("No PATH was given: name photos, videos or folders.")
        some = (1, math.inf)
        check_ranges(self, threshold=(0, 1), every_seconds=(0, math.inf), jobs=some, batch_size=some)
        if self.csv is None:
            for name in ("resume", "jobs", "part", "gallery", "save_annotated"):
                if vars(self)[name] != vars(PredictOptions)[name]:
                    raise UsageError(f"--{name.replace('_', '-')}: expected --csv, too.")
            return
        check_output("--csv", self.csv)
        from fer.photos.listing import KNOWN, thumbnails

        table, inputs = self.csv.resolve(), {path.resolve() for path in self.paths}
        if self.csv.suffix.lower() in KNOWN or table in inputs:
            raise UsageError(f"--csv {self.csv} would replace a photo or video; expected faces.csv, say.")
        if self.gallery:
            check_output("--gallery", self.gallery)
            page = self.gallery.resolve()
            if self.gallery.suffix.lower() not in {".html", ".htm"} or page in {table, *inputs}:
                raise UsageError(f"--gallery {self.gallery}: expected a page of its own, such as faces.html.")
        folders = {
            "--gallery": self.gallery and thumbnails(self.gallery),
            "--save-annotated": self.save_annotated,
        }
        for option, folder in folders.items():
            if folder:
                check_output_folder(option, folder)
                copies = folder.resolve()
                if table in (copies, *copies.parents) or any(copies in (p, *p.parents) for p in inputs):
                    raise UsageError(
                        f"{option} would write into {folder}: photos or the table are there, which copies might "
                        "replace; expected a folder of its own."
                    )

    def fixed(self, weights: str | None) -> dict:
        """Return what must be the same when a run goes on, ready for JSON."""
        given = {name: value for name, value in asdict(self).items() if name not in FREE_TO_CHANGE}
        given = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
        return {**given, "paths": [str(path) for path in self.paths], "weights": weights}


def main(options: PredictOptions) -> int:
    """Do what the options say; return the exit code. Before the work, what is missing or unusable is a UserError."""
    options.check()

    from fer.photos.listing import Listing, thumbnails
    from fer.photos.parts import Part

    part = Part.parse(options.part)
    copies = thumbnails(options.gallery) if options.gallery else None
    listing = Listing(options.paths, [options.save_annotated, copies])  # before anything is written
    if next(iter(listing), None) is None:
        found = listing.count()
        raise DataMissing(
            f"Found no photo or video in {', '.join(map(str, options.paths))} ({found['other files']} other files, "
            f"{found['folders']} folders left out)."
        )
    with locked(part.place(options.csv), options.allow_unlocked) if options.csv else nullcontext():
        return _predict(options, part, listing)


def _print_emotions(results: Iterable["PictureRows"], listing: "Listing") -> int:
    """Print the emotions of photos as they come, and the totals in the end; return the exit code."""
    from fer.photos.table import COLUMNS, Summary, with_progress

    lines = chain.from_iterable(StringIO(text, newline="") for text in with_progress(results, None))
    summary, passed_over = Summary(), listing.count()
    for row in summary.counting(csv.reader(lines)):
        face = dict(zip(COLUMNS, row, strict=False))
        if not face["frame"] and face["emotion"] != "error":
            confidence = f" {percent(float(face['confidence']))}%" if face["emotion"] else "no face"
            print(f"{face['path']}: {face['emotion']}{confidence}")
    if passed_over.total() > 1 or summary["video frame"]:
        print(summary.text(passed_over))
    return 0 if summary.pictures else 1


def _predict(options: PredictOptions, part: "Part", listing: "Listing") -> int:
    from fer.photos.annotate import Annotator
    from fer.photos.gallery import Gallery
    from fer.photos.jobs import in_processes, share_cores
    from fer.photos.parts import Parts
    from fer.photos.table import COLUMNS, VALENCE_AROUSAL, Summary, rows_of, with_progress
    from fer.predictor import EmotionPredictor

    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if local > 1:  # processes that torchrun has started on this machine
        share_cores(local)
    gallery = Gallery(options.gallery) if options.gallery else None
    annotator = Annotator(options.save_annotated, list(listing)) if options.save_annotated else None
    load = partial(EmotionPredictor, options.model, options.threshold, options.detector, prior=options.prior)
    predictor = load()
    how = options.whole_image, options.every_seconds, options.batch_size
    work = partial(rows_of, annotator, gallery, *how)
    if options.csv is None:
        return _print_emotions(work(listing, predictor), listing)
    columns = (*COLUMNS, *VALENCE_AROUSAL * predictor.valence_arousal)
    parts = Parts(options.csv, columns, listing, part, options.allow_unlocked)
    fixed = options.fixed(predictor.card.get("weights_sha256"))
    if not parts.begin(fixed, resume=options.resume or part.count > 1):
        hint = f" Leave out --resume to make {gallery.page}." if gallery and not gallery.page.exists() else ""
        print(f"{options.csv} is finished: there is nothing to resume.{hint}", file=sys.stderr)
        return 0
    if options.csv.is_file():
        print(f"note: in the end this replaces {options.csv}. To keep that, rename it now.", file=sys.stderr)
    advice = f"{parts.folder} holds what was done: the same command with --resume goes on."
    summary = Summary()
    shown = partial(gallery.writing, columns) if gallery else iter
    try:
        with stop_signals(at_once=True):
            seen = sys.stderr.isatty() and (options.part or part.number == 1)
            total = sum(1 for _ in parts.todo()) if seen else None
            if options.jobs > 1:
                results = in_processes(work, load, parts.todo(), options.jobs, options.jobs * local)
            else:
                results = work(parts.todo(), predictor)
            with closing(results):
                parts.write(with_progress(results, total))
            unfinished = parts.finish(lambda rows: shown(summary.counting(rows)))
    except KeyboardInterrupt:
        raise Stopped(f"Stopped. {advice}") from None
    except (UserError, OSError) as error:
        raise DataInvalid(f"{error}\n{advice}") from error
    if unfinished:
        print(f"Part {part.number} of {part.count} is finished; {unfinished}.", file=sys.stderr)
        return 0
    outputs = " and ".join(str(path) for path in (options.csv, options.gallery) if path)
    print(f"{outputs}: {summary.text(listing.count())}")
    return 0 if summary.pictures else 1


def command() -> None:
    """Run ``fer-predict``, the command that installing the package brings."""
    cli.run(main, PredictOptions)


if __name__ == "__main__":
    command()
