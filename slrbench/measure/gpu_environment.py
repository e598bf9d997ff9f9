"""The state of a GPU at a moment, as NVML tells it, and what became of it over a measurement. Imports no runtime.

Hertz, watts, degrees Celsius and bytes; ``None`` where NVML does not say, never zero. Reading takes some milliseconds
and happens between timed regions only.
"""

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any, Self, TypeVar

from exporters.cuda_driver import cuda_driver, device_index

_T = TypeVar("_T")

_REASONS = {
    0x001: "idle",
    0x002: "application clocks are set",
    0x004: "power limit",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "temperature (software)",
    0x040: "temperature (hardware)",
    0x080: "power brake",
    0x100: "display clocks are set",
    0x200: "board limit",
    0x400: "reliability voltage",
}
"""NVML's bits (nvmlClocksEventReason*, nvmlClocksThrottleReason*) in words."""

SLOWING_REASONS = frozenset(_REASONS.values()) - {"idle", "application clocks are set", "display clocks are set"}
"""Reasons that mean a clock lower than the GPU would have run at."""


@dataclass(frozen=True, kw_only=True)
class GpuProcess:
    """A process that holds memory of the GPU."""

    pid: int
    memory_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class GpuState:
    """What NVML says of one GPU at one moment."""

    sm_clock_hz: float | None
    memory_clock_hz: float | None
    throttle_reasons: tuple[str, ...] | None
    """Why the clocks are what they are; empty: nothing holds them back."""
    power_w: float | None
    temperature_c: float | None
    memory_used_bytes: int | None
    processes: tuple[GpuProcess, ...] | None
    foreign_processes: int | None
    """How many of them are none of the benchmark's; None where process numbers are not those of this system."""


