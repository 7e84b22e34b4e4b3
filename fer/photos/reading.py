"""Photos and videos as people have them, to the pixels that everything here works on: BGR uint8 (H, W, 3)."""

import os
import re
import stat
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from PIL import Image

from fer.errors import DataInvalid, DataMissing
from fer.files import MOST_PIXELS, UNREADABLE_PHOTOS

FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "TIFF", "GIF", "JPEG2000", "AVIF", "PPM")
"""Pillow's names of the photos that ``fer.files`` lists. Of others it would run decoders that start programs."""
UNTIMED = {"avi", "h264", "hevc", "m4v", "mpegvideo"}
"""FFmpeg's names of the formats whose frames have no times of their own, only a rate."""
TIMEOUT_S = 10  # of a network
SHORT = 0.9  # a video that ends before this part of the length in its header was cut off

_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError),
    *(MemoryError, TypeError, RuntimeError, AttributeError),  # the last two of AVIF and EXIF
)
"""What Pillow raises for files that are cut off, damaged, or something else than they claim."""

_ORIENTATION = 0x0112  # the EXIF tag
_ON_ITS_SIDE = (5, 6, 7, 8)  # values of it
# To be turned upright, such a photo is transposed, and others flipped: 1 left to right, 0 upside down, -1 both.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}

_opening = threading.Lock()


class Photo(NamedTuple):
    """A photo as it was read.

    Attributes:
        image: upright, uint8 BGR (H, W, 3).
        factor: how many pixels of the whole photo are one here: 1, or 2, 4 or 8 if it was read at reduced size.
        shape: height and width of the whole photo.
    """

    image: np.ndarray
    factor: int
    shape: tuple[int, int]


def read_image(path: str | Path) -> np.ndarray:
    """Read a photo upright, as ``read_photo``: uint8 BGR (H, W, 3)."""
    return read_photo(path).image


