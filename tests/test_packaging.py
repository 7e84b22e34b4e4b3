"""The tiers of dependencies, and what a wheel holds."""

import ast
import csv
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import cv2
import programs
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fer
from fer.errors import EXTRA
from fer.labels import EMOTIONS
from synthetic_faces.actor import Actor

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MODEL = Path("models", "emotion_net")
MACHINES = {
    "Linux": ("linux", "x86_64", "openvino"),
    "Linux on ARM": ("linux", "aarch64", "openvino"),
    "Mac": ("darwin", "arm64", "openvino"),
    "Intel Mac": ("darwin", "x86_64", "onnxruntime"),
    "Windows": ("win32", "AMD64", "openvino"),
    "Windows on ARM": ("win32", "ARM64", "onnxruntime"),
    "another": ("linux", "ppc64le", "onnxruntime"),
}
"""Platform, machine, and the runtime that has wheels there."""


def pinned(name):
    """The requirements of a file and of those that it includes, but ``-e .``."""
    for line in (ROOT / name).read_text("utf-8").splitlines():
        text = re.sub(r"(^|\s+)#.*", "", line)
        if text.startswith("-r "):
            yield from pinned(text.removeprefix("-r "))
        elif text and text != "-e .":
            yield Requirement(text)


def declared(extra=None):
    """The requirements of a tier, with those of the tiers below it."""
    dependencies = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    below = {"train": None, "notebooks": "train", "dev": "notebooks"}
    if extra:
        yield from declared(below[extra])
    yield from (r for r in map(Requirement, dependencies) if r.name != PROJECT["name"])


def on(requirements, platform, machine):
    """Those of the requirements that count on a machine, by name."""
    place = {"sys_platform": platform, "platform_machine": machine}
    counted = [r for r in requirements if r.marker is None or r.marker.evaluate(place)]
    return {r.name: r for r in counted}


@pytest.mark.parametrize(("platform", "machine", "runtime"), MACHINES.values(), ids=MACHINES)
def test_the_light_tier_has_one_runtime(platform, machine, runtime):
    assert on(declared(), platform, machine).keys() & {"openvino", "onnxruntime"} == {runtime}


@pytest.mark.parametrize(("platform", "machine", "_runtime"), MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize(("file", "tier"), [("demo", None), ("", "notebooks"), ("dev", "dev")])
def test_pins_are_within_the_bounds(file, tier, platform, machine, _runtime):
    bounds = on(declared(tier), platform, machine)
    pins = on(pinned(f"requirements{file and '-'}{file}.txt"), platform, machine)
    assert pins.keys() == bounds.keys()
    for name, pin in pins.items():
        (version,) = pin.specifier
        assert version.operator == "==", pin
        assert bounds[name].specifier.contains(version.version), f"{pin} is outside {bounds[name]}"


def test_each_tier_holds_those_below_it():
    """So that `pip install .[notebooks]` needs no second extra."""
    assert f"{PROJECT['name']}[train]" in PROJECT["optional-dependencies"]["notebooks"]
    assert f"{PROJECT['name']}[notebooks]" in PROJECT["optional-dependencies"]["dev"]


@pytest.mark.parametrize("file", ["requirements-demo.txt", "requirements.txt"])
def test_requirements_install_the_package_last(file):
    assert (ROOT / file).read_text("utf-8").splitlines()[-1] == "-e ."


def test_what_decides_over_a_change_skips_no_test():
    script = (ROOT / ".ci/run").read_text("utf-8")
    packages = re.search('^packages="(.*)"$', script, re.MULTILINE)[1].split()
    assert {*programs.PACKAGES.values()} <= {*packages} and "FER_NO_SKIPS=1 make test" in script


ROOMS = {
    "notebooks": ("fer.plots", "fer.explain"),
    "train": (
        *("fer.datasets", "fer.training", "fer.evaluation", "fer.checkpoint", "fer.model"),
        *("fer.train", "fer.evaluate", "fer.export"),
    ),
}
"""The modules that need more than the light tier."""
EXCEPTIONS = {
    ("fer.predictor", "torch"),
    ("fer.live.display", "ipywidgets"),
    ("fer.live.notebook", "IPython"),
    ("fer.live.notebook", "ipywidgets"),
}
"""What a function of the light tier imports, for a model without an exported network and for the demos in Jupyter."""


def modules():
    for package in ("fer", "synthetic_faces"):
        for file in (ROOT / package).rglob("*.py"):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), ast.parse(file.read_text("utf-8"))


