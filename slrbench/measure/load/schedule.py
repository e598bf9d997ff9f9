"""When queries arrive. Times are fixed beforehand, in nanoseconds from the start: nothing here waits for a server."""

import numpy as np
from numpy.typing import NDArray

VIDEO_HZ = 25.0
"""Frame rate of a stream: that of the field's corpora (PHOENIX-2014, CSL-Daily)."""

Arrivals = NDArray[np.int64]
"""Ascending times (ns) from the start of a run."""


def stream_arrivals(streams: int, *, period_s: float, seconds: float, seed: int) -> Arrivals:
    """When the clips of ``streams`` cameras are complete: of each one every ``period_s``, for ``seconds``.

    Cameras were switched on at times of their own, so each has a random phase within the period. The phases of n
    streams are the first n of one sequence: one stream more adds arrivals and moves none.

    Args:
        streams: cameras.
        period_s: time from one clip of a camera to its next.
        seconds: how long clips come; every stream delivers the same number, at least one.
        seed: of the phases.
    """
    phases = np.random.default_rng(seed).random(streams) * period_s
    clips = max(1, round(seconds / period_s))
    times = phases[:, None] + np.arange(clips) * period_s
    return np.sort((times * 1e9).astype(np.int64).ravel())


def poisson_arrivals(queries: int, *, rate: float, seed: int) -> Arrivals:
    """The first ``queries`` times at which LoadGen's Server scenario schedules, so that we can time from them, too.

    LoadGen does not tell a system under test when a query was meant to arrive. Its schedule is a function of
    ``server_target_qps`` and ``schedule_rng_seed``: C++'s ``exponential_distribution`` over ``mt19937``, which takes
    two of the generator's words for 53 bits of a uniform number and -log(1 - u) / rate of that, cut to nanoseconds. The
    first query comes at 0.
    """
    words = np.random.RandomState(seed).randint(0, 1 << 32, size=2 * queries, dtype=np.uint32).astype(np.float64)
    uniform = np.minimum((words[0::2] + words[1::2] * 2.0**32) / 2.0**64, np.nextafter(1.0, 0.0))
    gaps = (-np.log(1.0 - uniform) / rate * 1e9).astype(np.int64)
    times: Arrivals = np.concatenate([np.zeros(1, np.int64), np.cumsum(gaps)])[:queries]
    return times
