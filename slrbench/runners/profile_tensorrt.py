"""Time per layer of an engine, from TensorRT's own ``IProfiler``. Imports no torch. Not yet run on a GPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from exporters.tensorrt_library import Library
from slrbench.records import OperatorTime
from slrbench.runners.profiling import Call, module_of
from slrbench.runners.tensorrt_ import TensorRtRunner
from slrbench.runners.tensorrt_engine import library_for


class TensorRtProfiler:
    """Two runners of one engine, the second one's context with a profiler; launches are plain, no CUDA graph."""

    def __init__(self, path: Path, options: dict[str, Any]) -> None:
        """Open both."""
        library = library_for(path)
        self.source = f"{library.name} {library.version}, IProfiler"
        self._layers = layer_profiler(library)
        self.plain = TensorRtRunner(path, **options)
        self.profiled = TensorRtRunner(path, **options)
        self.profiled.report_layers_to(self._layers)

    def operators(self, videos: Sequence[NDArray[Any]], call: Call) -> list[OperatorTime]:
        """Run every video once. A layer's name is made of the nodes that were fused into it."""
        self._layers.seconds.clear()
        for video in videos:
            call(self.profiled, video)
        return [
            OperatorTime(name=name, kind=kind_of(name), module=module_of(name), seconds=seconds / len(videos))
            for name, seconds in self._layers.seconds.items()
        ]

    def close(self) -> None:
        """Release both."""
        self.profiled.close()
        self.plain.close()


def kind_of(layer: str) -> str:
    """The operator in a layer's name: the last part of its first node's path, without a number."""
    first = layer.split(" + ")[0].rstrip("]").rsplit("/", 1)[-1]
    return first.rsplit("_", 1)[0] if first.rsplit("_", 1)[-1].isdigit() else first


def layer_profiler(library: Library) -> Any:
    """An ``IProfiler`` that adds the seconds of every layer up in ``seconds``."""
    trt = library.trt

    class Layers(trt.IProfiler):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.seconds: dict[str, float] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.seconds[layer_name] = self.seconds.get(layer_name, 0.0) + ms / 1e3

    return Layers()


def open_profiler(
    backend: str, path: Path, *, device: str, threads: int, input_kind: str, precision: str
) -> TensorRtProfiler:
    """A profiler of an ``.engine`` file."""
    return TensorRtProfiler(
        path, {"device": device, "threads": threads, "input_kind": input_kind, "precision": precision}
    )
