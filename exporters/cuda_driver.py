"""The CUDA driver, asked through its own library: devices and version, without any package. Standard library only."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

_LIBRARY = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
_SUCCESS = 0
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute
_ERRORS = {
    3: "the driver is not initialised",
    34: "the stub of the driver's library was loaded, not the driver",
    100: "the driver finds no device (CUDA_VISIBLE_DEVICES counts)",
    101: "a device that CUDA_VISIBLE_DEVICES names is not there",
    802: "the GPU's fabric is not ready",
    803: "the driver's library and its kernel module are of different versions",
    804: "the compatibility library of CUDA does not know this GPU",
}


@dataclass(frozen=True)
class CudaDriver:
    """What the driver shows this process (``CUDA_VISIBLE_DEVICES`` counts)."""

    capabilities: tuple[tuple[int, int], ...]
    """Compute capability of each device."""
    version: tuple[int, int] | None
    """The newest CUDA that it supports; None without a driver."""
    why_none: str | None
    """Why there is no device, where there is none."""
    bus_ids: tuple[str, ...] = ()
    """Where each device is on the PCI bus, such as ``0000:65:00.0``."""

    def compute_capability(self, index: int = 0) -> str | None:
        """Of the device with that number in CUDA's order, such as ``9.0``; None where there is none."""
        return "{}.{}".format(*self.capabilities[index]) if index < len(self.capabilities) else None


@cache
def cuda_driver() -> CudaDriver:
    """Ask the driver once per process."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return CudaDriver((), None, f"no NVIDIA driver is installed ({_LIBRARY} is missing)")
    number = ctypes.c_int(0)
    version = None
    if library.cuDriverGetVersion(ctypes.byref(number)) == _SUCCESS:
        version = number.value // 1000, number.value % 1000 // 10
    code = library.cuInit(0)
    if code == _SUCCESS:
        code = library.cuDeviceGetCount(ctypes.byref(number))
    if code != _SUCCESS:
        return CudaDriver((), version, f"{_ERRORS.get(code, 'the driver refuses')} (CUDA error {code})")
    count = number.value
    capabilities = tuple(_capability(library, index) for index in range(count))
    places = tuple(_bus_id(library, index) for index in range(count))
    return CudaDriver(capabilities, version, None if capabilities else "the driver finds no device", places)


def _capability(library: Any, index: int) -> tuple[int, int]:
    device, value, numbers = ctypes.c_int(0), ctypes.c_int(0), []
    library.cuDeviceGet(ctypes.byref(device), index)
    for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR):
        library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        numbers.append(value.value)
    return numbers[0], numbers[1]


def _bus_id(library: Any, index: int) -> str:
    device, text = ctypes.c_int(0), ctypes.create_string_buffer(32)
    library.cuDeviceGet(ctypes.byref(device), index)
    library.cuDeviceGetPCIBusId(text, len(text), device)
    return text.value.decode("ascii", errors="replace")


def cuda_device_count() -> int:
    """How many CUDA devices the driver shows this process; 0 without a driver."""
    return len(cuda_driver().capabilities)


@contextmanager
def current_device(index: int) -> Iterator[None]:
    """Within, this thread works on the device with that number: a library that takes none works on the current one.

    The first is current by itself, so nothing is done for it. Everything made within must be gone at the end.

    Raises:
        OSError: the driver cannot make it current.
    """
    if index == 0:
        yield
        return
    library = ctypes.CDLL(_LIBRARY)
    device, context = ctypes.c_int(0), ctypes.c_void_p()

    def call(name: str, *arguments: Any) -> None:
        code = getattr(library, name)(*arguments)
        if code != _SUCCESS:
            reason = _ERRORS.get(code, "the driver refuses")
            raise OSError(f"CUDA device {index} cannot be made current: {reason} ({name}, CUDA error {code})")

    call("cuDeviceGet", ctypes.byref(device), index)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    try:
        call("cuCtxPushCurrent_v2", context)
        try:
            yield
        finally:
            call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))
    finally:
        call("cuDevicePrimaryCtxRelease_v2", device)


def device_word(index: int) -> str:
    """``cuda`` for the first device, ``cuda:N`` for the others."""
    return f"cuda:{index}" if index else "cuda"


def device_index(device: str) -> int:
    """The number in ``cuda:N``; 0 for ``cuda``."""
    return int(device.partition(":")[2] or 0)
