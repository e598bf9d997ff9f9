"""Several requests in flight on one artifact: each runner's handles, and the pass over them."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from slrbench.data.batching import normalise
from slrbench.errors import RunFailedError, UnavailableError
from slrbench.measure.clock import perf_counter_ns
from slrbench.measure.parallel import one_pass, parallel_passes, request_counts
from slrbench.runners.open import open_runner
from slrbench.runners.protocol import ParallelRunner, Runner

BACKENDS = ("torch", "torchscript", "onnx", "openvino")
Noise = Callable[[int, int], NDArray[np.uint8]]


def infer(runner: Runner, video: NDArray[Any]) -> NDArray[np.float32]:
    pending = runner.run(runner.stage(video))
    runner.synchronize()
    return runner.fetch(pending)


@pytest.mark.parametrize("backend", BACKENDS)
def test_requests_side_by_side_give_what_one_gives(files: Any, noise: Noise, backend: str) -> None:
    runner = open_runner(backend, files.path(backend), threads=2)
    assert isinstance(runner, ParallelRunner)
    clips = [normalise(noise(1, frames)) for frames in (8, 5)]
    expected = [infer(runner, clip) for clip in clips]
    handles = runner.parallel(2)
    found: dict[int, list[NDArray[np.float32]]] = {0: [], 1: []}
    together = threading.Barrier(2)

    def serve(index: int) -> None:
        together.wait(10)
        for _ in range(5):
            found[index].append(infer(handles[index], clips[index]))

    threads = [threading.Thread(target=serve, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in (0, 1):
        assert len(found[index]) == 5
        for output in found[index]:
            np.testing.assert_allclose(output, expected[index], atol=1e-4)
    for handle in handles:
        handle.close()
    with pytest.raises(RunFailedError, match="closed"):
        infer(handles[0], clips[0])
    np.testing.assert_allclose(infer(runner, clips[0]), expected[0], atol=1e-5)  # the runner stays as it was
    runner.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pass_for_each_number_of_requests(files: Any, noise: Noise, backend: str) -> None:
    runner = open_runner(backend, files.path(backend), threads=2)
    clips = [normalise(noise(1, 4)) for _ in range(3)]
    passes, why = parallel_passes(runner, clips, perf_counter_ns, threads=2, time_s=0.01)
    assert why == ""
    assert [one.requests for one in passes] == [1, 2]
    assert all(one.calls >= one.requests and one.seconds > 0 for one in passes)
    assert torch.get_num_threads() == 2 or backend not in ("torch", "torchscript")
    runner.close()


def test_torch_gives_each_request_its_share_of_the_threads(files: Any, noise: Noise) -> None:
    runner = open_runner("torch", files.path("torch"), threads=4)
    assert isinstance(runner, ParallelRunner)
    handles = runner.parallel(2)
    used: list[int] = []

    def serve(handle: Runner) -> None:
        infer(handle, normalise(noise(1, 4)))
        used.append(torch.get_num_threads())

    for handle in handles:
        thread = threading.Thread(target=serve, args=(handle,))
        thread.start()
        thread.join()
    for handle in handles:
        handle.close()
    assert used == [2, 2]
    assert torch.get_num_threads() == 4
    torch.set_num_threads(1)


def test_a_compiled_network_offers_one_request_at_a_time(files: Any) -> None:
    runner = open_runner("torch", files.path("torch"), threads=2, variant="compile")
    assert isinstance(runner, ParallelRunner)
    with pytest.raises(UnavailableError, match="one request at a time compiled"):
        runner.parallel(2)
    runner.close()


@pytest.mark.parametrize(("threads", "expected"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (16, (1, 2, 16))])
def test_there_are_never_more_requests_than_threads(threads: int, expected: tuple[int, ...]) -> None:
    assert request_counts(threads) == expected


def test_a_runner_that_offers_one_request_says_so_in_words(files: Any, noise: Noise) -> None:
    inner = open_runner("onnx", files.path("onnx"), threads=2)

    class Single:
        backend = "single"
        stage, run, fetch, synchronize = inner.stage, inner.run, inner.fetch, inner.synchronize

    clips = [normalise(noise(1, 4))]
    passes, why = parallel_passes(Single(), clips, perf_counter_ns, threads=2, time_s=0.0)  # type: ignore[arg-type]
    assert [one.requests for one in passes] == [1]
    assert why == "single offers one request at a time here"


def test_an_error_in_one_thread_is_raised_when_all_have_ended(files: Any, noise: Noise) -> None:
    good, bad = (open_runner("onnx", files.path("onnx"), threads=1) for _ in range(2))
    bad.close()
    with pytest.raises(RunFailedError, match="closed"):
        one_pass([good, bad], [normalise(noise(1, 4))], perf_counter_ns, time_s=0.0)
    assert threading.active_count() == 1 or not any("serve" in t.name for t in threading.enumerate())
