"""Energy from the machine's own counters: RAPL of the processor packages, NVML of one GPU. Imports no runtime.

A counter counts all that its part of the machine does, what it takes when idle and other programs included. So it is
read around the throughput pass, where the candidate computes all the time. Joules.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

POWERCAP = Path("/sys/class/powercap")
RAPL = "RAPL package"
NVML = "NVML"


class EnergyMeter(Protocol):
    """A counter of energy that only grows."""

    source: str
    """What is counted; empty where nothing is."""
    unavailable: str
    """Why nothing is counted; empty where something is."""

    def begin(self) -> None:
        """Read it before."""
        ...

    def joules(self) -> float | None:
        """What was used since ``begin``; None where the counter could not be read."""
        ...


@dataclass(frozen=True, kw_only=True)
class EnergyPass:
    """What one throughput pass took, as ``slrbench.records.Energy`` has it."""

    source: str = ""
    joules: float | None = None
    calls: int = 0
    seconds: float = 0.0
    unavailable: str = ""


def energy_of_pass(meter: EnergyMeter, joules: float | None, calls: int, elapsed_s: float) -> dict[str, Any]:
    """The record of a pass, or why there is none."""
    if meter.unavailable or calls == 0:
        return asdict(EnergyPass(unavailable=meter.unavailable or "no throughput was measured"))
    if joules is None:
        return asdict(EnergyPass(unavailable=f"not available here: {meter.source} could not be read"))
    return asdict(EnergyPass(source=meter.source, joules=joules, calls=calls, seconds=elapsed_s))


def energy_meter(device: str) -> EnergyMeter:
    """The counter of what computes: the processor packages for ``cpu``, the GPU for ``cuda`` or ``cuda:N``."""
    return RaplMeter() if device == "cpu" else NvmlMeter(device)


class RaplMeter:
    """The packages' counters under ``/sys/class/powercap``, summed; DRAM and parts of packages are not added."""

    def __init__(self, folder: Path = POWERCAP) -> None:
        """Find the packages."""
        zones = sorted(folder.glob("intel-rapl:*")) if folder.is_dir() else []  # AMD's are called so, too
        self._zones = [zone for zone in zones if _text(zone / "name").startswith("package")]
        self._before: list[int | None] = []
        self.unavailable = ""
        if not self._zones:
            self.unavailable = "not available here: the system shows no RAPL package"
        elif any(value is None for value in self._read()):
            self.unavailable = "not available here: RAPL's energy_uj may be read by root only"
        self.source = "" if self.unavailable else RAPL

    def begin(self) -> None:
        """Read every package."""
        self._before = self._read()

    def joules(self) -> float | None:
        """Since ``begin``; a counter that has started again from zero is taken to have done so once."""
        total = 0
        for zone, before, after in zip(self._zones, self._before, self._read(), strict=True):
            if before is None or after is None:
                return None
            if after < before:
                most = _number(zone / "max_energy_range_uj")
                if most is None:
                    return None
                after += most
            total += after - before
        return total / 1e6

    def _read(self) -> list[int | None]:
        return [_number(zone / "energy_uj") for zone in self._zones]


class NvmlMeter:
    """The GPU's own counter, which the driver keeps since it was loaded (Volta and later)."""

    def __init__(self, device: str) -> None:
        """Open NVML for a CUDA device."""
        from slrbench.measure.gpu_environment import GpuWatch

        self._watch = GpuWatch(device)
        self._before: float | None = None
        self.unavailable = ""
        if self._watch.energy_j() is None:
            why = self._watch.why_not or "this GPU or its driver does not count energy"
            self.unavailable = f"not available here: {why}"
        self.source = "" if self.unavailable else NVML

    def begin(self) -> None:
        """Read the counter."""
        self._before = self._watch.energy_j()

    def joules(self) -> float | None:
        """Since ``begin``."""
        after = self._watch.energy_j()
        return None if self._before is None or after is None else after - self._before


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None
