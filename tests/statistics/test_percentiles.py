"""Percentiles and medians: properties over any samples."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slrbench.statistics.percentiles import (
    MIN_SAMPLES,
    median_over_rounds,
    percentile,
    percentile_if_known,
    samples_missing,
)

times = st.floats(min_value=1e-7, max_value=1e3)
samples = st.lists(times, min_size=1, max_size=300)
shares = st.floats(min_value=0.001, max_value=1.0)


@given(samples, shares)
def test_a_percentile_is_a_sample_with_its_share_at_or_below_and_no_smaller_one_has_it(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert found in values
    needed = share * len(values) - 1e-6
    assert sum(v <= found for v in values) >= needed
    below = [v for v in values if v < found]
    if below:
        assert sum(v <= max(below) for v in values) < share * len(values) + 1e-6


@given(samples, shares, shares)
def test_percentiles_rise_with_the_share(values: list[float], a: float, b: float) -> None:
    assert percentile(values, min(a, b)) <= percentile(values, max(a, b))


@given(samples, st.randoms())
def test_percentiles_do_not_depend_on_the_order(values: list[float], random: Any) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    assert percentile(shuffled, 0.9) == percentile(values, 0.9)


def test_percentile_of_a_hundred_numbers_is_the_number_itself() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share / 100) for share in range(1, 101)] == values


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="is not in"):
        percentile([1.0], share)


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)


@pytest.mark.parametrize("share", list(MIN_SAMPLES))
def test_a_percentile_needs_the_samples_that_can_show_it(share: float) -> None:
    enough = [1.0] * MIN_SAMPLES[share]
    assert percentile_if_known(enough, share) == 1.0
    assert percentile_if_known(enough[1:], share) is None


@given(st.integers(0, 1000), st.sampled_from(list(MIN_SAMPLES)))
def test_what_is_missing_makes_a_percentile_known(count: int, share: float) -> None:
    missing = samples_missing(count, share)
    assert percentile_if_known([1.0] * (count + missing), share) == 1.0
    assert missing == 0 or percentile_if_known([1.0] * (count + missing - 1), share) is None


@given(st.integers(1, 9), st.integers(1, 20), st.data())
def test_the_median_over_rounds_has_a_quarter_of_equal_rounds_on_each_side(
    rounds: int, calls: int, data: st.DataObject
) -> None:
    values = data.draw(st.lists(times, min_size=rounds * calls, max_size=rounds * calls))
    found = median_over_rounds(values, [i // calls for i in range(len(values))])
    assert min(values) <= found <= max(values)
    assert sum(v <= found for v in values) >= len(values) / 4
    assert sum(v >= found for v in values) >= len(values) / 4


def test_a_disturbed_round_weighs_as_one_round() -> None:
    quiet, disturbed = [1.0] * 5, [9.0] * 500
    assert median_over_rounds([*quiet, *quiet, *disturbed], [0] * 5 + [1] * 5 + [2] * 500) == 1.0


def test_a_round_is_needed_for_every_sample() -> None:
    with pytest.raises(ValueError, match="zip"):
        median_over_rounds([1.0, 2.0], [0])
    with pytest.raises(ValueError, match="no samples"):
        median_over_rounds([], [])
