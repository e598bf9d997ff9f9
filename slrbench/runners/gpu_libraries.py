"""What the GPU's side needs, library by library: there or not, why not, how to get it. Imports none of them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import slrbench

_LIMIT_S = 120.0
_HOW_TO_GET = {
    "tensorrt": "pip install -e '.[gpu]' on a machine with an NVIDIA GPU and its driver",
    "tensorrt-rtx": "pip install -e '.[trt-rtx]', which needs no GPU",
    "pycuda": "pip install -e '.[gpu]' on a machine with an NVIDIA GPU; it is compiled against CUDA's toolkit",
    "cuda-python": "pip install -e '.[gpu]' on a machine with an NVIDIA GPU and its driver",
    "onnxruntime CUDA provider": "pip install 'onnxruntime-gpu[cuda,cudnn]', an NVIDIA GPU and a driver for CUDA 13",
    "onnxruntime TensorRT provider": "the CUDA provider, and pip install 'tensorrt-cu13<11' in an environment without "
    "TensorRT 11: this provider is linked to TensorRT 10",
    "NVML": "pip install nvidia-ml-py, and an NVIDIA driver",
}
_NEED_ONLY_A_GPU = ("tensorrt", "pycuda", "cuda-python", "NVML")  # once the package is there
NAMES = tuple(_HOW_TO_GET)
"""What is tried, in the order that ``doctor`` shows."""


@dataclass(frozen=True, kw_only=True)
class GpuLibrary:
    """One library, as it was found when it was tried in a process of its own."""

    name: str
    available: bool
    version: str | None = None
    why_not: str | None = None
    how_to_get: str | None = None
    note: str | None = None


@cache
def try_library(name: str, *, limit_s: float = _LIMIT_S) -> GpuLibrary:
    """Try one of ``NAMES`` in a fresh process: a crash or a hang of it is an answer, too."""
    command = [sys.executable, "-P", "-m", "slrbench.runners.gpu_probes", name]
    parent = str(Path(slrbench.__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [parent, os.environ.get("PYTHONPATH")]))}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=limit_s, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return _missing(name, f"it hung: no answer within {limit_s:g} s")
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        return _missing(name, _how_it_died(done.returncode, done.stderr))
    found = json.loads(lines[-1])
    how_to_get = _HOW_TO_GET[name]
    if found["version"] is not None and name in _NEED_ONLY_A_GPU:
        how_to_get = "an NVIDIA GPU and a driver that is new enough: the package is installed"
    return GpuLibrary(name=name, **found, how_to_get=None if found["available"] else how_to_get)


def try_libraries(progress: Callable[[str], None] | None = None) -> list[GpuLibrary]:
    """Try all of them, one after another."""
    found = []
    for name in NAMES:
        if progress is not None:
            progress(f"trying {name}")
        found.append(try_library(name))
    return found


def _missing(name: str, why_not: str) -> GpuLibrary:
    return GpuLibrary(name=name, available=False, why_not=why_not, how_to_get=_HOW_TO_GET[name])


def _how_it_died(code: int, stderr: str) -> str:
    last = next(iter(reversed(stderr.strip().splitlines())), "")
    what = f"killed by {signal.Signals(-code).name}" if code < 0 else f"the process ended with code {code}"
    return f"it crashed: {what}{f', {last}' if last else ''}"
