"""The trt runner: an ``.engine`` file on TensorRT, or an ``.rtx.engine`` file on TensorRT-RTX. Imports no torch.

Shapes: B clips, T frames, T' output steps, C classes. The runner may be used from any thread, by one at a time: CUDA
contexts are current per thread, so every verb makes the GPU's context current and leaves the thread as it was.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exporters.tensorrt_library import Library
from slrbench.errors import BadInputError, RunFailedError
from slrbench.runners.closing import close_at_exit, free_all, without_raising
from slrbench.runners.cuda_calls import CudaCalls, Current, real_cuda_calls
from slrbench.runners.inputs import check_artifact_file, check_input_kind, check_video
from slrbench.runners.tensorrt_buffers import Buffers
from slrbench.runners.tensorrt_contexts import Contexts
from slrbench.runners.tensorrt_engine import Engine, Shape, library_for

VARIANTS = ("", "cuda-graph")
"""Plain launches, or a CUDA graph captured for each shape."""

_OUTPUT_BYTES = np.dtype(np.float32).itemsize


class Staged(NamedTuple):
    """A video in the runner's one input buffer; ``number`` tells it from those before and after it."""

    number: int
    shape: Shape


class Pending(NamedTuple):
    """An output in the runner's one output buffer."""

    number: int
    shape: Shape


