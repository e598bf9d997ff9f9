"""Energy from the machine's own counters: RAPL of the processor packages, NVML of one GPU. Imports no runtime.

A counter counts all that its part of the machine does, what it takes when idle and other programs included. So it is
read around the throughput pass, where the candidate computes all the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from slrbench.records import Energy

POWERCAP = Path("/sys/class/powercap")
RAPL = "RAPL package"
NVML = "NVML"
