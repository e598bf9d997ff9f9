"""What the tests of the trt runner share: a runner on host memory, and a session through all of its verbs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.runners.tensorrt_ import TensorRtRunner
from tests.runners.host_cuda import HostCuda
from tests.runners.host_engine import HostTrt, host_library, write_plan

ENGINES = ("model.sm90.engine", "model.sm89.rtx.engine")
"""Names of engine files, which tell the library: one of each."""

SIZE, LARGEST = 8, (4, 24)
"""Frames' side, and the profile's largest batch and frames."""

SHAPES = ((1, 5), (3, 16), (1, 5), LARGEST, (2, 1))


def plan(path: Path, onnx: Path, input_kind: str = "float32", **changes: Any) -> Path:
    """An engine file, made of a real ONNX file."""
    batch, frames = LARGEST
    if input_kind == "uint8":
        return write_plan(path, onnx, smallest=(1, 1, SIZE, SIZE, 3), largest=(batch, frames, SIZE, SIZE, 3), **changes)
    return write_plan(path, onnx, smallest=(1, 3, 1, SIZE, SIZE), largest=(batch, 3, frames, SIZE, SIZE), **changes)


def open_on_host(
    path: Path, host: HostCuda, *, adjust: Callable[[HostTrt], None] | None = None, **options: Any
) -> TensorRtRunner:
    """The runner on host memory; ``adjust`` changes the library first."""
    library = host_library(host, rtx=path.name.endswith(".rtx.engine"))
    if adjust is not None:
        adjust(library.trt)
    options = {"threads": 1, "input_kind": "float32", "cuda": host, "engine_api": library} | options
    return TensorRtRunner(path, **options)


def video(batch: int, frames: int, seed: int = 0) -> NDArray[np.float32]:
    generator = np.random.default_rng([batch, frames, seed])
    return generator.uniform(-1, 1, (batch, 3, frames, SIZE, SIZE)).astype(np.float32)


def infer(runner: Any, each: NDArray[Any]) -> NDArray[np.float32]:
    pending = runner.run(runner.stage(each))
    runner.synchronize()
    found: NDArray[np.float32] = runner.fetch(pending)
    return found


def all_verbs(runner: TensorRtRunner, shapes: Sequence[tuple[int, int]]) -> list[NDArray[np.float32]]:
    """Every verb at every shape."""
    outputs = []
    for shape in shapes:
        outputs.append(infer(runner, video(*shape)))
        runner.device_seconds()
        runner.device_memory()
    return outputs