class GpuWatch:
    """NVML, opened for one CUDA device; where it cannot be, it says why and every state is None."""

    def __init__(self, device: str) -> None:
        """Find the device that CUDA calls ``device`` (``cuda`` or ``cuda:N``): by its place on the bus.

        The order of NVML is another one, and knows nothing of ``CUDA_VISIBLE_DEVICES``.
        """
        self.why_not: str | None = None
        self._nvml: Any = None
        self._handle: Any = None
        try:
            import pynvml
        except ImportError:
            self.why_not = "the package nvidia-ml-py is not installed"
            return
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            self.why_not = f"NVML does not start: {error}"
            return
        self._nvml = pynvml
        places = cuda_driver().bus_ids
        index = device_index(device)
        if index >= len(places):
            self.why_not = f"CUDA shows no device {index}"
        elif (handle := self._ask(partial(pynvml.nvmlDeviceGetHandleByPciBusId, places[index].encode()))) is None:
            self.why_not = f"NVML does not know the GPU at {places[index]}"
        else:
            self._handle = handle

    def __enter__(self) -> Self:
        """The watch itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close NVML."""
        self.close()

    def close(self) -> None:
        """Close NVML; a second call does nothing."""
        if self._nvml is not None:
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
        self._nvml = self._handle = None

    def identity(self) -> dict[str, Any]:
        """What does not change: name, compute capability, driver, the driver's CUDA, memory in bytes."""
        if self._handle is None:
            return {"unavailable": self.why_not}
        n, handle = self._nvml, self._handle
        capability = self._ask(partial(n.nvmlDeviceGetCudaComputeCapability, handle))
        cuda = self._ask(n.nvmlSystemGetCudaDriverVersion)
        memory = self._ask(partial(n.nvmlDeviceGetMemoryInfo, handle))
        return {
            "name": _text(self._ask(partial(n.nvmlDeviceGetName, handle))),
            "compute_capability": None if capability is None else f"{capability[0]}.{capability[1]}",
            "driver": _text(self._ask(n.nvmlSystemGetDriverVersion)),
            "cuda": None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            "memory_total_bytes": None if memory is None else int(memory.total),
        }

    def state(self, *, own: Collection[int] = (), certain: int | None = None) -> GpuState | None:
        """The GPU now; None where NVML cannot be had.

        Args:
            own: numbers of the benchmark's own processes.
            certain: one of them that certainly uses the GPU. Where NVML does not list it, its numbers are not those
                of this system (as in a container), and none is called foreign.
        """
        if self._handle is None:
            return None
        n, handle = self._nvml, self._handle
        memory = self._ask(partial(n.nvmlDeviceGetMemoryInfo, handle))
        milliwatts = self._ask(partial(n.nvmlDeviceGetPowerUsage, handle))
        found = self._processes()
        known = found is not None and (certain is None or certain in {p.pid for p in found})
        return GpuState(
            sm_clock_hz=self._clock("NVML_CLOCK_SM"),
            memory_clock_hz=self._clock("NVML_CLOCK_MEM"),
            throttle_reasons=self._reasons(),
            power_w=None if milliwatts is None else milliwatts / 1e3,
            temperature_c=self._temperature(),
            memory_used_bytes=None if memory is None else int(memory.used),
            processes=found,
            foreign_processes=len([p for p in found if p.pid not in own]) if found is not None and known else None,
        )

    def energy_j(self) -> float | None:
        """Energy that the GPU has used since its driver was loaded, joules; None where NVML does not count it."""
        if self._handle is None:
            return None
        millijoules = self._ask(lambda: self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        return None if millijoules is None else millijoules / 1e3

    def _ask(self, question: Callable[[], _T]) -> _T | None:
        """The answer; None where this GPU, this driver or this package has none."""
        try:
            return question()
        except (self._nvml.NVMLError, AttributeError):
            return None

    def _clock(self, which: str) -> float | None:
        megahertz = self._ask(lambda: self._nvml.nvmlDeviceGetClockInfo(self._handle, getattr(self._nvml, which)))
        return None if megahertz is None else megahertz * 1e6

    def _temperature(self) -> float | None:
        n, handle = self._nvml, self._handle
        for question in (  # the second is the one that older drivers have
            lambda: n.nvmlDeviceGetTemperatureV(handle, n.NVML_TEMPERATURE_GPU),
            lambda: n.nvmlDeviceGetTemperature(handle, n.NVML_TEMPERATURE_GPU),
        ):
            if (found := self._ask(question)) is not None:
                return float(found)
        return None

    def _reasons(self) -> tuple[str, ...] | None:
        n, handle = self._nvml, self._handle
        for question in (
            lambda: n.nvmlDeviceGetCurrentClocksEventReasons(handle),
            lambda: n.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
        ):
            if (bits := self._ask(question)) is not None:
                return reasons_in_words(int(bits))
        return None

    def _processes(self) -> tuple[GpuProcess, ...] | None:
        n, handle = self._nvml, self._handle
        lists = [
            self._ask(partial(n.nvmlDeviceGetComputeRunningProcesses, handle)),
            self._ask(partial(n.nvmlDeviceGetGraphicsRunningProcesses, handle)),
        ]
        if all(each is None for each in lists):
            return None
        held = {int(p.pid): p.usedGpuMemory for each in lists if each is not None for p in each}
        return tuple(GpuProcess(pid=pid, memory_bytes=memory) for pid, memory in sorted(held.items()))


def reasons_in_words(bits: int) -> tuple[str, ...]:
    """NVML's reasons for the clocks; one that is not known by its number."""
    words = [word for bit, word in _REASONS.items() if bits & bit]
    rest = bits & ~sum(_REASONS)
    return (*words, f"reason {rest:#x}") if rest else tuple(words)


def slowed_by(states: Sequence[GpuState]) -> tuple[str, ...]:
    """What held the clocks back in any of the states."""
    return tuple(sorted({r for s in states for r in s.throttle_reasons or () if r in SLOWING_REASONS}))


def summarise(before: Sequence[GpuState], after: Sequence[GpuState]) -> dict[str, Any]:
    """Medians before and after the rounds, hottest and most power after them, what slowed it, foreign processes."""
    both = [*before, *after]
    foreign = [s.foreign_processes for s in both if s.foreign_processes is not None]
    return {
        "sm_clock_hz": _medians(before, after, lambda s: s.sm_clock_hz),
        "memory_clock_hz": _medians(before, after, lambda s: s.memory_clock_hz),
        "temperature_c": _medians(before, after, lambda s: s.temperature_c),
        "power_w": _medians(before, after, lambda s: s.power_w),
        "memory_used_bytes": _most(both, lambda s: s.memory_used_bytes),
        "slowed_by": list(slowed_by(after)) if any(s.throttle_reasons is not None for s in after) else None,
        "foreign_processes": max(foreign, default=None),
    }


def as_record(
    identity: dict[str, Any], before: Sequence[GpuState], after: Sequence[GpuState], rounds: Sequence[int]
) -> dict[str, Any]:
    """``Measurement.gpu``: what it is, a summary, and each round's states; process lists are left out as private."""
    if not after:
        return identity
    states = [
        {"round": round_, "before": as_document(one), "after": as_document(other)}
        for round_, one, other in zip(rounds, before, after, strict=True)
    ]
    return identity | {"summary": summarise(before, after), "rounds": states}


def as_document(state: GpuState) -> dict[str, Any]:
    """A state for a report or a journal: without the list of processes, which is private."""
    return {name: value for name, value in asdict(state).items() if name != "processes"}


def from_document(document: dict[str, Any]) -> GpuState:
    """The state that :func:`as_document` wrote."""
    reasons = document["throttle_reasons"]
    known = document | {"throttle_reasons": None if reasons is None else tuple(reasons)}
    return GpuState(**known, processes=None)


def _values(states: Sequence[GpuState], field: Callable[[GpuState], float | None]) -> list[float]:
    return [value for state in states if (value := field(state)) is not None]


def _medians(
    before: Sequence[GpuState], after: Sequence[GpuState], field: Callable[[GpuState], float | None]
) -> dict[str, float | None]:
    first, last = _values(before, field), _values(after, field)
    return {"before": median(first) if first else None, "after": median(last) if last else None}


def _most(states: Sequence[GpuState], field: Callable[[GpuState], float | None]) -> float | None:
    return max(_values(states, field), default=None)


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
