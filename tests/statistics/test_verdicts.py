"""Verdicts over ratios: fixed cases, properties, and how often they are right on noise as it is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slrbench.records import Interval
from slrbench.statistics.bootstrap import ratio_interval
from slrbench.statistics.verdicts import (
    MOST_ROUNDS,
    Verdict,
    rounds_to_resolve,
    session_state,
    threshold,
    verdict,
    verdicts,
    widened,
)


def ratio(low: float, value: float, high: float) -> Interval:
    return Interval(value=value, low=low, high=high)


def around(value: float, half: float = 0.01) -> Interval:
    return ratio(value * math.exp(-half), value, value * math.exp(half))


@pytest.mark.parametrize(
    ("low", "value", "high", "word"),
    [
        (0.90, 0.93, 0.97, "FASTER"),
        (0.90, 0.93, 0.985, "UNCLEAR"),
        (0.985, 1.0, 1.015, "SAME"),
        (0.985, 1.01, 1.03, "UNCLEAR"),
        (1.01, 1.05, 1.09, "UNCLEAR"),
        (1.03, 1.05, 1.07, "SLOWER"),
        (0.9, 1.0, 1.1, "UNCLEAR"),
    ],
)
def test_the_whole_interval_decides(low: float, value: float, high: float, word: str) -> None:
    found = verdict(ratio(low, value, high), 0.02, 10)
    assert found.word == word
    assert (found.more_rounds is not None) == (word == "UNCLEAR")


intervals = st.tuples(st.floats(0.5, 2.0), st.floats(0.0, 0.3), st.floats(0.0, 0.3)).map(
    lambda t: ratio(t[0] * math.exp(-t[1]), t[0], t[0] * math.exp(t[2]))
)


@given(intervals, st.floats(0.005, 0.2), st.integers(1, 20))
def test_the_inverse_of_a_ratio_has_the_opposite_verdict(r: Interval, limit: float, comparisons: int) -> None:
    opposite = {"FASTER": "SLOWER", "SLOWER": "FASTER"}
    there = verdict(r, limit, 10, comparisons=comparisons)
    back = verdict(ratio(1 / r.high, 1 / r.value, 1 / r.low), limit, 10, comparisons=comparisons)
    at_a_limit = any(abs(abs(math.log(end)) - math.log1p(limit)) < 1e-9 for end in (r.low, r.high))
    assert at_a_limit or back.word == opposite.get(there.word, there.word)


@given(intervals, st.integers(1, 40))
def test_more_comparisons_claim_no_more(r: Interval, comparisons: int) -> None:
    one, many = verdict(r, 0.02, 10), verdict(r, 0.02, 10, comparisons=comparisons)
    assert many.word in (one.word, "UNCLEAR")
    wide = widened(r, comparisons)
    assert wide.low <= r.low * (1 + 1e-9)
    assert wide.high >= r.high * (1 - 1e-9)
    assert wide.value == r.value


def test_many_candidates_are_held_to_more() -> None:
    edge = around(1.05, 0.025)
    assert verdict(edge, 0.02, 10).word == "SLOWER"
    assert [v.word for v in verdicts([edge] * 20, 0.02, [10] * 20)] == ["UNCLEAR"] * 20


def test_what_is_clear_makes_room_for_the_rest() -> None:
    """Holm: after nineteen clear ones the last is one of one; among as many that are the same it is one of twenty."""
    edge = around(1.05, 0.025)
    clear, same = [around(2.0)] * 19, [around(1.0)] * 19
    assert [v.word for v in verdicts([edge, *clear], 0.02, [10] * 20)] == ["SLOWER"] * 20
    assert verdicts([edge, *same], 0.02, [10] * 20)[0].word == "UNCLEAR"


def test_unclear_says_how_many_rounds_it_would_take() -> None:
    found = verdict(around(1.04, 0.04), 0.02, 10)
    half, distance = 0.04, math.log(1.04) - math.log(1.02)
    assert found == Verdict("UNCLEAR", math.ceil(10 * (half / distance) ** 2) - 10)
    assert verdict(around(1.02, 0.01), 0.02, 10) == Verdict("UNCLEAR", None)  # at the threshold no number tells


@given(intervals)
def test_the_rounds_that_it_would_take_are_few_enough_to_be_said(r: Interval) -> None:
    more = verdict(r, 0.02, 10).more_rounds
    assert more is None or 1 <= more <= MOST_ROUNDS


def test_too_few_rounds_are_unclear_and_need_the_rest_of_six() -> None:
    little = Interval(value=0.5, low=0.49, high=0.51, confidence=0.75)
    assert verdict(little, 0.02, 3) == Verdict("UNCLEAR", 3)


def test_the_threshold_is_what_two_copies_differ_by_where_that_is_more() -> None:
    assert threshold(None) == 0.02
    assert threshold(around(1.01)) == 0.02
    assert threshold(around(1.05)) == pytest.approx(0.05)
    assert threshold(around(1 / 1.05)) == pytest.approx(0.05)
    with pytest.raises(ValueError, match="threshold of 0"):
        threshold(None, 0.0)


@pytest.mark.parametrize(
    ("control", "state"),
    [
        (around(1.0), "good"),
        (around(1.03, 0.015), "good"),
        (around(1.03, 0.04), "coarse"),
        (around(1 / 1.03, 0.04), "coarse"),
        (around(1.0, 0.11), "unresolved"),
        (ratio(0.41, 1.0, 3.43), "unresolved"),
        (around(1.05, 0.01), "invalid"),
        (around(0.9, 0.01), "invalid"),
        (around(1.3, 0.2), "invalid"),
        (Interval(value=1.0, low=0.99, high=1.01, confidence=0.9375), "unknown"),
    ],
)
def test_a_session_is_as_good_as_two_copies_are_known_to_agree(control: Interval, state: str) -> None:
    assert session_state(control) == state


def test_more_rounds_resolve_what_they_can() -> None:
    assert rounds_to_resolve(around(1.0, 2 * math.log(1.1)), 10) in (40, 41)
    assert rounds_to_resolve(ratio(0.41, 1.0, 3.43), 10) is None


# --- on noise as it is ------------------------------------------------------------------------------------------------


def measured(seed: int, slower: float) -> Interval:
    """Two candidates over 10 rounds of 30 calls: drift over the run, disturbed rounds, spikes of single calls."""
    random = np.random.default_rng(seed)
    rounds = np.repeat(np.arange(10), 30)
    drift = 1.0 + 0.10 * np.sin(np.linspace(0.0, 3.0, 10) + seed) + 0.3 * (random.random(10) < 0.2)

    def times(factor: float) -> list[float]:
        of_round = drift * random.lognormal(0.0, 0.004, 10)
        calls = random.lognormal(0.0, 0.02, 300) + (random.random(300) < 0.03) * random.exponential(1.0, 300)
        return list(0.01 * factor * of_round[rounds] * calls)

    found = ratio_interval(times(1.0 + slower), rounds.tolist(), times(1.0), rounds.tolist())
    assert found is not None
    return found


def test_equal_candidates_are_the_same_in_19_of_20_runs_though_the_machine_drifts() -> None:
    words = [verdict(measured(seed, 0.0), 0.02, 10).word for seed in range(20)]
    assert words.count("SAME") >= 19
    assert set(words) <= {"SAME", "UNCLEAR"}


def test_5_percent_slower_is_slower_in_19_of_20_runs_though_the_machine_drifts() -> None:
    words = [verdict(measured(100 + seed, 0.05), 0.02, 10).word for seed in range(20)]
    assert words.count("SLOWER") >= 19
    assert set(words) <= {"SLOWER", "UNCLEAR"}


def test_equal_candidates_are_never_told_apart_among_many() -> None:
    for session in range(10):
        found = verdicts([measured(1000 + 20 * session + i, 0.0) for i in range(20)], 0.02, [10] * 20)
        assert {v.word for v in found} <= {"SAME", "UNCLEAR"}
