"""Numbers out of small .npy files, from their bytes: nothing is ever unpickled.

AffectNet8 has four such files for every face, and nearly all start with one of a few headers. Each
header is parsed once: NumPy, which parses every one, takes six times as long.
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
    try:
        start = 10 + int.from_bytes(data[8:10], "little")
        shape, fortran, dtype = _header(data[:start])
        values = np.frombuffer(data, dtype, math.prod(shape), start)  # refuses objects
        values = values.reshape(shape, order="F" if fortran else "C").ravel()
        if dtype.kind in "biuf":
            return values.astype(np.float64)
        if dtype.kind not in "US":
            raise ValueError(f"values of type {dtype}")
        text = b" ".join(values.astype("S").tolist())
    except DAMAGE as error:
        raise ValueError(f"not an npy file of numbers ({error})") from error
    return np.array([float(word) for word in text.replace(b",", b" ").replace(b";", b" ").split()])


@lru_cache(maxsize=1024)
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, whether the order is Fortran's, and dtype."""
    file = io.BytesIO(head)
    np.lib.format.read_magic(file)
    return np.lib.format.read_array_header_1_0(file)
