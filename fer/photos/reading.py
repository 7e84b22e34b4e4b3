"""Photos and videos as people have them, to the pixels that everything here works on: BGR uint8 (H, W, 3)."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from fer.errors import DataInvalid

PHOTOS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif"}
PHOTOS |= {".jp2", ".avif", ".ppm", ".pgm", ".pbm"}
UNSUPPORTED = {".heic", ".heif", ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2"}
"""Photos all the same: they are reported as unreadable, not passed over."""
VIDEOS = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".mts"}
VIDEOS |= {".m2ts", ".ogv"}

UNTIMED = {"avi", "h264", "hevc", "m4v", "mpegvideo"}
"""Kinds of video whose frames have no times of their own, only a rate."""

_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
    MemoryError,
    RuntimeError,  # AVIF
    AttributeError,  # EXIF
    TypeError,
)
"""What Pillow raises for files that are cut off, damaged, or something else than they claim."""


def read_image(path: str | Path) -> np.ndarray:
    """Read a photo upright: uint8 BGR (H, W, 3).

    EXIF rotation is applied, transparency is laid on white, 16-bit and float
    pictures are brought to 8 bits, and of an animation or of several pages the
    first counts.

    Raises:
        DataInvalid: it cannot be read as a photo, in whole.
    """
    path = Path(path)
    try:
        with Image.open(path) as image:
            image.load()
            return np.ascontiguousarray(np.asarray(_to_rgb(ImageOps.exif_transpose(image)))[:, :, ::-1])
    except _DAMAGE as error:
        raise DataInvalid(f"{path}: {_what_is_wrong(path, error)}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


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
    if path.suffix.lower() in UNSUPPORTED:
        return f"{path.suffix.lower()} photos cannot be read here. Save it as JPEG or PNG and try again."
    if isinstance(error, Image.UnidentifiedImageError):
        return "this is no photo of a kind known here, or it is damaged. Does an image viewer open it?"
    return f"the photo cannot be read ({error}). Is it cut off or damaged? Copy it again."


def read_video(path: str | Path) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield (number, seconds, picture) of a video's frames: from 0, media time, upright uint8 BGR (H, W, 3).

    Raises (when iterated):
        DataInvalid: it is no video, has no pictures, or is damaged from some frame on.
    """
    path, number = Path(path), 0
    try:
        # Absolute, because FFmpeg takes what stands before a colon for a protocol; titles may be in any encoding.
        with av.open(os.path.abspath(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise DataInvalid(f"{path}: this file has no pictures. Is it a sound recording?")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = float(stream.average_rate or 25)
            timed = container.format.name not in UNTIMED
            for frame in container.decode(stream):
                picture = frame.to_ndarray(format="bgr24")
                picture = np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90)))
                yield number, frame.time if timed and frame.time is not None else number / rate, picture
                number += 1
    except (av.FFmpegError, OSError) as error:
        where = f"after {number} frames" if number else "from the start"
        raise DataInvalid(
            f"{path}: the video cannot be read {where} ({error.strerror}). Does a player show it?"
        ) from error
    if number == 0:
        raise DataInvalid(f"{path}: the video has no frames. Was the recording cut off?")
