"""What the tests on a GPU share: videos, and one call of a runner. Loads no runtime."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.runners.open import open_runner
from slrbench.runners.protocol import Runner

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8")


def noise(batch: int, frames: int, size: int, seed: int = 0) -> NDArray[np.float32]:
    """Normalised video ``(B, 3, T, H, W)``."""
    generator = np.random.default_rng(seed)
    return generator.uniform(-1, 1, (batch, 3, frames, size, size)).astype(np.float32)


def call(runner: Runner, video: NDArray[Any]) -> NDArray[np.float32]:
    """All four verbs."""
    pending = runner.run(runner.stage(video))
    runner.synchronize()
    return runner.fetch(pending)


@contextmanager
def opened(backend: str, path: Path, *, device: str = "cuda", **options: Any) -> Iterator[Runner]:
    """A runner, closed at the end."""
    runner = open_runner(backend, path, device=device, threads=1, **options)
    try:
        yield runner
    finally:
        runner.close()
