"""Time per node from ONNX Runtime's own profile, which it writes as a trace. Imports no torch."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from slrbench.records import OperatorTime
from slrbench.runners.onnxruntime_ import OnnxRunner
from slrbench.runners.profiling import Call, module_of

_KERNEL = "_kernel_time"


class OnnxProfiler:
    """Two sessions of one file; the second one writes a trace into a folder of its own."""

    def __init__(self, path: Path, options: dict[str, Any]) -> None:
        """Open both."""
        import onnxruntime

        self.source = f"ONNX Runtime {onnxruntime.__version__}, its session's profile"
        self._folder = tempfile.TemporaryDirectory(prefix="slrbench-profile-")
        self.plain = OnnxRunner(path, **options)
        self.profiled = OnnxRunner(path, **options, profile_to=Path(self._folder.name) / "trace")

    def operators(self, videos: Sequence[NDArray[Any]], call: Call) -> list[OperatorTime]:
        """Run every video once; the trace holds earlier calls too, of which nothing is kept."""
        for video in videos:
            call(self.profiled, video)
        return read_trace(self.profiled.end_profile(), calls=len(videos))

    def close(self) -> None:
        """Release both sessions, and the trace."""
        self.plain.close()
        self.profiled.close()
        self._folder.cleanup()


def read_trace(path: Path, *, calls: int) -> list[OperatorTime]:
    """The nodes of the last ``calls`` runs in a trace, each with its mean time."""
    events = json.loads(path.read_text(encoding="utf-8"))
    runs = sorted((e for e in events if e.get("name") == "model_run"), key=lambda e: e["ts"])[-calls:]
    begin = runs[0]["ts"]
    found: dict[str, tuple[str, int]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL) and event["ts"] >= begin:
            name = event["name"].removesuffix(_KERNEL)
            kind, spent = found.get(name, (event["args"].get("op_name", ""), 0))
            found[name] = kind, spent + event["dur"]
    return [
        OperatorTime(name=name, kind=kind, module=module_of(name, kind), seconds=microseconds / calls / 1e6)
        for name, (kind, microseconds) in found.items()
    ]


def open_profiler(
    backend: str, path: Path, *, device: str, threads: int, input_kind: str, precision: str
) -> OnnxProfiler:
    """A profiler of an ``.onnx`` file."""
    return OnnxProfiler(path, {"threads": threads, "device": device, "input_kind": input_kind, "precision": precision})
