"""Device memory and pinned memory in host memory, with every access checked. See :mod:`host_cuda`."""

from collections.abc import Callable
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

POISON = 0xFF


class HostMemory:
    """Addresses that never come twice, with a gap behind each allocation."""

    def __init__(self, fault: Callable[[str], NoReturn]) -> None:
        self.device: dict[int, NDArray[np.uint8]] = {}
        self.pinned: dict[int, NDArray[np.uint8]] = {}
        self._fault = fault
        self._next = 0x7000_0000_0000
        self._freed: list[tuple[int, int]] = []
        self._freed_pinned: list[NDArray[np.uint8]] = []  # kept, so that no address comes twice

    def number(self, size: int = 1) -> int:
        """An address or a handle."""
        number, self._next = self._next, self._next + (size // 256 + 2) * 256
        return number

    def allocate(self, size: int) -> int:
        address = self.number(size)
        self.device[address] = np.full(size, POISON, np.uint8)
        return address

    def free(self, address: int) -> None:
        memory = self.device.pop(address, None)
        if memory is None:
            self._fault("device memory was freed twice, or never was allocated")
        self._freed.append((address, memory.nbytes))

    def at(self, address: int, nbytes: int) -> NDArray[np.uint8]:
        """So many bytes of device memory."""
        for start, memory in self.device.items():
            if start <= address < start + memory.nbytes:
                if address + nbytes > start + memory.nbytes:
                    self._fault(f"{nbytes} bytes are more than the {memory.nbytes} of an allocation")
                return memory[address - start : address - start + nbytes]
        freed = any(start <= address < start + size for start, size in self._freed)
        return self._fault("device memory was used after it was freed" if freed else "an address was used that is none")

    def allocate_pinned(self, size: int) -> NDArray[np.uint8]:
        memory = np.full(size, POISON, np.uint8)
        self.pinned[memory.ctypes.data] = memory
        return memory

    def free_pinned(self, memory: NDArray[np.uint8]) -> None:
        found = self.pinned.pop(memory.ctypes.data, None)
        if found is None:
            self._fault("pinned memory was freed twice, or never was allocated")
        found[:] = POISON
        self._freed_pinned.append(found)

    def require_pinned(self, memory: NDArray[np.uint8]) -> None:
        start, end = memory.ctypes.data, memory.ctypes.data + memory.nbytes
        if not memory.flags.c_contiguous:
            self._fault("a copy of memory that is not contiguous")
        if not any(base <= start and end <= base + whole.nbytes for base, whole in self.pinned.items()):
            self._fault("an asynchronous copy of memory that is not pinned, or was freed")
