"""Numbers out of small .npy files, from their bytes: nothing is ever unpickled.

AffectNet8 has four such files for every face, and nearly all start with one of a few headers. Each
header is parsed once: NumPy, which parses every one, takes three times as long.
"""

import io
import math
from functools import lru_cache

import numpy as np

from fer.errors import DAMAGE


def numbers(data: bytes) -> np.ndarray:
    """Return all values of an .npy file, float64 (n,), in C order.

    Integers, floats, and numbers written as text are read, whatever the shape;
    a text may hold several, separated by spaces, commas or semicolons.

    Raises:
        ValueError: empty, truncated, not an .npy file, pickled objects, or not numbers.
    """
    if not data:
        raise ValueError("an empty file")
    start = 10 + int.from_bytes(data[8:10], "little")
    dtype, shape, fortran = _header(data[:start])
    values = np.frombuffer(data[start:], np.uint8)
    size = math.prod(shape) * dtype.itemsize
    if len(values) < size or not dtype.itemsize:
        raise ValueError(f"truncated: {len(values)} of {size} bytes of data")
    values = values[:size].view(dtype).reshape(shape, order="F" if fortran else "C").ravel()
    if dtype.kind not in "US":
        return values.astype(np.float64)
    try:
        text = b" ".join(values.astype("S").tolist())
    except SystemError as error:
        raise ValueError("a text with what is no character") from error
    return np.array([float(word) for word in text.replace(b",", b" ").replace(b";", b" ").split()])


@lru_cache(maxsize=1024)
def _header(head: bytes) -> tuple[np.dtype, tuple[int, ...], bool]:
    """Return dtype, shape and whether the order is Fortran's."""
    file = io.BytesIO(head)
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("of a format that numbers do not need")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except DAMAGE as error:
        raise ValueError(f"not an npy file ({error})") from error
    if dtype.hasobject:
        raise ValueError("pickled objects, which could run code and are never loaded")
    if not all(0 <= length <= 1 << 20 for length in shape):
        raise ValueError(f"an array of shape {shape}, which no annotation has")
    if dtype.kind not in "biufUS":
        raise ValueError(f"values of type {dtype}, which are not numbers")
    return dtype, shape, fortran
