"""What two reports have in common: rows of the same candidate, machines, versions of runtimes."""

from typing import NamedTuple

from slrbench.records import Environment, Report, SummaryRow

RUNTIMES = {
    "torch": ("torch",),
    "torchscript": ("torch",),
    "onnx": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
    "trt": (
        "tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx", "tensorrt-rtx-cu13-bindings", "pycuda",
        "cuda-python",
    ),
}  # fmt: skip
"""Backend to the packages whose versions its times depend on."""


class RowKey(NamedTuple):
    """What a row is of: everything that two rows must share for their times to be of the same thing."""

    model: str
    backend: str
    precision: str
    variant: str
    device: str
    threads: int
    batch: int
    frames: int
    height: int
    width: int
    input_kind: str
    scope: str

    def __str__(self) -> str:
        """Like ``student on onnx (fp32, cpu), 1 x 32, 64 x 64, 2 threads``."""
        words = [self.variant] if self.variant else []
        words += [self.input_kind] if self.input_kind != "float32" else []
        backend = f"{self.backend} ({', '.join(words)})" if words else self.backend
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return (
            f"{self.model} on {backend} ({self.precision}, {self.device}), {self.batch} x {self.frames}, "
            f"{self.height} x {self.width}, {threads}"
        )


class MachineKey(NamedTuple):
    """What makes two machines alike. Memory is left out: what the system keeps of it differs from boot to boot."""

    cpu: str
    logical_cores: int
    physical_cores: int | None
    gpus: tuple[str, ...]


def key_of(row: SummaryRow) -> RowKey:
    """The key of a row."""
    return RowKey(**{name: getattr(row, name) for name in RowKey._fields})


def same_report(a: Report, b: Report) -> bool:
    """Whether two reports hold the same measurements of the same session."""
    return (a.environment, a.measurements, a.summary) == (b.environment, b.measurements, b.summary)


def machine_of(environment: Environment) -> MachineKey:
    """The machine that an environment is of, whatever the versions on it."""
    return MachineKey(
        environment.cpu,
        environment.cpu_logical_cores,
        environment.cpu_physical_cores,
        tuple(gpu.partition(", driver")[0] for gpu in environment.gpus),
    )


def unlike_machines(a: Environment, b: Environment) -> list[str]:
    """In what two machines differ, in words; empty where they are alike."""
    words = {"cpu": "CPU", "logical_cores": "logical cores", "physical_cores": "physical cores", "gpus": "GPUs"}
    one, other = machine_of(a), machine_of(b)
    return [
        f"{word} {_shown(getattr(one, name))} and {_shown(getattr(other, name))}"
        for name, word in words.items()
        if getattr(one, name) != getattr(other, name)
    ]


def unlike_versions(a: Environment, b: Environment, backends: set[str] | None = None) -> list[str]:
    """Runtimes whose versions differ, in words; empty where there are none.

    Args:
        a: one environment.
        b: another one.
        backends: those whose runtimes matter; None: all.
    """
    packages = [p for backend, names in RUNTIMES.items() if backends is None or backend in backends for p in names]
    found = [
        f"{package} {a.versions.get(package, 'none')} and {b.versions.get(package, 'none')}"
        for package in dict.fromkeys(packages)
        if a.versions.get(package) != b.versions.get(package)
    ]
    drivers = [tuple(gpu.rpartition("driver ")[2] for gpu in e.gpus) for e in (a, b)]
    if machine_of(a).gpus == machine_of(b).gpus and drivers[0] != drivers[1]:
        found.append(f"driver {_shown(drivers[0])} and {_shown(drivers[1])}")
    return found


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)
