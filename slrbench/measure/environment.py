"""The machine and the versions under which something was measured. Imports no runtime."""

import math
import os
import platform
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from exporters.cuda_driver import cuda_driver, device_index
from slrbench import __version__
from slrbench.records import Environment

PACKAGES = (
    "torch", "torchvision", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-cu13",
    "tensorrt-cu12", "tensorrt-rtx", "tensorrt-rtx-cu13-bindings", "pycuda", "cuda-python", "numpy", "safetensors",
    "accelerate",
)  # fmt: skip
"""Packages whose versions a measurement depends on."""


def capture_environment() -> Environment:
    """What this machine is, now."""
    import psutil

    gpus = gpu_names()
    return Environment(
        platform=platform.platform(),
        python=platform.python_version(),
        cpu=cpu_name(),
        cpu_logical_cores=os.cpu_count() or 1,
        cpu_physical_cores=psutil.cpu_count(logical=False),
        memory_bytes=psutil.virtual_memory().total,
        gpus=gpus,
        versions=package_versions(),
        load_average_1m=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=tuple(_notes(gpus)),
    )


def usable_cores() -> int:
    """Cores that this process may use: its affinity and its control group's quota taken into account."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cpu_quota()
    return max(1, min(cores, math.ceil(quota))) if quota is not None else cores


def default_threads() -> int:
    """Threads that every backend gets where none are asked for: one per usable physical core."""
    import psutil

    physical = psutil.cpu_count(logical=False)
    return min(usable_cores(), physical) if physical else usable_cores()


def package_versions() -> dict[str, str]:
    """Versions of the packages that matter and are installed."""
    found = {"slrbench": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def cpu_name() -> str:
    """The processor's name, and which of the instruction sets that networks profit from it has."""
    import cpuinfo

    info = cpuinfo.get_cpu_info()
    flags = set(info.get("flags", ()))
    sets = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd") if flag in flags]
    name = info.get("brand_raw") or platform.processor() or platform.machine()
    return f"{name} ({', '.join(sets)})" if sets else str(name)


@cache
def gpu_names() -> tuple[str, ...]:
    """NVIDIA GPUs with memory and driver, as NVML names them; empty without a driver.

    Those that CUDA shows this process come first, in its order, so that ``cuda:N`` is the one with that number: NVML's
    own order is another one and knows nothing of ``CUDA_VISIBLE_DEVICES``.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        names = []
        for handle in _in_cuda_order(pynvml):
            memory_gib = pynvml.nvmlDeviceGetMemoryInfo(handle).total / (1 << 30)
            names.append(f"{pynvml.nvmlDeviceGetName(handle)}, {memory_gib:.0f} GiB, driver {driver}")
        return tuple(names)
    finally:
        pynvml.nvmlShutdown()


def _in_cuda_order(nvml: Any) -> list[Any]:
    """NVML's handles of the GPUs that CUDA shows, in its order, and then of those that it hides."""
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    by_place = {_place(nvml.nvmlDeviceGetPciInfo(handle).busId): handle for handle in handles}
    shown = [by_place[place] for bus_id in cuda_driver().bus_ids if (place := _place(bus_id)) in by_place]
    return shown + [handle for handle in handles if handle not in shown]


def _place(bus_id: str | bytes) -> tuple[int, str]:
    """Domain and the rest: CUDA writes ``0000:65:00.0`` and NVML ``00000000:65:00.0``."""
    text = bus_id.decode("ascii") if isinstance(bus_id, bytes) else bus_id
    domain, _, rest = text.partition(":")
    return int(domain, 16), rest.lower()


def gpu_name(device: str) -> str:
    """Name of the GPU that ``cuda`` or ``cuda:N`` means, without memory and driver; empty where it is not known."""
    names, index = gpu_names(), device_index(device)
    return names[index].partition(",")[0] if index < len(names) else ""


def _notes(gpus: tuple[str, ...]) -> list[str]:
    notes = []
    cores = usable_cores()
    if cores != os.cpu_count():
        notes.append(f"{cores} of {os.cpu_count()} logical cores may be used")
    governor = _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
    if governor is not None:
        notes.append(f"CPU frequency governor: {governor}")
    if sys.platform == "linux" and "hypervisor" in (_read(Path("/proc/cpuinfo")) or ""):
        notes.append("virtual machine: clocks and neighbours are not in our hands")
    if not gpus:
        notes.append("no GPU here: nothing GPU-related was verified")
    return notes


def _cgroup_cpu_quota() -> float | None:
    """Cores' worth of time that the control group (version 2) grants; None where it does not limit."""
    text = _read(Path("/sys/fs/cgroup/cpu.max"))
    if text is None:
        return None
    quota, _, period = text.partition(" ")
    return None if quota == "max" else int(quota) / int(period or 100_000)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
