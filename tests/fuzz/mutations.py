"""Seeded damage: to bytes, and to the values inside JSON, CSV and .npz, which stay readable as such."""

import copy
import csv
import io
import json
import random

import numpy as np

VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1,
    255,
    10**9,
    10**40,
    -(2**63),
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
]
VALUES += ["", "0", "a", "\0", "../x", "a" * 300, "\ud800", "1e9", [], [0], [[]], {}, {"a": 1}]
CELLS = [
    "",
    "nan",
    "-inf",
    "1e999",
    "-1",
    "0",
    "9" * 30,
    "²",
    "٣",
    '"',
    "\0",
    "é",
    ",",
    "\n",
    "true",
    "1_0",
    "0x1",
    "../x",
]


def damage_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, overwrite, cut, repeat or insert at one to four places."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, n = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 8, 64, 512))
        match rng.randrange(7):
            case 0 if at < len(data):
                data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
            case 1:
                data = data[:at] + rng.randbytes(n) + data[at + n :]
            case 2:
                data = data[:at] + rng.choice((b"\0", b"\xff", b"9", b" ")) * n + data[at + n :]
            case 3:
                data = data[:at]
            case 4:
                data = data[:at] + data[at + n :]
            case 5:
                data = data[:at] + data[at : at + n] * 2 + data[at + n :]
            case _:
                data = data[:at] + rng.randbytes(n) + data[at:]
    return data


def damage_json(data: bytes, rng: random.Random) -> bytes:
    """Replace, remove or add a value at one or two places of the tree."""
    root = [json.loads(data)]
    for _ in range(rng.choice((1, 1, 2))):
        node, key = root, 0
        while isinstance(node[key], dict | list) and node[key] and rng.random() < 0.85:
            node = node[key]
            key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        match rng.randrange(6):
            case 0 if node is not root:
                del node[key]
            case 1 if isinstance(node, dict):
                node[rng.choice(("", "a", "faces", "pretrained", "widths"))] = rng.choice(VALUES)
            case 2 if isinstance(node, list) and node is not root:
                node[key:key] = copy.deepcopy(node[key : key + 1]) * rng.choice((1, 3, 1000))
            case 3 if isinstance(node[key], int | float) and node[key] < 1e300:
                node[key] = rng.choice((-node[key], node[key] * 1000, node[key] + 0.5, str(node[key])))
            case _:
                node[key] = copy.deepcopy(rng.choice(VALUES))
    return json.dumps(root[0]).encode("utf-8", "surrogatepass")


def damage_csv(data: bytes, rng: random.Random) -> bytes:
    """Replace, remove or add cells and rows."""
    rows = list(csv.reader(io.StringIO(data.decode())))
    for _ in range(rng.choice((1, 1, 2))):
        row = rng.choice(rows)
        at = rng.randrange(len(row) + 1)
        match rng.randrange(5):
            case 0:
                row[at : at + 1] = []
            case 1:
                row[at:at] = [rng.choice(CELLS)]
            case 2:
                rows.insert(rng.randrange(len(rows)), list(row))
            case _:
                row[at : at + 1] = [rng.choice(CELLS)]
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def damage_npz(data: bytes, rng: random.Random) -> bytes:
    """Give one array another type, shape or values, or remove, rename or double it."""
    arrays = dict(np.load(io.BytesIO(data)))
    name = rng.choice(list(arrays))
    array = arrays[name]
    match rng.randrange(9):
        case 0:
            del arrays[name]
        case 1:
            arrays["a"] = arrays.pop(name)
        case 2:
            arrays[name] = array[: rng.randrange(len(array) + 1)]
        case 3:
            arrays[name] = array[None]
        case 4:
            arrays[name] = np.concatenate([array, array])
        case 5:
            arrays[name] = np.full(array.shape, rng.choice((np.nan, np.inf, -1.0, 1e300)))
        case 6:
            arrays[name] = np.full(array.shape, rng.choice((-1, 8, 2**62, -(2**63))))
        case 7:
            data = damage_bytes(array.tobytes(), rng)[: array.nbytes].ljust(array.nbytes)
            arrays[name] = np.frombuffer(data, array.dtype).reshape(array.shape)
        case _:
            other = "S" if array.dtype.kind == "U" else rng.choice(("S4", "c8", "M8[s]", "?"))
            arrays[name] = array.astype(other)
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()
