"""``slrbench doctor``: what works here, what does not, why, and how to get it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from slrbench.cli import console

if TYPE_CHECKING:
    from slrbench.records import Environment
    from slrbench.runners.availability import Availability
    from slrbench.runners.gpu_libraries import GpuLibrary


def command(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Try every backend and device, and each library of the GPU's side: available or not, why not, how to get it.

    Each is tried in a process of its own, since what is installed may still fail to load, crash or hang. Shows
    versions, CPU, memory and GPU, too.
    """
    from exporters.cuda_driver import cuda_device_count
    from slrbench.measure.environment import capture_environment
    from slrbench.runners.gpu_libraries import try_libraries

    with console.Progress() as progress:
        found = _try_all(progress)
        libraries = try_libraries(progress)
        progress("looking at the machine")
        environment = capture_environment()
    devices = cuda_device_count()
    if json:
        console.print_json(
            {
                "backends": [asdict(one) for one in found],
                "gpu_libraries": [asdict(one) for one in libraries],
                "cuda_devices": devices,
                "environment": environment,
            }
        )
        return
    rows = [[a.backend, a.device, "yes" if a.available else "no", a.version] for a in found]
    console.result(console.table(rows, ["Backend", "Device", "Available", "Version"]))
    missing = [(f"{a.backend} on {a.device}", a.why_not, a.how_to_get) for a in found if not a.available]
    if missing:
        console.result("\n" + "\n".join(_missing_lines(missing)))
    console.result("\n" + "\n".join([*map(_library_line, libraries), *_gpu_words(devices)]))
    console.result("\n" + "\n".join(map(console.wrapped, _machine(environment, devices))))
    works = ",".join(dict.fromkeys(a.backend for a in found if a.available))
    if works:
        console.info(f"next: python -m slrbench bench --backend {works}")


def _try_all(progress: console.Progress) -> "list[Availability]":
    from slrbench.runners.availability import BACKENDS, tried_availability

    found = []
    for backend in BACKENDS:
        for device in ("cuda",) if backend == "trt" else ("cpu", "cuda"):
            progress(f"trying {backend} on {device}")
            found.append(tried_availability(backend, device))
    return found


def _missing_lines(missing: "list[tuple[str, str | None, str | None]]") -> list[str]:
    """Why not, and how to get it: once for all backends that it is the same for."""
    by_reason: dict[tuple[str | None, str | None], list[str]] = {}
    for name, why_not, how_to_get in missing:
        by_reason.setdefault((why_not, how_to_get), []).append(name)
    return [_not_available(", ".join(names), *reason) for reason, names in by_reason.items()]


def _library_line(library: "GpuLibrary") -> str:
    named = library.name if library.version is None else f"{library.name} {library.version}"
    if library.available:
        return console.wrapped(f"{named}: available" + (f" ({library.note})" if library.note else ""))
    return _not_available(named, library.why_not, library.how_to_get)


def _not_available(named: str, why_not: str | None, how_to_get: str | None) -> str:
    lines = [console.wrapped(f"{named}: not available: {why_not}")]
    if how_to_get:
        lines.append(console.wrapped(f"how to get it: {how_to_get}", first="    ", indent="        "))
    return "\n".join(lines)


def _gpu_words(devices: int) -> list[str]:
    return [] if devices else ["no CUDA device is visible: nothing was run on a GPU here"]


def _machine(environment: "Environment", devices: int) -> list[str]:
    e = environment
    physical = "" if e.cpu_physical_cores is None else f", {e.cpu_physical_cores} physical"
    lines = [
        f"CPU: {e.cpu}, {e.cpu_logical_cores} logical cores{physical}",
        f"Memory: {e.memory_bytes / 1e9:.1f} GB",
        f"System: {e.platform}, Python {e.python}",
        f"Versions: {', '.join(f'{name} {version}' for name, version in e.versions.items())}",
        *(f"GPU: {gpu}" for gpu in e.gpus),
        *e.notes,
    ]
    if devices == 0 and e.gpus:
        lines.append("CUDA shows none of these GPUs (CUDA_VISIBLE_DEVICES?): nothing GPU-related was verified")
    return lines
