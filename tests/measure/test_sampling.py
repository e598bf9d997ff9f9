"""The arithmetic of measuring, on a clock that steps and a runner that costs what the test says."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from slrbench.measure.sampling import (
    LEAST_CALLS,
    SamplingRule,
    settle_again,
    take_samples,
    throughput_pass,
    timed_call,
    warm_up,
)

MS = 1_000_000


@dataclass
class SteppingClock:
    """Stands still until somebody spends time."""

    now_ns: int = 0

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class FakeRunner:
    """Spends the stated milliseconds in each verb and computes nothing."""

    clock: SteppingClock
    stage_ms: int = 1
    run_ms: Iterator[int] | int = 10
    synchronize_ms: int = 100
    fetch_ms: int = 1000
    seen: list[Any] = field(default_factory=list)
    gc_enabled: list[bool] = field(default_factory=list)
    waiting: bool = False
    device_s: Iterator[float | None] | None = None
    backend = "fake"
    requested: dict[str, Any] = field(default_factory=dict)
    actual: dict[str, Any] = field(default_factory=dict)

    def _spend(self, milliseconds: int) -> None:
        self.clock.now_ns += milliseconds * MS

    def stage(self, video: NDArray[Any]) -> Any:
        self.seen.append(int(video[0]))
        self._spend(self.stage_ms)
        return video

    def run(self, staged: Any) -> Any:
        self.gc_enabled.append(gc.isenabled())
        self._spend(self.run_ms if isinstance(self.run_ms, int) else next(self.run_ms))
        self.waiting = True
        return staged

    def synchronize(self) -> None:
        if self.waiting:
            self._spend(self.synchronize_ms)
        self.waiting = False

    def fetch(self, pending: Any) -> Any:
        self._spend(self.fetch_ms)
        return pending

    def device_seconds(self) -> float | None:
        return next(self.device_s) if self.device_s is not None else None

    def device_memory(self) -> dict[str, int]:
        return {}

    def close(self) -> None: ...


INPUTS = [np.array([i]) for i in range(3)]


def test_compute_is_run_and_synchronize_and_end_to_end_is_all_four() -> None:
    clock = SteppingClock()
    assert timed_call(FakeRunner(clock), INPUTS[0], clock) == (0.110, 1.111)


def test_a_copy_that_stage_left_in_flight_is_not_counted_as_computing() -> None:
    clock = SteppingClock()

    class Asynchronous(FakeRunner):
        def stage(self, video: NDArray[Any]) -> Any:
            self.waiting = True
            return super().stage(video)

    compute, end_to_end = timed_call(Asynchronous(clock), INPUTS[0], clock)
    assert compute == 0.110
    assert end_to_end == 1.211


def test_a_round_takes_the_calls_and_the_time_that_were_asked_for() -> None:
    clock = SteppingClock()
    runner = FakeRunner(clock, 0, 10, 0, 0)
    few = take_samples(runner, INPUTS, clock, SamplingRule(min_calls=4, min_time_s=0.01))
    assert few.compute_s == few.end_to_end_s == (0.01,) * 4
    long = take_samples(runner, INPUTS, clock, SamplingRule(min_calls=4, min_time_s=0.2))
    assert len(long.compute_s) == 20
    assert long.stop_reason == "enough calls and time"


def test_a_slow_round_stops_at_its_limit_but_not_before_the_least_calls() -> None:
    clock = SteppingClock()
    runner = FakeRunner(clock, 0, 5000, 0, 0)
    samples = take_samples(runner, INPUTS, clock, SamplingRule(min_calls=30, max_time_s=8.0))
    assert len(samples.compute_s) == LEAST_CALLS
    assert samples.stop_reason == "the round's limit of 8 s"


def test_inputs_are_taken_in_rotation_and_the_garbage_collector_rests() -> None:
    clock = SteppingClock()
    runner = FakeRunner(clock, 0, 10, 0, 0)
    take_samples(runner, INPUTS, clock, SamplingRule(min_calls=7, min_time_s=0.0))
    assert runner.seen == [0, 1, 2, 0, 1, 2, 0]
    assert runner.gc_enabled == [False] * 7
    assert gc.isenabled()


def test_the_garbage_collector_is_back_after_an_error() -> None:
    clock = SteppingClock()
    with pytest.raises(StopIteration):
        take_samples(FakeRunner(clock, run_ms=iter([1])), INPUTS, clock, SamplingRule())
    assert gc.isenabled()


def test_warm_up_ends_when_the_median_has_settled() -> None:
    clock = SteppingClock()
    times = [900, 300, 100, 50, 30] + [10] * 100
    found = warm_up(
        FakeRunner(clock, 0, iter(times), 0, 0), INPUTS, clock, SamplingRule(warmup_window=5, warmup_cap_s=1000)
    )
    # After 13 calls the earlier window is 50, 30, 10, 10, 10: its median is the later one's. One call before it is 30.
    assert found.steady
    assert len(found.samples_s) == 13
    assert found.samples_s[0] == 0.9


def test_warm_up_that_does_not_settle_stops_at_the_cap_and_says_so() -> None:
    clock = SteppingClock()
    growing = iter(range(100, 10_000, 100))
    found = warm_up(FakeRunner(clock, 0, growing, 0, 0), INPUTS, clock, SamplingRule(warmup_cap_s=3.0))
    assert not found.steady
    assert sum(found.samples_s) >= 3.0
    assert sum(found.samples_s[:-1]) < 3.0


@pytest.mark.parametrize(("call_ms", "calls"), [(4, 3), (10, 1), (50, 1)])
def test_a_candidate_settles_again_for_a_time_and_at_least_a_call(call_ms: int, calls: int) -> None:
    clock = SteppingClock()
    runner = FakeRunner(clock, 0, call_ms, 0, 0)
    assert settle_again(runner, INPUTS, clock, SamplingRule(settling_s=0.01)) == calls
    assert runner.seen == [int(INPUTS[i % len(INPUTS)][0]) for i in range(calls)]


def test_warm_up_shows_every_input_once() -> None:
    clock = SteppingClock()
    many = [np.array([i]) for i in range(25)]
    runner = FakeRunner(clock, 0, 10, 0, 0)
    assert warm_up(runner, many, clock, SamplingRule()).steady
    assert set(runner.seen) == set(range(25))


def test_throughput_is_counted_over_whole_calls_back_to_back() -> None:
    clock = SteppingClock()
    runner = FakeRunner(clock, 10, 20, 30, 40)
    calls, elapsed = throughput_pass(runner, INPUTS, clock, SamplingRule(throughput_time_s=0.95))
    assert (calls, elapsed) == (10, 1.0)
    assert runner.seen == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]


def test_a_throughput_pass_of_no_time_makes_no_call() -> None:
    clock = SteppingClock()
    runner = FakeRunner(clock)
    assert throughput_pass(runner, INPUTS, clock, SamplingRule(throughput_time_s=0.0)) == (0, 0.0)
    assert runner.seen == []


def test_device_time_is_taken_of_the_same_calls_after_the_clock_has_stopped() -> None:
    clock = SteppingClock()

    class OnDevice(FakeRunner):
        def device_seconds(self) -> float | None:
            assert not self.waiting
            self._spend(50)  # reading events takes time, too, which belongs to no figure
            return 0.01 * len(self.seen)

    rule = SamplingRule(min_calls=4, min_time_s=0.0)
    samples = take_samples(OnDevice(clock), INPUTS, clock, rule)
    assert samples.device_s == pytest.approx((0.01, 0.02, 0.03, 0.04))
    assert set(samples.compute_s) == {0.110}
    assert set(samples.end_to_end_s) == {1.111}


@pytest.mark.parametrize("answers", [[None] * 4, [0.1, 0.1, None, 0.1]])
def test_device_time_is_given_of_all_calls_or_of_none(answers: list[float | None]) -> None:
    clock = SteppingClock()
    rule = SamplingRule(min_calls=4, min_time_s=0.0)
    assert take_samples(FakeRunner(clock, device_s=iter(answers)), INPUTS, clock, rule).device_s == ()
