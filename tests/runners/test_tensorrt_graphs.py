"""CUDA graphs of the trt runner: one for each shape, each of its own context; a refused one falls back and is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slrbench.errors import RunFailedError, UnavailableError
from slrbench.runners.tensorrt_contexts import KEPT_SHAPES
from tests.runners.host_cuda import HostCuda, check
from tests.runners.host_engine import ACTIVATION_BYTES, HostTrt
from tests.runners.trt_session import LARGEST, all_verbs, infer, open_on_host, plan, video


def test_a_graph_is_captured_once_for_each_shape(engine: Path, host: HostCuda) -> None:
    runner = open_on_host(engine, host, variant="cuda-graph")
    assert runner.requested["cuda_graph"] == "captured"
    assert runner.actual["cuda_graph"] == "not captured yet"
    all_verbs(runner, [(1, 5), (3, 16)] * 3)
    assert runner.actual["cuda_graph"] == "captured"
    all_verbs(runner, [LARGEST])
    assert host.calls.count("instantiate") == 3
    assert host.calls.count("destroy_graph") == 3
    assert host.calls.count("launch") == 7
    runner.close()
    assert host.calls.count("destroy_executable") == 3


def test_the_profiles_largest_shape_is_captured_also_where_it_comes_first(engine: Path, host: HostCuda) -> None:
    runner = open_on_host(engine, host, variant="cuda-graph")
    infer(runner, video(*LARGEST))
    assert runner.actual["cuda_graph"] == "captured"
    runner.close()


def test_a_shape_whose_first_call_failed_is_captured_at_the_next(engine: Path, host: HostCuda) -> None:
    runner = open_on_host(engine, host, variant="cuda-graph")
    staged = runner.stage(video(1, 8))
    host.fail_on = "trt.execute_async_v3"
    with pytest.raises(RunFailedError, match="the engine failed on input"):
        runner.run(staged)
    assert runner.actual["cuda_graph"] == "not captured yet"
    host.fail_on = ""
    runner.run(staged)
    assert runner.actual["cuda_graph"] == "captured"
    runner.close()


def test_more_shapes_than_are_kept_replace_the_oldest(engine: Path, onnx: Any, host: HostCuda) -> None:
    runner = open_on_host(engine, host, variant="cuda-graph")
    shapes = [(1, frames) for frames in range(1, KEPT_SHAPES + 3)]
    for shape in [*shapes, *shapes]:
        np.testing.assert_allclose(infer(runner, video(*shape)), infer(onnx, video(*shape)), atol=1e-6)
    assert host.calls.count("trt.create_execution_context") == KEPT_SHAPES
    runner.close()


def test_without_memory_for_another_context_an_old_one_changes_its_shape(
    engine: Path, onnx: Any, host: HostCuda
) -> None:
    runner = open_on_host(engine, host, variant="cuda-graph", adjust=lambda trt: setattr(trt, "contexts_left", 2))
    for shape in [(1, 1), (1, 2), (1, 3), (1, 1)]:
        np.testing.assert_allclose(infer(runner, video(*shape)), infer(onnx, video(*shape)), atol=1e-6)
    assert runner.actual["cuda_graph"] == "captured"
    runner.close()


@pytest.mark.parametrize("call", ["begin_capture", "end_capture", "instantiate", "destroy_graph"])
def test_a_capture_that_cuda_refuses_falls_back_and_is_told(engine: Path, onnx: Any, call: str) -> None:
    host = HostCuda(fail_on=call)
    runner = open_on_host(engine, host, variant="cuda-graph")
    for shape in [(1, 5), (2, 5), (1, 5)]:
        np.testing.assert_allclose(infer(runner, video(*shape)), infer(onnx, video(*shape)), atol=1e-6)
    assert runner.actual["cuda_graph"].startswith(f"refused, because {call} failed: out of memory")
    assert runner.actual["cuda_graph"] != runner.requested["cuda_graph"]
    assert host.calls.count("begin_capture") == 2  # once for each shape, and not again
    runner.close()
    check(host)


def _not_permitted(trt: HostTrt) -> None:
    trt.capture_error = "Error Code 1: operations that are not permitted when stream is capturing"


def test_a_capture_that_the_engine_refuses_falls_back_and_is_told(engine: Path, onnx: Any, host: HostCuda) -> None:
    runner = open_on_host(engine, host, variant="cuda-graph", adjust=_not_permitted)
    np.testing.assert_allclose(infer(runner, video(1, 5)), infer(onnx, video(1, 5)), atol=1e-6)
    assert "refused, because the engine failed" in runner.actual["cuda_graph"]
    assert "not permitted when stream is capturing" in runner.actual["cuda_graph"]
    assert "launch" not in host.calls
    runner.close()


def test_rtx_is_asked_whether_it_can_be_captured(tiny_onnx: Any, tmp_path: Path, host: HostCuda) -> None:
    path = plan(tmp_path / "model.rtx.engine", tiny_onnx["float32"])
    runner = open_on_host(path, host, variant="cuda-graph", adjust=lambda trt: setattr(trt, "capturable", False))
    infer(runner, video(1, 5))
    assert "refused, because TensorRT-RTX cannot have this engine captured" in runner.actual["cuda_graph"]
    assert "begin_capture" not in host.calls
    runner.close()


def test_without_cuda_python_the_engine_runs_without_a_graph(
    engine: Path, host: HostCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(stream: int) -> None:
        raise UnavailableError("cuda-python does not load")

    monkeypatch.setattr(host, "begin_capture", missing)
    runner = open_on_host(engine, host, variant="cuda-graph")
    assert infer(runner, video(1, 5)).shape == (2, 1, 7)
    assert runner.actual["cuda_graph"].startswith("refused, because cuda-python does not load")
    runner.close()


def test_a_graph_for_a_second_shape_shows_in_the_peak(engine: Path, host: HostCuda) -> None:
    runner = open_on_host(engine, host, variant="cuda-graph")
    before = runner.device_memory()["peak"]
    all_verbs(runner, [(1, 5), (2, 5)])
    assert runner.device_memory()["peak"] == before + ACTIVATION_BYTES
    runner.close()
