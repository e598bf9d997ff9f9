"""Open an artifact on its runtime. Only the runtime that is asked for is imported."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from slrbench.errors import BadInputError
from slrbench.runners.availability import BACKENDS, Availability, availability, require
from slrbench.runners.options import check_options
from slrbench.runners.protocol import Runner

__all__ = ["BACKENDS", "Availability", "availability", "import_backend", "open_runner"]

_MODULES = {
    "torch": ("slrbench.runners.torch_", "open_checkpoint"),
    "torchscript": ("slrbench.runners.torchscript", "open_torchscript"),
    "onnx": ("slrbench.runners.onnxruntime_", "OnnxRunner"),
    "openvino": ("slrbench.runners.openvino_", "OpenVinoRunner"),
    "trt": ("slrbench.runners.tensorrt_", "TensorRtRunner"),
}


def import_backend(backend: str) -> ModuleType:
    """Import the backend's runner and with it its runtime.

    Raises:
        BadInputError: the backend is not a known word.
        UnavailableError: it is not available here.
    """
    require(backend)
    return import_module(_MODULES[backend][0])


def open_runner(
    backend: str,
    path: Path,
    *,
    device: str = "cpu",
    threads: int,
    input_kind: str = "float32",
    precision: str = "fp32",
    variant: str = "",
    expected_sha256: str | None = None,
    already_hashed: bool = False,
) -> Runner:
    """Load an artifact on a runtime.

    Args:
        backend: one of ``BACKENDS``; ``torch`` opens a checkpoint folder, the others open their file.
        path: the file or folder.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: threads inside an operator; operators run one after another.
        input_kind: ``float32`` or ``uint8``, as the artifact was exported.
        precision: what the runtime is to compute in: ``fp32`` on a CPU, but for ONNX files of other types.
        variant: another way to run the same file, where the runtime has several; empty: its usual one.
        expected_sha256: the artifact's hash as its manifest has it; another file is refused.
        already_hashed: the caller has just compared the file's hash, and loading is to be timed: nothing is hashed,
            not even a checkpoint, whose card always states a hash.

    Raises:
        BadInputError: the backend has no such precision or variant there; an argument is not a known word; the file is
            missing, damaged or another one.
        UnavailableError: the backend or the device is not available here.
    """
    require(backend, device)
    if threads < 1:
        raise BadInputError(f"threads is {threads}, expected at least 1", hint="--threads 1")
    check_options(backend, device, precision, variant)
    constructor = getattr(import_backend(backend), _MODULES[backend][1])
    options: dict[str, Any] = {"check_card": False} if backend == "torch" and already_hashed else {}
    runner: Runner = constructor(
        path,
        device="cuda" if backend == "trt" and device == "cpu" else device,
        threads=threads,
        input_kind=input_kind,
        precision=precision,
        variant=variant,
        expected_sha256=None if already_hashed else expected_sha256,
        **options,
    )
    return runner
