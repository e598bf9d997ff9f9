"""Which backends and devices work here, why the others do not, and how to get them. Imports no runtime."""

import contextlib
import difflib
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from exporters.cuda_driver import cuda_device_count as cuda_device_count
from slrbench.errors import BadInputError, UnavailableError
from slrbench.runners import gpu_availability as gpu
from slrbench.runners.gpu_libraries import try_library

_IMPORT_LIMIT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether a backend can run on a device here."""

    backend: str
    device: str
    available: bool
    why_not: str | None = None
    how_to_get: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class _Runtime:
    module: str
    packages: tuple[str, ...]  # any of these brings the module
    what: str


_RUNTIMES = {
    "torch": _Runtime("torch", ("torch",), "PyTorch, eager: the reference"),
    "torchscript": _Runtime("torch", ("torch",), "TorchScript on PyTorch"),
    "onnx": _Runtime("onnxruntime", ("onnxruntime-gpu", "onnxruntime"), "ONNX on ONNX Runtime"),
    "openvino": _Runtime("openvino", ("openvino",), "OpenVINO IR"),
    "trt": _Runtime("tensorrt", (*gpu.TENSORRT_PACKAGES, *gpu.RTX_PACKAGES), "TensorRT engine"),
}

BACKENDS = tuple(_RUNTIMES)
"""The words that ``--backend`` takes."""

CPU_BACKENDS = ("torch", "torchscript", "onnx", "openvino")
"""Backends that run on the CPU."""


def describe(backend: str) -> str:
    """What a backend is, in a few words."""
    return _RUNTIMES[backend].what


def check_backend(backend: str) -> str:
    """``backend`` itself.

    Raises:
        BadInputError: it is none of ``BACKENDS``.
    """
    if backend in _RUNTIMES:
        return backend
    near = difflib.get_close_matches(backend, BACKENDS, n=1, cutoff=0.5)
    raise BadInputError(
        f"unknown backend {backend!r}, expected one of {', '.join(BACKENDS)}",
        hint=f"did you mean {near[0]!r}?" if near else "python -m slrbench doctor shows what is available",
    )


def check_device(device: str) -> str:
    """``device`` itself: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        BadInputError: it is none of them.
    """
    if re.fullmatch(r"cpu|cuda(:\d+)?", device):
        return device
    raise BadInputError(f"unknown device {device!r}, expected cpu, cuda or cuda:N", hint="--device cpu")


def availability(backend: str, device: str = "cpu") -> Availability:
    """Whether ``backend`` can run on ``device`` here, as far as can be told without importing the runtime.

    Raises:
        BadInputError: the backend or the device is not a known word.
    """
    runtime = _RUNTIMES[check_backend(backend)]
    on_gpu = check_device(device) != "cpu" or backend == "trt"
    found = runtime_version(backend)
    why_not, how_to_get = None, None
    if on_gpu:
        why_not, how_to_get = gpu.why_not_on_gpu(backend, device) or (None, None)
    elif find_spec(runtime.module) is None:
        why_not = f"the package {runtime.packages[0]} is not installed"
        how_to_get = f"pip install {runtime.packages[0]}"
    return Availability(
        backend=backend,
        device=device,
        available=why_not is None,
        why_not=why_not,
        how_to_get=how_to_get,
        version=found,
    )


def require(backend: str, device: str = "cpu") -> None:
    """Return where ``backend`` can run on ``device`` here.

    Raises:
        BadInputError: the backend or the device is not a known word.
        UnavailableError: it cannot run here; the hint is a command that can.
    """
    found = availability(backend, device)
    if found.available:
        return
    where = "" if backend == "trt" or device == "cpu" else f" on device {device!r}"
    raise UnavailableError(
        f"backend {backend!r} cannot run here{where}: {found.why_not}", hint=_what_runs_here(backend, device)
    )


def require_any(wanted: Sequence[tuple[str, str]]) -> None:
    """Return where at least one of the backends can run on its device here, or where nothing is wanted.

    Raises:
        BadInputError: a backend or a device is not a known word.
        UnavailableError: none of them can; what stands in the way of the first.
    """
    if wanted and not any(availability(backend, device).available for backend, device in wanted):
        require(*wanted[0])


def _what_runs_here(backend: str, device: str) -> str:
    doctor = "(python -m slrbench doctor shows what is available)"
    if device != "cpu" and availability(backend, "cpu").available:
        return f"python -m slrbench bench --backend {backend} --device cpu    {doctor}"
    light = [b for b in ("onnx", "openvino") if availability(b).available]
    others = light or [b for b in CPU_BACKENDS if availability(b).available]
    return f"python -m slrbench bench --backend {','.join(others)}    {doctor}" if others else doctor


def runtime_version(backend: str) -> str | None:
    """Version of the backend's package, or None where it is not installed."""
    found = _installed(backend)
    return next(iter(found.values()), None)


def _installed(backend: str) -> dict[str, str]:
    """Packages that bring the backend's runtime here, with their versions."""
    found = {}
    for package in _RUNTIMES[backend].packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def tried_availability(backend: str, device: str = "cpu") -> Availability:
    """Like :func:`availability`, and the runtime is imported, too, in a fresh process; on a GPU it is used there."""
    found = availability(backend, device)
    if not found.available:
        return found
    failure = try_import(backend)
    if failure is None:
        return found if device == "cpu" and backend != "trt" else _tried_on_gpu(found)
    packages = _installed(backend)
    how = f"pip install --force-reinstall {next(iter(packages), _RUNTIMES[backend].packages[0])}"
    if backend == "onnx" and len(packages) > 1:
        how = f"pip uninstall {' '.join(packages)}, then install one of them: they overwrite each other's files"
    return replace(found, available=False, why_not=f"it does not load: {failure}", how_to_get=how)


def _tried_on_gpu(found: Availability) -> Availability:
    """The backend's part for the GPU, which its import alone does not load."""
    if found.backend in ("torch", "torchscript"):
        failure = _failure(f"import torch; torch.zeros(1, device={found.device!r}).cpu()", "torch on the GPU")
        how_to_get = "python -c 'import torch; torch.zeros(1, device=\"cuda\")' shows the whole error"
        return found if failure is None else replace(found, available=False, why_not=failure, how_to_get=how_to_get)
    parts = ["onnxruntime CUDA provider"] if found.backend == "onnx" else ["pycuda"]
    if found.backend == "trt" and gpu.tensorrt_is_installed():
        parts.append("tensorrt")
    for part in map(try_library, parts):
        if not part.available:
            return replace(found, available=False, why_not=f"{part.name}: {part.why_not}", how_to_get=part.how_to_get)
    return found


def try_import(backend: str) -> str | None:
    """Import the backend's runtime in a fresh process: None where that works, else the last line of the error.

    An installed package may still fail to load (a library is missing, two packages overwrote each other).
    """
    module = gpu.trt_module() if backend == "trt" else _RUNTIMES[backend].module
    return _failure(f"import {module}", f"import {module}")


@cache
def _failure(code: str, what: str) -> str | None:
    command = [sys.executable, "-P", "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_IMPORT_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"{what} did not return within {_IMPORT_LIMIT_S:g} s"
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"the process ended with code {done.returncode}"])[-1]
