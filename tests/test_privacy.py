"""No script opens a socket that leads out of this machine, or writes into the home of its user unasked."""

import os
import re
import subprocess
import sys

import pytest
from programs import need
from test_cli import ROOT, SCRIPTS

from fer import checkpoint
from fer.model import build
from synthetic_faces.tree import write_tree

NO_OPENVINO = 'raise ModuleNotFoundError("No module named \'openvino\'", name="openvino")'
PHOTO, SAMPLE = ROOT / "assets" / "demo.webp", "--data sample --root tree"
FRAMES = "--no-window --max-frames 5 --csv out.csv --save out.mp4 --timeline out.png"
COMMANDS = {
    "fer.datasets.affectnet8": "index tree",
    "fer.datasets.packed": "write tree packed --size 48",
    "fer.datasets.synthetic": "sample --per-class 1",
    "fer.evaluate": f"--model one {SAMPLE} --split val --limit 8",
    "fer.evaluation.results": f"--models {ROOT / 'models'}",
    "fer.export": "one",
    "fer.predict": f"{PHOTO} --csv out.csv --gallery out.html --save-annotated copies --jobs 2",
    "fer.screen": f"--region 0,0,300,300 {FRAMES}",
    "fer.train": f"{SAMPLE} --model baseline --epochs 1 --limit 16 --out three",
    "fer.training.averaging": "halve two",
    "fer.webcam": f"--source sample {FRAMES}",
}
FONT_CACHES = r"/(\.cache|\.config)/(matplotlib|fontconfig)"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a sample and two models, and a place that hides OpenVINO."""
    need("strace")
    folder = tmp_path_factory.mktemp("world")
    if subprocess.run(["strace", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not be used here")
    write_tree(folder / "tree", per_class=4)
    for name in ("one", "two"):
        checkpoint.save(folder / name, build("baseline"), {})
    (folder / "hidden").mkdir()
    (folder / "hidden" / "openvino.py").write_text(NO_OPENVINO)
    return folder


@pytest.mark.parametrize("script", [*SCRIPTS, "fer.webcam without openvino"])
def test_nothing_is_sent_and_nothing_left_at_home(world, tmp_path, request, script):
    module, _, without = script.partition(" ")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "MPL"))}
    environ |= {"HOME": str(tmp_path), "PYTHONPATH": str(world / "hidden") * bool(without) + f":{ROOT}"}
    if module == "fer.screen":
        environ["DISPLAY"] = request.getfixturevalue("x_display")
    calls = world / "calls.txt"
    for path in world.glob("out.[cmp]*"):  # of another script: the demos replace nothing
        path.unlink()
    strace = [
        "strace",
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-s",
        "4096",
        "-e",
        "trace=network,openat,mkdir,mkdirat",
    ]
    command = [*strace, "-o", calls, sys.executable, "-m", module, *COMMANDS[module].split()]
    done = subprocess.run(command, cwd=world, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = calls.read_text(errors="replace")
    assert "fer/__init__" in made  # it sees what is opened
    assert set(re.findall(r"socket\((\w+)", made)) <= {"AF_UNIX", "AF_NETLINK"}
    written = [line for line in made.splitlines() if re.search("O_CREAT|O_WRONLY|O_RDWR|mkdir", line)]
    assert not [line for line in written if f'"{tmp_path}' in line and not re.search(FONT_CACHES, line)]
