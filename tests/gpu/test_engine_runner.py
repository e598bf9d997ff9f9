"""The trt runner on a GPU: graphs, memory, threads, neighbours in the process, and what fails in words."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from slrbench.errors import BadInputError, RunFailedError
from tests.gpu.on_device import call, noise, opened

if TYPE_CHECKING:
    from slrbench.runners.cuda_calls import CudaCalls

pytestmark = pytest.mark.gpu
Build = Callable[..., dict[str, Any]]
SHAPES = ((1, 16), (2, 30), (1, 16), (4, 7), (2, 30))
MIB = 1 << 20


@contextmanager
def held_context() -> Iterator["CudaCalls"]:
    """The primary context, held so that it stays while runners come and go."""
    from slrbench.runners.cuda_calls import real_cuda_calls

    cuda = real_cuda_calls()
    cuda.retain(0)
    try:
        yield cuda
    finally:
        cuda.release()


def memory_used(cuda: "CudaCalls") -> int:
    from slrbench.runners.cuda_calls import Current

    with Current(cuda):
        free, total = cuda.memory_info()
    return total - free


# --- CUDA graphs ------------------------------------------------------------------------------------------------------


def test_a_network_without_loops_is_captured_and_gives_the_same(build: Build, wide_graph: Path, tmp_path: Path) -> None:
    build(wide_graph, tmp_path / "a.engine", frame_size=(32, 32))
    with (
        opened("trt", tmp_path / "a.engine") as plain,
        opened("trt", tmp_path / "a.engine", variant="cuda-graph") as graph,
    ):
        for batch, frames in SHAPES:
            video = noise(batch, frames, 32, seed=batch)
            np.testing.assert_allclose(call(graph, video), call(plain, video), atol=1e-5, rtol=1e-5)
            assert graph.actual["cuda_graph"] == "captured"
            assert plain.actual["cuda_graph"] == "off"


def test_with_a_loop_the_graph_is_captured_or_refused_with_a_reason(student_engine: Path) -> None:
    with opened("trt", student_engine) as plain, opened("trt", student_engine, variant="cuda-graph") as graph:
        assert graph.requested["cuda_graph"] == "captured"
        for batch, frames in SHAPES:
            video = noise(batch, frames, 32, seed=frames)
            np.testing.assert_allclose(call(graph, video), call(plain, video), atol=1e-5, rtol=1e-5)
        status = graph.actual["cuda_graph"]
    assert status == "captured" or status.startswith("refused, because "), status


# --- what it says of itself -------------------------------------------------------------------------------------------


def test_a_runner_tells_its_gpu_its_device_time_and_its_memory(student_engine: Path) -> None:
    with opened("trt", student_engine) as runner:
        assert runner.device_seconds() is None
        call(runner, noise(2, 64, 32))
        seconds, memory = runner.device_seconds(), runner.device_memory()
        assert runner.actual["device_name"]
        assert runner.actual["library"] == "tensorrt"
        assert runner.actual["precision"] == "fp32"
    assert seconds is not None
    assert 0 < seconds < 10
    assert set(memory) == {"engine", "context", "buffers", "peak"}
    assert memory["peak"] >= memory["buffers"] > 0


# --- memory, threads, neighbours --------------------------------------------------------------------------------------


def test_opening_running_and_closing_many_times_leaves_no_memory_behind(student_engine: Path) -> None:
    video = noise(2, 30, 32)
    with held_context() as cuda:
        used = []
        for _ in range(20):
            with opened("trt", student_engine) as runner:
                call(runner, video)
            used.append(memory_used(cuda))
    # The first calls load what stays. One lost input buffer is 25 MB each time.
    assert used[-1] - used[2] < 32 * MIB, [round(each / MIB) for each in used]


def test_runners_of_two_threads_do_not_disturb_each_other(student_engine: Path) -> None:
    videos = [noise(1 + index, 20 + index, 32, seed=index) for index in range(2)]
    with opened("trt", student_engine) as runner:
        expected = [call(runner, video) for video in videos]

    def work(index: int) -> list[Any]:
        with opened("trt", student_engine) as runner:
            return [call(runner, videos[index]) for _ in range(20)]

    with ThreadPoolExecutor(2) as threads:
        for index, outputs in enumerate(threads.map(work, range(2))):
            for output in outputs:
                np.testing.assert_allclose(output, expected[index], atol=1e-5, rtol=1e-5)


def test_a_runner_may_be_used_and_closed_in_another_thread(student_engine: Path) -> None:
    video = noise(2, 30, 32)
    with opened("trt", student_engine) as runner, ThreadPoolExecutor(1) as other:
        here = call(runner, video)
        there = other.submit(call, runner, video).result()
        np.testing.assert_allclose(there, here, atol=1e-5, rtol=1e-5)
        other.submit(runner.close).result()
        with pytest.raises(RunFailedError, match="closed"):
            runner.stage(video)


def test_torch_onnxruntime_and_tensorrt_share_one_process(student: Path, student_engine: Path) -> None:
    import torch

    video = noise(2, 30, 32)
    kept = torch.arange(1000, device="cuda")  # in the primary context, made before everything else
    with opened("torch", student, device="cpu") as runner:
        expected = call(runner, video)
    with opened("torch", student) as on_torch, opened("onnx", student / "model.onnx") as on_onnx:
        for _ in range(3):
            with opened("trt", student_engine) as on_trt:
                for runner in (on_torch, on_onnx, on_trt, on_onnx, on_torch, on_trt):
                    np.testing.assert_allclose(call(runner, video), expected, atol=1e-4, rtol=1e-4)
        # TensorRT's runner is closed: the context that it used with the others must still be theirs.
        for runner in (on_torch, on_onnx):
            np.testing.assert_allclose(call(runner, video), expected, atol=1e-4, rtol=1e-4)
    assert int(kept.sum()) == 499500


# --- what fails, in words ---------------------------------------------------------------------------------------------


def test_too_little_device_memory_is_said_in_words_and_survived(
    build: Build, recurrent_graph: Path, tmp_path: Path
) -> None:
    import torch

    from exporters.engine_options import Range

    path = tmp_path / "large.engine"
    # At its largest, some 0.2 GB of input and 0.5 GB of activations.
    build(recurrent_graph, path, batch=Range(min=1, opt=1, max=64), frames=Range(min=1, opt=16, max=4096))
    video = noise(1, 16, 8)
    with opened("trt", path) as runner:
        expected = call(runner, video)
    held = []
    try:
        while torch.cuda.mem_get_info()[0] > 192 * MIB:
            free = torch.cuda.mem_get_info()[0]
            held.append(torch.empty(max(32 * MIB, min(free - 160 * MIB, 1024 * MIB)), dtype=torch.uint8, device="cuda"))
        with pytest.raises(RunFailedError, match=r"(?i)memory") as caught, opened("trt", path):
            pass
    finally:
        held.clear()
        torch.cuda.empty_cache()
    assert caught.value.hint
    with opened("trt", path) as runner:
        np.testing.assert_allclose(call(runner, video), expected, atol=1e-5, rtol=1e-5)


RTX_PLAN = """
import sys
from pathlib import Path
from exporters.engine_options import EngineOptions
from exporters.tensorrt_library import find_library
from exporters.to_tensorrt import engine_from_onnx
engine_from_onnx(
    Path(sys.argv[1]), Path(sys.argv[2]), library=find_library("tensorrt-rtx"), precision="fp32", frame_size=(8, 8),
    options=EngineOptions(builder="tensorrt-rtx", compute_capabilities=("8.6",)),
)
"""


def test_a_plan_of_another_library_is_refused(recurrent_graph: Path, repository: Path, tmp_path: Path) -> None:
    if not (find_spec("tensorrt_rtx") or find_spec("tensorrt_rtx_bindings")):
        pytest.skip("tensorrt-rtx is not installed")
    path = tmp_path / "a.engine"  # in a process of its own: both libraries bind the same C++ classes
    done = subprocess.run(
        [sys.executable, "-c", RTX_PLAN, str(recurrent_graph), str(path)],
        cwd=repository, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with pytest.raises(BadInputError, match=r"was built (by|for) another|is damaged") as caught, opened("trt", path):
        pass
    assert "export" in str(caught.value.hint)


@pytest.mark.parametrize("damage", ["cut off", "noise", "another start"])
def test_a_damaged_engine_is_refused(student_engine: Path, tmp_path: Path, damage: str) -> None:
    whole = student_engine.read_bytes()
    contents = {
        "cut off": whole[: len(whole) // 2],
        "noise": np.random.default_rng(0).bytes(len(whole)),
        "another start": bytes(64) + whole[64:],
    }
    path = tmp_path / "a.engine"
    path.write_bytes(contents[damage])
    with pytest.raises(BadInputError, match=r"is damaged|was built by another") as caught, opened("trt", path):
        pass
    assert "export" in str(caught.value.hint)
    with opened("trt", student_engine) as runner:  # and the library goes on
        call(runner, noise(1, 16, 32))


def test_a_shape_outside_of_the_profile_is_refused_and_the_next_one_runs(student_engine: Path) -> None:
    with opened("trt", student_engine) as runner:
        with pytest.raises(BadInputError, match="profile"):
            runner.stage(noise(9, 16, 32))
        call(runner, noise(8, 16, 32))
