"""Every notebook runs from top to bottom, and is committed with outputs that can be read without running it."""

import ast
import base64
import io
import re

import nbformat
import numpy as np
import pytest
import run
from notebook_support import FOLDER, LESSONS, NAMES, code_cells, is_stderr, small
from PIL import Image

from fer.labels import EMOTIONS

ABSOLUTE = re.compile(r"(?<![\w.:/~-])/(?:home|root|Users|tmp|work|var|mnt|opt|usr|private)/|[A-Z]:\\\\")


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_from_top_to_bottom(name, world):
    notebook = run.execute(FOLDER / f"{name}.ipynb", small(name, world), timeout=300)
    run.tidy(notebook)
    noise = [output.text for cell in code_cells(notebook) for output in cell.outputs if is_stderr(output)]
    assert not noise


@pytest.mark.parametrize("name", ["01_data_exploration", "02_baseline_cnn_training", "06_rare_emotions"])
def test_it_runs_on_other_releases_of_affectnet(name, world, tmp_path):
    """Which are opened as AffectNet8 is, but have names of their own."""
    for split, count in (("train", 6), ("val", 2)):
        for label, emotion in enumerate(EMOTIONS):
            folder = tmp_path / "data" / split / emotion
            folder.mkdir(parents=True)
            for k in range(count):
                face = np.random.default_rng((label, k, count)).integers(0, 256, (48, 48, 3), np.uint8)
                Image.fromarray(face).save(folder / f"{k}.png")
    run.execute(FOLDER / f"{name}.ipynb", small(name, world) | {"DATA": str(tmp_path / "data")}, timeout=300)


@pytest.fixture(params=LESSONS)
def name_of_lesson(request):
    return request.param


@pytest.fixture(params=NAMES)
def committed(request):
    return nbformat.read(FOLDER / f"{request.param}.ipynb", as_version=4)


def test_it_was_run_in_order_without_errors(committed):
    counts = [cell.execution_count for cell in code_cells(committed)]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in code_cells(committed) for output in cell.outputs]
    assert outputs, "committed without outputs: make notebooks"
    assert not [output for output in outputs if output.output_type == "error" or is_stderr(output)]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "application/vnd.jupyter.widget-view+json" not in kinds and "widgets" not in committed.metadata


def test_it_names_no_place_on_a_machine(committed):
    texts = [cell.source for cell in committed.cells]
    for cell in code_cells(committed):
        for output in cell.outputs:
            texts.append(output.get("text", ""))
            texts += [text for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
    assert not [text for text in texts if ABSOLUTE.search(text)]


def test_its_parameters_are_used(committed):
    """A parameter that no cell reads any more would be set in vain."""
    (cell,) = [cell for cell in committed.cells if run.PARAMETERS in cell.metadata.get("tags", ())]
    later = "\n".join(c.source for c in code_cells(committed) if c is not cell)
    read = {node.id for node in ast.walk(ast.parse(later)) if isinstance(node, ast.Name)}
    assert run.parameters(cell.source) and run.parameters(cell.source) <= read


def test_it_asks_a_question_and_names_its_needs(committed):
    first = committed.cells[0].source
    assert first.startswith("# ") and first.splitlines()[0].endswith("?")
    assert "**Needs**" in first and "**Takes**" in first


def test_a_lesson_says_what_is_learned_and_has_exercises_with_solutions(name_of_lesson):
    notebook = nbformat.read(FOLDER / f"{name_of_lesson}.ipynb", as_version=4)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert "**You learn**" in texts[0] and "**Know before**" in texts[0]
    assert any("**What you should see" in text for text in texts)
    (exercises,) = [text for text in texts if text.startswith("## Exercises")]
    asked = re.findall(r"^### \d\. ", exercises, re.MULTILINE)
    assert 2 <= len(asked) <= 4 and exercises.count("<details><summary>Hint</summary>") == len(asked)
    assert (FOLDER / "solutions" / f"{name_of_lesson}.ipynb").is_file()
    assert [cell for cell in notebook.cells if run.PICTURE in cell.metadata.get("tags", ())]
    assert (FOLDER / "images" / f"{name_of_lesson}.jpg").is_file()


def test_no_cell_is_longer_than_a_screen(committed):
    assert max(len(cell.source.splitlines()) for cell in code_cells(committed)) <= 25


def test_a_sentence_stands_before_each_cell(committed):
    kinds = [cell.cell_type for cell in committed.cells]
    assert not [i for i in range(1, len(kinds)) if kinds[i - 1 : i + 1] == ["code", "code"]]
    assert kinds[-1] == "markdown"


def test_notebooks_are_small():
    assert NAMES and not [name for name in NAMES if (FOLDER / f"{name}.ipynb").stat().st_size > 1_000_000]


def test_the_check_for_absolute_paths_finds_some_and_no_others():
    assert ABSOLUTE.search("saved in /home/me/x.png") and ABSOLUTE.search("'/tmp/a'")
    assert not ABSOLUTE.search("../outputs/tmp/x, https://example.org/home/x, 3/var/")


def test_a_stale_parameter_is_refused(tmp_path):
    with pytest.raises(KeyError, match="no parameter EPOCH; it has DATA, EPOCHS"):
        run.replace_parameters("DATA, EPOCHS = 'x', 3", {"EPOCH": 1})
    assert run.replace_parameters("A = 1  # one", {"A": None}) == "A = 1  # one\nA = None"


def test_a_failing_cell_fails_the_run(tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in ("A = 1", "1 / A")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, tmp_path / "x.ipynb")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        run.execute(tmp_path / "x.ipynb", {"A": 0})


def tidied(*outputs: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=list(outputs))])
    run.tidy(notebook)
    return notebook.cells[0].outputs


def test_tidying_takes_widgets_and_keeps_warnings():
    widget = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "VBox()"}
    kept = tidied(
        nbformat.v4.new_output("stream", name="stderr", text="UserWarning: mind this"),
        nbformat.v4.new_output("display_data", widget),
    )
    assert [output.text for output in kept] == ["UserWarning: mind this"]


def png(pixels):
    """An output that shows an image, uint8 (H, W, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(buffer.getvalue()).decode()})


def test_readme_shows_the_images_of_tagged_cells_one_below_the_other():
    cells = [
        nbformat.v4.new_code_cell(
            "x", outputs=[png(np.full((height, 100, 3), height, np.uint8))], metadata=tags
        )
        for height, tags in ((50, {"tags": ["picture"]}), (70, {}), (20, {"tags": ["picture"]}))
    ]
    assert run.picture(nbformat.v4.new_notebook(cells=cells[1:2])) is None
    picture = np.asarray(run.picture(nbformat.v4.new_notebook(cells=cells)))
    assert picture.shape == (260 + 104, 520, 3) and set(picture[:, 0, 0].tolist()) == {50, 20}


def test_a_large_image_becomes_a_jpeg():
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    (kept,) = tidied(png(noise))
    assert list(kept.data) == ["image/jpeg"]
    assert Image.open(io.BytesIO(base64.b64decode(kept.data["image/jpeg"]))).size == (300, 300)
