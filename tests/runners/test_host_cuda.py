"""The checker of the trt runner's tests: each misuse of CUDA is caught, also where the runner is broken on purpose."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slrbench.errors import RunFailedError, UnavailableError
from slrbench.runners import cuda_calls, cuda_python
from slrbench.runners.availability import cuda_device_count
from slrbench.runners.cuda_calls import CudaError, Current
from slrbench.runners.tensorrt_ import TensorRtRunner
from slrbench.runners.tensorrt_buffers import Buffers
from slrbench.runners.tensorrt_contexts import Contexts, Slot
from slrbench.runners.tensorrt_engine import Engine
from tests.runners.host_cuda import Fault, HostCuda
from tests.runners.trt_session import all_verbs, infer, open_on_host, plan, video

needs_no_gpu = pytest.mark.skipif(cuda_device_count() > 0, reason="says what a machine without a GPU says")


@pytest.fixture
def host() -> HostCuda:
    made = HostCuda()
    made.retain(0)
    made.push()
    return made


@pytest.fixture
def engine(tiny_onnx: Any, tmp_path: Path) -> Path:
    return plan(tmp_path / "model.engine", tiny_onnx["float32"])


def twice(call: Callable[[Any], object], thing: Any) -> None:
    call(thing)
    call(thing)


def freed_device(host: HostCuda) -> int:
    address = host.allocate_device(16)
    host.free_device(address)
    return address


def freed_host(host: HostCuda) -> Any:
    memory = host.allocate_host(16)
    host.free_host(memory)
    return memory


def destroyed_stream(host: HostCuda) -> int:
    stream = host.create_stream()
    host.destroy_stream(stream)
    return stream


def pending_copy(host: HostCuda) -> tuple[int, Any, int]:
    stream, memory, address = host.create_stream(), host.allocate_host(16), host.allocate_device(16)
    host.copy_to_device(address, memory, stream)
    return stream, memory, address


def changed_while_pending(host: HostCuda) -> None:
    stream, memory, _ = pending_copy(host)
    memory[:] = 1
    host.synchronize(stream)


def captured(host: HostCuda) -> int:
    stream = host.create_stream()
    host.begin_capture(stream)
    return stream


MISUSE: list[tuple[str, Callable[[HostCuda], object]]] = [
    ("retained twice", lambda host: host.retain(0)),
    ("push without a retained context", lambda host: HostCuda().push()),
    ("pop in a thread in which the context is not current", lambda host: (host.pop(), host.pop())),
    ("allocate_device in a thread in which", lambda host: (host.pop(), host.allocate_device(1))),
    ("released while the context is current", lambda host: host.release()),
    ("released without a retained context, or twice", lambda host: (host.pop(), host.release(), host.release())),
    ("push without a retained context", lambda host: (host.pop(), host.release(), host.push())),
    ("device memory was freed twice", lambda host: twice(host.free_device, host.allocate_device(8))),
    ("pinned memory was freed twice", lambda host: twice(host.free_host, host.allocate_host(8))),
    ("an event was destroyed twice", lambda host: twice(host.destroy_event, host.create_event())),
    ("a destroyed one, was used", lambda host: twice(host.destroy_stream, host.create_stream())),
    ("the default stream", lambda host: host.synchronize(0)),
    ("device memory was used after it was freed", lambda host: host.read(freed_device(host), 4)),
    ("an address was used that is none", lambda host: host.read(4096, 4)),
    ("17 bytes are more than the 16", lambda host: host.read(host.allocate_device(16), 17)),
    ("17 bytes are more than the 16", lambda host: host.read(host.allocate_device(16) + 4, 17)),
    (
        "after it was freed",
        lambda host: host.copy_to_device(freed_device(host), host.allocate_host(16), host.create_stream()),
    ),
    (
        "that is not pinned, or was freed",
        lambda host: host.copy_to_device(host.allocate_device(16), freed_host(host), host.create_stream()),
    ),
    (
        "that is not pinned, or was freed",
        lambda host: host.copy_to_host(np.zeros(16, np.uint8), host.allocate_device(16), host.create_stream()),
    ),
    (
        "more than the 16",
        lambda host: host.copy_to_device(host.allocate_device(16), host.allocate_host(32), host.create_stream()),
    ),
    (
        "not contiguous",
        lambda host: host.copy_to_host(host.allocate_host(32)[::2], host.allocate_device(16), host.create_stream()),
    ),
    (
        "a destroyed one, was used",
        lambda host: host.copy_to_device(host.allocate_device(16), host.allocate_host(16), destroyed_stream(host)),
    ),
    ("pinned memory changed before its copy was done", changed_while_pending),
    ("device memory was freed while work", lambda host: host.free_device(pending_copy(host)[2])),
    ("pinned memory was freed while work", lambda host: host.free_host(pending_copy(host)[1])),
    ("destroyed before its work was done", lambda host: host.destroy_stream(pending_copy(host)[0])),
    ("that the stream has not reached", lambda host: host.elapsed_s(host.create_event(), host.create_event())),
    ("synchronize during a capture", lambda host: host.synchronize(captured(host))),
    ("a capture began within a capture", lambda host: host.begin_capture(captured(host))),
    ("a capture ended that had not begun", lambda host: host.end_capture(host.create_stream())),
    ("a graph was destroyed twice", lambda host: twice(host.destroy_graph, host.end_capture(captured(host)))),
    ("a destroyed graph was instantiated", lambda host: host.instantiate(1)),
    ("a destroyed graph was launched", lambda host: host.launch(1, host.create_stream())),
]


@pytest.mark.parametrize(("words", "misuse"), MISUSE)
def test_misuse_is_a_fault(host: HostCuda, words: str, misuse: Callable[[HostCuda], object]) -> None:
    with pytest.raises(Fault, match=words):
        misuse(host)


def test_what_was_not_released_is_a_leak(host: HostCuda) -> None:
    host.allocate_device(8)
    host.allocate_host(8)
    host.create_event()
    host.instantiate(host.end_capture(captured(host)))
    engine = Slot()
    host.track(engine, "engine")
    host.pop()
    host.release()
    assert host.leaks == ["device memory", "pinned memory", "stream", "event", "graph", "executable", "engine"]


def test_memory_that_is_read_before_it_is_there_is_nan(host: HostCuda) -> None:
    stream, source, address = host.create_stream(), host.allocate_host(16), host.allocate_device(16)
    source.view(np.float32)[:] = 1.0
    target = host.allocate_host(16)
    host.copy_to_device(address, source, stream)
    host.copy_to_host(target, address, stream)
    assert np.isnan(target.view(np.float32)).all()
    host.synchronize(stream)
    assert (target.view(np.float32) == 1.0).all()


# --- the runner, broken on purpose ------------------------------------------------------------------------------------


@pytest.fixture
def fresh() -> Iterator[HostCuda]:
    """Of which faults or leaks are expected."""
    made = HostCuda()
    yield made
    assert made.faults or made.leaks


def test_a_buffer_that_is_too_small_is_caught(engine: Path, fresh: HostCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    allocate = Buffers.allocate
    monkeypatch.setattr(Buffers, "allocate", lambda self, inputs, outputs: allocate(self, inputs, outputs - 4))
    runner = open_on_host(engine, fresh)
    runner._buffers.output_bytes += 4
    pending = runner.run(runner.stage(video(4, 24)))
    with pytest.raises(Fault, match="bytes are more than"):
        runner.fetch(pending)


def test_a_verb_that_does_not_push_is_caught(engine: Path, fresh: HostCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = open_on_host(engine, fresh)
    monkeypatch.setattr(Current, "__enter__", lambda self: None)
    with pytest.raises(Fault, match="in a thread in which the context is not current"):
        runner.synchronize()


def test_staging_over_a_copy_under_way_is_caught(engine: Path, fresh: HostCuda) -> None:
    runner = open_on_host(engine, fresh)
    runner.stage(video(1, 8))
    runner._busy = False  # as if it had waited
    runner.stage(video(1, 8, seed=1))
    with pytest.raises(Fault, match="pinned memory changed"):
        runner.synchronize()


def test_fetching_without_waiting_gives_nan(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = HostCuda()
    runner = open_on_host(engine, host)
    pending = runner.run(runner.stage(video(1, 8)))
    monkeypatch.setattr(host, "synchronize", lambda stream: None)
    assert np.isnan(runner.fetch(pending)).all()


def test_freeing_under_the_gpu_is_caught(engine: Path, fresh: HostCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TensorRtRunner, "_finish", lambda self: None)
    runner = open_on_host(engine, fresh)
    runner.run(runner.stage(video(1, 8)))
    with pytest.raises(Fault, match="while work that may use it is pending"):
        runner.close()


@pytest.mark.parametrize(
    ("owner", "method", "leak"),
    [
        (Engine, "close", "engine"),
        (Contexts, "close", "context"),
        (Buffers, "free", "device memory"),
        (TensorRtRunner, "_destroy_stream", "stream"),
    ],
)
def test_a_release_that_is_left_out_is_caught(
    engine: Path, fresh: HostCuda, monkeypatch: pytest.MonkeyPatch, owner: Any, method: str, leak: str
) -> None:
    monkeypatch.setattr(owner, method, lambda self: None)
    runner = open_on_host(engine, fresh)
    all_verbs(runner, [(1, 5)])
    runner.close()
    assert leak in fresh.leaks


def test_an_engine_that_outlives_the_context_is_caught(engine: Path, fresh: HostCuda) -> None:
    runner = open_on_host(engine, fresh)
    held = runner._engine.engine  # what a local variable in a traceback would do
    runner.close()
    assert "engine" in fresh.leaks
    del held


def test_a_graph_of_a_context_whose_shape_changed_is_caught(engine: Path, fresh: HostCuda) -> None:
    runner = open_on_host(engine, fresh, variant="cuda-graph")
    infer(runner, video(1, 8))
    slot = runner._contexts._slots[0]
    with runner._current:
        runner._contexts._set_shape(slot, (2, 3, 8, 8, 8))
    slot.shape = (1, 3, 8, 8, 8)  # as if it had not
    with pytest.raises(Fault, match="after its context had changed"):
        infer(runner, video(1, 8))


def test_a_capture_without_a_call_before_it_is_caught(
    engine: Path, fresh: HostCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Slot] = []
    execute = Contexts._execute

    def skip_the_first(self: Contexts, slot: Slot) -> None:
        calls.append(slot)
        if len(calls) > 1:
            execute(self, slot)

    monkeypatch.setattr(Contexts, "_execute", skip_the_first)
    runner = open_on_host(engine, fresh, variant="cuda-graph")
    staged = runner.stage(video(1, 8))
    with pytest.raises(Fault, match="captured before the first call"):
        runner.run(staged)
    assert runner._stream is not None
    assert not fresh.is_capturing(runner._stream)  # and the stream came out of its capture


# --- the real packages, without a GPU ---------------------------------------------------------------------------------


def test_errors_of_cuda_have_a_hint_for_the_usual_reasons() -> None:
    assert CudaError("allocating", "out of memory").message == "allocating failed: out of memory"
    assert "smaller batch" in str(CudaError("allocating", "out of memory").hint)
    assert "start it again" in str(CudaError("waiting", "an illegal memory access was encountered").hint)
    assert CudaError("waiting", "who knows").hint is None
    assert issubclass(CudaError, RunFailedError)


@needs_no_gpu
def test_cuda_python_without_a_driver_fails_in_words() -> None:
    with pytest.raises(CudaError, match=r"beginning a CUDA graph failed: CUDA driver version is insufficient .*\(cuda"):
        cuda_python.begin_capture(0)
    with pytest.raises(CudaError, match="capturing a CUDA graph failed"):
        cuda_python.end_capture(0)


@needs_no_gpu
def test_without_pycuda_or_a_driver_the_calls_are_unavailable() -> None:
    with pytest.raises(UnavailableError, match=r"pycuda|CUDA") as caught:
        cuda_calls.real_cuda_calls().retain(0)
    assert caught.value.hint
