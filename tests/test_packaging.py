"""The tiers of dependencies, and what a wheel holds."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import fer

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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel made from a source distribution, which is made from a copy of the repository."""
    folder = tmp_path_factory.mktemp("packaging")
    copy = folder / "copy"  # building writes beside the sources
    for name in ("fer", "synthetic_faces", MODEL):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build(copy, "build_sdist", folder)
    (archive,) = folder.glob("*.tar.gz")
    subprocess.run([sys.executable, "-m", "tarfile", "-e", archive, folder], check=True)
    build(folder / archive.name.removesuffix(".tar.gz"), "build_wheel", folder)
    (built,) = folder.glob("*.whl")
    return built


def build(source, hook, out):
    """Call what pip calls (PEP 517) with the setuptools that is installed, so without a network."""
    code = f"import sys; from setuptools import build_meta; build_meta.{hook}(sys.argv[1])"
    command = [sys.executable, "-c", code, str(out)]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_the_wheel_holds_the_packages_the_default_model_and_no_more(wheel):
    """A new package that pyproject.toml does not list would be missing."""
    expected = {
        file.relative_to(ROOT).as_posix()
        for package in ("fer", "synthetic_faces")
        for pattern in ("*.py", "py.typed")
        for file in (ROOT / package).rglob(pattern)
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
