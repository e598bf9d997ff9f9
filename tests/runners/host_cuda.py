"""CUDA in host memory, which watches every address, size, lifetime, thread and the order of work on a stream.

It proves the bookkeeping of what runs on it, not the GPU: that no address is used outside of its allocation or after it
was freed, that nothing is read before it is there, that everything is released once and in order. What a kernel
computes, what a driver answers and how long anything takes, it does not know.

Work on a stream is done only when somebody waits for it, and memory is poisoned with 0xFF bytes (NaN, as float32)
before it is valid: whoever reads too early reads NaN. Misuse raises :class:`Fault` and stands in ``faults``, also where
the caller swallowed the exception.
"""

import threading
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from slrbench.runners.cuda_calls import CudaError
from tests.runners.host_memory import POISON, HostMemory

Work = Callable[[], None]


class Fault(AssertionError):  # noqa: N818 - it is the test that fails
    """CUDA was used in a way that would crash, corrupt or leak on a GPU."""


@dataclass
class Stream:
    """Work that was enqueued and not done, or is being captured."""

    pending: list[Work] = field(default_factory=list)
    captured: list[Work] | None = None


class HostCuda:
    """:class:`slrbench.runners.cuda_calls.CudaCalls` in host memory."""

    def __init__(self, *, fail_at: int | None = None, fail_on: str = "", total_bytes: int = 1 << 32) -> None:
        """``fail_at``: the number of the step that fails; ``fail_on``: the name of steps that all do."""
        self.calls: list[str] = []
        self.faults: list[str] = []
        self.leaks: list[str] = []
        self._library_bytes = 0  # what an engine and its contexts hold
        self.fail_at, self.fail_on = fail_at, fail_on
        self.failed: str | None = None
        self._total_bytes = total_bytes
        self._retained = self._released = False
        self._pushed: Counter[int] = Counter()  # by thread
        self._memory = HostMemory(self.fault)
        self._streams: dict[int, Stream] = {}
        self._events: dict[int, float | None] = {}
        self._graphs: dict[int, list[Work]] = {}
        self._executables: dict[int, list[Work]] = {}
        self._tracked: dict[int, str] = {}
        self._clock = 0.0

    # --- for engines and tests ----------------------------------------------------------------------------------------

    def fault(self, what: str) -> NoReturn:
        self.faults.append(what)
        raise Fault(what)

    def step(self, name: str) -> bool:
        """Count a step; whether it is the one that is to fail."""
        self.calls.append(name)
        fails = len(self.calls) - 1 == self.fail_at or name == self.fail_on
        if fails and self.failed is None:
            self.failed = name
        return fails

    def require_current(self, name: str) -> None:
        if not self._retained or self._released:
            self.fault(f"{name} without a retained context")
        if not self._pushed[threading.get_ident()]:
            self.fault(f"{name} in a thread in which the context is not current")

    def track(self, thing: object, kind: str, nbytes: int = 0) -> None:
        """Something of the engine's library, with device memory of its own; it must be gone before the context is."""
        key = self._memory.number()
        self._tracked[key] = kind
        self._library_bytes += nbytes

        def gone() -> None:
            self.calls.append(f"~{kind}")
            self._library_bytes -= nbytes
            if self._tracked.pop(key) and not self._pushed[threading.get_ident()]:
                self.faults.append(f"{kind} went when the context was not current")

        weakref.finalize(thing, gone)

    def enqueue(self, stream: int, work: Work) -> None:
        found = self._stream(stream)
        (found.pending if found.captured is None else found.captured).append(work)

    def is_capturing(self, stream: int) -> bool:
        return self._stream(stream).captured is not None

    def read(self, address: int, nbytes: int) -> NDArray[np.uint8]:
        return self._memory.at(address, nbytes)

    def write(self, address: int, data: NDArray[np.uint8]) -> None:
        self._memory.at(address, data.nbytes)[:] = data

    def device_sizes(self) -> list[int]:
        return sorted(memory.nbytes for memory in self._memory.device.values())

    # --- context ------------------------------------------------------------------------------------------------------

    def retain(self, device: int) -> None:
        if self._retained:
            self.fault("retained twice")
        self._fail_if_due("retain")
        self._retained = True

    def release(self) -> None:
        fails = self.step("release")
        if not self._retained or self._released:
            self.fault("released without a retained context, or twice")
        if +self._pushed:
            self.fault("released while the context is current in a thread")
        alive = {
            "device memory": self._memory.device, "pinned memory": self._memory.pinned, "stream": self._streams,
            "event": self._events, "graph": self._graphs, "executable": self._executables,
        }  # fmt: skip
        self.leaks += [kind for kind, things in alive.items() for _ in things]
        self.leaks += list(self._tracked.values())
        self._released = True
        if fails:
            raise CudaError("release", "out of memory")

    def push(self) -> None:
        if not self._retained or self._released:
            self.fault("push without a retained context")
        self._fail_if_due("push")
        self._pushed[threading.get_ident()] += 1

    def pop(self) -> None:
        self.require_current("pop")
        self._pushed[threading.get_ident()] -= 1
        self._fail_if_due("pop")

    def device_name(self) -> str:
        self._begin("device_name")
        return "host memory"

    def compute_capability(self) -> str:
        self._begin("compute_capability")
        return "0.0"

    def memory_info(self) -> tuple[int, int]:
        self._begin("memory_info")
        used = self._library_bytes + sum(memory.nbytes for memory in self._memory.device.values())
        return self._total_bytes - used, self._total_bytes

    # --- streams and events -------------------------------------------------------------------------------------------

    def create_stream(self) -> int:
        self._begin("create_stream")
        handle = self._memory.number()
        self._streams[handle] = Stream()
        return handle

    def destroy_stream(self, stream: int) -> None:
        fails = self._begin_last("destroy_stream")
        if self._stream(stream).pending:
            self.fault("a stream was destroyed before its work was done")
        del self._streams[stream]
        self._raise_if(fails, "destroy_stream")

    def synchronize(self, stream: int) -> None:
        self._begin("synchronize")
        found = self._stream(stream)
        if found.captured is not None:
            self.fault("synchronize during a capture")
        while found.pending:
            found.pending.pop(0)()

    def create_event(self) -> int:
        self._begin("create_event")
        number = self._memory.number()
        self._events[number] = None
        return number

    def destroy_event(self, event: int) -> None:
        fails = self._begin_last("destroy_event")
        if self._events.pop(event, "none") == "none":
            self.fault("an event was destroyed twice, or never was")
        self._raise_if(fails, "destroy_event")

    def record(self, event: int, stream: int) -> None:
        self._begin("record")
        if event not in self._events:
            self.fault("a destroyed event was recorded")
        self._events[event] = None

        def reach() -> None:
            self._clock += 1e-3
            self._events[event] = self._clock

        self.enqueue(stream, reach)

    def elapsed_s(self, start: int, end: int) -> float:
        self._begin("elapsed_s")
        times = self._events.get(start), self._events.get(end)
        if times[0] is None or times[1] is None:
            self.fault("the time of an event was read that the stream has not reached")
        return times[1] - times[0]

    # --- memory -------------------------------------------------------------------------------------------------------

    def allocate_host(self, size: int) -> NDArray[np.uint8]:
        self._begin("allocate_host")
        return self._memory.allocate_pinned(size)

    def free_host(self, memory: NDArray[np.uint8]) -> None:
        fails = self._begin_last("free_host")
        self._require_idle("pinned memory was freed")
        self._memory.free_pinned(memory)
        self._raise_if(fails, "free_host")

    def allocate_device(self, size: int) -> int:
        self._begin("allocate_device")
        return self._memory.allocate(size)

    def free_device(self, address: int) -> None:
        fails = self._begin_last("free_device")
        self._require_idle("device memory was freed")
        self._memory.free(address)
        self._raise_if(fails, "free_device")

    def copy_to_device(self, address: int, memory: NDArray[np.uint8], stream: int) -> None:
        self._begin("copy_to_device")
        self._memory.require_pinned(memory)
        self._memory.at(address, memory.nbytes)
        before = memory.copy()

        def copy() -> None:
            if not np.array_equal(memory, before):
                self.fault("pinned memory changed before its copy was done")
            self.write(address, memory)

        self.enqueue(stream, copy)

    def copy_to_host(self, memory: NDArray[np.uint8], address: int, stream: int) -> None:
        self._begin("copy_to_host")
        self._memory.require_pinned(memory)
        self._memory.at(address, memory.nbytes)
        memory[:] = POISON  # until the copy is done

        def copy() -> None:
            memory[:] = self.read(address, memory.nbytes)

        self.enqueue(stream, copy)

    # --- graphs -------------------------------------------------------------------------------------------------------

    def begin_capture(self, stream: int) -> None:
        self._begin("begin_capture")
        found = self._stream(stream)
        if found.captured is not None:
            self.fault("a capture began within a capture")
        found.captured = []

    def end_capture(self, stream: int) -> int:
        fails = self._begin_last("end_capture")
        found = self._stream(stream)
        work, found.captured = found.captured, None
        if work is None:
            self.fault("a capture ended that had not begun")
        self._raise_if(fails, "end_capture")
        return self._keep(self._graphs, work)

    def instantiate(self, graph: int) -> int:
        self._begin("instantiate")
        if graph not in self._graphs:
            self.fault("a destroyed graph was instantiated")
        return self._keep(self._executables, self._graphs[graph])

    def destroy_graph(self, graph: int) -> None:
        fails = self._begin_last("destroy_graph")
        if self._graphs.pop(graph, None) is None:
            self.fault("a graph was destroyed twice, or never was")
        self._raise_if(fails, "destroy_graph")

    def launch(self, executable: int, stream: int) -> None:
        self._begin("launch")
        if executable not in self._executables:
            self.fault("a destroyed graph was launched")
        for work in self._executables[executable]:
            self.enqueue(stream, work)

    def destroy_executable(self, executable: int) -> None:
        fails = self._begin_last("destroy_executable")
        self._require_idle("a graph was destroyed")
        if self._executables.pop(executable, None) is None:
            self.fault("a graph was destroyed twice, or never was")
        self._raise_if(fails, "destroy_executable")

    # --- within -------------------------------------------------------------------------------------------------------

    def _begin(self, name: str) -> None:
        self.require_current(name)
        self._fail_if_due(name)

    def _begin_last(self, name: str) -> bool:
        """As ``_begin``, of a call after which the thing is gone whatever the call answers."""
        self.require_current(name)
        return self.step(name)

    def _fail_if_due(self, name: str) -> None:
        self._raise_if(self.step(name), name)

    def _raise_if(self, fails: bool, name: str) -> None:
        if fails:
            raise CudaError(name, "out of memory")

    def _keep(self, things: dict[int, list[Work]], work: list[Work]) -> int:
        number = self._memory.number()
        things[number] = work
        return number

    def _stream(self, stream: int) -> Stream:
        if stream not in self._streams:
            self.fault("the default stream, or a destroyed one, was used")
        return self._streams[stream]

    def _require_idle(self, what: str) -> None:
        if any(stream.pending for stream in self._streams.values()):
            self.fault(f"{what} while work that may use it is pending")


def check(host: Any) -> None:
    """No fault, and nothing leaked."""
    assert host.faults == []
    assert host.leaks == []
