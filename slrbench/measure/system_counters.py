"""The counters of Linux that tell contention, read through files that stay open. Standard library only.

Elsewhere, and in containers that hide a file, the counter is None.
"""

import contextlib
import os
from pathlib import Path

from slrbench.measure.contention import MachineCounters, OwnCounters

MOST_THREADS = 64
"""Reading takes about 1.5 microseconds for each thread: of a process with more threads it is left out."""

_ROOT = Path("/")


class SystemCounters:
    """The system's counters of this process and of the machine."""

    def __init__(self, root: Path = _ROOT) -> None:
        """Open what there is below ``root``, the root of the file system."""
        self._stat = _Counter(root / "proc/stat")
        self._pressure = _Counter(root / "proc/pressure/cpu")
        self._quotas = [_Counter(path) for path in _quota_files(root)]
        cpus = root / "sys/devices/system/cpu"
        self._heat = [_Counter(path) for path in sorted(cpus.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))]
        self._threads = _Threads(root / "proc/self/task")
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01

    def own(self) -> OwnCounters:
        """Of this process; two calls of the system and one more for each thread."""
        usage = _usage()
        return OwnCounters(switches=None if usage is None else usage[0], waited_s=self._threads.waited_s())

    def machine(self) -> MachineCounters:
        """Of the machine; also looks which threads there are."""
        self._threads.look()
        usage = _usage()
        steal, busy = _cpu_seconds(self._stat.read(), self._tick_s)
        return MachineCounters(
            steal_s=steal,
            busy_s=busy,
            own_cpu_s=None if usage is None else usage[1],
            pressure_s=_pressure_seconds(self._pressure.read()),
            throttled=self._throttled(),
        )

    def close(self) -> None:
        """Close the files."""
        for counter in (self._stat, self._pressure, *self._quotas, *self._heat):
            counter.close()
        self._threads.close()

    def _throttled(self) -> float | None:
        counts = [_field(text, b"nr_throttled") for quota in self._quotas if (text := quota.read())]
        counts += [_integer(text) for heat in self._heat if (text := heat.read())]
        known = [count for count in counts if count is not None]
        return float(sum(known)) if known else None


class _Counter:
    """A small file of the kernel's, kept open; empty where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._fd: int | None = None
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def read(self, most: int = 1 << 16) -> bytes:
        if self._fd is None:
            return b""
        try:
            return os.pread(self._fd, most, 0)
        except OSError:  # the thread, the control group or the core is gone
            self.close()
            return b""

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class _Threads:
    """How long the threads of this process waited for a core; a thread counts from when it is first seen."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, tuple[_Counter, int]] = {}
        self._waited_ns = 0
        self._known = False
        self.look()

    def look(self) -> None:
        """Find new threads."""
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - a hundredth of iterdir's work
        except OSError:
            names = []
        self._known = 0 < len(names) <= MOST_THREADS
        for name in set(self._open) - set(names):
            self._open.pop(name)[0].close()
        if not self._known:
            return
        for name in set(names) - set(self._open):
            counter = _Counter(self._folder / name / "schedstat")
            if (now := _wait_ns(counter.read(128))) is None:
                counter.close()
            else:
                self._open[name] = counter, now

    def waited_s(self) -> float | None:
        """Since the first look, summed; None where the kernel does not count it."""
        if not self._known or not self._open:
            return None
        for name, (counter, before) in self._open.items():
            if (now := _wait_ns(counter.read(128))) is not None:
                self._waited_ns += now - before
                self._open[name] = counter, now
        return self._waited_ns / 1e9

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1][0].close()


def _wait_ns(text: bytes) -> int | None:
    """The second of ``time on cpu, time waiting, slices``; None where the kernel leaves all at zero or the file out."""
    fields = text.split()
    return int(fields[1]) if len(fields) >= 3 and fields[2] != b"0" else None


def _usage() -> tuple[int, float] | None:
    """Involuntary switches and CPU seconds of this process, all threads."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nivcsw, usage.ru_utime + usage.ru_stime


def _cpu_seconds(text: bytes, tick_s: float) -> tuple[float | None, float | None]:
    """Steal and busy time of the first line of /proc/stat: user nice system idle iowait irq softirq steal ..."""
    fields = text.partition(b"\n")[0].split()
    if len(fields) < 9 or fields[0] != b"cpu":
        return None, None
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in fields[1:9])
    return steal * tick_s, (user + nice + system + irq + softirq) * tick_s


def _pressure_seconds(text: bytes) -> float | None:
    """``total`` (microseconds) of the line ``some`` of /proc/pressure/cpu."""
    line = text.partition(b"\n")[0]
    total = line.rpartition(b"total=")[2]
    return int(total) / 1e6 if line.startswith(b"some ") and total.isdigit() else None


def _quota_files(root: Path) -> list[Path]:
    """``cpu.stat`` of this process' control group and of those above it: version 2, or the controller of version 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            bases = [root / "sys/fs/cgroup"]
        elif "cpu" in controllers.split(","):
            bases = [root / "sys/fs/cgroup" / name for name in (controllers, "cpu")]
        else:
            continue
        # In a container the path is that of the host, and the group itself is mounted at the base.
        for base in bases:
            inner = base / path.strip("/")
            inside = [inner, *(p for p in inner.parents if p.is_relative_to(base))]
            found += [folder / "cpu.stat" for folder in inside if (folder / "cpu.stat").is_file()]
    return list(dict.fromkeys(path.resolve() for path in found))


def _field(text: bytes, name: bytes) -> int | None:
    for line in text.splitlines():
        key, _, value = line.partition(b" ")
        if key == name:
            return _integer(value)
    return None


def _integer(text: bytes) -> int | None:
    return int(text) if text.strip().isdigit() else None
