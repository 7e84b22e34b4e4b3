"""02 shows what a teacher looks for, and bears to be stopped and run again."""

import ast

import nbformat
import pytest
from notebook_support import FOLDER, code_cells, live, small

BASELINE, RARE = "02_baseline_cnn_training", "06_rare_emotions"
FIT = "history = fit("
STOP_AFTER_TWO_EPOCHS = """
import os, signal
real_curves, stopped = plots.live_curves, []
def live_curves():
    draw = real_curves()
    def on_epoch(history):
        draw(history)
        if len(history.rows) == 2 and not stopped:
            stopped.append(os.kill(os.getpid(), signal.SIGINT))
    return on_epoch
plots.live_curves = live_curves
"""
STOP_IN_THE_FIRST_STEP = """
real_model = new_model
def new_model(config):
    model = real_model(config)
    def stop(*_):
        hook.remove()
        os.kill(os.getpid(), signal.SIGINT)
    hook = model.conv1.register_forward_pre_hook(stop)
    return model
"""


def test_the_class_the_loss_and_the_loop_stand_in_code_cells():
    sources = [cell.source for cell in code_cells(nbformat.read(FOLDER / f"{BASELINE}.ipynb", as_version=4))]
    classes = [
        node for source in sources for node in ast.parse(source).body if isinstance(node, ast.ClassDef)
    ]
    (network,) = [node for node in classes if node.name == "BaselineCNN"]
    assert ast.unparse(network.bases[0]) == "nn.Module" and "forward" in {
        node.name for node in network.body[1:]
    }
    assert any("exp()" in source and "math.log(p[true])" in source for source in sources)
    (loop,) = [source for source in sources if "for epoch in range(2)" in source]
    order = ["model(x)", "F.cross_entropy", "zero_grad()", "loss.backward()", "optimizer.step()"]
    places = [loop.index(text) for text in order]
    assert places == sorted(places) and "fit(" not in loop and len(loop.splitlines()) <= 25
    assert sources.index(loop) < next(i for i, source in enumerate(sources) if FIT in source)


@pytest.mark.parametrize("name", [BASELINE, RARE])
def test_only_public_modules_are_imported(name):
    trees = [
        ast.parse(cell.source) for cell in code_cells(nbformat.read(FOLDER / f"{name}.ipynb", as_version=4))
    ]
    imports = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = [f"{node.module}.{alias.name}" for node in imports for alias in node.names]
    assert names and not [name for name in names if "._" in name]


def test_training_twice_starts_anew_and_an_interrupt_keeps_what_was_finished(world, tmp_path):
    with live(BASELINE, small(BASELINE, world) | {"EPOCHS": 3, "OUT": str(tmp_path / "out")}) as kernel:
        kernel.run_up_to(FIT)
        kernel.run(FIT)
        losses = eval(kernel.ask("history.column('train_loss').tolist()"))
        kernel.ask(f"exec({STOP_AFTER_TWO_EPOCHS!r})")
        assert "Interrupted after 2 of 3 epochs. The cells below use epoch" in kernel.run(FIT)
        assert eval(kernel.ask("history.column('train_loss').tolist()")) == pytest.approx(
            losses[:2], rel=1e-3
        )
        kernel.run_after(FIT)
        assert list(tmp_path.glob("out/predictions-sample-val.npz"))
        kernel.run("for epoch in range(2)")  # a cell of the first half, out of order
        kernel.run("trained = predict(network")
        kernel.ask(f"exec({STOP_IN_THE_FIRST_STEP!r})")
        assert "Interrupted after 0 of 3 epochs" in kernel.run(FIT)
        kernel.run_after(FIT)
        assert "no epoch was finished" in kernel.run("record(Path(OUT)")
