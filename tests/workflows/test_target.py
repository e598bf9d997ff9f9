"""The target machine: what it installs, and that nothing else is needed there."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from slrbench import __version__
from slrbench.workflows.archive import unpack
from slrbench.workflows.pack import target_requirements
from slrbench.workflows.wheel import EXTRAS, target_wheel, wheel_name

HIDE = """
import sys

HIDDEN = {hidden!r}


class Filtered:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


sys.meta_path[:] = [Filtered(finder) for finder in sys.meta_path]
"""
"""Put into sitecustomize.py: what is hidden is not installed, in this interpreter and in every one that it starts."""

COMMANDS = """
import sys
from slrbench.cli.app import main

try:
    import torch
except ModuleNotFoundError as error:
    assert str(error) == "No module named 'torch'"
else:
    raise AssertionError("torch is here")
for line in sys.argv[1:]:
    code = main(line.split())
    print(f"{line}: {code}", flush=True)
"""


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def light() -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in target_requirements().splitlines())
    return [Requirement(line) for line in lines if line]


def declared(repository: Path) -> dict[str, Requirement]:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {normalised(r.name): r for r in map(Requirement, project["dependencies"])}


def test_a_target_asks_for_the_versions_that_the_project_asks_for(repository: Path) -> None:
    everything = declared(repository)
    for requirement in light():
        assert requirement.specifier == everything[normalised(requirement.name)].specifier, requirement
        assert requirement.marker is None


def test_a_target_needs_no_training_code(repository: Path) -> None:
    names = {normalised(requirement.name) for requirement in light()}
    assert names.isdisjoint({"torch", "torchvision", "onnx", "accelerate", "matplotlib", "opencv-python-headless"})
    assert {"onnxruntime", "openvino", "numpy", "jiwer"} <= names < set(declared(repository))


def test_the_packed_wheel_has_the_extras_of_the_project(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra, requirements in EXTRAS.items():
        assert list(requirements) == project["optional-dependencies"][extra]


def test_the_packed_wheel_is_this_slrbench_and_installs_without_an_index(archive: Path, tmp_path: Path) -> None:
    wheel = unpack(archive).folder / wheel_name()
    assert wheel.read_bytes() == target_wheel()
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        metadata = file.read(f"slrbench-{__version__}.dist-info/METADATA").decode()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]
    assert all("extra ==" in line for line in metadata.splitlines() if line.startswith("Requires-Dist"))
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-compile", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True)
    environment = os.environ | {"PYTHONPATH": str(site)}
    where = "import slrbench, exporters; print(slrbench.__file__, exporters.__file__)"
    for arguments in (["-c", where], ["-m", "slrbench", "list", "presets"]):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(str(site)) == (2 if arguments[0] == "-c" else 0)


@pytest.fixture
def hook(repository: Path, tmp_path: Path) -> Path:
    """A folder whose sitecustomize.py hides every dependency that a target does not install."""
    kept = {normalised(requirement.name) for requirement in light()} | {"onnxruntime-gpu"}
    left_out = set(declared(repository)) - kept
    modules = importlib.metadata.packages_distributions()
    hidden = {name for name, owners in modules.items() if {normalised(owner) for owner in owners} <= left_out}
    assert {"torch", "torchvision", "cv2", "pose_format", "spoken_to_signed", "wonderwords", "accelerate"} <= hidden
    assert {"matplotlib", "onnx", "onnxscript", "safetensors", "av", "PIL"} <= hidden
    folder = tmp_path / "hook"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDE.format(hidden=sorted(hidden)), encoding="utf-8")
    return folder


def test_a_pack_is_verified_and_measured_without_torch_and_the_training_code(
    archive: Path, hook: Path, repository: Path
) -> None:
    lines = [
        f"verify {archive}",
        "bench tiny --backend torch,onnx,openvino --quick --rounds 1 --wer-clips 2 --frames 8 -o report",
        "evaluate tiny/model.uint8.onnx --threads 1",
        "verify tiny/model.onnx --again",
        "list models --folder .",
        "list backends",
        "report report --format csv",
        "doctor",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(hook), str(repository)])}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, *lines], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    for line in lines:
        assert f"{line}: 0\n" in done.stdout, done.stdout + done.stderr
    assert len(re.findall(r"^model\S+ +fp32 +passed ", done.stdout, re.MULTILINE)) == 3
    assert "skipped tiny on torch: backend 'torch' cannot run here: the package torch is not installed" in done.stderr
    assert unpack(archive).reused
