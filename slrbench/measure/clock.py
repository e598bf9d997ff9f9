"""The one clock: a callable that answers nanoseconds. Tests give a stepping one."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Answers monotonic nanoseconds."""

perf_counter_ns: Clock = time.perf_counter_ns
"""The monotonic clock of the highest resolution that the system has."""


def seconds(nanoseconds: int) -> float:
    """Nanoseconds as seconds."""
    return nanoseconds / 1e9