def read_photo(path: str | Path, at_least: float | None = None) -> Photo:
    """Read a photo upright.

    EXIF rotation is applied, transparency is laid on white, 16-bit and float
    pictures are scaled to 8 bits. Of an animation or several pages the first is read.

    Args:
        path: of the photo.
        at_least: a JPEG may be read at reduced size, which takes a fraction of the time, if its longer
            side is still so many pixels; by default only JPEGs of more than ``MOST_PIXELS`` are.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: it is no photo, damaged or cut off; or of more than ``MOST_PIXELS``, and no baseline JPEG.
    """
    path = Path(path)
    _check_file(path)
    try:
        with _open(path) as image:
            width, height = image.size
            parts = 1 if at_least is None else max(1, int(max(image.size) / max(at_least, 1)))
            parts = 1 << parts.bit_length() - 1  # as draft rounds it, too
            while parts < 8 and width * height > MOST_PIXELS * parts**2:
                parts *= 2
            if parts > 1:
                image.draft(None, (max(1, width // parts), max(1, height // parts)))
            factor = round(max(width, height) / max(image.size))
            # A progressive JPEG is in memory whole before it is reduced.
            pixels = width * height if image.info.get("progressive") else image.width * image.height
            if pixels > MOST_PIXELS:
                raise Image.DecompressionBombError(f"{pixels / 1e6:.0f}")
            image.load()
            orientation = _orientation(image)
            shape = (width, height) if orientation in _ON_ITS_SIDE else (height, width)
            return Photo(_upright(np.asarray(_to_rgb(image)), orientation), factor, shape)
    except _DAMAGE as error:
        raise DataInvalid(f"{path}: {_what_is_wrong(path, error)}") from error


def _check_file(path: Path) -> None:
    """Refuse what is no regular file: a pipe may keep its reader waiting for ever."""
    try:
        if path.name == "*":  # a folder that a listing could not read
            os.scandir(path.parent).close()
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise DataMissing(f"There is no photo or video {path}. Check the spelling.") from None
    except OSError as error:
        raise DataInvalid(f"{path}: it cannot be read ({error.strerror}). Allow it?") from error
    if not stat.S_ISREG(mode):
        raise DataInvalid(f"{path}: this is a folder, pipe or device; expected a file.")


def _open(path: Path) -> Image.Image:
    """Open a photo of any size, which Pillow would refuse before it is known how much of it is read."""
    with _opening:  # its limit is one for all threads
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _orientation(image: Image.Image) -> int | None:
    try:
        return image.getexif().get(_ORIENTATION)
    except _DAMAGE:  # of the EXIF block alone
        return None


def _upright(pixels: np.ndarray, orientation: int | None) -> np.ndarray:
    """Return RGB pixels (H, W, 3) as BGR, turned as EXIF says."""
    image = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    if orientation in _ON_ITS_SIDE:
        image = cv2.transpose(image)
    return cv2.flip(image, _FLIPS[orientation]) if orientation in _FLIPS else image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Scale (H, W) of 16-bit integers, or of floats from 0 to 1, to uint8; values that fit in 8 bits stay."""
    highest = float(np.nanmax(pixels, initial=0))
    floats = np.issubdtype(pixels.dtype, np.floating)
    if floats and highest <= 1:
        factor = 255.0
    elif highest <= 255 and pixels.dtype != np.uint16:
        factor = 1.0
    else:
        factor = 255 / max(65535.0, highest)
    return np.rint(np.nan_to_num(pixels).astype(np.float64) * factor).clip(0, 255).astype(np.uint8)


def _what_is_wrong(path: Path, error: BaseException) -> str:
    if path.is_file() and path.stat().st_size == 0:
        return "the file is empty (0 bytes). Copy it again."
    if path.suffix.lower() in UNREADABLE_PHOTOS:
        return f"{path.suffix.lower()} photos cannot be read here. Save it as JPEG or PNG and try again."
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"the photo has {error} million pixels; up to {MOST_PIXELS / 1e6:.0f} million are read, of baseline JPEGs "
            "any number. Save a smaller copy of it and try again."
        )
    if isinstance(error, Image.UnidentifiedImageError):
        return "this is no photo of a kind known here, or it is damaged. Does an image viewer open it?"
    return f"the photo cannot be read ({error}). Is it cut off or damaged? Copy it again."


class VideoFrame(NamedTuple):
    """A frame of a video: its number, from 0; seconds since the first; BGR uint8 (H, W, 3), upright."""

    number: int
    time_s: float
    image: np.ndarray


def read_video(path: str | Path) -> Iterator[VideoFrame]:
    """Yield the frames of a video file, at the times written in it, or at its rate where it has none.

    Args:
        path: of the file, or an http(s) URL.

    Raises (when iterated):
        DataMissing: there is no such file.
        DataInvalid: it is no video, without pictures; or, after the frames before, damaged from some frame on or
            much shorter than its header promises.
    """
    advice = f"Does a player show it? `ffmpeg -i {path} fixed.mp4` may repair it."
    # Absolute, because FFmpeg takes what stands before a colon for a protocol.
    place = os.path.abspath(path)
    if re.match("https?://", str(path)):
        place, path = str(path), without_password(str(path))
        advice = "Is the network slow? Download it, and play the file."
    else:
        _check_file(Path(path))
    count, counted, promised, time_s = 0, 0, 0, -np.inf
    try:
        # Titles may be in any encoding.
        with av.open(place, metadata_errors="replace", timeout=TIMEOUT_S) as container:
            if not container.streams.video:
                raise DataInvalid(f"{path}: this file has no pictures. Is it a sound recording?")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            # Matroska without a rate of its own claims 1000.
            rate = float(min(filter(None, (stream.average_rate, stream.guessed_rate)), default=25))
            timed = container.format.name not in UNTIMED
            counted = stream.frames
            promised = counted or (round((container.duration or 0) / av.time_base * rate) if timed else 0)
            first_s = None
            for frame in _decoded(container, stream):
                now_s = count / rate
                if timed and frame.time is not None:
                    first_s = frame.time if first_s is None else first_s
                    now_s = frame.time - first_s
                time_s = now_s if now_s > time_s else time_s + 1 / rate  # times that stand still
                pixels = np.rot90(frame.to_ndarray(format="bgr24"), round(frame.rotation / 90))
                yield VideoFrame(count, time_s, np.ascontiguousarray(pixels))
                count += 1
    except (av.FFmpegError, OSError) as error:
        if 0 < promised <= count:  # a server that sends no length ends with an error
            return
        where = f"after {count} of {promised or 'its'} frames" if count else "from the start"
        advice = advice if count or "://" in str(path) else "Is it cut off? Copy it again."
        raise DataInvalid(f"{path}: the video cannot be read {where} ({error.strerror}). {advice}") from error
    if count == 0:
        raise DataInvalid(f"{path}: the video has no frames. Was the recording cut off? {advice}")
    # By time, too: where frames come unevenly, as in Matroska, their number is only estimated from it.
    if count < promised and time_s + 1 / rate < SHORT * promised / rate:
        total = counted or round(count * promised / (time_s * rate + 1))  # the rate may be wrong
        missing = f"{total - count} of {total} frames are missing"
        raise DataInvalid(f"{path}: the video ended after {count} frames, {missing}: cut off? {advice}")


def _decoded(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Yield every frame; where reading breaks off, first those that wait in the decoder."""
    try:
        yield from container.decode(stream)
    except (av.FFmpegError, OSError):
        yield from stream.decode(None)
        raise


def without_password(url: str) -> str:
    """Return a URL as it may be shown."""
    return re.sub(r"//[^/@]*@", "//", url)
