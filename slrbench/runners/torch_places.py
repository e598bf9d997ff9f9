"""Where a torch module runs: the CPU, or a CUDA device with its own stream, pinned memory and events.

A place is what differs between the two; :mod:`slrbench.runners.torch_module` is the runner itself.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from exporters.cuda_driver import device_index
from slrbench.errors import UnavailableError
from slrbench.runners.torch_precision import set_tf32


class Place(Protocol):
    """A device as the runner sees it."""

    device: torch.device

    def stage(self, video: NDArray[Any]) -> torch.Tensor:
        """The video on the device."""
        ...

    def enqueue(self) -> AbstractContextManager[None]:
        """A context in which what is called goes onto the runner's own stream, between two events."""
        ...

    def synchronize(self) -> None:
        """Wait for what was enqueued."""
        ...

    def fetch(self, tensor: torch.Tensor) -> NDArray[Any]:
        """The tensor in the host's memory."""
        ...

    def seconds(self) -> float | None:
        """Device time of what the last ``enqueue`` held; None where there are no events."""
        ...

    def memory(self) -> dict[str, int]:
        """Device memory, bytes; empty on a CPU."""
        ...

    def describe(self) -> dict[str, Any]:
        """What belongs into a runner's ``actual``."""
        ...


class CpuPlace:
    """The host: nothing is copied and nothing is waited for."""

    device = torch.device("cpu")

    def stage(self, video: NDArray[Any]) -> torch.Tensor:
        """A tensor that shares the video's memory."""
        return torch.from_numpy(video)

    @contextmanager
    def enqueue(self) -> Iterator[None]:
        """Nothing: torch runs synchronously on the CPU."""
        yield

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def fetch(self, tensor: torch.Tensor) -> NDArray[Any]:
        """The tensor's own memory; bfloat16, which NumPy lacks, as float32."""
        result: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        return result

    def seconds(self) -> float | None:
        """None: the host's clock is all there is."""
        return None

    def memory(self) -> dict[str, int]:
        """Empty: there is no device memory."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Which instruction sets torch uses."""
        return {
            "device": "cpu",
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }


class CudaPlace:
    """A CUDA device: pinned staging buffers, one per shape, a stream of its own, and events around each run."""

    def __init__(self, device: str) -> None:
        """Take the device.

        Raises:
            UnavailableError: torch cannot use it.
        """
        self._word = device
        self.device = torch.device("cuda", device_index(device))
        try:
            torch.cuda.set_device(self.device)
            self._stream = torch.cuda.Stream(self.device)
        except (RuntimeError, AssertionError) as error:  # the second: a torch that was built without CUDA
            raise UnavailableError(
                f"torch {torch.__version__} cannot use {device}: {(str(error).splitlines() or ['no reason given'])[0]}",
                hint="python -m slrbench doctor shows what is available",
            ) from error
        self._begin = torch.cuda.Event(enable_timing=True)
        self._end = torch.cuda.Event(enable_timing=True)
        self._has_run = False
        self._shapes: set[tuple[int, ...]] = set()  # at which a call has ended
        self._staged: tuple[int, ...] = ()  # shape of what was staged last
        self._searches = False  # the call under way is the first one at its shape
        self._first_call_bytes = self._peak_bytes = self._reserved_bytes = 0
        self._pinned: dict[tuple[tuple[int, ...], torch.dtype], torch.Tensor] = {}
        torch.cuda.reset_peak_memory_stats(self.device)

    def stage(self, video: NDArray[Any]) -> torch.Tensor:
        """Copied into pinned memory, and from there enqueued to the device."""
        self._staged = video.shape
        source = torch.from_numpy(video)
        self._stream.synchronize()  # a copy out of the same buffer may still be under way
        buffer = self._buffer(source)
        buffer.copy_(source)
        with torch.cuda.stream(self._stream):
            return buffer.to(self.device, non_blocking=True)

    @contextmanager
    def enqueue(self) -> Iterator[None]:
        """The runner's stream, with an event before and one after."""
        if self._searches:  # that call failed
            self._keep_first_call()
        self._searches = self._staged not in self._shapes
        if self._searches:
            self._keep_peaks()
        with torch.cuda.stream(self._stream):
            self._begin.record(self._stream)
            yield
            self._end.record(self._stream)
        self._has_run = True

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._stream.synchronize()
        if self._searches:
            self._keep_first_call()
            self._shapes.add(self._staged)
            self._searches = False

    def _keep_first_call(self) -> None:
        # Presumably cuDNN's search for kernels, for which torch offers what memory there is: tensors of the student
        # took 20 GB of an H200 at some moment, and the process held 1 GB of it when its rounds ended.
        self._first_call_bytes = max(self._first_call_bytes, torch.cuda.max_memory_allocated(self.device))
        torch.cuda.reset_peak_memory_stats(self.device)

    def _keep_peaks(self) -> None:
        self._peak_bytes = max(self._peak_bytes, torch.cuda.max_memory_allocated(self.device))
        self._reserved_bytes = max(self._reserved_bytes, torch.cuda.max_memory_reserved(self.device))
        torch.cuda.reset_peak_memory_stats(self.device)

    def fetch(self, tensor: torch.Tensor) -> NDArray[Any]:
        """Copied through pinned memory into an array of its own."""
        with torch.cuda.stream(self._stream):
            if tensor.dtype == torch.bfloat16:  # which NumPy lacks
                tensor = tensor.float()
            buffer = self._buffer(tensor)
            buffer.copy_(tensor, non_blocking=True)
        self._stream.synchronize()
        result: NDArray[Any] = np.array(buffer.numpy())
        return result

    def seconds(self) -> float | None:
        """Between the two events of the last run, after ``synchronize``; None before the first."""
        return self._begin.elapsed_time(self._end) / 1e3 if self._has_run else None

    def memory(self) -> dict[str, int]:
        """Bytes of the device, each the most at a time.

        ``peak``: that tensors have held; ``reserved``: that torch has taken from the driver for them; both without the
        first call at a shape, in which cuDNN searches its kernels. ``first_call``: that tensors held in such calls.
        """
        return {
            "peak": max(self._peak_bytes, torch.cuda.max_memory_allocated(self.device)),
            "reserved": max(self._reserved_bytes, torch.cuda.max_memory_reserved(self.device)),
            "first_call": self._first_call_bytes,
        }

    def describe(self) -> dict[str, Any]:
        """The device and what torch was built for."""
        major, minor = torch.cuda.get_device_capability(self.device)
        return {
            # "cuda" is the first one: asked for in either way, it is what was asked for.
            "device": self._word if self.device.index == device_index(self._word) else str(self.device),
            "gpu": torch.cuda.get_device_name(self.device),
            "compute_capability": f"{major}.{minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "host_memory": "pinned",
        }

    def _buffer(self, like: torch.Tensor) -> torch.Tensor:
        key = tuple(like.shape), like.dtype
        if key not in self._pinned:
            self._pinned[key] = _pinned_like(like)
        return self._pinned[key]


def place_of(device: str, precision: str) -> Place:
    """The place of a device's word, ``cpu``, ``cuda`` or ``cuda:N``, with this process set for ``precision``.

    cuDNN searches its fastest kernel in the first call at a shape. That call is never timed: a worker warms up at the
    very shape that it is to be timed at.

    Raises:
        UnavailableError: torch cannot use the device.
    """
    if device == "cpu":
        return CpuPlace()
    set_tf32(precision == "tf32")
    torch.backends.cudnn.benchmark = True
    return CudaPlace(device)


def _pinned_like(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
