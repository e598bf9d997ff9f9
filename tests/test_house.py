"""Promises of the package as a whole: commands, imports, dependencies, the wheel."""

import ast
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from slrbench.cli.app import COMMANDS, load_command
from slrbench.errors import ExitCode

HEAVY = ("torch", "torchvision", "accelerate", "numpy", "onnx", "onnxruntime", "openvino", "matplotlib", "cv2", "av")

BLOCKER = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise AssertionError(f"{{name}} was imported")
sys.meta_path.insert(0, Refuse())
"""


def python(code: str, *arguments: str, blocked: Sequence[str] = (), **options: Any) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that refuses to import the blocked packages."""
    source = BLOCKER.format(blocked=tuple(blocked)) + code
    return subprocess.run(
        [sys.executable, "-c", source, *arguments], capture_output=True, text=True, check=False, timeout=120, **options
    )


RUN = "from slrbench.cli.app import main; sys.exit(main(sys.argv[1:]))"


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], *[[name, "--help"] for name in COMMANDS]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    done = python(RUN, *arguments, blocked=HEAVY)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr == ""


def test_a_blocked_import_is_seen() -> None:
    done = python("import numpy", blocked=HEAVY)
    assert "numpy was imported" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    command = load_command(name)
    assert command.help
    assert [p.name for p in command.params if not getattr(p, "help", None) and not getattr(p, "hidden", False)] == []
    assert {"-v", "--verbose"} <= {flag for p in command.params for flag in p.opts}


def test_help_names_every_command_and_every_exit_code() -> None:
    text = python(RUN, "--help").stdout
    assert all(re.search(rf"^  {name}  ", text, re.MULTILINE) for name in COMMANDS)
    codes = text.split("Exit codes:")[1]
    assert {int(number) for number in re.findall(r"\d+", codes)} == {int(code) for code in ExitCode}


COMMAND_LINE = re.compile(r"(?:\S*python3? -m |(?:\S*/)?)slrbench(?P<arguments>( .*)?)$")


def _readme_commands(repository: Path) -> list[list[str]]:
    """The arguments of every slrbench command line in README's fenced blocks."""
    text = (repository / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in re.split(r"&&|[|;]", line.removeprefix("$ "))]
    return [shlex.split(m["arguments"], comments=True) for part in parts if (m := COMMAND_LINE.match(part))]


def test_readme_shows_commands_that_parse_and_leaves_none_out(repository: Path) -> None:
    lines = _readme_commands(repository)
    for arguments in lines:
        if arguments and not arguments[0].startswith("-"):
            name, *rest = arguments
            load_command(name).make_context(name, rest).close()  # raises where an option or a value is wrong
    assert {line[0] for line in lines if line} >= set(COMMANDS)


