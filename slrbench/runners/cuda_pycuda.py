"""CUDA by pycuda, with the primary context; needs pycuda and a driver to be imported.

Never ``pycuda.autoinit``: it makes a context of its own, in which what torch, onnxruntime and TensorRT hold is invalid.

The context is current only between ``push`` and ``pop``. That serves every thread alike, keeps two runners on two
devices apart, gives torch back what was current before, and a process that dies with an open runner ends quietly: with
a context still on its stack pycuda would abort.
"""

import threading
from collections.abc import Callable
from functools import wraps
from itertools import count
from types import ModuleType
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import pycuda.driver as driver
from numpy.typing import NDArray

from slrbench.errors import UnavailableError
from slrbench.runners.cuda_calls import HOW_TO_GET, CudaError

_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING, for which pycuda has no name."""

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Method = Callable[Concatenate["PycudaCalls", _P], _T]


def _in_words(doing: str) -> Callable[[_Method[_P, _T]], _Method[_P, _T]]:
    """Errors of pycuda as :class:`CudaError`, which says what was being done."""

    def decorate(method: _Method[_P, _T]) -> _Method[_P, _T]:
        @wraps(method)
        def call(self: "PycudaCalls", /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
            try:
                return method(self, *args, **kwargs)
            except driver.Error as error:
                raise CudaError(doing, _reason(error)) from error

        return call

    return decorate


class PycudaCalls:
    """See :class:`slrbench.runners.cuda_calls.CudaCalls`."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._device: Any = None
        self._context: Any = None
        self._thread = 0
        self._streams: dict[int, Any] = {}
        self._events: dict[int, Any] = {}
        self._event_numbers = count(1)
        self._allocations: dict[int, Any] = {}
        self._graphs_module: ModuleType | None = None

    def retain(self, device: int) -> None:
        """Take hold of the primary context of that device.

        Raises:
            UnavailableError: there is no such device, or the driver cannot serve it.
        """
        try:
            driver.init()
            devices = driver.Device.count()
            if device < devices:
                self._device = driver.Device(device)
                self._context = self._device.retain_primary_context()
        except driver.Error as error:
            raise UnavailableError(
                f"CUDA cannot be used here: {_reason(error)}",
                hint="nvidia-smi shows the driver and its GPUs; an old driver needs an update",
            ) from error
        if self._context is None:
            raise UnavailableError(
                f"there is no device cuda:{device}: the driver shows {devices}", hint="--device cuda takes the first"
            )
        self._thread = threading.get_ident()

    @_in_words("making the CUDA context current")
    def push(self) -> None:
        """Make the context current in this thread."""
        self._context.push()

    @_in_words("giving the previous CUDA context back")
    def pop(self) -> None:
        """Undo ``push``."""
        driver.Context.pop()

    @_in_words("releasing the CUDA context")
    def release(self) -> None:
        """Let go of the primary context.

        pycuda releases in the thread that retained it, or where the context is current; either way it leaves the
        context on the driver's stack of this thread, which torch would find there: it is taken off by hand.
        """
        context, self._context = self._context, None
        if context is None:
            return
        if threading.get_ident() != self._thread:
            context.push()
        context.detach()
        try:
            self._cuda_python().pop_context()
        except (UnavailableError, CudaError):
            # Without cuda-python the entry stays, which matters to those only who use CUDA in this thread later. And
            # the context is let go of already: that the driver may not want to pop it then is no failure of closing.
            return

    @_in_words("reading the GPU's name")
    def device_name(self) -> str:
        """Such as ``NVIDIA H100 80GB HBM3``."""
        return str(self._device.name())

    @_in_words("reading the GPU's compute capability")
    def compute_capability(self) -> str:
        """Such as ``9.0``."""
        return ".".join(map(str, self._device.compute_capability()))

    @_in_words("reading how much memory the GPU has left")
    def memory_info(self) -> tuple[int, int]:
        """Free and total memory of the device, bytes."""
        free, total = driver.mem_get_info()
        return int(free), int(total)

    @_in_words("making a CUDA stream")
    def create_stream(self) -> int:
        """The handle of a new stream that does not wait for the default stream."""
        stream = driver.Stream(_NON_BLOCKING)
        handle = int(stream.handle)
        self._streams[handle] = stream
        return handle

    @_in_words("destroying a CUDA stream")
    def destroy_stream(self, stream: int) -> None:
        """Destroy a stream: pycuda does it with the last reference."""
        del self._streams[stream]

    @_in_words("waiting for the GPU")
    def synchronize(self, stream: int) -> None:
        """Wait until all work on the stream is done."""
        self._streams[stream].synchronize()

    @_in_words("allocating pinned host memory")
    def allocate_host(self, size: int) -> NDArray[np.uint8]:
        """Pinned host memory of that many bytes."""
        memory: NDArray[np.uint8] = driver.pagelocked_empty(size, np.uint8)
        return memory

    @_in_words("freeing pinned host memory")
    def free_host(self, memory: NDArray[np.uint8]) -> None:
        """Free it."""
        allocation: Any = memory.base
        allocation.free()

    def allocate_device(self, size: int) -> int:
        """The address of that many bytes on the device."""
        try:
            allocation = driver.mem_alloc(size)
        except driver.Error as error:
            raise CudaError(f"allocating {size} bytes on the GPU", _reason(error)) from error
        address = int(allocation)
        self._allocations[address] = allocation
        return address

    @_in_words("freeing memory on the GPU")
    def free_device(self, address: int) -> None:
        """Free them."""
        self._allocations.pop(address).free()

    @_in_words("copying to the GPU")
    def copy_to_device(self, address: int, memory: NDArray[np.uint8], stream: int) -> None:
        """Enqueue a copy of a part of pinned memory."""
        driver.memcpy_htod_async(address, memory, self._streams[stream])

    @_in_words("copying from the GPU")
    def copy_to_host(self, memory: NDArray[np.uint8], address: int, stream: int) -> None:
        """Enqueue a copy into a part of pinned memory."""
        driver.memcpy_dtoh_async(memory, address, self._streams[stream])

    @_in_words("making a CUDA event")
    def create_event(self) -> int:
        """A new event that takes times."""
        number = next(self._event_numbers)  # pycuda shows no handle of an event
        self._events[number] = driver.Event()
        return number

    @_in_words("destroying a CUDA event")
    def destroy_event(self, event: int) -> None:
        """Destroy an event: pycuda does it with the last reference."""
        del self._events[event]

    @_in_words("recording a CUDA event")
    def record(self, event: int, stream: int) -> None:
        """Enqueue the event."""
        self._events[event].record(self._streams[stream])

    @_in_words("reading the time between CUDA events")
    def elapsed_s(self, start: int, end: int) -> float:
        """Seconds between two events, both reached."""
        return float(self._events[end].time_since(self._events[start])) / 1000.0  # pycuda gives milliseconds

    def begin_capture(self, stream: int) -> None:
        """From here on this thread's work on the stream is written down instead of done.

        Raises:
            UnavailableError: cuda-python is not installed: pycuda knows no graphs.
        """
        self._cuda_python().begin_capture(stream)

    def end_capture(self, stream: int) -> int:
        """The graph of what was written down."""
        return int(self._cuda_python().end_capture(stream))

    def instantiate(self, graph: int) -> int:
        """An executable of a graph."""
        return int(self._cuda_python().instantiate(graph))

    def destroy_graph(self, graph: int) -> None:
        """Destroy a graph."""
        self._cuda_python().destroy_graph(graph)

    def launch(self, executable: int, stream: int) -> None:
        """Enqueue everything that the graph holds."""
        self._cuda_python().launch(executable, stream)

    def destroy_executable(self, executable: int) -> None:
        """Destroy an executable."""
        self._cuda_python().destroy_executable(executable)

    def _cuda_python(self) -> Any:
        """The calls that pycuda lacks; loaded when the first of them is made."""
        if self._graphs_module is None:
            try:
                from slrbench.runners import cuda_python
            except ImportError as error:
                raise UnavailableError(f"cuda-python does not load: {error}", hint=HOW_TO_GET) from error
            self._graphs_module = cuda_python
        return self._graphs_module


def _reason(error: Exception) -> str:
    """``cuMemAlloc failed: out of memory`` without what the caller says better."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return first.partition(" failed: ")[2] or first
