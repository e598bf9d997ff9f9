"""One point of the streams scenario: so many cameras, for so long, open loop.

Clips arrive when they arrive, whether or not the server is ready, and a clip's latency counts from then. So a server
that falls behind sees its latencies grow, instead of its load shrink (what closed loops do: coordinated omission).
The schedule is known beforehand, so one thread is enough: what has arrived by now waits, and while nothing waits, the
thread sleeps until the next clip. How late the system wakes it is recorded, and is part of the clip's latency.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from slrbench.measure.clock import Clock, perf_counter_ns, seconds
from slrbench.measure.load.schedule import Arrivals
from slrbench.measure.load.serving import Serve
from slrbench.statistics.percentiles import rank_of

Sleep = Callable[[float], None]
"""Sleeps so many seconds, as ``time.sleep``."""

SHARE = 0.99
"""The percentile of latency that must stay under the bound."""

_LEAD_NS = 20_000_000
"""From the start of a point to its first possible arrival."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """What one point gave: latencies of the clips that were served, in the order of their arrival."""

    latencies_s: tuple[float, ...]
    planned: int
    """Clips that were to come; fewer were served where the point was ended early."""
    ended: str
    """Why it was ended early: ``queue``, ``late``; empty where all clips were served."""
    kept_up: bool
    """Whether the server was idle at some time in the last two periods: one that is overloaded never is again."""
    busy_s: float
    elapsed_s: float
    lateness_s: tuple[float, ...]
    """How much after a clip's arrival the sleeping thread woke up, for each time that it slept."""


def may_be_late(planned: int) -> int:
    """How many of ``planned`` clips may take longer than the bound, so that p99 (nearest rank) is still within it."""
    return planned - rank_of(SHARE, planned)


def queue_limit(streams: int, *, period_s: float, bound_s: float, batch: int) -> int:
    """Clips that can wait before the oldest of them must be late: more than so many, and the point is over."""
    return int(np.ceil(streams * (bound_s / period_s + 1.0))) + batch


def run_point(
    serve: Serve,
    arrivals: Arrivals,
    *,
    batch: int = 1,
    bound_s: float,
    period_s: float,
    most_waiting: int,
    clock: Clock = perf_counter_ns,
    sleep: Sleep = time.sleep,
) -> Point:
    """Serve the clips that arrive; end early once p99 cannot come under the bound any more.

    Args:
        serve: answers clips by index, up to ``batch`` of them.
        arrivals: when each is complete.
        batch: clips of one call; those that wait go together.
        bound_s: latency bound.
        period_s: time between two clips of a stream, for whether the server kept up.
        most_waiting: the queue holds no more; see :func:`queue_limit`.
        clock: answers nanoseconds.
        sleep: lets the thread sleep.
    """
    planned = len(arrivals)
    allowed = may_be_late(planned)
    latencies: list[float] = []
    lateness: list[float] = []
    ended = ""
    late = busy = last_idle = 0
    begin = clock() + _LEAD_NS
    while len(latencies) < planned:
        first = len(latencies)
        now = clock() - begin
        if now < arrivals[first]:
            now = _sleep_until(int(arrivals[first]), begin, clock, sleep)
            lateness.append(seconds(now - int(arrivals[first])))
            last_idle = now
        waiting = int(np.searchsorted(arrivals, now, side="right")) - first
        if waiting > most_waiting:
            ended = "queue"
            break
        taken = range(first, first + min(batch, waiting))
        serve(taken)
        done = clock() - begin
        busy += done - now
        latencies += [seconds(done - int(arrivals[i])) for i in taken]
        late += sum(latency > bound_s for latency in latencies[first:])
        if late > allowed:
            ended = "late"
            break
    elapsed = clock() - begin
    return Point(
        latencies_s=tuple(latencies),
        planned=planned,
        ended=ended,
        kept_up=not ended and seconds(last_idle) >= seconds(int(arrivals[-1])) - 2.0 * period_s,
        busy_s=seconds(busy),
        elapsed_s=seconds(elapsed),
        lateness_s=tuple(lateness),
    )


def _sleep_until(moment: int, begin: int, clock: Clock, sleep: Sleep) -> int:
    """Sleep until ``moment`` ns after ``begin``; when it really is (ns after ``begin``)."""
    now = clock() - begin
    while now < moment:
        sleep(seconds(moment - now))
        now = clock() - begin
    return now
