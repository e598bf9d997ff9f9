"""What a machine reaches by itself: matrix products and copies, at the threads and the precision of the candidates.

The roofline's two limits (Williams, Waterman and Patterson, CACM 2009), measured in the run that they are compared
with. A peak is the best of several libraries' products, since no library is the best everywhere; each runs in a process
of its own with the same number of threads as the candidates. Nothing here loads torch.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np

from slrbench.errors import SlrbenchError
from slrbench.measure.clock import perf_counter_ns, seconds
from slrbench.measure.process import Worker
from slrbench.records import Candidate, MachinePeak

GEMM_SIZE = 1536
"""Rows and columns of the matrices: 9 MB each in fp32, so that a product is bound by arithmetic."""

COPY_BYTES = 256 << 20
"""Bytes that are read, and as many that are written: far more than any cache holds."""

TIME_S = 0.4
LEAST_CALLS = 5
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


def gemm_peak(*, threads: int, library: str, precision: str) -> dict[str, Any]:
    """The worker's command: operations per second of a matrix product, two for each multiply-accumulate."""
    product = {"numpy": _numpy_product, "onnxruntime": _onnx_product, "openvino": _openvino_product}[library]
    call = product(threads, precision)
    return {"per_second": 2.0 * GEMM_SIZE**3 / _best_s(call)}


def copy_peak(*, threads: int) -> dict[str, Any]:
    """The worker's command: bytes per second of a copy, read and written ones together (STREAM's way of counting)."""
    source = np.ones(COPY_BYTES, np.uint8)
    target = np.empty_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:  # NumPy lets go of the interpreter's lock while it copies
        return {"per_second": 2.0 * COPY_BYTES / _best_s(lambda: list(pool.map(lambda pair: np.copyto(*pair), parts)))}


def _best_s(call: Callable[[], object]) -> float:
    """The shortest of several calls: a peak is what can be reached, not what is usual."""
    call()
    best, calls, begin = float("inf"), 0, perf_counter_ns()
    while calls < LEAST_CALLS or seconds(perf_counter_ns() - begin) < TIME_S:
        start = perf_counter_ns()
        call()
        best = min(best, seconds(perf_counter_ns() - start))
        calls += 1
    return best


def _matrices() -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    a, b = (generator.random((GEMM_SIZE, GEMM_SIZE), dtype=np.float32) for _ in range(2))
    return a, b


def _numpy_product(threads: int, precision: str) -> Callable[[], object]:
    """OpenBLAS, or whatever NumPy is built on; its threads were set by the environment before it was loaded."""
    a, b = _matrices()
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def _onnx_product(threads: int, precision: str) -> Callable[[], object]:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    a, b = _matrices()
    operator, kinds = "MatMul", (TensorProto.FLOAT, TensorProto.FLOAT)
    if precision == "int8":
        operator, kinds = "MatMulInteger", (TensorProto.UINT8, TensorProto.INT32)
        a, b = (a * 255).astype(np.uint8), (b * 254 - 127).astype(np.int8)
    shape = [GEMM_SIZE, GEMM_SIZE]
    graph = helper.make_graph(
        [helper.make_node(operator, ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", kinds[0], shape)],
        [helper.make_tensor_value_info("c", kinds[1], shape)],
        [numpy_helper.from_array(b, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"a": a})


def _openvino_product(threads: int, precision: str) -> Callable[[], object]:
    import openvino
    from openvino import opset13

    a, b = _matrices()
    parameter = opset13.parameter(list(a.shape), np.float32)
    model = openvino.Model([opset13.matmul(parameter, opset13.constant(b), False, False)], [parameter])
    compiled = openvino.Core().compile_model(
        model, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    )
    request = compiled.create_infer_request()
    return lambda: request.infer([a], share_inputs=True, share_outputs=True)
