"""Incomplete data, cells run alone or twice, wrong parameters, sources that fail: with a live kernel."""

import nbformat
import numpy as np
import pytest
import run
from helpers import votes, write_ferplus
from nbclient.exceptions import CellExecutionError
from notebook_support import FOLDER, LESSONS, code_cells, live, small

from fer.labels import EMOTIONS
from synthetic_faces.tree import write_tree


def printed(notebook):
    return "".join(o.text for cell in code_cells(notebook) for o in cell.outputs if o.output_type == "stream")


@pytest.fixture(scope="module")
def incomplete(tmp_path_factory):
    """AffectNet8 with one fault of each kind, and two training faces that are the same picture."""
    root = tmp_path_factory.mktemp("incomplete")
    write_tree(root / "synthetic", per_class=12)
    for name in ("train_set", "val_set"):
        (root / "synthetic" / name).rename(root / name)
    train = root / "train_set"
    labelled = sorted(int(path.stem.removesuffix("_exp")) for path in train.glob("annotations/*_exp.npy"))
    image = {number: train / f"images/{number}.jpg" for number in labelled}
    image[labelled[0]].write_bytes(image[labelled[1]].read_bytes())
    image[labelled[2]].write_bytes(image[labelled[2]].read_bytes()[:3000])
    image[labelled[3]].write_bytes(b"")
    image[labelled[4]].unlink()
    (train / f"annotations/{labelled[5]}_exp.npy").write_bytes(b"")
    np.save(train / f"annotations/{labelled[6]}_exp.npy", np.array("9"))
    for kind in ("lnd", "val", "aro"):
        for number in labelled:
            (train / f"annotations/{number}_{kind}.npy").write_bytes(b"no numbers")
    return root


@pytest.mark.parametrize("name", ["02_baseline_cnn_training", "03_confusion_and_f1", "01_data_exploration"])
def test_an_incomplete_affectnet8_is_opened_with_what_is_usable(name, world, incomplete):
    if name.startswith("01"):  # it decodes every image, and finds what looks whole from both ends
        image = max((incomplete / "val_set/images").glob("*.jpg"))
        data = image.read_bytes()
        image.write_bytes(data[:2] + bytes(1000) + data[1002:])
    values = small(name, world) | {"DATA": str(incomplete), "ON_ERROR": "skip"}
    if name.startswith("02"):
        with live(name, values) as kernel:
            kernel.run_up_to("config = TrainConfig")
            assert "left out" in kernel.run("config = TrainConfig")
        return
    text = printed(run.execute(FOLDER / f"{name}.ipynb", values, timeout=300))
    if name.startswith("01"):
        assert "1 label outside 0-7" in text and "2 broken image" in text and f"{image.name}: broken" in text
        assert "1 pairs of equal images" in text
        assert "annotations cannot be read" in text and "100.0% of all pairs" in text


@pytest.fixture(scope="module")
def ferplus(tmp_path_factory):
    """A few faces in FER+'s layout, ten annotators of one mind for each."""
    root, rows = tmp_path_factory.mktemp("ferplus"), [votes(**{emotion: 10}) for emotion in EMOTIONS]
    write_ferplus(root, {"train": rows * 6, "valid": rows * 2, "test": rows * 2})
    return root


@pytest.mark.parametrize("name", [name for name in LESSONS if name[:2] in ("01", "02", "03", "06")])
def test_it_runs_on_ferplus(name, world, ferplus):
    values = small(name, world) | {"DATA": str(ferplus), "LIMIT": None}
    values |= {"HASHED": 60} if name.startswith("01") else {}
    notebook = run.execute(FOLDER / f"{name}.ipynb", values, timeout=300)
    assert "Using FER+" in printed(notebook)
    if name.startswith(
        "01"
    ):  # all pictures are alike: those of each part are found, also among a part of the faces
        tables = [o.data.get("text/html", "") for c in code_cells(notebook) for o in c.outputs if "data" in o]
        assert any("train, to learn - train, to test" in table for table in tables)


def test_each_section_of_03_runs_alone(world):
    name = "03_confusion_and_f1"
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    lines = [line for cell in notebook.cells for line in cell.source.splitlines()]
    headings = [line for line in lines if line.startswith("## ") and line != "## Exercises"]
    model = {"MODEL": str(world / "models/two"), "OTHER": "one"}
    with live(name, small(name, world) | model) as kernel:
        kernel.run_up_to("plots.confusion")
        before = set(eval(kernel.ask("list(globals())")))
        for heading in headings:
            kernel.run_section(heading)
            kernel.ask(
                f"[globals().pop(name) for name in set(globals()) - {before!r} if name[0] != '_'] and 0"
            )
        assert kernel.ask("chosen.name") == "'two'"


def refused(kernel, cell, words):
    """Whether a cell ends with an error whose text is all that is shown."""
    with pytest.raises(CellExecutionError, match=words) as caught:
        kernel.run(cell)
    return "Traceback" not in str(caught.value) and "site-packages" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        (
            "03_confusion_and_f1",
            [
                ({"MODEL": "baseline"}, "recorded_model(MODEL", "'baseline'.*one, two"),
                ({"SET": "ferplus"}, "recorded_model(MODEL", "ferplus.*sample-val"),
                ({"THRESHOLD": 40}, "recorded_model(MODEL", "THRESHOLD = 40.*from 0 to 1"),
                ({"TRUTH": "joyful"}, "read_image(PICTURE)", "'joyful'.*neutral, happiness"),
                ({"PICTURE": "nobody.jpg"}, "read_image(PICTURE)", "no photo or video nobody.jpg"),
                ({"OTHER": "baseline"}, "if OTHER:", "'baseline'.*one, two"),
            ],
        ),
        ("04_resnet18_comparison", [({"SET": "ferplus"}, "recorded_models(MODELS)", "ferplus.*sample-val")]),
        ("02_baseline_cnn_training", [({"DEVICE": "gpu"}, "config = TrainConfig", "'gpu'.*'auto', 'cpu'")]),
        ("06_rare_emotions", [({"STEPS": 0}, "if STEPS", "STEPS = 0.*1 step or more")]),
    ],
)
def test_a_wrong_parameter_is_refused_in_a_sentence(name, cases, world):
    usual = small(name, world) | {"SET": None, "OTHER": None}
    with live(name, small(name, world)) as kernel:
        kernel.run_up_to(cases[0][1])
        kernel.run(cases[0][1])
        for values, cell, words in cases:
            defaults = {"THRESHOLD": 0.4, "MODEL": None, "TRUTH": None, "PICTURE": None}
            kernel.ask(f"globals().update({defaults | usual | values!r})")
            assert refused(kernel, cell, words), values


def test_the_demo_can_be_watched_twice_and_shows_nothing_of_an_earlier_run(world):
    name = "05_live_demo"
    with live(name, small(name, world) | {"FRAMES": None}) as kernel:
        kernel.run_up_to("notebook.show")
        kernel.run("notebook.show")
        kernel.ask("(first := session) and 0")
        kernel.run("notebook.show")
        assert kernel.ask("(first._thread.is_alive(), session._thread.is_alive())") == "(False, True)"
        assert kernel.ask("await session.finished(3) is session").endswith("True")
        kernel.run("rows, {table")
        kernel.ask("(source := 'nowhere.mp4') and 0")
        kernel.run("notebook.show")
        for cell in (
            "await session.finished(SECONDS)",
            "Image(session.jpeg",
            "rows, {table",
            "timeline.strips",
        ):
            with pytest.raises(CellExecutionError, match=r"nowhere\.mp4"):
                kernel.run(cell)