def test_readme_links_exist_and_nothing_is_left_to_fill_in(repository: Path) -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        text = (repository / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (repository / target).exists(), f"{name} points to {target}"
        assert re.findall(r"^[A-Z]+_[A-Z]+$", text, re.MULTILINE) == [], name


# --- imports ----------------------------------------------------------------------------------------------------------

WITHOUT_TORCH = (
    "exporters.artifact",
    "exporters.parity",
    "slrbench.ctc",
    "slrbench.data",
    "slrbench.evaluation",
    "slrbench.measure.environment",
    "slrbench.measure.load_worker",
    "slrbench.measure.rounds",
    "slrbench.measure.worker",
    "slrbench.recognise.captions",
    "slrbench.recognise.online",
    "slrbench.records",
    "slrbench.reporting.decision",
    "slrbench.reporting.derive",
    "slrbench.reporting.statistics",
    "slrbench.reporting.store",
    "slrbench.runners.onnxruntime_",
    "slrbench.runners.open",
    "slrbench.runners.openvino_",
    "slrbench.runners.tensorrt_",
    "slrbench.training.card",
    "slrbench.workflows.bench",
    "slrbench.workflows.bench_load",
    "slrbench.workflows.evaluate",
    "slrbench.workflows.export_plan",
    "slrbench.workflows.pack",
    "slrbench.workflows.recognise",
    "slrbench.workflows.recognizer",
    "slrbench.workflows.targets",
    "slrbench.workflows.verify",
    "slrbench.workflows.verify_pack",
)


def test_what_measures_and_decides_runs_without_torch() -> None:
    code = "import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = python(code, *WITHOUT_TORCH, blocked=["torch", "torchvision", "accelerate"])
    assert done.returncode == 0, done.stderr


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "sys.path.insert(0, ''); from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"
    return python(code, cwd=folder)


@pytest.fixture(scope="module")
def tree(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is built from."""
    folder = tmp_path_factory.mktemp("tree")
    for package in ("slrbench", "exporters"):
        shutil.copytree(repository / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, folder / name)
    return folder


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("exporters/artifact.py", "import slrbench.errors", "exporters has never heard of slrbench"),
        ("slrbench/records/base.py", "import slrbench.evaluation", "Imports inside slrbench point one way"),
        ("slrbench/training/card.py", "import slrbench.measure.clock", "Imports inside slrbench point one way"),
        ("slrbench/reporting/display.py", "import torch", "Records, decoding and reporting load no torch"),
        ("slrbench/measure/clock.py", "import torch", "Measuring and the other runtimes' runners import no torch"),
    ],
)
def test_an_import_against_the_rules_is_found(tree: Path, file: str, line: str, contract: str) -> None:
    path = tree / file
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}\n{line}\n", encoding="utf-8")
    try:
        done = _lint_imports(tree)
    finally:
        path.write_text(before, encoding="utf-8")
    assert done.returncode == 1, done.stderr
    assert f"{contract} BROKEN" in done.stdout


def _declared(repository: Path) -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: [Requirement(r) for r in rs] for name, rs in project["optional-dependencies"].items()}
    return [Requirement(r) for r in project["dependencies"]], extras


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


NOT_EVERYWHERE = {"mlperf_loadgen": "mlcommons-loadgen"}
"""Modules whose packages have other names and are not to be had on every machine."""


def test_every_import_is_of_a_declared_dependency(repository: Path) -> None:
    base, extras = _declared(repository)
    declared = {_normalised(r.name) for r in [*base, *(r for rs in extras.values() for r in rs)]}
    distributions = importlib.metadata.packages_distributions()
    undeclared = {}
    for path in [*repository.glob("slrbench/**/*.py"), *repository.glob("exporters/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
                names = [node.module]
            for name in (name.partition(".")[0] for name in names):
                if name in sys.stdlib_module_names or name in ("slrbench", "exporters"):
                    continue
                owners = {_normalised(d) for d in distributions.get(name, [NOT_EVERYWHERE.get(name, name)])}
                if not owners & declared:
                    undeclared[str(path.relative_to(repository))] = name
    assert undeclared == {}


@pytest.mark.parametrize("system", ["linux", "win32", "darwin"])
@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "aarch64", "arm64"])
def test_one_onnxruntime_is_installed_and_never_both(repository: Path, system: str, machine: str) -> None:
    environment = {"sys_platform": system, "platform_machine": machine}
    base, _ = _declared(repository)
    chosen = [
        r.name
        for r in base
        if r.name.startswith("onnxruntime") and (r.marker is None or r.marker.evaluate(environment))
    ]
    has_gpu_wheel = (system, machine) in {("linux", "x86_64"), ("win32", "AMD64")}
    assert chosen == ["onnxruntime-gpu" if has_gpu_wheel else "onnxruntime"]


# --- the wheel --------------------------------------------------------------------------------------------------------


def test_a_wheel_of_the_tree_installs_and_runs_from_any_folder(tree: Path, tmp_path: Path) -> None:
    build = python(
        "from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))", str(tmp_path), cwd=tree
    )
    assert build.returncode == 0, build.stderr
    (wheel,) = tmp_path.glob("slrbench-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        p.relative_to(tree).as_posix()
        for package in ("slrbench", "exporters")
        for p in (tree / package).rglob("*")
        if p.is_file() and p.suffix in (".py", ".typed", ".toml", ".txt") and "__pycache__" not in p.parts
    }
    assert {"slrbench/__main__.py", "exporters/artifact.py", "slrbench/py.typed", "exporters/py.typed"} <= sources
    assert any(name.startswith("slrbench/training/presets/") for name in sources)
    assert sources <= names
    assert not [name for name in names if name.startswith(("tests", "reports", "trained_models"))]

    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, "--no-compile", str(wheel)], check=True, timeout=120)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = python(
        "import slrbench, exporters; print(slrbench.__file__, exporters.__file__)", cwd=elsewhere, env=environment
    )
    assert where.stdout.count(str(site)) == 2, where.stderr
    for program in ([sys.executable, "-m", "slrbench"], [sys.executable, str(site / "bin" / "slrbench")]):
        for arguments in (["--help"], ["list", "presets"]):
            done = subprocess.run(
                [*program, *arguments], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout
