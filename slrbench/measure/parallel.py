"""Offline throughput with several requests in flight. Knows no runtime and no process.

Each request has a thread of Python and a handle of its own, and goes through whole calls, host to host, as fast as they
come: that is the boundary of the throughput pass. All requests together compute on as many threads as the candidate
has, so what is compared is how the same cores are used: one clip on all of them, or several clips side by side. Hence
there are never more requests than threads. How the threads are dealt out is the runtime's business, and its runner's
(``parallel``): OpenVINO has a stream for each request, ONNX Runtime one session whose pool shrinks by the callers that
join it, torch a team of threads in each calling thread.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from slrbench.errors import SlrbenchError
from slrbench.measure.clock import Clock, seconds
from slrbench.measure.sampling import no_garbage_collection, timed_call
from slrbench.runners.protocol import ParallelRunner, Runner

SETTLING_CALLS = 2
"""Untimed calls of each handle, in its own thread: the first allocates."""


@dataclass(frozen=True, kw_only=True)
class ParallelPass:
    """One pass, as ``slrbench.records.ParallelRun`` has it."""

    requests: int
    calls: int
    seconds: float


def request_counts(threads: int) -> tuple[int, ...]:
    """How many requests in flight are tried: one, two, and one for each thread; never more than threads."""
    return tuple(sorted({1, min(2, threads), threads}))


def parallel_passes(
    runner: Runner, inputs: Sequence[NDArray[Any]], clock: Clock, *, threads: int, time_s: float
) -> tuple[list[ParallelPass], str]:
    """A pass for each number of requests, and in words why some are missing; empty where none are."""
    passes = [one_pass([runner], inputs, clock, time_s=time_s)]
    why = ""
    for requests in request_counts(threads)[1:]:
        if not isinstance(runner, ParallelRunner):
            return passes, f"{runner.backend} offers one request at a time here"
        try:
            handles = runner.parallel(requests)
        except SlrbenchError as error:
            return passes, error.message
        try:
            passes.append(one_pass(handles, inputs, clock, time_s=time_s))
        except SlrbenchError as error:
            why = f"{requests} requests: {error.message}"
        finally:
            for handle in handles:
                handle.close()
    return passes, why


def one_pass(handles: Sequence[Runner], inputs: Sequence[NDArray[Any]], clock: Clock, *, time_s: float) -> ParallelPass:
    """Calls on all handles at once for ``time_s``, then to the end of those in flight.

    Raises:
        SlrbenchError: a call failed; the first error of any thread, when all threads have ended.
    """
    crew = [_Request(handle, index, len(handles), inputs, clock, time_s) for index, handle in enumerate(handles)]
    ready = threading.Barrier(len(crew))
    with no_garbage_collection():
        threads = [threading.Thread(target=request.serve, args=(ready,), daemon=True) for request in crew]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    errors = [request.error for request in crew if request.error is not None]
    if errors:  # where one thread fails before the barrier, the others' errors say only that it broke
        raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
    first, last = min(request.begun_ns for request in crew), max(request.ended_ns for request in crew)
    return ParallelPass(requests=len(crew), calls=sum(request.calls for request in crew), seconds=seconds(last - first))


class _Request:
    """One request after another on one handle, in a thread of its own."""

    def __init__(
        self, handle: Runner, index: int, stride: int, inputs: Sequence[NDArray[Any]], clock: Clock, time_s: float
    ) -> None:
        self._handle, self._index, self._stride = handle, index, stride
        self._inputs, self._clock, self._time_s = inputs, clock, time_s
        self.calls = 0
        self.begun_ns = self.ended_ns = 0
        self.error: Exception | None = None

    def serve(self, ready: threading.Barrier) -> None:
        try:
            for _ in range(SETTLING_CALLS):
                timed_call(self._handle, self._clip(), self._clock)
            ready.wait()
            self.begun_ns = self.ended_ns = self._clock()
            while seconds(self.ended_ns - self.begun_ns) < self._time_s or self.calls == 0:
                handle = self._handle
                pending = handle.run(handle.stage(self._clip()))
                handle.synchronize()
                handle.fetch(pending)
                self.calls += 1
                self.ended_ns = self._clock()
        except Exception as error:  # it is raised where the threads are waited for
            ready.abort()
            self.error = error

    def _clip(self) -> NDArray[Any]:
        """The requests share the rotation: each takes every ``stride``-th clip."""
        return self._inputs[(self._index + self.calls * self._stride) % len(self._inputs)]
