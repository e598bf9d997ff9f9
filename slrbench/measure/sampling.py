"""Timing one runner: warm-up, latency samples, a throughput pass. Knows no runtime and no process.

The clock stands outside the runner. Of every timed call both figures are taken: ``compute`` = run + synchronize,
``end_to_end`` = stage + run + synchronize + fetch.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slrbench.measure.clock import Clock, seconds
from slrbench.runners.protocol import Runner

LEAST_CALLS = 3
"""Calls of a round that are taken even where each is slower than the round may last."""


@dataclass(frozen=True, kw_only=True)
class SamplingRule:
    """When warm-up is over and when a round has enough."""

    min_calls: int = 14
    """Calls of a round, at least: ten rounds then know p95, which needs 130 samples."""
    min_time_s: float = 0.5
    """Seconds of a round, at least."""
    max_time_s: float = 30.0
    """A round stops once its timed calls took so long, even with fewer of them than ``min_calls``."""
    settling_s: float = 0.01
    """Untimed calls after a rest, in which other candidates ran: one at least, and for so long. Caches hold the
    candidate's data again after one; an H200 and its host, whose clocks fall within such a rest, took 12 % more in the
    first call of a turn than in the ninth (ONNX Runtime, calls of 4 ms), and 2 to 3 % more from the fourth on."""
    throughput_time_s: float = 0.3
    """Seconds of back-to-back calls per round; 0 leaves the pass out."""
    warmup_window: int = 5
    """Warm-up has settled once the median of so many calls is close to that of as many before."""
    warmup_tolerance: float = 0.05
    """How close, relative."""
    warmup_cap_s: float = 5.0
    """Warm-up stops here, settled or not."""


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """End-to-end times of the warm-up calls, in order, and whether they had settled."""

    samples_s: tuple[float, ...]
    steady: bool


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Times of the calls of one round, in order, and why it stopped."""

    compute_s: tuple[float, ...]
    end_to_end_s: tuple[float, ...]
    stop_reason: str
    device_s: tuple[float, ...] = ()
    """Device time of the same calls, where the runner has events; empty otherwise."""


class Watch(Protocol):
    """Looks at the system between timed calls."""

    def begin(self) -> None:
        """Right before the first call."""
        ...

    def after_call(self) -> None:
        """After each call, outside of its timed region."""
        ...


KeepOutput = Callable[[int, NDArray[Any]], None]
"""Is given the number of a call and what it fetched, after the clock has stopped; it copies what it keeps."""


def timed_call(runner: Runner, video: NDArray[Any], clock: Clock) -> tuple[float, float]:
    """One call; its compute and end-to-end time in seconds."""
    return call_with_output(runner, video, clock)[:2]


def call_with_output(runner: Runner, video: NDArray[Any], clock: Clock) -> tuple[float, float, NDArray[np.float32]]:
    """One call; its compute and end-to-end time in seconds, and what it fetched.

    Staging is waited for before the compute part begins, so that a copy in flight is not counted as computing.
    """
    begin = clock()
    staged = runner.stage(video)
    runner.synchronize()
    run = clock()
    pending = runner.run(staged)
    runner.synchronize()
    ran = clock()
    output = runner.fetch(pending)
    end = clock()
    return seconds(ran - run), seconds(end - begin), output


def warm_up(
    runner: Runner,
    inputs: Sequence[NDArray[Any]],
    clock: Clock,
    rule: SamplingRule,
    *,
    keep: KeepOutput | None = None,
) -> WarmUp:
    """Call until every input was called and the median of the last calls has settled, or the cap is reached."""
    begin = clock()
    times: list[float] = []
    window = rule.warmup_window
    steady = False
    while not steady or len(times) < len(inputs):
        _, end_to_end, output = call_with_output(runner, inputs[len(times) % len(inputs)], clock)
        if keep is not None:
            keep(len(times), output)
        times.append(end_to_end)
        steady = _has_settled(times, window, rule.warmup_tolerance)
        if seconds(clock() - begin) >= rule.warmup_cap_s:
            break
    return WarmUp(samples_s=tuple(times), steady=steady)


def settle_again(runner: Runner, inputs: Sequence[NDArray[Any]], clock: Clock, rule: SamplingRule) -> int:
    """Untimed calls after a rest, over the inputs in rotation, for ``settling_s`` of the rule; how many."""
    begin = clock()
    calls = 0
    while calls == 0 or seconds(clock() - begin) < rule.settling_s:
        timed_call(runner, inputs[calls % len(inputs)], clock)
        calls += 1
    return calls


def _has_settled(times: Sequence[float], window: int, tolerance: float) -> bool:
    if len(times) < 2 * window:
        return False
    before, last = median(times[-2 * window : -window]), median(times[-window:])
    return abs(last - before) <= tolerance * before


def take_samples(
    runner: Runner,
    inputs: Sequence[NDArray[Any]],
    clock: Clock,
    rule: SamplingRule,
    *,
    first: int = 0,
    least: int = LEAST_CALLS,
    watch: Watch | None = None,
    keep: KeepOutput | None = None,
) -> Samples:
    """Time calls over the inputs in rotation, until there are enough of them and enough time has passed.

    ``first`` is the number of the first call, where the round has had others: the rotation goes on from there.
    ``least`` calls are made whatever they take.
    ``watch`` and ``keep`` have their turn between two calls, outside of what is timed.
    """
    compute: list[float] = []
    end_to_end: list[float] = []
    device: list[float] = []
    with no_garbage_collection():
        if watch is not None:
            watch.begin()
        begin = clock()
        while True:
            on_host, whole_call, output = call_with_output(runner, inputs[(first + len(compute)) % len(inputs)], clock)
            if watch is not None:
                watch.after_call()
            if keep is not None:
                keep(first + len(compute), output)
            compute.append(on_host)
            end_to_end.append(whole_call)
            if (on_device := runner.device_seconds()) is not None:
                device.append(on_device)
            elapsed = seconds(clock() - begin)
            if len(compute) >= rule.min_calls and elapsed >= rule.min_time_s:
                reason = "enough calls and time"
                break
            if len(compute) >= least and elapsed >= rule.max_time_s:
                reason = limit_reason(rule)
                break
    # Either of all calls or of none: a column with gaps could not be read beside the others.
    whole = tuple(device) if len(device) == len(compute) else ()
    return Samples(compute_s=tuple(compute), end_to_end_s=tuple(end_to_end), stop_reason=reason, device_s=whole)


def limit_reason(rule: SamplingRule) -> str:
    """Why a round stops that takes too long."""
    return f"the round's limit of {rule.max_time_s:g} s"


def throughput_pass(
    runner: Runner, inputs: Sequence[NDArray[Any]], clock: Clock, rule: SamplingRule
) -> tuple[int, float]:
    """Call back to back for the stated time; calls made, and seconds from the first call's start to the last one's end.

    Each call goes all the way, stage to fetch.
    """
    if rule.throughput_time_s <= 0:
        return 0, 0.0
    calls = 0
    with no_garbage_collection():
        begin = clock()
        while True:
            pending = runner.run(runner.stage(inputs[calls % len(inputs)]))
            runner.synchronize()
            runner.fetch(pending)
            calls += 1
            elapsed = seconds(clock() - begin)
            if elapsed >= rule.throughput_time_s:
                return calls, elapsed


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect now, and not while timing."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