class TensorRtRunner:
    """One engine, profile 0, on one non-blocking stream of the device's primary context."""

    backend = "trt"

    def __init__(
        self,
        path: Path,
        *,
        device: str = "cuda",
        threads: int,
        input_kind: str,
        precision: str = "fp32",
        variant: str = "",
        expected_sha256: str | None = None,
        cuda: CudaCalls | None = None,
        engine_api: Library | None = None,
    ) -> None:
        """Load the engine and allocate memory for its profile's largest shape.

        Args:
            path: the engine; its name tells which of the two libraries it is for.
            device: ``cuda`` or ``cuda:N``.
            threads: of no effect: the host only enqueues.
            input_kind: ``float32`` or ``uint8``, as the engine was exported.
            precision: what the engine was exported in.
            variant: one of ``VARIANTS``.
            expected_sha256: the file's hash as its manifest has it.
            cuda: makes the CUDA calls; pycuda does unless stated.
            engine_api: the library; by the file's name unless stated.

        Raises:
            BadInputError: an argument is not a known word; or the file is missing, damaged, not of ``expected_sha256``,
                for another library, version or GPU, or takes another input.
            UnavailableError: no GPU, no driver or one that is too old, or a package is missing.
            RunFailedError: there is not enough memory, or a CUDA call failed.
        """
        check_input_kind(input_kind)
        ordinal = _ordinal(device)
        if variant not in VARIANTS:
            raise BadInputError(f"unknown variant {variant!r} of trt, expected nothing or {VARIANTS[1]!r}")
        check_artifact_file(path, ".engine", expected_sha256=expected_sha256)
        graphs = variant == "cuda-graph"
        self._input_kind = input_kind
        self._engine = Engine(library_for(path) if engine_api is None else engine_api)
        self._cuda: CudaCalls = real_cuda_calls() if cuda is None else cuda
        self._current = Current(self._cuda)
        self._contexts = Contexts(self._engine, self._cuda, graphs=graphs)
        self._buffers = Buffers(self._cuda)
        self._events: list[int] = []
        self._stream: int | None = None
        self._number = 0
        self._staged: Staged | None = None
        self._pending: Pending | None = None
        self._busy = False  # something was enqueued and not waited for
        self._timed = False  # both events of a run are on the stream
        self._memory: dict[str, int] = {}
        self._used_before = 0
        self._closed = False
        self._not_at_exit: Callable[[], None] = lambda: None
        self.requested: dict[str, Any] = {
            "device": device, "threads": threads, "precision": precision, "input_kind": input_kind,
            "cuda_graph": "captured" if graphs else "off",
        }  # fmt: skip
        self.actual: dict[str, Any] = {}
        self._cuda.retain(ordinal)
        try:
            with self._current:
                self._load(path, device, precision)
        except BaseException:
            without_raising(self.close)
            raise
        self._not_at_exit = close_at_exit(self)

    def __del__(self) -> None:
        """Close a runner that was forgotten: its parts need the CUDA context to be current when they go."""
        without_raising(self.close)

    def stage(self, video: NDArray[Any]) -> Staged:
        """Copy the video to page-locked memory and enqueue its copy to the device. It replaces the video before it.

        Raises:
            BadInputError: dtype or shape is not the engine's, or the shape is outside of the profile.
            RunFailedError: the runner is closed, or a CUDA call failed.
        """
        video = check_video(video, self._input_kind)
        stream = self._open_stream()
        self._engine.check_shape(video.shape)
        with self._current:
            if self._busy:  # an earlier copy may still be reading the page-locked memory
                self._cuda.synchronize(stream)
            self._staged = None
            self._busy = True
            self._buffers.upload(video, stream)
        self._number += 1
        self._staged = Staged(self._number, video.shape)
        return self._staged

    def run(self, staged: Staged) -> Pending:
        """Enqueue one inference between two events; with a graph, the first call of a shape captures it.

        Raises:
            RunFailedError: the runner is closed, the video was replaced by a later one, the engine refused, or a CUDA
                call failed.
        """
        stream = self._open_stream()
        if staged is not self._staged:
            raise RunFailedError("the staged video was replaced by a later one", hint="stage it again")
        self._pending, self._timed = None, False
        with self._current:
            slot = self._contexts.prepare(staged.shape)
            self.actual["cuda_graph"] = self._contexts.graph_status
            nbytes = _OUTPUT_BYTES * int(np.prod(slot.output_shape))
            if nbytes > self._buffers.output_bytes:
                raise RunFailedError(
                    f"the output {slot.output_shape} of the input {staged.shape} is larger than the one of the "
                    f"profile's largest input, for which there are {self._buffers.output_bytes} bytes"
                )
            self._busy = True
            self._cuda.record(self._events[0], stream)
            self._contexts.enqueue(slot)
            self._cuda.record(self._events[1], stream)
        self._timed = True
        self._number += 1
        self._pending = Pending(self._number, slot.output_shape)
        return self._pending

    def synchronize(self) -> None:
        """Wait for the stream.

        Raises:
            RunFailedError: the runner is closed, or what was enqueued failed on the GPU.
        """
        stream = self._open_stream()
        with self._current:
            self._cuda.synchronize(stream)
        self._busy = False

    def fetch(self, pending: Pending) -> NDArray[np.float32]:
        """The log-probabilities ``(T', B, C)``, in memory of their own.

        Raises:
            RunFailedError: the runner is closed, a later run has replaced the output, or a CUDA call failed.
        """
        stream = self._open_stream()
        if pending is not self._pending:
            raise RunFailedError("the output was replaced by a later run's", hint="fetch it before the next run")
        nbytes = _OUTPUT_BYTES * int(np.prod(pending.shape))
        with self._current:
            host = self._buffers.enqueue_download(nbytes, stream)
            self._busy = True
            self._cuda.synchronize(stream)
        self._busy = False
        result: NDArray[np.float32] = host.view(np.float32).reshape(pending.shape).copy()
        return result

    def device_seconds(self) -> float | None:
        """Device time of the last run, from its two events; None before the first.

        Raises:
            RunFailedError: the runner is closed, the run was not waited for, or a CUDA call failed.
        """
        self._open_stream()
        if not self._timed:
            return None
        if self._busy:
            raise RunFailedError("the device time is not known before the run is done", hint="synchronize comes first")
        with self._current:
            return self._cuda.elapsed_s(*self._events)

    def device_memory(self) -> dict[str, int]:
        """Device memory that came into use, bytes, by what was loaded meanwhile; all but ``buffers`` include strangers.

        ``engine``: weights and code; ``context``: activations for the profile's largest shape; ``buffers``: input and
        output; ``peak``: the most seen so far, each call of this method being a look.
        """
        if self._closed:
            return dict(self._memory)
        with self._current:
            self._look_at_memory()
        return dict(self._memory)

    def report_layers_to(self, profiler: Any) -> None:
        """Let TensorRT tell ``profiler`` (an ``IProfiler``) the time of every layer of every call; no CUDA graphs.

        Raises:
            RunFailedError: the runner is closed.
        """
        self._open_stream()
        with self._current:
            self._contexts.report_layers_to(profiler)

    def close(self) -> None:
        """Release everything: graphs, contexts, engine, runtime, buffers, events, stream, and last the CUDA context.

        Raises:
            RunFailedError: a CUDA call failed; everything else is released all the same.
        """
        if self._closed:
            return
        self._closed = True
        self._not_at_exit()
        self._staged = self._pending = None
        free_all([self._cuda.release, self._close_on_device])

    def _close_on_device(self) -> None:
        """Everything that needs the context to be current."""
        with self._current:
            undo = [self._destroy_stream]
            undo += [lambda event=event: self._cuda.destroy_event(event) for event in self._events]  # type: ignore[misc]
            undo += [self._buffers.free, self._engine.close, self._contexts.close, self._finish]
            free_all(undo)

    def _load(self, path: Path, device: str, precision: str) -> None:
        self._used_before = self._memory_used()
        self._stream = self._cuda.create_stream()
        self._events.append(self._cuda.create_event())
        self._events.append(self._cuda.create_event())
        self._engine.load(path, self._input_kind)
        self._note_memory("engine")
        self._contexts.open(self._stream)
        self._note_memory("context")
        itemsize = np.dtype(self._input_kind).itemsize
        input_bytes = itemsize * int(np.prod(self._engine.largest))
        output_bytes = _OUTPUT_BYTES * int(np.prod(self._contexts.largest_output()))
        self._buffers.allocate(input_bytes, output_bytes)
        self._contexts.bind(self._buffers)
        self._memory["buffers"] = input_bytes + output_bytes
        self._look_at_memory()
        facts = self._engine.facts()
        self.actual |= {
            "device": device,
            "device_name": self._cuda.device_name(),
            "compute_capability": self._cuda.compute_capability(),
            "input_kind": self._input_kind,
        } | facts
        self.actual["precision"] = self._engine.precision(precision, facts["tensor_types"])
        self.actual["cuda_graph"] = self._contexts.graph_status

    def _note_memory(self, what: str) -> None:
        """What came into use since the last note belongs to ``what``."""
        before = self._used_before + sum(self._memory.values())
        self._memory[what] = max(0, self._memory_used() - before)

    def _memory_used(self) -> int:
        """Device memory in use by whomever, bytes."""
        free, total = self._cuda.memory_info()
        return total - free

    def _look_at_memory(self) -> None:
        used = max(0, self._memory_used() - self._used_before)
        self._memory["peak"] = max(used, self._memory.get("peak", 0))

    def _open_stream(self) -> int:
        if self._closed or self._stream is None:
            raise RunFailedError("the runner is closed")
        return self._stream

    def _finish(self) -> None:
        """Nothing may be freed that the GPU is still working with."""
        if self._stream is not None:
            self._cuda.synchronize(self._stream)

    def _destroy_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._cuda.destroy_stream(stream)


def _ordinal(device: str) -> int:
    """The number in ``cuda:N``; ``cuda`` is 0."""
    match = re.fullmatch(r"cuda(?::(\d+))?", device)
    if match is None:
        raise BadInputError(f"TensorRT has no device {device!r}, expected cuda or cuda:N", hint="--device cuda")
    return int(match[1] or 0)
