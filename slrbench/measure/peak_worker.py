"""The worker's commands that measure what the machine reaches by itself: matrix products and copies. Loads no torch."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from slrbench.measure.clock import perf_counter_ns, seconds

GEMM_SIZE = 1536
"""Rows and columns of the matrices: 9 MB each in fp32, so that a product is bound by arithmetic."""

COPY_BYTES = 256 << 20
"""Bytes that are read, and as many that are written: far more than any cache holds."""

TIME_S = 0.4
LEAST_CALLS = 5


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
    core = openvino.Core()  # the only one in this process, which ends without taking signals
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    return lambda: request.infer([a], share_inputs=True, share_outputs=True)
