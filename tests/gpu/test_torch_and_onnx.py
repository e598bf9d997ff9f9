"""torch and ONNX Runtime on a GPU: the provider asked for, TF32 on and off, half precision, compiled modules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slrbench.runners.options import COMPILE_MODES
from tests.gpu.on_device import call, noise, opened

pytestmark = pytest.mark.gpu
Build = Callable[..., dict[str, Any]]
CUDA_PROVIDER = "CUDAExecutionProvider"


def largest_error(found: Any, expected: Any) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())


def test_the_cuda_provider_runs_the_graph_with_values_on_the_gpu(student: Path) -> None:
    path = student / "model.onnx"
    with opened("onnx", path) as on_gpu, opened("onnx", path, device="cpu") as on_cpu:
        assert on_gpu.actual["providers"][0] == CUDA_PROVIDER
        nodes = on_gpu.actual["nodes_by_provider"]
        assert nodes[CUDA_PROVIDER] > sum(nodes.values()) / 2
        for batch, frames in ((1, 1), (1, 23), (3, 9), (2, 64)):
            video = noise(batch, frames, 32)
            staged = on_gpu.stage(video)
            pending = on_gpu.run(staged)
            on_gpu.synchronize()
            assert (staged.device_name(), pending.device_name()) == ("cuda", "cuda")
            np.testing.assert_allclose(on_gpu.fetch(pending), call(on_cpu, video), atol=1e-4, rtol=1e-4)


def test_an_fp16_file_computes_in_fp16_on_the_cuda_provider(student: Path) -> None:
    from exporters.gates import gates_for

    gates, video = gates_for("fp16"), noise(2, 30, 32)
    with opened("onnx", student / "model.onnx", device="cpu") as reference:
        expected = call(reference, video)
    with opened("onnx", student / "model.fp16.onnx", precision="fp16") as runner:
        assert runner.actual["precision"] == "fp16"
        np.testing.assert_allclose(call(runner, video), expected, atol=gates.atol, rtol=gates.rtol)


# --- TF32 -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ampere")
@pytest.mark.parametrize("backend", ["torch", "onnx", pytest.param("trt", marks=pytest.mark.tensorrt)])
def test_tf32_is_on_where_it_was_asked_for_and_off_elsewhere(
    request: pytest.FixtureRequest, repository: Path, tmp_path: Path, backend: str
) -> None:
    """Rounding to 10 bits shows: against the fp32 of the CPU tf32's error is several times that of fp32."""
    size = 32
    paths: dict[str, Path]
    if backend == "torch":  # it opens checkpoints only
        size, paths = 64, dict.fromkeys(("fp32", "tf32"), repository / "trained_models" / "teacher-full")
    else:
        graph: Path = request.getfixturevalue("wide_graph")
        paths = dict.fromkeys(("fp32", "tf32"), graph)
    with opened("torch" if backend == "torch" else "onnx", paths["fp32"], device="cpu") as reference:
        video = noise(2, 32, size)
        expected = call(reference, video)
    if backend == "trt":
        build: Build = request.getfixturevalue("build")
        for precision in paths:
            paths[precision] = tmp_path / f"{precision}.engine"
            build(graph, paths[precision], frame_size=(32, 32), precision=precision)
    errors = {}
    for precision, path in paths.items():
        with opened(backend, path, precision=precision) as runner:
            errors[precision] = largest_error(call(runner, video), expected)
            assert runner.actual["precision"] == precision
    assert errors["fp32"] < 1e-3, errors
    assert errors["tf32"] > 5 * errors["fp32"], errors


def test_the_fp32_of_torch_is_within_the_gates_of_fp32(student: Path) -> None:
    video = noise(2, 30, 32)
    with opened("torch", student, device="cpu") as reference, opened("torch", student) as runner:
        assert set(runner.actual["tf32"].values()) == {"ieee"}
        np.testing.assert_allclose(call(runner, video), call(reference, video), atol=1e-4, rtol=1e-4)
        seconds = runner.device_seconds()
        assert runner.device_memory()["peak"] > 0
    assert seconds is not None
    assert seconds > 0


# --- half precision and compiled modules ------------------------------------------------------------------------------


@pytest.mark.usefixtures("ampere")
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_autocast_computes_in_half_precision_and_keeps_to_its_gates(student: Path, precision: str) -> None:
    from exporters.gates import gates_for

    gates, video = gates_for(precision), noise(2, 30, 32)
    with opened("torch", student, device="cpu") as reference:
        expected = call(reference, video)
    with opened("torch", student, precision=precision) as runner:
        found = call(runner, video)
        assert runner.actual["precision"] == precision
        assert runner.actual["autocast"] is True
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=gates.atol, rtol=gates.rtol)
    assert largest_error(found, expected) > 1e-6


@pytest.mark.parametrize("variant", list(COMPILE_MODES))
def test_a_compiled_module_gives_what_the_eager_one_gives(student: Path, variant: str) -> None:
    videos = [noise(1, 16, 32, seed=seed) for seed in range(3)]
    with opened("torch", student) as eager:
        expected = [call(eager, video) for video in videos]
    with opened("torch", student, variant=variant) as compiled:
        for video, output in zip(videos, expected, strict=True):
            np.testing.assert_allclose(call(compiled, video), output, atol=1e-4, rtol=1e-4)
        assert compiled.actual["compile_mode"] == COMPILE_MODES[variant]
        assert compiled.actual["compiled_graphs"] >= 1
