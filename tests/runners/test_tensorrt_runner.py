"""The trt runner's own work, on CUDA in host memory and an engine that runs the same ONNX file in onnxruntime.

What is shown is the bookkeeping: buffers, shapes, addresses, graphs, errors in words. Nothing here runs on a GPU.
"""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slrbench.data.batching import normalise
from slrbench.errors import BadInputError, RunFailedError
from slrbench.runners import open as opening
from slrbench.runners import tensorrt_
from slrbench.runners.open import open_runner
from slrbench.runners.tensorrt_ import TensorRtRunner
from slrbench.runners.tensorrt_engine import count_types
from tests.runners.host_cuda import HostCuda
from tests.runners.host_engine import ACTIVATION_BYTES, WEIGHTS_BYTES, host_library
from tests.runners.trt_session import LARGEST, SHAPES, SIZE, all_verbs, infer, open_on_host, plan, video

# --- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["", "cuda-graph"])
def test_outputs_are_those_of_the_onnx_runner_at_shapes_that_come_and_go(
    engine: Path, onnx: Any, host: HostCuda, variant: str
) -> None:
    runner = open_on_host(engine, host, variant=variant)
    for shape in SHAPES:
        found = infer(runner, video(*shape))
        assert found.shape == ((shape[1] + 3) // 4, shape[0], 7)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, infer(onnx, video(*shape)), atol=1e-6)
    runner.close()


def test_raw_frames_go_to_an_engine_that_takes_them(tiny_onnx: Any, host: HostCuda, tmp_path: Path) -> None:
    path = plan(tmp_path / "model.uint8.engine", tiny_onnx["uint8"], "uint8")
    runner = open_on_host(path, host, input_kind="uint8")
    onnx = open_runner("onnx", tiny_onnx["float32"], threads=1)
    for batch, frames in ((2, 9), (1, 3)):
        raw = np.random.default_rng(0).integers(0, 256, (batch, frames, SIZE, SIZE, 3), dtype=np.uint8)
        np.testing.assert_allclose(infer(runner, raw), infer(onnx, normalise(raw)), atol=1e-5)
    runner.close()


def test_a_result_outlives_the_next_call_and_the_runner(engine: Path, host: HostCuda) -> None:
    runner = open_on_host(engine, host)
    first = infer(runner, video(1, 8))
    kept = first.copy()
    infer(runner, -video(1, 8))
    runner.close()
    np.testing.assert_array_equal(first, kept)


def test_staging_again_before_anything_was_waited_for_is_safe(engine: Path, onnx: Any, host: HostCuda) -> None:
    runner = open_on_host(engine, host)
    runner.stage(video(4, 24))
    found = runner.fetch(runner.run(runner.stage(video(2, 8))))
    np.testing.assert_allclose(found, infer(onnx, video(2, 8)), atol=1e-6)
    runner.close()


def test_a_video_staged_once_can_be_run_many_times(engine: Path, onnx: Any, host: HostCuda) -> None:
    runner = open_on_host(engine, host)
    staged = runner.stage(video(2, 8))
    for _ in range(3):
        pending = runner.run(staged)
    np.testing.assert_allclose(runner.fetch(pending), infer(onnx, video(2, 8)), atol=1e-6)
    runner.close()


def test_what_a_later_call_replaced_is_refused_and_not_mixed_up(engine: Path, host: HostCuda) -> None:
    runner = open_on_host(engine, host)
    first = runner.stage(video(1, 8))
    pending = runner.run(first)
    second = runner.stage(video(1, 8))
    with pytest.raises(RunFailedError, match="staged video was replaced by a later one"):
        runner.run(first)
    runner.run(second)
    with pytest.raises(RunFailedError, match="output was replaced by a later run's"):
        runner.fetch(pending)
    runner.close()


# --- shapes and memory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "words", "hint"),
    [
        ((5, 3, 8, 8, 8), "batch 5, but this engine's optimisation profile takes 1 to 4", "--batch 1:5"),
        ((1, 3, 25, 8, 8), "frames 25, but this engine's optimisation profile takes 1 to 24", "--frames 1:25"),
        ((1, 3, 8, 12, 8), "height 12, but this engine's optimisation profile takes 8 ", "the size"),
    ],
)
def test_a_video_outside_of_the_profile_is_told_the_range(
    engine: Path, host: HostCuda, shape: Any, words: str, hint: str
) -> None:
    runner = open_on_host(engine, host)
    with pytest.raises(BadInputError, match=words) as caught:
        runner.stage(np.zeros(shape, np.float32))
    assert hint in str(caught.value.hint)
    infer(runner, video(1, 8))  # and the runner works on
    runner.close()


