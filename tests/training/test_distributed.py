"""Several processes learn what one learns, go on with each other's state, and part from each other."""

import itertools
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from helpers import ended, launch, plain_network
from several_processes import PLAIN, data
from training_support import same

from fer.checkpoint import load
from fer.evaluation.predictions import predict
from fer.training import History, TrainConfig, fit

SCRIPT = str(Path(__file__).parents[1] / "several_processes.py")


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """The files that two processes leave."""
    out = tmp_path_factory.mktemp("launched")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    alone = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*command, SCRIPT, "two", str(out)], env=alone, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def results(folder, name, world=2):
    return [torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in range(world)]


def one_process(**options):
    """The network, its faces and its history after one process has learned alone."""
    model, (train, valid) = plain_network("plain"), data()
    return model, train, fit(model, train, valid, TrainConfig(**PLAIN, **options))


def assert_close(weights, others):
    torch.testing.assert_close(weights, others, rtol=1e-4, atol=1e-5)


def assert_alike(rows, others):
    for theirs, ours in zip(rows, others, strict=True):
        for name in set(ours) - {"seconds", "images_per_second"}:
            assert theirs[name] == pytest.approx(ours[name], rel=1e-3), name


def test_two_processes_see_each_sample_once_an_epoch(launched):
    seen = [result["seen"] for result in results(launched, "plain")]
    for epoch in (0, 1):
        halves = [part[epoch * len(part) // 2 : (epoch + 1) * len(part) // 2] for part in seen]
        assert Counter(halves[0] + halves[1]) == dict.fromkeys(range(45), 1)
        assert abs(len(halves[0]) - len(halves[1])) <= 5  # one of each batch at most


def test_two_processes_learn_what_one_learns(launched):
    model, _, history = one_process()
    first, second = results(launched, "plain")
    assert same(first["weights"], second["weights"])
    assert_close(first["weights"], model.state_dict())
    assert_alike(first["rows"], history.rows)


def test_metrics_of_two_processes_are_those_of_the_saved_model(launched):
    """Batch statistics differ between processes; those that are saved must be those that are scored."""
    model, card = load(launched / "shared")
    first, second = results(launched, "shared")
    assert same(first, second)
    assert same(first, model.state_dict())
    assert card["processes"] == 2
    history = History.load(launched / "shared" / "history.csv")
    scores = predict(model, data()[1]).score(resamples=0)
    row = history.rows[history.best_epoch - 1]
    assert row["valid_loss"] == pytest.approx(scores.nll, rel=1e-4)
    assert row["valid_accuracy"] == pytest.approx(scores.accuracy, rel=1e-4)


def test_two_processes_learn_from_a_teacher_what_one_learns(launched):
    """Each predicts its part of the faces with the teacher, and needs the probabilities of other parts."""
    model, _, _ = one_process(teachers=(launched / "teacher-0",))
    first, second = results(launched, "taught")
    assert same(first, second)
    assert_close(first, model.state_dict())
    assert not same(first, results(launched, "plain")[0]["weights"])


@pytest.fixture(scope="module")
def handed_on(launched):
    """The same folder after three processes went on where the two had stopped, and were stopped."""
    results = ended(launch([sys.executable, SCRIPT, "three", str(launched)], 3))
    assert [code for code, _, _ in results] == [3, -signal.SIGKILL, 3], results
    return launched


def test_two_then_three_then_one_process_go_on_with_the_same_faces(handed_on):
    unbroken, _, history = one_process()
    model, train, again = one_process(out=handed_on / "handed_on", resume=True)
    seen = [result["stopped"] for result in results(handed_on, "plain")] + results(handed_on, "third", 3)
    seen.append(train.seen)
    assert min(map(len, seen)) > 5
    assert Counter(itertools.chain(*seen)) == dict.fromkeys(range(45), PLAIN["epochs"])
    assert_close(model.state_dict(), unbroken.state_dict())
    assert_alike(again.rows, history.rows)


def test_when_one_process_is_killed_the_others_end_and_say_so(handed_on):
    for rank in (0, 2):
        message = (handed_on / f"lost-{rank}.txt").read_text()
        assert re.search(r"Another process of this run ended .*--resume to go on from .*lost", message)
    unbroken, _, _ = one_process()
    model, train, _ = one_process(out=handed_on / "lost", resume=True)
    assert len(train.seen) < 40  # the first of two epochs was kept, and more
    assert_close(model.state_dict(), unbroken.state_dict())


LEAVING = """
import sys
import threading

import torch.distributed as dist

from fer.training.distributed import leaving, processes

asked, done = threading.Event(), []


def letting_go():  # as torch's threads do with tensors, a moment after these were exchanged
    asked.wait()
    done.append("let go")


try:
    with leaving():
        met = processes()
        threading.Thread(target=letting_go, daemon=True).start()
        sys.setswitchinterval(1000)  # from now on, other threads go on where this one waits
        met.wait_for_everyone()
        asked.set()
        sys.exit(int(sys.argv[1]))
finally:
    print(*done, "and left" if not dist.is_initialized() else "")
"""


@pytest.mark.parametrize(
    ("code", "printed"), [(0, "let go and left\n"), (1, "let go \n"), (130, "let go and left\n")]
)
def test_a_script_lets_torchs_threads_finish_and_leaves_the_others_unless_it_failed(tmp_path, code, printed):
    """Those that let go of tensors only while Python shuts down abort the process."""
    script = tmp_path / "parts.py"
    script.write_text(LEAVING, "utf-8")
    for *result, errors in ended(launch([sys.executable, str(script), str(code)], 2)):
        assert result == [code, printed], errors
