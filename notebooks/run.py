"""Run the notebooks from top to bottom, in place, and make the pictures that README shows of them.

python notebooks/run.py            all of them
python notebooks/run.py 01 05      these, with their solutions
"""

import ast
import base64
import io
import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image

from fer import cli
from fer.errors import DataMissing

FOLDER = Path(__file__).parent
PARAMETERS, PICTURE = "parameters", "picture"  # tags of cells
LARGE = 130_000  # characters of base64


@dataclass
class RunOptions:
    """Run the notebooks from top to bottom, in place."""

    notebooks: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """How their names begin, e.g. 01 05; all by default"""
    timeout: int = 1800
    """seconds that one cell may take"""


def notebooks() -> list[Path]:
    """Return all notebooks, each followed by the solutions of its exercises."""
    return sorted(
        [*FOLDER.glob("*.ipynb"), *FOLDER.glob("solutions/*.ipynb")],
        key=lambda path: (path.name, len(path.parts)),
    )


def execute(path: Path, values: Mapping[str, object] | None = None, timeout: int = 1800):
    """Return a notebook with its outputs, run in its own folder; the file does not change.

    Args:
        path: the .ipynb.
        values: instead of those in the cell tagged ``parameters``, by name.
        timeout: seconds that one cell may take.

    Raises:
        KeyError: the notebook has no such parameter.
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    import nbformat
    from nbclient import NotebookClient

    original = nbformat.read(path, as_version=4)
    notebook = with_parameters(original, values or {})
    options = {"timeout": timeout, "kernel_name": "python3", "record_timing": False}
    options["extra_arguments"] = [
        "--log-level=ERROR"
    ]  # else each kernel warns that it listens on this machine
    NotebookClient(notebook, resources=folder_of(path), **options).execute()
    for cell, written in zip(notebook.cells, original.cells, strict=True):
        cell.source = written.source
    return notebook


def folder_of(path: Path) -> dict:
    """Return the resources with which nbclient runs a notebook in its own folder."""
    return {"metadata": {"path": str(path.parent)}}


def with_parameters(notebook, values: Mapping[str, object]):
    """Return a copy of a notebook with other values in its cell tagged ``parameters``."""
    notebook = deepcopy(notebook)
    cell = next(cell for cell in notebook.cells if PARAMETERS in cell.metadata.get("tags", ()))
    cell.source = replace_parameters(cell.source, values)
    return notebook


def replace_parameters(source: str, values: Mapping[str, object]) -> str:
    """Return the source of a ``parameters`` cell with other values.

    Raises:
        KeyError: it does not set a name that is to be replaced.
    """
    known = parameters(source)
    stale = sorted(set(values) - known)
    if stale:
        raise KeyError(
            f"The notebook has no parameter {', '.join(stale)}; it has {', '.join(sorted(known))}."
        )
    return "\n".join([source, *(f"{name} = {value!r}" for name, value in values.items())])


def parameters(source: str) -> set[str]:
    """Return the names that a cell sets."""
    assigned = [
        target for node in ast.parse(source).body if isinstance(node, ast.Assign) for target in node.targets
    ]
    return {node.id for target in assigned for node in ast.walk(target) if isinstance(node, ast.Name)}


def tidy(notebook) -> None:
    """Remove what a saved notebook cannot show, and make it small.

    Widgets, also those of progress bars, need a running kernel. Large images, which are
    photos, become JPEGs of a tenth of their size.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kept = [output for output in cell.outputs if not _is_widget(output)]
            cell.outputs = kept
            for output in kept:
                _shrink(output.get("data", {}))
    notebook.metadata.pop("widgets", None)


def _is_widget(output) -> bool:
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def _shrink(data: dict) -> None:
    if len(data.get("image/png", "")) > LARGE:
        picture = Image.open(io.BytesIO(base64.b64decode(data.pop("image/png")))).convert("RGB")
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=88, optimize=True)
        data["image/jpeg"] = base64.b64encode(buffer.getvalue()).decode()


def picture(notebook) -> Image.Image | None:
    """Return the images of the cells tagged ``picture``, one below the other, as README shows them at half the size."""
    outputs = [o for cell in notebook.cells if PICTURE in cell.metadata.get("tags", ()) for o in cell.outputs]
    found = [
        o.data[kind] for o in outputs for kind in ("image/png", "image/jpeg") if kind in o.get("data", {})
    ]
    images = [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in found]
    rows = [np.asarray(image.resize((520, 520 * image.height // image.width))) for image in images]
    return Image.fromarray(np.vstack(rows)) if rows else None


def main(options: RunOptions) -> None:
    """Run the notebooks, write them with their outputs, and the pictures."""
    import nbformat

    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # else kernels warn about frozen modules
    every = notebooks()
    paths = [path for path in every if path.name.startswith(options.notebooks or ("",))]
    if not paths:
        names = ", ".join(sorted({path.name for path in every}))
        raise DataMissing(
            f"No notebook begins with {' or '.join(options.notebooks)}; expected one of {names}."
        )
    for path in paths:
        print(f"running {path.relative_to(FOLDER)} …", flush=True)
        notebook = execute(path, timeout=options.timeout)
        if image := picture(notebook):
            image.save(FOLDER / f"images/{path.stem}.jpg", quality=88, optimize=True)
        tidy(notebook)
        temporary = path.with_name(f".{path.name}.tmp")
        nbformat.write(notebook, temporary)
        temporary.replace(path)


if __name__ == "__main__":
    cli.run(main, RunOptions)
