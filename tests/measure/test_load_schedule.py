"""Streams on a clock that only a server and a sleep move: what is measured, what is found, what ends a point."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slrbench.measure.load.schedule import Arrivals, poisson_arrivals, stream_arrivals
from slrbench.measure.load.search import contradiction, disturbed_words, highest_count, highest_rate, to_be_retried
from slrbench.measure.load.serving import ClipServer
from slrbench.measure.load.stream_search import MOST_SHORT, STEPS_DOWN, Tried, clip_period_s, find_streams
from slrbench.measure.load.streams import Point, may_be_late, queue_limit, run_point

FOREVER = 1e6
STREAMS = st.integers(1, 12)
SERVICE = st.floats(0.001, 0.5)
SEEDS = st.integers(0, 20)


class Time:
    """A clock that stands still unless someone sleeps or serves; waking up takes ``wake`` longer than was asked for."""

    def __init__(self, wake_s: float = 0.0) -> None:
        self.now = 5_000_000_000
        self.wake = round(1e9 * wake_s)
        self.calls: list[list[int]] = []

    def clock(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += round(1e9 * seconds) + self.wake

    def server(self, service_s: float | Callable[[int], float]) -> Callable[[Sequence[int]], None]:
        """Takes ``service_s`` for a call, or what it gives for the number of the call."""

        def serve(indices: Sequence[int]) -> None:
            takes = service_s(len(self.calls)) if callable(service_s) else service_s
            self.calls.append(list(indices))
            self.now += round(1e9 * takes)

        return serve


def point_of(
    service_s: float | Callable[[int], float], arrivals: Arrivals, *, streams: int = 1, bound_s: float = FOREVER,
    period_s: float = 1.0, batch: int = 1, wake_s: float = 0.0,
) -> Point:  # fmt: skip
    time = Time(wake_s)
    most = queue_limit(streams, period_s=period_s, bound_s=bound_s, batch=batch)
    return run_point(
        time.server(service_s), arrivals, batch=batch, bound_s=bound_s, period_s=period_s, most_waiting=most,
        clock=time.clock, sleep=time.sleep,
    )  # fmt: skip


def of_one_queue(arrivals: Arrivals, service_ns: int) -> list[float]:
    """Latencies of D/D/1: a clip waits until it is complete and the one before it is answered (Lindley)."""
    latencies, free = [], 0
    for at in arrivals.tolist():
        free = max(free, at) + service_ns
        latencies.append((free - at) / 1e9)
    return latencies


# --- arrivals ---------------------------------------------------------------------------------------------------------


@given(STREAMS, SEEDS)
def test_every_camera_delivers_as_often_at_a_time_of_its_own(streams: int, seed: int) -> None:
    arrivals = stream_arrivals(streams, period_s=1.28, seconds=6.4, seed=seed)
    assert len(arrivals) == streams * 5
    assert (np.diff(arrivals) >= 0).all()
    phases = np.sort(arrivals[:streams])
    assert phases[-1] < 1.28e9
    assert np.abs(arrivals.reshape(5, streams) - phases - np.arange(5)[:, None] * 1.28e9).max() <= 1


@given(STREAMS, SEEDS)
def test_one_camera_more_moves_none_of_the_others(streams: int, seed: int) -> None:
    few, many = (stream_arrivals(n, period_s=1.0, seconds=3.0, seed=seed) for n in (streams, streams + 1))
    assert set(few.tolist()) < set(many.tolist())


def test_overlapping_windows_come_more_often() -> None:
    assert clip_period_s(32, None) == 1.28
    assert clip_period_s(32, 8) == 0.32


def test_poisson_arrivals_start_at_once_and_have_the_rate() -> None:
    arrivals = poisson_arrivals(20_000, rate=50.0, seed=3)
    gaps = np.diff(arrivals) / 1e9
    assert arrivals[0] == 0
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.03)
    assert gaps.std() == pytest.approx(1 / 50, rel=0.03)
    assert (poisson_arrivals(100, rate=50.0, seed=4) != arrivals[:100]).any()


# --- a point ----------------------------------------------------------------------------------------------------------


@given(STREAMS, SERVICE, SEEDS)
def test_latencies_are_those_of_the_queue_that_the_schedule_and_the_service_time_make(
    streams: int, service_s: float, seed: int
) -> None:
    arrivals = stream_arrivals(streams, period_s=1.0, seconds=8.0, seed=seed)
    point = point_of(service_s, arrivals, streams=streams)
    expected = of_one_queue(arrivals, round(1e9 * service_s))
    assert point.latencies_s == pytest.approx(expected, abs=5e-9)
    assert point.ended == ""


def test_a_stall_delays_every_clip_that_arrives_in_it() -> None:
    # A closed loop would see one slow call and nothing of the 30 clips that came meanwhile.
    arrivals = np.arange(0, 100, dtype=np.int64) * 100_000_000
    point = point_of(lambda call: 3.0 if call == 10 else 0.01, arrivals, period_s=0.1)
    late = [latency for latency in point.latencies_s if latency > 0.1]
    assert len(late) > 30
    assert late[0] == pytest.approx(3.0)
    assert late[1] == pytest.approx(2.91)
    assert point.kept_up


def test_waking_up_late_is_recorded_and_counts() -> None:
    arrivals = np.arange(1, 11, dtype=np.int64) * 1_000_000_000
    point = point_of(0.01, arrivals, wake_s=0.002)
    assert point.lateness_s == pytest.approx([0.002] * 10)
    assert point.latencies_s == pytest.approx([0.012] * 10)
    assert point.busy_s == pytest.approx(0.1)


@given(STREAMS, SEEDS, st.floats(1.01, 3.0))
def test_an_overloaded_server_is_found_whatever_the_bound(streams: int, seed: int, load: float) -> None:
    arrivals = stream_arrivals(streams, period_s=1.0, seconds=8.0, seed=seed)
    assert not point_of(load / streams, arrivals, streams=streams).kept_up
    assert point_of(0.9 / load / streams, arrivals, streams=streams).kept_up


@given(STREAMS, SERVICE, SEEDS, st.floats(0.001, 2.0))
def test_a_point_ends_early_only_where_its_p99_is_beyond_the_bound(
    streams: int, service_s: float, seed: int, bound_s: float
) -> None:
    arrivals = stream_arrivals(streams, period_s=1.0, seconds=20.0, seed=seed)
    point = point_of(service_s, arrivals, streams=streams, bound_s=bound_s)
    whole = sorted(of_one_queue(arrivals, round(1e9 * service_s)))
    p99 = whole[len(whole) - 1 - may_be_late(len(whole))]
    if abs(p99 - bound_s) > 1e-6:
        assert bool(point.ended) == (p99 > bound_s)
    assert bool(point.ended) == (len(point.latencies_s) < point.planned)


def test_so_many_clips_may_be_late() -> None:
    assert [may_be_late(n) for n in (1, 99, 100, 199, 200, 1000)] == [0, 0, 1, 1, 2, 10]


def test_a_full_queue_ends_a_point() -> None:
    arrivals = np.zeros(50, np.int64)
    point = point_of(0.001, arrivals, bound_s=1.0)
    assert (point.ended, point.latencies_s) == ("queue", ())
    assert not point.kept_up


def test_clips_that_wait_go_together_as_far_as_the_batch_holds() -> None:
    arrivals = np.array([0, 10, 20, 30, 40, 5_000_000_000], np.int64)
    time = Time()
    run_point(
        time.server(0.1), arrivals, batch=3, bound_s=9.0, period_s=1.0, most_waiting=9, clock=time.clock,
        sleep=time.sleep,
    )  # fmt: skip
    assert time.calls == [[0], [1, 2, 3], [4], [5]]


# --- the search -------------------------------------------------------------------------------------------------------


def sustained(service_s: float, *, bound_s: float, seed: int = 0, wanted: int | None = None, start: int = 3) -> Any:
    """The search over a server that takes the same time for every clip; clips come every second."""

    def ask(streams: int, seconds: float) -> dict[str, Any]:
        arrivals = stream_arrivals(streams, period_s=1.0, seconds=seconds, seed=seed)
        return asdict(point_of(service_s, arrivals, streams=streams, bound_s=bound_s))

    return find_streams(ask, wanted=wanted, start=start, seconds=8.0, period_s=1.0, bound_s=bound_s)


def how_many(service_s: float, **more: Any) -> int:
    best, _ = sustained(service_s, **more)
    return 0 if best is None else best.streams


@settings(max_examples=30)
@given(st.floats(0.03, 1.5), st.integers(1, 40))
def test_without_a_bound_as_many_streams_are_sustained_as_fit_into_the_time(service_s: float, start: int) -> None:
    fits = 1.0 / service_s
    if abs(fits - round(fits)) > 1e-3:
        assert how_many(service_s, bound_s=FOREVER, start=start) == int(fits)


@settings(max_examples=30)
@given(st.floats(0.03, 0.5), SEEDS, st.floats(0.05, 1.5))
def test_with_a_bound_they_are_those_whose_slowest_clip_is_within_it(
    service_s: float, seed: int, bound_s: float
) -> None:
    def slowest(streams: int) -> float:
        arrivals = stream_arrivals(streams, period_s=1.0, seconds=3.0, seed=seed)
        return max(of_one_queue(arrivals, round(1e9 * service_s)))

    found = how_many(service_s, bound_s=bound_s, seed=seed)
    if found:
        assert slowest(found) <= bound_s + 1e-6
    assert (found + 1) * service_s > 1.0 - 1e-6 or slowest(found + 1) > bound_s - 1e-6


@settings(max_examples=30)
@given(st.floats(0.03, 0.5), st.floats(0.03, 0.5), SEEDS, st.floats(0.05, 1.5))
def test_a_slower_server_never_sustains_more_streams(one: float, other: float, seed: int, bound_s: float) -> None:
    fast, slow = sorted([one, other])
    assert how_many(fast, bound_s=bound_s, seed=seed) >= how_many(slow, bound_s=bound_s, seed=seed)


def test_what_was_found_is_run_on_until_its_p99_is_sure_or_the_time_is_up() -> None:
    best, tried = sustained(0.1, bound_s=0.5)
    assert best.sure is (len(best.latencies_s) >= 459)
    assert len(best.latencies_s) > len(next(p for p in tried if p.streams == best.streams).latencies_s)
    few, _ = sustained(0.4, bound_s=0.5)
    assert few.within
    assert not few.sure
    assert "99 % confidence takes 459" in few.words()


@pytest.mark.parametrize(
    ("clips", "late", "bound_s", "sure", "has_p99"),
    [
        (458, 0, None, False, False),
        (459, 0, 0.1, True, False),
        (560, 0, 0.1, True, False),
        (560, 1, 0.3, False, False),
        (662, 0, 0.1, True, True),
        (662, 1, 0.3, False, True),
        (838, 1, 0.1, True, True),
    ],
)
def test_sure_is_what_mlperfs_bound_of_p99_says(
    clips: int, late: int, bound_s: float | None, sure: bool, has_p99: bool
) -> None:
    point = Tried(
        streams=1, bound_s=0.2, latencies_s=[0.1] * (clips - late) + [0.3] * late, planned=clips, ended="",
        kept_up=True, late=late, lateness_s=[], busy_share=0.5,
    )  # fmt: skip
    assert (point.p99_bound_s, point.sure) == (bound_s, sure)
    assert ("p99_s" in point.figures()) is has_p99


def test_where_a_longer_run_fails_fewer_streams_are_tried() -> None:
    asked = []

    def ask(streams: int, seconds: float) -> dict[str, Any]:
        asked.append((streams, seconds > 8.0))
        slow = streams > 8 or (streams > 4 and seconds > 8.0)
        arrivals = stream_arrivals(streams, period_s=1.0, seconds=seconds, seed=0)
        return asdict(point_of(0.3 if slow else 0.01, arrivals, streams=streams, bound_s=0.2))

    best, _ = find_streams(ask, wanted=None, start=4, seconds=8.0, period_s=1.0, bound_s=0.2)
    assert best is not None
    assert best.streams in (3, 4)
    long_ones = [streams for streams, is_long in asked if is_long]
    assert long_ones == sorted(long_ones, reverse=True)


def disturbed(verdicts: dict[tuple[int, int], bool], *, start: int) -> tuple[Any, list[tuple[int, bool]]]:
    """A search on a machine that answers the n-th trial of a number as it is told, else as one that sustains 20."""
    times: Counter[int] = Counter()

    def ask(streams: int, seconds: float) -> dict[str, Any]:
        times[streams] += 1
        good = verdicts.get((streams, times[streams]), streams <= 20)
        arrivals = stream_arrivals(streams, period_s=1.0, seconds=seconds, seed=0)
        return asdict(point_of(0.001 if good else 1.0, arrivals, streams=streams, bound_s=0.2))

    best, tried = find_streams(ask, wanted=None, start=start, seconds=8.0, period_s=1.0, bound_s=0.2)
    return best, [(point.streams, point.within) for point in tried]


def test_fewer_streams_that_fail_after_more_passed_are_tried_once_more_and_no_number_thrice() -> None:
    lucky = {(n, 1): True for n in (30, 45, 52, 53)}
    best, tried = disturbed(lucky, start=30)
    assert best.streams <= 20
    counts = Counter(streams for streams, _ in tried)
    assert max(counts.values()) == 2
    below = [streams for streams, _ in tried if 20 < streams < 45 and (streams, 1) not in lucky]
    assert below
    assert {counts[streams] for streams in below} == {2}
    words = disturbed_words([(float(n), ok) for n, ok in tried], best.streams, "streams")
    assert words.startswith("not monotone: ")
    assert f"between {best.streams} and 52" in words or f"between {best.streams} and 45" in words


def test_a_number_that_passes_when_it_is_tried_again_is_taken() -> None:
    # Short trials pass up to 52; the long one of 52 fails rightly, and the first of 46 by a disturbance.
    answers = {(n, k): True for n in range(1, 53) for k in (1, 2)} | {(52, 2): False, (46, 1): False}
    best, tried = disturbed(answers, start=45)
    assert tried[-3:] == [(52, False), (46, False), (46, True)]
    assert best.streams == 46
    assert contradiction([(float(n), ok) for n, ok in tried]) is None


def test_trials_agree_where_all_that_pass_are_below_all_that_fail() -> None:
    assert contradiction([(4.0, True), (8.0, False), (6.0, True), (7.0, False)]) is None
    assert contradiction([(4.0, False), (2.0, True), (4.0, True)]) is None  # the second trial counts
    assert contradiction([(4.0, True), (8.0, True), (6.0, False), (3.0, False)]) == (3.0, 8.0)
    assert contradiction([]) is None
    assert disturbed_words([(4.0, True), (8.0, False)], 4, "streams") == ""


def test_only_a_failure_below_a_pass_is_retried_and_only_once() -> None:
    assert to_be_retried([(8.0, True), (6.0, False)])
    assert not to_be_retried([(8.0, True), (6.0, False), (6.0, False)])
    assert not to_be_retried([(8.0, True), (8.0, False), (6.0, False)])  # 8 itself fails by now
    assert not to_be_retried([(4.0, True), (6.0, False)])
    assert not to_be_retried([(8.0, True), (6.0, True)])


def test_a_search_that_ends_before_it_comes_to_one_stream_says_nothing_of_one() -> None:
    def ask(streams: int, seconds: float) -> dict[str, Any]:
        arrivals = stream_arrivals(streams, period_s=1.0, seconds=seconds, seed=0)
        good = streams <= 50 and seconds == 8.0  # no long trial passes
        return asdict(point_of(0.001 if good else 1.0, arrivals, streams=streams, bound_s=0.2))

    best, tried = find_streams(ask, wanted=None, start=50, seconds=8.0, period_s=1.0, bound_s=0.2)
    assert best is None
    assert tried[-1].streams > 1
    assert len(tried) <= MOST_SHORT + 1 + 2 * len(STEPS_DOWN)


def test_the_number_that_is_asked_for_is_the_only_one_tried() -> None:
    best, tried = sustained(0.1, bound_s=0.5, wanted=3)
    assert best.streams == 3
    assert {point.streams for point in tried} == {3}
    best, tried = sustained(0.5, bound_s=0.2, wanted=3)
    assert best is None
    assert [point.streams for point in tried] == [3]
    assert tried[0].figures()["within"] == 0.0


@given(st.integers(0, 300), st.integers(1, 300), st.integers(1, 300))
def test_the_highest_number_is_found_with_few_trials(limit: int, start: int, most: int) -> None:
    tried: list[int] = []

    def passes(number: int) -> bool:
        tried.append(number)
        return number <= limit

    assert highest_count(passes, start=start, most=most) == min(limit, most)
    assert len(tried) == len(set(tried)) <= 20


@given(st.floats(0.5, 1000.0), st.floats(0.5, 1000.0))
def test_the_highest_rate_is_found_within_the_tolerance(limit: float, start: float) -> None:
    found = highest_rate(lambda rate: rate <= limit, start=start, tolerance=0.05, most_trials=40)
    assert limit / 1.05 <= found <= limit


def test_no_rate_is_found_where_none_passes() -> None:
    assert highest_rate(lambda rate: False, start=10.0) == 0.0


# --- putting clips together -------------------------------------------------------------------------------------------


class _Recorder:
    """A runner that remembers what it was given."""

    def __init__(self) -> None:
        self.videos: list[Any] = []

    def stage(self, video: Any) -> Any:
        self.videos.append(video)
        return video

    def run(self, staged: Any) -> Any:
        return staged

    def synchronize(self) -> None:
        pass

    def fetch(self, pending: Any) -> Any:
        return pending


def test_a_batch_of_one_is_not_copied_and_indices_begin_anew() -> None:
    runner = _Recorder()
    videos = [np.full((1, 2), n, np.float32) for n in range(3)]
    server = ClipServer(runner, videos)  # type: ignore[arg-type]
    server.serve([4])
    assert runner.videos[0] is videos[1]


def test_clips_of_several_inputs_make_a_batch_and_the_last_one_fills_it() -> None:
    runner = _Recorder()
    videos = [np.arange(4, dtype=np.float32).reshape(4, 1) + 10 * n for n in range(2)]
    server = ClipServer(runner, videos)  # type: ignore[arg-type]
    assert (server.batch, server.clips) == (4, 8)
    server.serve([3, 6])
    assert runner.videos[0].ravel().tolist() == [3, 12, 12, 12]