def test_every_import_is_declared_in_the_tier_of_its_module():
    distributions = importlib.metadata.packages_distributions()
    undeclared = []
    for name, tree in modules():
        tier = next(
            (t for t, rooms in ROOMS.items() if any(f"{name}.".startswith(f"{r}.") for r in rooms)), None
        )
        known = {canonicalize_name(requirement.name) for requirement in declared(tier)}
        for node in ast.walk(tree):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported += [node.module] if isinstance(node, ast.ImportFrom) else []
            for package in {text.partition(".")[0] for text in imported}:
                if package in sys.stdlib_module_names or package in ("fer", "synthetic_faces"):
                    continue
                sources = {canonicalize_name(source) for source in distributions.get(package, ())}
                if not sources & known and (name, package) not in EXCEPTIONS:
                    undeclared.append(f"{name} imports {package}, which is not in the tier {tier or 'light'}")
    assert not undeclared, "\n".join(undeclared)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel made from a source distribution, which is made from a copy of the repository."""
    folder = tmp_path_factory.mktemp("packaging")
    copy = sources(folder / "copy")
    build(copy, "build_sdist", folder)
    (archive,) = folder.glob("*.tar.gz")
    subprocess.run([sys.executable, "-m", "tarfile", "-e", archive, folder], check=True)
    build(folder / archive.name.removesuffix(".tar.gz"), "build_wheel", folder)
    (built,) = folder.glob("*.whl")
    return built


def sources(folder):
    """Copy what a wheel is built from, because building writes beside it."""
    for name in ("fer", "synthetic_faces", MODEL):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def build(source, hook, out):
    """Call what pip calls (PEP 517) with the setuptools that is installed, so without a network."""
    code = f"import sys; from setuptools import build_meta; build_meta.{hook}(sys.argv[1])"
    command = [sys.executable, "-c", code, str(out)]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_the_wheel_holds_the_packages_the_default_model_and_no_more(wheel):
    """A new package, or file of data, that pyproject.toml does not list would be missing."""
    expected = {
        file.relative_to(ROOT).as_posix()
        for package in ("fer", "synthetic_faces")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and file.parent.name != "__pycache__"
    }
    expected |= {f"fer/{MODEL.as_posix()}/{name}" for name in ("card.json", "model.onnx")}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert found == expected
        for name in ("card.json", "model.onnx"):
            assert archive.read(f"fer/{MODEL.as_posix()}/{name}") == (ROOT / MODEL / name).read_bytes()


def test_the_wheel_says_its_version_needs_and_commands(wheel):
    assert wheel.name.startswith(f"facial_emotion_classifier-{fer.__version__}-py3-none-any")
    with zipfile.ZipFile(wheel) as archive:
        texts = {
            Path(name).name: archive.read(name).decode()
            for name in archive.namelist()
            if "dist-info/" in name
        }
    needs = re.findall(r"^Requires-Dist: (?!.*extra ==)([\w-]+)", texts["METADATA"], re.MULTILINE)
    assert set(needs) == {requirement.name for requirement in declared()}
    assert re.findall(r"^(fer-\w+) = ", texts["entry_points.txt"], re.MULTILINE) == [
        "fer-predict",
        "fer-screen",
        "fer-webcam",
    ]


def light_distributions():
    """The installed distributions of the light tier: what pyproject.toml names, and what these need in turn."""
    found, waiting = {}, [r for r in declared() if r.marker is None or r.marker.evaluate()]
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name not in found:
            found[name] = importlib.metadata.distribution(name)
            needs = [Requirement(text) for text in found[name].requires or ()]
            waiting += [r for r in needs if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found.values()


class Environment:
    """A virtual environment without pip that holds only the light tier, as links to what is installed here."""

    def __init__(self, folder, *more):
        venv.create(folder)
        self.bin = folder / ("Scripts" if os.name == "nt" else "bin")
        (self.site,) = [path for path in folder.rglob("site-packages") if path.is_dir()]
        for distribution in (*light_distributions(), *map(importlib.metadata.distribution, more)):
            for name in {
                file.parts[0] for file in distribution.files if file.parts[0] not in ("..", "__pycache__")
            }:
                link = self.site / name
                if not link.exists():
                    link.symlink_to(distribution.locate_file(name))

    def install(self, *what):
        """Let pip install something, with its dependencies, of which none is missing: there is no index to ask."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python")]
        self.run([*pip, "install", "--quiet", "--no-index", "--disable-pip-version-check", *what], self.site)

    def run(self, command, folder, code=0, **variables):
        """Run a command in a folder; return what it wrote to stdout, or to stderr where it fails as expected."""
        command = [
            str(self.bin / command[0]) if command[0] in ("python", *SCRIPTS) else command[0],
            *command[1:],
        ]
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
        run = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
        assert run.returncode == code, run.stderr
        return run.stderr if code else run.stdout


