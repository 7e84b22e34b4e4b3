"""Copies of photos and videos with boxes and emotions, laid out like the originals."""

import errno
from collections.abc import Sequence
from pathlib import Path

import cv2

from fer.errors import DataInvalid
from fer.live.overlay import draw_faces
from fer.live.video import VideoWriter
from fer.photos.bulk import Picture
from fer.photos.listing import File

WRITABLE = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


class Annotator:
    """Writes annotated copies into a folder: ``below/x.jpg`` of an input folder becomes ``FOLDER/below/x.jpg``.

    Of two inputs with the same place the later is called ``x-2.jpg``. What
    cannot be written in its own format becomes .png, and every video .mp4.

    Args:
        folder: where the copies go.
        files: all inputs that are known when work begins.

    Raises:
        DataInvalid: a copy would take the place of an original.
    """

    def __init__(self, folder: Path, files: Sequence[File]) -> None:
        self._folder = folder
        self._originals = {file.path.resolve() for file in files}
        self._targets: dict[File, Path] = {}
        self._taken: set[Path] = set()
        self._video: VideoWriter | None = None
        self._latest: File | None = None
        for file in files:
            self._choose(file)

    def _choose(self, file: File) -> Path:
        """Return where the copy of a file goes, different from all others."""
        target = self._folder / _writable(file)
        stem, count = target.stem, 1
        while target in self._taken:
            count += 1
            target = target.with_stem(f"{stem}-{count}")
        if target.resolve() in self._originals:
            raise DataInvalid(
                f"--save-annotated {self._folder} would overwrite {target}. Choose a folder apart from the photos."
            )
        self._taken.add(target)
        self._targets[file] = target
        return target

    def write(self, picture: Picture) -> None:
        """Write the copy of a photo, or append a frame to the copy of its video.

        Args:
            picture: with its image.

        Raises:
            DataInvalid: the copy cannot be written.
        """
        assert picture.image is not None
        image, file = picture.image.copy(), picture.file
        draw_faces(image, picture.faces)
        target = self._targets.get(file) or self._choose(file)  # it may have come since
        if file is not self._latest:
            self.close()
        self._latest = file
        if file.is_video:
            self._video = self._video or VideoWriter(target)
            self._video.write(image, picture.time_s)
            return
        done, data = cv2.imencode(target.suffix, image)
        if not done:  # larger than this kind of file can be
            target = Path(f"{target}.png")
            done, data = cv2.imencode(target.suffix, image)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data.tobytes())
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            advice = (
                "Make room there." if full else "Choose another --save-annotated, or allow writing there."
            )
            raise DataInvalid(f"{target} cannot be written: {error.strerror}. {advice}") from error

    def close(self) -> None:
        """Finish the video that is being written, if any."""
        if self._video is not None:
            self._video.close()
            self._video = None


def _writable(file: File) -> Path:
    if file.is_video:
        return file.inner.with_suffix(".mp4")
    return file.inner if file.inner.suffix.lower() in WRITABLE else Path(f"{file.inner}.png")
