"""Notebooks as a student runs them: with a live kernel, cell by cell, stopped and run again."""

import re
from contextlib import contextmanager
from pathlib import Path

import nbformat
import run
from nbclient import NotebookClient

FOLDER = Path(run.__file__).parent
NAMES = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in run.notebooks())
LESSONS = [name for name in NAMES if "/" not in name]


def small(name: str, world: Path) -> dict[str, object]:
    """Parameters with which a notebook ends soon; a new notebook needs some, too."""
    data, models = str(world / "data"), str(world / "models")
    return {
        "01_data_exploration": {"DATA": data, "OPENED": 32},
        "02_baseline_cnn_training": {
            "DATA": data, "LIMIT": 64, "EPOCHS": 1, "OUT": str(world / "trained"),
        },
        "03_confusion_and_f1": {"DATA": data, "LIMIT": 16, "MODELS": models},
        "04_resnet18_comparison": {"MODELS": models, "MODEL": f"{models}/one", "REPEATS": 1},
        "06_rare_emotions": {"DATA": data, "LIMIT": 64, "STEPS": 3, "SEEDS": (0, 1)},
        "solutions/06_rare_emotions": {"DATA": data, "LIMIT": 64, "STEPS": 3, "SEEDS": (0, 1)},
        "05_live_demo": {"MODEL": f"{models}/one", "FRAMES": 12, "CSV": str(world / "live.csv")},
        "solutions/01_data_exploration": {"DATA": data, "LIMIT": 64},
        "solutions/02_baseline_cnn_training": {"DATA": data, "LIMIT": 64, "STEPS": 3},
        "solutions/03_confusion_and_f1": {"MODELS": models},
        "solutions/04_resnet18_comparison": {"REPEATS": 1},
        "solutions/05_live_demo": {"MODEL": f"{models}/one", "FPS": 1},
    }[name]  # fmt: skip


class Live:
    """A notebook with a running kernel, its parameters replaced; cells are found by a text that only they contain."""

    def __init__(self, client):
        self.client, self.written = client, len(client.nb.cells)

    def run(self, text):
        """Run the one code cell with a text; return what it printed."""
        (index,) = [i for i, cell in enumerate(self.client.nb.cells)
                    if cell.cell_type == "code" and text in cell.source]  # fmt: skip
        return self._run(index)

    def run_up_to(self, text):
        """Run all code cells before the one with a text."""
        for index, cell in enumerate(self.client.nb.cells):
            if cell.cell_type == "code":
                if text in cell.source:
                    return
                self._run(index)

    def run_after(self, text):
        """Run all code cells below the one with a text."""
        sources = [cell.source for cell in self.client.nb.cells]
        start = next(i for i, source in enumerate(sources) if text in source)
        for index in range(start + 1, self.written):
            if self.client.nb.cells[index].cell_type == "code":
                self._run(index)

    def run_section(self, heading):
        """Run the code cells below a heading, up to the next."""
        (start,) = [i for i, cell in enumerate(self.client.nb.cells) if heading in cell.source.splitlines()]
        for index, cell in enumerate(self.client.nb.cells[start + 1 :], start + 1):
            if cell.cell_type == "code":
                self._run(index)
            if re.search("^## ", cell.source, re.MULTILINE):
                return

    def ask(self, expression):
        """Return the repr of an expression in the kernel."""
        self.client.nb.cells.append(nbformat.v4.new_code_cell(f"print(repr({expression}))"))
        return self._run(len(self.client.nb.cells) - 1).strip()

    def _run(self, index):
        cell = self.client.nb.cells[index]
        self.client.execute_cell(cell, index)
        return "".join(output.text for output in cell.outputs if output.output_type == "stream")


@contextmanager
def live(name, values):
    """A notebook as ``Live``."""
    path = FOLDER / f"{name}.ipynb"
    notebook = run.with_parameters(nbformat.read(path, as_version=4), values)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources=run.folder_of(path))
    with client.setup_kernel():
        yield Live(client)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_stderr(output) -> bool:
    return output.output_type == "stream" and output.name == "stderr"
