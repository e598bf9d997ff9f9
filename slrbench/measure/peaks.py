"""What a machine reaches by itself: matrix products and copies, at the threads and the precision of the candidates.

The roofline's two limits (Williams, Waterman and Patterson, CACM 2009), measured in the run that they are compared
with. A peak is the best of several libraries' products, since no library is the best everywhere; each runs in a process
of its own with the same number of threads as the candidates. Nothing here loads torch.
"""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from slrbench.errors import SlrbenchError
from slrbench.measure.peak_worker import COPY_BYTES, GEMM_SIZE
from slrbench.measure.process import Worker
from slrbench.records import Candidate, MachinePeak

LIMIT_S = 120.0
_LIBRARIES = {"fp32": ("numpy", "onnxruntime", "openvino"), "int8": ("onnxruntime",)}
_NEEDED = {"numpy": ("numpy",), "onnxruntime": ("onnxruntime", "onnx"), "openvino": ("openvino",)}


def measure_peaks(candidates: Iterable[Candidate]) -> tuple[MachinePeak, ...]:
    """The CPU's peaks for each thread count and precision among the candidates on it; GPUs have none here yet.

    int8 has a peak of its own; fp16 files compute in fp32 on a CPU. A library that fails is left out.
    """
    ways = dict.fromkeys((c.threads, peak_precision(c.precision)) for c in candidates if c.device == "cpu")
    copied: dict[int, float | None] = {}
    peaks = []
    for threads, precision in ways:
        if threads not in copied:
            copied[threads] = _ask(threads, op="copy_peak")
        found = {
            name: value
            for name in _LIBRARIES[precision]
            if all(find_spec(package) for package in _NEEDED[name])
            and (value := _ask(threads, op="gemm_peak", library=name, precision=precision)) is not None
        }
        best = max(found, key=lambda name: found[name], default=None)
        peaks.append(
            MachinePeak(
                threads=threads,
                precision=precision,
                flops_per_s=found[best] if best is not None else None,
                bytes_per_s=copied[threads],
                how=f"{best}, {GEMM_SIZE} x {GEMM_SIZE} matrices; copy of {COPY_BYTES >> 20} MiB" if best else "",
            )
        )
    return tuple(peaks)


def better_of(first: Iterable[MachinePeak], second: Iterable[MachinePeak]) -> tuple[MachinePeak, ...]:
    """The higher figures of two measurements of the same machine: what disturbed one of them was no limit."""
    found = {(p.device, p.threads, p.precision): p for p in second}
    return tuple(_better(p, found.get((p.device, p.threads, p.precision))) for p in first)


def _better(a: MachinePeak, b: MachinePeak | None) -> MachinePeak:
    if b is None:
        return a
    faster = max((a, b), key=lambda peak: peak.flops_per_s or 0.0)
    known = [peak.bytes_per_s for peak in (a, b) if peak.bytes_per_s]
    return faster.model_copy(update={"bytes_per_s": max(known, default=None)})


def peak_precision(precision: str) -> str:
    """The precision of the peak that a candidate on a CPU is compared with."""
    return "int8" if precision == "int8" else "fp32"


def _ask(threads: int, *, op: str, **arguments: Any) -> float | None:
    try:
        with Worker(threads=threads) as worker:
            value: float = worker.ask(op, limit_s=LIMIT_S, threads=threads, **arguments)["per_second"]
            return value
    except SlrbenchError:
        return None
