"""Intervals by bootstrap over rounds: what they cover, and how they behave when the unit or the sides change."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slrbench.records import Interval
from slrbench.statistics.bootstrap import (
    MIN_ROUNDS,
    draw_medians,
    draw_percentile,
    drawn_rounds,
    median_interval,
    ratio_interval,
    ratio_range,
    tail_share,
)
from slrbench.statistics.percentiles import median_over_rounds, percentile

CALLS = 5
round_medians = st.lists(st.floats(1e-4, 1.0), min_size=MIN_ROUNDS, max_size=15)
quick = settings(max_examples=40, deadline=None)


def rounds_of(count: int, calls: int = CALLS) -> list[int]:
    return [i // calls for i in range(count * calls)]


def spread_out(medians: list[float]) -> list[float]:
    """Samples whose medians of rounds are these."""
    return [m * f for m in medians for f in (0.9, 0.95, 1.0, 1.3, 2.0)]


def known(found: Interval | None) -> Interval:
    assert found is not None
    return found


def noisy(random: np.random.Generator, rounds: int, calls: int, sd: float) -> list[float]:
    """Times around 1 whose rounds differ by ``sd`` and whose calls by as much again."""
    of_round = np.repeat(random.lognormal(0.0, sd, rounds), calls)
    return list(of_round * random.lognormal(0.0, sd, rounds * calls))


@pytest.mark.parametrize("rounds", [6, 10, 20])
def test_the_interval_of_a_median_covers_the_truth_in_95_of_100_runs(rounds: int) -> None:
    random = np.random.default_rng(rounds)
    found = [
        known(median_interval(noisy(random, rounds, 7, 0.03), rounds_of(rounds, 7), resamples=800)) for _ in range(300)
    ]
    assert sum(i.low <= 1.0 <= i.high for i in found) >= 0.94 * 300


def test_the_interval_of_a_ratio_covers_the_truth_whatever_disturbs_both() -> None:
    random = np.random.default_rng(0)
    covered, widths = 0, []
    for _ in range(300):
        drift = np.repeat(random.lognormal(0.0, 0.5, 10), 7)  # halves and doubles from round to round
        a, b = (list(drift * noisy(random, 10, 7, 0.01)) for _ in range(2))
        ratio = known(ratio_interval([1.1 * t for t in a], rounds_of(10, 7), b, rounds_of(10, 7), resamples=800))
        covered += ratio.low <= 1.1 <= ratio.high
        widths.append(ratio.high - ratio.low)
    assert covered >= 0.94 * 300
    assert np.median(widths) < 0.05


def test_turns_that_are_paired_see_less_of_a_machine_that_changes_its_speed_within_a_round() -> None:
    random = np.random.default_rng(3)
    rounds, turns = rounds_of(10, 15), list(range(15)) * 10
    covered = 0
    widths: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(200):
        # The machine's speed wanders; in each turn both candidates make a call, one right after the other.
        machine = np.exp(np.cumsum(random.normal(0.0, 0.1, (150, 2)).ravel())).reshape(150, 2)
        machine = random.permuted(machine, axis=1)
        b, a = (list(of_one * random.lognormal(0.0, 0.01, 150)) for of_one in machine.T)
        for paired in widths:
            told = turns if paired else []
            ratio = known(ratio_interval([1.1 * t for t in a], rounds, b, rounds, a_turns=told, b_turns=told))
            widths[paired].append(math.log(ratio.high / ratio.low))
            covered += paired and ratio.low <= 1.1 <= ratio.high
    assert covered >= 0.94 * 200
    assert np.median(widths[True]) < 0.8 * np.median(widths[False])


def test_only_turns_of_both_are_paired_and_a_round_without_any_is_paired_as_a_whole() -> None:
    rounds, turns = rounds_of(6, 4), [0, 1, 2, 3] * 6
    a = [2.0, 2.0, 2.0, 50.0] * 6
    b = [1.0, 1.0, 1.0] * 6
    found = known(ratio_interval(a, rounds, b, rounds_of(6, 3), a_turns=turns, b_turns=[0, 1, 2] * 6))
    assert found.value == pytest.approx(2.0)
    assert found.high == pytest.approx(2.0)
    apart = known(ratio_interval(a, rounds, b, rounds_of(6, 3), a_turns=turns, b_turns=[7, 8, 9] * 6))
    assert apart == ratio_interval(a, rounds, b, rounds_of(6, 3))
    with pytest.raises(ValueError, match="shorter"):
        ratio_interval(a, rounds, b, rounds_of(6, 3), a_turns=turns[:-1], b_turns=[0, 1, 2] * 6)


def test_the_range_of_a_few_rounds_pairs_turns_too() -> None:
    rounds, turns = rounds_of(4, 4), [0, 1, 2, 3] * 4
    a = [2.0, 2.0, 2.0, 50.0] * 4
    b, b_rounds, b_turns = [1.0] * 12, rounds_of(4, 3), [0, 1, 2] * 4
    assert known(ratio_range(a, rounds, b, b_rounds, a_turns=turns, b_turns=b_turns)).high == pytest.approx(2.0)
    skewed = [2.0, 2.0, 50.0, 50.0] * 4
    assert known(ratio_range(skewed, rounds, b, b_rounds)).value == pytest.approx(26.0)


def test_processes_that_differ_widen_the_interval_towards_what_they_hide() -> None:
    random = np.random.default_rng(5)
    process_of = [min(r // 4, 2) for r in rounds_of(10)]
    covered = {True: 0, False: 0}
    for _ in range(300):
        of_process = random.lognormal(0.0, 0.03, 3)
        times = [t * of_process[p] for t, p in zip(noisy(random, 10, CALLS, 0.02), process_of, strict=True)]
        for told in covered:
            found = median_interval(times, rounds_of(10), process_of=process_of if told else (), resamples=400)
            covered[told] += known(found).low <= 1.0 <= known(found).high
    assert covered[True] >= 0.87 * 300
    assert covered[True] > covered[False] + 15


@pytest.mark.parametrize(("processes", "least"), [(3, 0.87), (5, 0.935)])
def test_an_interval_covers_what_processes_add_where_they_differ_more_than_rounds(processes: int, least: float) -> None:
    random = np.random.default_rng(processes)
    rounds, process_of = list(range(4 * processes)), [r // 4 for r in range(4 * processes)]

    def times() -> list[float]:
        return list(np.repeat(random.lognormal(0.0, 0.05, processes), 4) * random.lognormal(0.0, 0.01, len(rounds)))

    medians, ratios = [], []
    for _ in range(400):
        a, b = times(), times()
        medians.append(known(median_interval(a, rounds, process_of=process_of)))
        ratios.append(known(ratio_interval(a, rounds, b, rounds, a_processes=process_of, b_processes=process_of)))
    for found in (medians, ratios):
        assert sum(i.low <= 1.0 <= i.high for i in found) >= least * 400


def test_processes_that_do_not_differ_change_nothing() -> None:
    times = spread_out([1.0, 1.1, 1.2, 1.0, 1.1, 1.2, 1.0, 1.1, 1.2])
    processes = [r // 3 for r in rounds_of(9)]
    assert median_interval(times, rounds_of(9), process_of=processes) == median_interval(times, rounds_of(9))


@given(round_medians, st.floats(1e-3, 1e3))
@quick
def test_an_interval_scales_with_the_unit(medians: list[float], factor: float) -> None:
    times = spread_out(medians)
    found = known(median_interval(times, rounds_of(len(medians))))
    scaled = known(median_interval([factor * t for t in times], rounds_of(len(medians))))
    assert (scaled.value, scaled.low, scaled.high) == pytest.approx(
        (factor * found.value, factor * found.low, factor * found.high)
    )


@given(round_medians)
@quick
def test_an_interval_holds_its_figure_and_stays_among_the_rounds(medians: list[float]) -> None:
    found = known(median_interval(spread_out(medians), rounds_of(len(medians))))
    assert found.value == median_over_rounds(spread_out(medians), rounds_of(len(medians)))
    assert min(medians) * 0.999 <= found.low <= found.value <= found.high <= max(medians) * 1.001


@given(round_medians, st.floats(0.1, 10.0), st.randoms(use_true_random=False))
@quick
def test_the_ratio_the_other_way_round_is_its_inverse(medians: list[float], factor: float, random: Any) -> None:
    rounds = rounds_of(len(medians))
    a = spread_out(medians)
    b = [factor * t for t in spread_out([m * random.uniform(0.5, 2.0) for m in medians])]
    ab, ba = known(ratio_interval(a, rounds, b, rounds)), known(ratio_interval(b, rounds, a, rounds))
    assert (ab.value, ab.low, ab.high) == pytest.approx((1 / ba.value, 1 / ba.high, 1 / ba.low))


@given(round_medians, st.floats(1e-3, 1e3))
@quick
def test_a_ratio_does_not_depend_on_the_unit_and_is_exact_for_a_fixed_factor(
    medians: list[float], factor: float
) -> None:
    times, rounds = spread_out(medians), rounds_of(len(medians))
    found = known(ratio_interval([factor * t for t in times], rounds, times, rounds))
    assert (found.value, found.low, found.high) == pytest.approx((factor, factor, factor))


def test_only_rounds_that_both_have_are_paired() -> None:
    a, b = spread_out([1.0] * 8), spread_out([2.0] * 7)
    later = [r + 1 for r in rounds_of(7)]
    assert known(ratio_interval(a, rounds_of(8), b, later)).value == pytest.approx(0.5)
    assert ratio_interval(a, rounds_of(8), b, [r + 5 for r in rounds_of(7)]) is None


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_few_rounds_have_no_95_percent_interval(rounds: int) -> None:
    times = spread_out([1.0 + r for r in range(rounds)])
    assert median_interval(times, rounds_of(rounds)) is None
    assert ratio_interval(times, rounds_of(rounds), times, rounds_of(rounds)) is None


def test_few_rounds_have_a_range_that_says_how_little_it_promises() -> None:
    a, b = spread_out([1.0, 1.2, 1.1]), spread_out([1.0, 1.0, 1.0])
    found = known(ratio_range(a, rounds_of(3), b, rounds_of(3)))
    assert (found.value, found.low, found.high) == pytest.approx((1.32 ** (1 / 3), 1.0, 1.2))
    assert found.confidence == 0.75
    assert ratio_range(a, rounds_of(3), b, [r + 9 for r in rounds_of(3)]) is None


def test_draws_are_the_same_for_the_same_seed_and_go_together_over_candidates() -> None:
    times = spread_out([1.0, 1.2, 1.1, 1.3, 0.9, 1.4])
    first = draw_medians(times, rounds_of(6), seed=4)
    assert first.shape == (2000,)
    assert (first == draw_medians(times, rounds_of(6), seed=4)).all()
    assert (first != draw_medians(times, rounds_of(6), seed=5)).any()
    slower = draw_medians([3 * t for t in times], rounds_of(6), seed=4)
    assert slower == pytest.approx(3 * first)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (range(12), range(12), 1.0),
        (range(12), range(16), 12 / (12 * 16) ** 0.5),
        (range(12), range(4, 16), 8 / 12),
        (range(12), range(20, 32), 0.0),
    ],
)
def test_draws_of_two_rows_go_together_as_far_as_their_rounds_do(first: range, second: range, expected: float) -> None:
    random = np.random.default_rng(8)
    found = []
    for session in range(40):  # what all resamples have in common depends on the values, so over several sessions
        of_round = random.normal(0.0, 1.0, 40)
        means = [
            of_round[list(rounds)][drawn_rounds(tuple(rounds), 500, session)].mean(axis=1) for rounds in (first, second)
        ]
        found.append(np.corrcoef(means)[0, 1])
    assert np.mean(found) == pytest.approx(expected, abs=0.1)


def test_every_round_of_a_row_is_drawn_as_often_whatever_else_was_measured() -> None:
    drawn = drawn_rounds((3, 5, 8, 13, 21, 34), 4000, 0)
    assert drawn.shape == (4000, 6)
    assert np.bincount(drawn.ravel()) == pytest.approx(np.full(6, 4000), rel=0.05)
    assert (drawn == 0).sum(axis=1).var() == pytest.approx(5 / 6, rel=0.1)  # with replacement: binomial


@given(st.lists(st.integers(1, 30), min_size=2, max_size=8), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
@quick
def test_a_drawn_percentile_is_that_of_the_rounds_that_were_drawn(sizes: list[int], share: float) -> None:
    random = np.random.default_rng(len(sizes))
    of_round = [list(random.exponential(1.0, size)) for size in sizes]
    rounds = [r for r, size in enumerate(sizes) for _ in range(size)]
    found = draw_percentile([t for values in of_round for t in values], rounds, share, resamples=20)
    for drawn, value in zip(drawn_rounds(tuple(range(len(sizes))), 20, 0), found, strict=True):
        assert value == percentile([t for r in drawn for t in of_round[r]], share)


@given(st.integers(MIN_ROUNDS, 1000))
def test_fewer_units_leave_less_out(units: int) -> None:
    assert 0.0 < tail_share(units) < tail_share(units + 1) < 0.025


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        draw_medians([], [])
    with pytest.raises(ValueError, match="no samples"):
        draw_percentile([], [], 0.9)
    with pytest.raises(ValueError, match="1 rounds do not go with 2 samples"):
        draw_percentile([1.0, 2.0], [0], 0.9)
    with pytest.raises(ValueError, match="1 processes do not go with 2 samples"):
        draw_medians([1.0, 2.0], [0, 1], process_of=[0])
    with pytest.raises(ValueError, match="is not in"):
        draw_percentile([1.0], [0], 1.5)
