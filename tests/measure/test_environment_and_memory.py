"""The machine's description, and resident memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slrbench.measure import environment
from slrbench.measure.environment import capture_environment, default_threads, usable_cores
from slrbench.measure.memory import peak_rss_bytes, rss_bytes
from slrbench.records import Environment

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_the_environment_names_machine_and_versions_and_survives_json() -> None:
    found = capture_environment()
    assert found.cpu_logical_cores >= 1
    assert found.memory_bytes > 1 << 28
    assert {"slrbench", "torch", "onnx", "openvino", "numpy"} <= found.versions.keys()
    assert found.cpu
    assert Environment.model_validate_json(found.model_dump_json()) == found


def test_a_machine_without_a_gpu_says_so() -> None:
    found = capture_environment()
    words = "no GPU here: nothing GPU-related was verified"
    assert (words in found.notes) == (not found.gpus)


@pytest.mark.parametrize(
    ("text", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8), (None, 8), ("1600000 100000", 8)]
)
def test_a_quota_of_the_control_group_limits_the_cores(
    monkeypatch: pytest.MonkeyPatch, text: str | None, cores: int
) -> None:
    monkeypatch.setattr(environment, "_read", lambda path: text)
    monkeypatch.setattr(environment.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert usable_cores() == cores


def test_threads_by_default_are_at_least_one_and_at_most_the_cores() -> None:
    assert 1 <= default_threads() <= usable_cores()


@linux
def test_peak_memory_sees_what_was_freed_again() -> None:
    before = rss_bytes()
    assert before is not None
    block = np.ones(64 << 20, np.uint8)
    del block
    peak = peak_rss_bytes()
    assert peak is not None
    assert peak >= before + (60 << 20)


@linux
def test_peak_memory_of_a_small_child_is_not_its_large_parents(repository: Path) -> None:
    block = np.ones(300 << 20, np.uint8)
    code = "import resource; from slrbench.measure.memory import peak_rss_bytes; print(peak_rss_bytes())"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert 1 << 20 < int(done.stdout) < 100 << 20 < block.nbytes
