"""Time per operator, from each runtime's own profiler. Loads the runtime that is asked for only.

The one place where a runtime's clock is believed: it tells how a call's time is shared out, not how long a call takes.
"""

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from slrbench.errors import UnavailableError
from slrbench.records import OperatorTime
from slrbench.runners.protocol import Runner

_PROFILERS = {
    "torch": "slrbench.runners.profile_torch",
    "torchscript": "slrbench.runners.profile_torch",
    "onnx": "slrbench.runners.profile_onnx",
    "openvino": "slrbench.runners.profile_openvino",
    "trt": "slrbench.runners.profile_tensorrt",
}


Call = Callable[[Runner, NDArray[Any]], object]
"""One whole call of a runner, stage to fetch: whoever gives it may time it."""


class Profiler(Protocol):
    """An artifact that is open twice: as every runner opens it, and with the runtime's profiler on."""

    source: str
    """Whose figures these are, in words."""
    plain: Runner
    profiled: Runner

    def operators(self, videos: Sequence[NDArray[Any]], call: Call) -> list[OperatorTime]:
        """Let ``call`` run every video once with the profiler on; each operator's mean time, in order of execution."""
        ...

    def close(self) -> None:
        """Release both."""
        ...


def open_profiler(backend: str, path: Path, *, device: str, threads: int, input_kind: str, precision: str) -> Profiler:
    """The profiler of a backend, with the artifact loaded.

    Raises:
        BadInputError: the file cannot be used.
        UnavailableError: the backend or the device is not available here, or has no profiler that could be trusted.
    """
    if device != "cpu" and backend != "trt":
        raise UnavailableError(
            f"{backend} on {device} is not profiled: its own profiler times launches there, not the GPU's work",
            hint="NVIDIA Nsight Systems shows the GPU's work: nsys profile python -m slrbench bench ...",
        )
    profiler: Profiler = import_module(_PROFILERS[backend]).open_profiler(
        backend, path, device=device, threads=threads, input_kind=input_kind, precision=precision
    )
    return profiler


_PATH = re.compile(r".*/network/([\w./]+)")


LSTM = "head.lstm"
"""Both networks' one LSTM. OpenVINO splits it by direction and names the parts anew."""


def module_of(node: str, kind: str = "") -> str:
    """The network's module in a name that an exporter gave to a node; empty where the runtime made the node itself.

    ``/network/features/features.5/block/block.1/block.1.0/Conv`` belongs to ``features.5.block.1.0``: each part of the
    path repeats the one before it. The last part is the operator.
    """
    found = _PATH.match(node)  # greedy: a change of layout names both sides, and counts for the one it serves
    if found is None:
        return LSTM if kind.startswith("LSTM") else ""
    parts = found[1].removesuffix("/WithoutBiases").split("/")[:-1]
    return ".".join(p for i, p in enumerate(parts) if i + 1 == len(parts) or not parts[i + 1].startswith(f"{p}."))
