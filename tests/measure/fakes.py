"""A runner that spends time on a clock that stands still otherwise, and answers from a store if it is told to."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MS = 1_000_000


@dataclass
class SteppingClock:
    """Stands still until somebody spends time."""

    now_ns: int = 0

    def __call__(self) -> int:
        return self.now_ns


def log_softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    shifted = values - values.max(-1, keepdims=True)
    result: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


@dataclass
class StoringRunner:
    """Log-probabilities of the mean over rows and channels; each costs 10 ms, one out of the store costs 1."""

    clock: SteppingClock
    remembers: int = 0
    """Videos in the store."""
    wrong_from: int | None = None
    """Number of the call from which on the output is wrong."""
    calls: int = 0
    store: dict[bytes, NDArray[np.float32]] = field(default_factory=dict)
    backend: str = "fake"
    requested: dict[str, Any] = field(default_factory=dict)
    actual: dict[str, Any] = field(default_factory=dict)

    def stage(self, video: NDArray[Any]) -> Any:
        return video

    def run(self, staged: NDArray[Any]) -> NDArray[np.float32]:
        self.calls += 1
        key = staged.tobytes()
        known = key in self.store
        self.clock.now_ns += MS if known else 10 * MS
        if not known:
            mean = staged.astype(np.float32).mean(axis=(1, 3))  # (B, T, W)
            self.store[key] = log_softmax(mean.transpose(1, 0, 2))
        output = self.store[key]
        while len(self.store) > self.remembers:
            self.store.pop(next(iter(self.store)))
        if self.wrong_from is not None and self.calls >= self.wrong_from:
            output = log_softmax(output[..., ::-1] * 2)
        return output

    def synchronize(self) -> None: ...

    def fetch(self, pending: NDArray[np.float32]) -> NDArray[np.float32]:
        return pending

    def device_seconds(self) -> float | None:
        return None

    def device_memory(self) -> dict[str, int]:
        return {}

    def close(self) -> None: ...


def videos(count: int) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(0)
    return [generator.normal(size=(1, 3, 4, 8, 5)).astype(np.float32) for _ in range(count)]
