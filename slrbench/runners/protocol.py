"""What every runtime looks like to the harness: four verbs, no clock. Loads no runtime.

Shapes: B clips, T frames, T' = ceil(T/4) output steps, C classes. A runner never times itself:
``compute`` = run + synchronize, ``end_to_end`` = stage + run + synchronize + fetch.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class Runner(Protocol):
    """One artifact, loaded on one runtime and one device."""

    backend: str
    requested: dict[str, Any]  # what the caller asked for: device, threads, precision
    actual: dict[str, Any]  # what the runtime says it does: device, threads, providers, version, precision

    def stage(self, video: NDArray[Any]) -> Any:
        """Host to device: float32 ``(B, 3, T, H, W)``, or uint8 ``(B, T, H, W, 3)`` for a uint8 artifact."""
        ...

    def run(self, staged: Any) -> Any:
        """Enqueue only; the result is complete after ``synchronize``."""
        ...

    def synchronize(self) -> None:
        """Wait until everything enqueued is done; does nothing where ``run`` is synchronous."""
        ...

    def fetch(self, pending: Any) -> NDArray[np.float32]:
        """Device to host: log-probabilities ``(T', B, C)``."""
        ...

    def device_seconds(self) -> float | None:
        """Device time of the last ``run``, from events on its stream, after ``synchronize``; None on a CPU.

        A figure of its own beside the host clock's, which alone compares runtimes.
        """
        ...

    def device_memory(self) -> dict[str, int]:
        """Device memory by what holds it (``engine``, ``context``, ``buffers``, ``peak``), bytes; empty on a CPU."""
        ...

    def close(self) -> None:
        """Release everything; a second call does nothing."""
        ...


@runtime_checkable
class ParallelRunner(Protocol):
    """A runner of which several requests can be in flight at a time."""

    def parallel(self, requests: int) -> Sequence[Runner]:
        """Handles of the same artifact, each for one thread of the caller's, on this runner's threads all together.

        The caller closes them; this runner stays as it is, and rests meanwhile. ``requests`` is at least 2, and at most
        the runner's threads.

        Raises:
            UnavailableError: not on this device, or not in this variant.
        """
        ...
