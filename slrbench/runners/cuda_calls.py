"""The calls of CUDA that a runner makes, as a protocol. Loads nothing: ``cuda_pycuda`` implements it on a GPU.

The seam is thin on purpose: what stands above it (buffers, shapes, order of release) is tested on any machine with an
implementation in host memory.
"""

from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slrbench.errors import RunFailedError, UnavailableError

HOW_TO_GET = "pip install -e '.[gpu]' on a machine with an NVIDIA GPU"


_LOST = "the process has lost the GPU: start it again"
_HINTS = {
    "out of memory": "use a smaller batch or shorter clips, export with smaller ranges, or end what else uses the GPU",
    "illegal memory access": _LOST,
    "misaligned address": _LOST,
    "launch failure": _LOST,
    "uncorrectable": _LOST,
    "launch timed out": "the GPU that drives a screen stops long work: use another one, or a smaller batch",
    "busy or unavailable": "another process holds the GPU for itself: end it, or use --device cuda:N",
}


class CudaError(RunFailedError):
    """A call of CUDA failed."""

    def __init__(self, doing: str, reason: str) -> None:
        """Say what was being done and what CUDA answered; the usual reasons have a hint."""
        hint = next((hint for word, hint in _HINTS.items() if word in reason.lower()), None)
        super().__init__(f"{doing} failed: {reason}", hint=hint)


class CudaCalls(Protocol):
    """One device and its primary context, which torch and onnxruntime use too.

    Streams, events, graphs and device memory are plain integers. Every call but ``retain``, ``push`` and ``release``
    needs the context to be current in the calling thread: stand it between ``push`` and ``pop``, in any thread. Each
    raises :class:`CudaError` where CUDA refuses.
    """

    def retain(self, device: int) -> None:
        """Take hold of the primary context of that device, without making it current.

        Raises:
            UnavailableError: there is no such device, or the driver cannot serve it.
        """
        ...

    def push(self) -> None:
        """Make the context current in this thread; what was current before comes back with ``pop``."""
        ...

    def pop(self) -> None:
        """Undo ``push``."""
        ...

    def release(self) -> None:
        """Let go of the primary context; everything made in it must be gone. Not to be called between push and pop."""
        ...

    def device_name(self) -> str:
        """Such as ``NVIDIA H100 80GB HBM3``."""
        ...

    def compute_capability(self) -> str:
        """Such as ``9.0``."""
        ...

    def memory_info(self) -> tuple[int, int]:
        """Free and total memory of the device, bytes; other processes count."""
        ...

    def create_stream(self) -> int:
        """The handle of a new stream that does not wait for the default stream."""
        ...

    def destroy_stream(self, stream: int) -> None:
        """Destroy a stream."""
        ...

    def synchronize(self, stream: int) -> None:
        """Wait until all work on the stream is done; errors of that work come out here."""
        ...

    def allocate_host(self, size: int) -> NDArray[np.uint8]:
        """Pinned host memory of that many bytes, which the device can copy from and to by itself."""
        ...

    def free_host(self, memory: NDArray[np.uint8]) -> None:
        """Free it; views of it must not be used any more."""
        ...

    def allocate_device(self, size: int) -> int:
        """The address of that many bytes on the device."""
        ...

    def free_device(self, address: int) -> None:
        """Free them."""
        ...

    def copy_to_device(self, address: int, memory: NDArray[np.uint8], stream: int) -> None:
        """Enqueue a copy of a part of pinned memory, which must not change before it is done."""
        ...

    def copy_to_host(self, memory: NDArray[np.uint8], address: int, stream: int) -> None:
        """Enqueue a copy into a part of pinned memory, which holds nothing of use before it is done."""
        ...

    def create_event(self) -> int:
        """A new event that takes times."""
        ...

    def destroy_event(self, event: int) -> None:
        """Destroy an event."""
        ...

    def record(self, event: int, stream: int) -> None:
        """Enqueue the event: it takes the time once all work before it is done."""
        ...

    def elapsed_s(self, start: int, end: int) -> float:
        """Seconds between two events, both reached."""
        ...

    def begin_capture(self, stream: int) -> None:
        """From here on this thread's work on the stream is written down instead of done.

        Raises:
            UnavailableError: what captures is not installed.
        """
        ...

    def end_capture(self, stream: int) -> int:
        """The graph of what was written down. The stream works again, also where this fails."""
        ...

    def instantiate(self, graph: int) -> int:
        """An executable of a graph, which may then be destroyed."""
        ...

    def destroy_graph(self, graph: int) -> None:
        """Destroy a graph."""
        ...

    def launch(self, executable: int, stream: int) -> None:
        """Enqueue everything that the graph holds."""
        ...

    def destroy_executable(self, executable: int) -> None:
        """Destroy an executable."""
        ...


class Current:
    """``with current:`` the context is current in this thread."""

    def __init__(self, cuda: CudaCalls) -> None:
        """Of this device."""
        self._cuda = cuda

    def __enter__(self) -> None:
        """Push."""
        self._cuda.push()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Pop; an error that is on its way is not replaced by one of ``pop``."""
        try:
            self._cuda.pop()
        except CudaError:
            if error is None:
                raise


def real_cuda_calls() -> CudaCalls:
    """The calls by pycuda, on a GPU.

    Raises:
        UnavailableError: pycuda is not installed, or there is no driver that it could talk to.
    """
    try:
        from slrbench.runners.cuda_pycuda import PycudaCalls
    except ModuleNotFoundError as error:
        raise UnavailableError(f"the package {error.name} is not installed", hint=HOW_TO_GET) from error
    except ImportError as error:
        if "libcuda" in str(error) or "nvcuda" in str(error):
            raise UnavailableError(
                f"no CUDA driver: {error}", hint="install NVIDIA's driver, or use a machine that has it"
            ) from error
        raise UnavailableError(f"pycuda does not load: {error}", hint=HOW_TO_GET) from error
    calls: CudaCalls = PycudaCalls()
    return calls
