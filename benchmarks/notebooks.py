"""How long the notebooks take, and how much memory: on the sample, FER+, or as many faces as AffectNet8 has.

    python -m benchmarks.notebooks                               the sample
    python -m benchmarks.notebooks --data DIR                    FER+ or AffectNet8 in DIR
    python -m benchmarks.notebooks --images 287651 --only 01     synthetic faces in AffectNet8's layout

A notebook has its own parameters but for DATA and OUT, and a kernel of its own;
*memory* is the peak of that. Nothing is written into notebooks/.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import record
from benchmarks.make_affectnet8 import MakeOptions, make
from fer import cli
from notebooks.run import FOLDER, PARAMETERS, folder_of, parameters, with_parameters

PEAK = """
from pathlib import Path as _Path
_status = _Path("/proc/self/status")  # Linux; elsewhere the memory is not measured
print(next((line.split()[1] for line in _status.read_text().splitlines() if line.startswith("VmHWM")), 0)
      if _status.is_file() else 0)
"""


@dataclass
class NotebooksOptions:
    """Run the notebooks and print what each takes."""

    data: Path | None = None
    """Folder with AffectNet8 or FER+; by default the sample, rendered into outputs/"""
    images: int | None = None
    """Instead: training faces of a synthetic AffectNet8, made in outputs/ if it is missing; AffectNet8 has 287651"""
    only: tuple[str, ...] = ()
    """How the names begin, e.g. 01 06; all by default"""
    out: Path = Path("outputs/notebooks.json")
    """Where the numbers go"""


def main(options: NotebooksOptions) -> None:
    """Print the table and write the JSON."""
    data = options.data or Path("outputs/notebooks-sample")
    if options.images:
        data = make(MakeOptions(Path(f"outputs/affectnet8-{options.images}"), options.images))
    rows = []
    print("| notebook | seconds | memory |\n|---|---|---|")
    for path in sorted(FOLDER.glob("*.ipynb")):
        if path.name.startswith(options.only or ("",)):
            rows.append(measure(path, data.resolve()))
            print("| {notebook} | {seconds:.0f} | {memory_mb:.0f} MB |".format(**rows[-1]), flush=True)
    record.save(options.out, data=options.images or ("sample" if options.data is None else "own"), cases=rows)


def measure(path: Path, data: Path) -> dict:
    """Run a notebook on the data of a folder; return its seconds and its kernel's peak of memory."""
    import nbformat
    from nbclient import NotebookClient

    original = nbformat.read(path, as_version=4)
    (cell,) = [cell for cell in original.cells if PARAMETERS in cell.metadata.get("tags", ())]
    values = {"DATA": str(data), "OUT": str(Path(f"outputs/notebooks-{path.stem}").resolve())}
    notebook = with_parameters(
        original, {name: values[name] for name in values.keys() & parameters(cell.source)}
    )
    notebook.cells.append(nbformat.v4.new_code_cell(PEAK))
    began = time.perf_counter()
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources=folder_of(path)).execute()
    kilobytes = int(notebook.cells[-1].outputs[0].text)
    return {
        "notebook": path.stem,
        "seconds": time.perf_counter() - began,
        "memory_mb": kilobytes * 1024 / 1e6,
    }


if __name__ == "__main__":
    cli.run(main, NotebooksOptions)
