"""The tests on a GPU, as far as a machine without one can tell: they are collected, skipped, and load no runtime."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from exporters.tensorrt_library import gpu_is_visible
from slrbench.cli.app import load_command
from tests.test_house import python

RUNTIMES = (
    "torch", "torchvision", "tensorrt", "tensorrt_bindings", "tensorrt_rtx", "tensorrt_rtx_bindings", "pycuda", "cuda",
    "onnxruntime", "openvino",
)  # fmt: skip
COLLECT = "import pytest; sys.exit(pytest.main(['tests/gpu', '--collect-only', '-q', *sys.argv[1:]]))"
needs_no_gpu = pytest.mark.skipif(gpu_is_visible(), reason="says what holds without a GPU")


def run_script(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(repository / "tests/gpu/run.py"), *arguments],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_collecting_them_loads_no_runtime_and_each_has_the_marker(repository: Path) -> None:
    marked = python(COLLECT, "-m", "gpu", blocked=RUNTIMES, cwd=repository)
    assert marked.returncode == 0, marked.stdout
    assert "tests/gpu/test_engines.py::" in marked.stdout
    unmarked = python(COLLECT, "-m", "not gpu", blocked=RUNTIMES, cwd=repository)
    assert unmarked.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, unmarked.stdout


@needs_no_gpu
def test_without_a_gpu_each_is_skipped_with_the_reason(repository: Path) -> None:
    code = "import pytest; sys.exit(pytest.main(['tests/gpu', '-q', '-rs']))"
    done = python(code, blocked=RUNTIMES, cwd=repository)
    assert done.returncode == 0, done.stdout
    assert "no CUDA device is visible" in done.stdout
    assert " passed" not in done.stdout


@needs_no_gpu
def test_their_one_command_says_that_there_is_no_gpu(repository: Path) -> None:
    before = sorted((repository / "reports").iterdir())
    done = run_script(repository)
    assert done.returncode == 3, done.stderr
    assert "no CUDA device is visible" in done.stdout
    assert sorted((repository / "reports").iterdir()) == before


def test_their_one_command_gives_slrbench_options_that_it_knows(repository: Path) -> None:
    done = run_script(repository, "--dry-run", "--quick")
    assert done.returncode == 0, done.stderr
    lines = [shlex.split(line) for line in done.stdout.splitlines()]
    named = [words[words.index("slrbench") + 1 :] for words in lines if "slrbench" in words]
    assert [name for name, *_ in named] == ["export", "bench"]
    for name, *rest in named:
        load_command(name).make_context(name, rest).close()  # raises where an option or a value is wrong