def test_buffers_are_allocated_once_for_the_largest_shape(engine: Path, host: HostCuda) -> None:
    runner = open_on_host(engine, host)
    batch, frames = LARGEST
    sizes = sorted([4 * batch * 3 * frames * SIZE * SIZE, 4 * (frames // 4) * batch * 7])
    assert host.device_sizes() == sizes
    before = [call for call in host.calls if call.startswith("allocate")]
    assert sorted(before) == ["allocate_device"] * 2 + ["allocate_host"] * 2
    all_verbs(runner, SHAPES)
    assert [call for call in host.calls if call.startswith("allocate")] == before
    runner.close()


def test_a_shape_is_set_only_when_it_changes(engine: Path, host: HostCuda) -> None:
    runner = open_on_host(engine, host)
    all_verbs(runner, [(1, 5)])
    before = host.calls.count("trt.set_input_shape")
    all_verbs(runner, [(1, 5)] * 3)
    assert host.calls.count("trt.set_input_shape") == before
    all_verbs(runner, [(2, 5)])
    assert host.calls.count("trt.set_input_shape") == before + 1
    runner.close()


def test_an_output_larger_than_its_buffer_is_never_written(engine: Path, host: HostCuda) -> None:
    library = host_library(host, rtx=".rtx" in engine.name)
    runner = TensorRtRunner(engine, threads=1, input_kind="float32", cuda=host, engine_api=library)
    library.trt.output_rows_too_many = 1
    staged = runner.stage(video(4, 23))
    with pytest.raises(RunFailedError, match=r"output \(7, 4, 7\) of the input \(4, 3, 23, 8, 8\) is larger"):
        runner.run(staged)
    runner.close()


def test_device_memory_is_told_by_what_holds_it(engine: Path, host: HostCuda) -> None:
    runner = open_on_host(engine, host)
    found = runner.device_memory()
    assert found["engine"] == WEIGHTS_BYTES
    assert found["context"] == ACTIVATION_BYTES == runner.actual["activation_bytes"]
    assert found["buffers"] == sum(host.device_sizes())
    assert found["peak"] == sum(found[name] for name in ("engine", "context", "buffers"))
    runner.close()
    assert runner.device_memory() == found


def test_device_time_is_known_after_synchronize_only(engine: Path, host: HostCuda) -> None:
    runner = open_on_host(engine, host)
    assert runner.device_seconds() is None
    pending = runner.run(runner.stage(video(1, 8)))
    with pytest.raises(RunFailedError, match="not known before the run is done"):
        runner.device_seconds()
    runner.synchronize()
    assert runner.device_seconds() == pytest.approx(1e-3)
    runner.fetch(pending)
    runner.close()


# --- what it says of itself -------------------------------------------------------------------------------------------


def test_requested_and_actual_are_two_fields(engine: Path, host: HostCuda) -> None:
    runner = open_on_host(engine, host, device="cuda:0", precision="fp16", threads=3)
    rtx = engine.name.endswith(".rtx.engine")
    assert runner.backend == "trt"
    assert runner.requested == {
        "device": "cuda:0", "threads": 3, "precision": "fp16", "input_kind": "float32", "cuda_graph": "off",
    }  # fmt: skip
    assert runner.actual["device_name"] == "host memory"
    assert runner.actual["library"] == ("tensorrt-rtx" if rtx else "tensorrt")
    assert runner.actual["version"] == ("1.7.1" if rtx else "11.4.0")
    assert runner.actual["profile"]["max"] == [4, 3, 24, 8, 8]
    assert runner.actual["auxiliary_streams"] == 0
    assert runner.actual["cuda_graph"] == "off"
    assert (runner.actual.get("kernel_specialisation") == "EAGER") == rtx
    shared = runner.requested.keys() & runner.actual.keys()
    assert {name: runner.actual[name] for name in shared} == {name: runner.requested[name] for name in shared}
    runner.close()


def test_rtx_compiles_kernels_first_and_captures_nothing_itself(tiny_onnx: Any, tmp_path: Path, host: HostCuda) -> None:
    made: list[Any] = []
    create = host.track

    def track(thing: Any, kind: str, nbytes: int = 0) -> None:
        made.extend([thing.config] if kind == "context" else [])
        create(thing, kind, nbytes)

    host.track = track  # type: ignore[method-assign]
    open_on_host(plan(tmp_path / "model.rtx.engine", tiny_onnx["float32"]), host).close()
    assert [config.dynamic_shapes_kernel_specialization_strategy.name for config in made] == ["EAGER"]
    assert [config.cuda_graph_strategy.name for config in made] == ["DISABLED"]


INFORMATION = {
    "10": '{"Layers": [{"Outputs": [{"Name": "a", "Format/Datatype": "Row major linear FP16 format"}]}]}',
    "11": '{"Layers": [{"Outputs": [{"Format": "Row major linear", "Datatype": "Half"}]}], "I/O Tensors": '
    '[{"DataType": "Float"}, {"DataType": "UInt8"}]}',
}


@pytest.mark.parametrize("version", INFORMATION)
@pytest.mark.parametrize(("asked", "found"), [("fp16", "fp16"), ("int8", "int8"), ("fp32", "fp16"), ("bf16", "fp16")])
def test_a_precision_that_the_engine_contradicts_is_found_out(
    tiny_onnx: Any, tmp_path: Path, host: HostCuda, version: str, asked: str, found: str
) -> None:
    path = plan(tmp_path / "model.engine", tiny_onnx["float32"], information=INFORMATION[version])
    runner = open_on_host(path, host, precision=asked)
    assert runner.actual["precision"] == found
    runner.close()


def test_types_are_counted_where_an_inspector_tells_them() -> None:
    assert count_types(INFORMATION["10"]) == {"fp16": 1}
    assert count_types(INFORMATION["11"]) == {"half": 1, "float": 1}
    assert count_types("no JSON") == count_types('{"Layers": ["name only"]}') == {}


# --- threads ----------------------------------------------------------------------------------------------------------


def in_thread(do: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(do()))
    thread.start()
    thread.join()
    return results[0]


def test_every_thread_may_use_the_runner_and_none_is_left_with_its_context(
    engine: Path, onnx: Any, host: HostCuda
) -> None:
    runner = in_thread(lambda: open_on_host(engine, host))
    here = infer(runner, video(1, 8))
    there = in_thread(lambda: infer(runner, video(1, 8)))
    np.testing.assert_allclose(here, infer(onnx, video(1, 8)), atol=1e-6)
    np.testing.assert_array_equal(here, there)
    in_thread(runner.close)


# --- opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "gpu", "cuda:", "cuda:x"])
def test_a_device_that_is_no_gpu_is_refused(engine: Path, device: str) -> None:
    with pytest.raises(BadInputError, match=f"TensorRT has no device '{device}', expected cuda or cuda:N"):
        open_on_host(engine, HostCuda(), device=device)


def test_an_unknown_variant_is_refused(engine: Path) -> None:
    with pytest.raises(BadInputError, match="unknown variant 'graph' of trt, expected nothing or 'cuda-graph'"):
        open_on_host(engine, HostCuda(), variant="graph")


def test_open_runner_passes_device_precision_and_variant_on(
    engine: Path, host: HostCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "require", lambda backend, device="cpu": None)
    monkeypatch.setattr(tensorrt_, "real_cuda_calls", lambda: host)
    monkeypatch.setattr(tensorrt_, "library_for", lambda path: host_library(host, rtx=".rtx" in path.name))
    runner = open_runner("trt", engine, device="cuda:0", threads=1, precision="fp16", variant="cuda-graph")
    asked = {"device": "cuda:0", "precision": "fp16", "cuda_graph": "captured"}
    assert asked.items() <= runner.requested.items()
    runner.close()


def test_importing_the_runner_loads_no_runtime(repository: Path) -> None:
    names = "('torch', 'pycuda', 'cuda', 'tensorrt', 'tensorrt_rtx', 'tensorrt_rtx_bindings', 'onnx', 'onnxruntime')"
    code = f"import sys, slrbench.runners.tensorrt_; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
