"""Memory for one input and one output, on the host and on the device, allocated once for the largest shape."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.runners.closing import free_all
from slrbench.runners.cuda_calls import CudaCalls


class Buffers:
    """Page-locked host memory and device memory; empty until ``allocate``."""

    def __init__(self, cuda: CudaCalls) -> None:
        """Allocate nothing yet."""
        self._cuda = cuda
        self._undo: list[Callable[[], None]] = []
        self._host_input: NDArray[np.uint8] | None = None
        self._host_output: NDArray[np.uint8] | None = None
        self.device_input = 0
        self.device_output = 0
        self.input_bytes = 0
        self.output_bytes = 0

    def allocate(self, input_bytes: int, output_bytes: int) -> None:
        """Allocate everything; what a failure leaves behind is for ``free``.

        Raises:
            CudaError: there is not so much memory.
        """
        self._host_input = self._pinned(input_bytes)
        self._host_output = self._pinned(output_bytes)
        self.device_input = self._device(input_bytes)
        self.device_output = self._device(output_bytes)
        self.input_bytes, self.output_bytes = input_bytes, output_bytes

    def upload(self, video: NDArray[Any], stream: int) -> None:
        """Copy a video, contiguous, to page-locked memory, and enqueue its copy to the device.

        No earlier copy may be under way: page-locked memory must stay as it is until it is done.
        """
        assert self._host_input is not None
        host = self._host_input[: video.nbytes]
        host[:] = video.reshape(-1).view(np.uint8)
        self._cuda.copy_to_device(self.device_input, host, stream)

    def enqueue_download(self, nbytes: int, stream: int) -> NDArray[np.uint8]:
        """Enqueue the copy of the output to page-locked memory; the array returned holds it once the stream is done."""
        assert self._host_output is not None
        host = self._host_output[:nbytes]
        self._cuda.copy_to_host(host, self.device_output, stream)
        return host

    def free(self) -> None:
        """Free whatever was allocated, all of it, also where one call fails.

        Raises:
            CudaError: a call failed; the first one's error.
        """
        self._host_input = self._host_output = None
        free_all(self._undo)

    def _pinned(self, nbytes: int) -> NDArray[np.uint8]:
        memory = self._cuda.allocate_host(nbytes)
        self._undo.append(lambda: self._cuda.free_host(memory))
        return memory

    def _device(self, nbytes: int) -> int:
        address = self._cuda.allocate_device(nbytes)
        self._undo.append(lambda: self._cuda.free_device(address))
        return address