SCRIPTS = ("fer-webcam", "fer-screen", "fer-predict")


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A synthetic face, in a folder that is not the repository."""
    path = tmp_path_factory.mktemp("elsewhere") / "face.png"
    cv2.imwrite(str(path), Actor(size=(320, 240)).frame(4.0))
    return path


@pytest.fixture(params=["clone", "editable", "wheel"], scope="module")
def environment(request, tmp_path_factory):
    """An environment of the light tier, variables to find the package, and where that lies."""
    folder = tmp_path_factory.mktemp(request.param)
    needed = ["setuptools"] if request.param == "editable" else []  # to build; pip would fetch it
    try:
        made = Environment(folder / "venv", *needed)
    except OSError as error:
        pytest.skip(f"no symbolic links can be made here: {error}")
    if request.param == "clone":
        return made, {"PYTHONPATH": str(ROOT)}, ROOT
    if request.param == "wheel":
        made.install(request.getfixturevalue("wheel"))
        return made, {}, made.site
    source = sources(folder / "copy")
    made.install("--no-build-isolation", "--editable", source)
    return made, {}, source


def test_a_face_is_named_from_another_folder_without_torch(environment, photo):
    made, variables, home = environment
    code = (
        "import importlib.util, sys, fer; from fer import EmotionPredictor; from fer.files import MODELS\n"
        "print(fer.__file__); print(MODELS)\n"
        "print(importlib.util.find_spec('torch'), importlib.util.find_spec('matplotlib'))\n"
        "print(*[face.emotion for face in EmotionPredictor()(sys.argv[1])])"
    )
    package, models, absent, emotions = made.run(
        ["python", "-c", code, photo], photo.parent, **variables
    ).splitlines()
    assert Path(package) == home / "fer" / "__init__.py"
    assert Path(models).parent in (home, home / "fer")
    assert absent == "None None"
    assert emotions in EMOTIONS


def test_the_demo_plays_from_another_folder_without_torch(environment, photo, tmp_path):
    made, variables, _ = environment
    files = [tmp_path / name for name in ("demo.csv", "demo.mp4", "demo.png")]
    outputs = [text for pair in zip(("--csv", "--save", "--timeline"), files, strict=True) for text in pair]
    command = ["python", "-m", "fer.webcam", "--demo", "--no-window", "--max-frames", "3", *outputs]
    made.run(command, photo.parent, **variables)
    with files[0].open(newline="") as table:
        assert {row["emotion"] for row in csv.DictReader(table)} <= {*EMOTIONS, "uncertain"}
    assert all(file.stat().st_size for file in files)


def test_what_is_not_installed_is_said_in_a_line(environment, photo):
    made, variables, _ = environment
    said = made.run(["python", "-m", "fer.train", "--data", "sample"], photo.parent, code=1, **variables)
    assert said == f"error: No module named 'torch'. {EXTRA}\n"


@pytest.mark.parametrize("environment", ["editable", "wheel"], indirect=True)
def test_commands(environment, photo, tmp_path):
    made, _, _ = environment
    for command in SCRIPTS:
        assert f"usage: {command} " in made.run([command, "--help"], tmp_path)
    table, page = tmp_path / "faces.csv", tmp_path / "faces.html"
    made.run(["fer-predict", photo.parent, "--csv", table, "--gallery", page, "--jobs", "2"], tmp_path)
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["emotion"] in EMOTIONS and page.is_file()
