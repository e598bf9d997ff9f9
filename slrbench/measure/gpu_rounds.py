"""The GPU's state before and after each round of one candidate. Imports no runtime."""

from collections.abc import Collection
from typing import Any

from slrbench.measure.gpu_environment import GpuState, GpuWatch, as_document, as_record, from_document, slowed_by


class GpuRounds:
    """What was seen of the GPU around one candidate's rounds."""

    def __init__(self, watch: GpuWatch) -> None:
        """Of the device that ``watch`` looks at."""
        self._watch = watch
        self._identity = watch.identity()
        self._begun: GpuState | None = None
        self._rounds: list[int] = []
        self._before: list[GpuState] = []
        self._after: list[GpuState] = []
        self.warnings: list[str] = []

    def begin(self, *, own: Collection[int], worker: int) -> None:
        """Look before a round; ``own`` are the benchmark's processes, ``worker`` the one that is about to be timed."""
        self._begun = self._watch.state(own=own, certain=worker)

    def end(self, round_: int, *, own: Collection[int], worker: int) -> dict[str, int]:
        """Look after it; the memory that the worker's process holds, under ``process``, where NVML says so."""
        after = self._watch.state(own=own, certain=worker)
        if self._begun is None or after is None:
            return {}
        self._keep(round_, self._begun, after)
        held = [p.memory_bytes for p in after.processes or () if p.pid == worker and p.memory_bytes is not None]
        return {"process": held[0]} if held else {}

    def states(self, round_: int) -> dict[str, Any] | None:
        """Both states of a round as a JSON document, for a journal; None where there are none."""
        if not self._rounds or self._rounds[-1] != round_:
            return None
        return {"before": as_document(self._before[-1]), "after": as_document(self._after[-1])}

    def take_up(self, round_: int, states: dict[str, Any]) -> None:
        """Go on from a round whose states a journal holds."""
        self._keep(round_, from_document(states["before"]), from_document(states["after"]))

    def _keep(self, round_: int, before: GpuState, after: GpuState) -> None:
        self._rounds.append(round_)
        self._before.append(before)
        self._after.append(after)
        if slow := slowed_by([after]):
            self._warn(f"the GPU was held back by: {', '.join(slow)}")
        if before.foreign_processes or after.foreign_processes:
            self._warn("other processes used the GPU")

    def record(self) -> dict[str, Any]:
        """``Measurement.gpu``."""
        return as_record(self._identity, self._before, self._after, self._rounds)

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def gpu_device(backend: str, device: str) -> str | None:
    """The CUDA device that a candidate runs on; None on a CPU."""
    if backend == "trt" and device == "cpu":
        return "cuda"
    return None if device == "cpu" else device
