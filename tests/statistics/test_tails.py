"""MLPerf's upper bound of a percentile, against its published minima and binomials summed term by term."""

import math
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slrbench.statistics.percentiles import MIN_SAMPLES, percentile
from slrbench.statistics.tails import allowed_above, samples_needed, upper_bound


def at_most(t: int, n: int, share: float) -> Fraction:
    """P(Binomial(n, 1 - share) <= t), exactly."""
    p = Fraction(share).limit_denominator(10_000)
    return sum((math.comb(n, k) * p ** (n - k) * (1 - p) ** k for k in range(t + 1)), Fraction(0))


@pytest.mark.parametrize(
    ("share", "needed"),
    [(0.9, (44, 64, 81)), (0.95, (90, 130, 165)), (0.99, (459, 662, 838)), (0.999, (4603, 6636))],
)
def test_the_fewest_samples_are_those_of_early_stopping(share: float, needed: tuple[int, ...]) -> None:
    assert tuple(samples_needed(share, allowed=t) for t in range(len(needed))) == needed


def test_the_minima_of_percentiles_are_those_of_the_bound() -> None:
    assert {share: samples_needed(share) for share in MIN_SAMPLES} == MIN_SAMPLES


@given(st.integers(1, 400), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_as_many_may_lie_above_as_a_binomial_summed_term_by_term_allows(n: int, share: float) -> None:
    allowed = allowed_above(n, share)
    limit = Fraction(1, 100)
    assert allowed == -1 or at_most(allowed, n, share) <= limit
    assert at_most(allowed + 1, n, share) > limit


@pytest.mark.parametrize("share", list(MIN_SAMPLES))
def test_there_is_a_bound_from_the_minimum_on_and_it_is_the_highest_sample_at_first(share: float) -> None:
    values = [float(n) for n in range(MIN_SAMPLES[share])]
    assert upper_bound(values, share) == values[-1]
    assert upper_bound(values[1:], share) is None
    more = [float(n) for n in range(samples_needed(share, allowed=3))]
    assert upper_bound(more, share) == more[-3]


@given(st.integers(64, 2000), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_bound_is_a_sample_and_never_below_the_percentile(n: int, random: Random) -> None:
    values = [random.expovariate(1.0) for _ in range(n)]
    bound = upper_bound(values, 0.9)
    assert bound in values
    assert bound >= percentile(values, 0.9)


def test_the_bound_holds_in_99_of_100_runs() -> None:
    random = Random(3)
    true_p90 = -math.log(0.1)
    held = sum((upper_bound([random.expovariate(1.0) for _ in range(200)], 0.9) or 0.0) >= true_p90 for _ in range(500))
    assert held >= 490


def test_many_samples_overflow_nothing() -> None:
    assert 900 < allowed_above(100_000, 0.99) < 1000


@pytest.mark.parametrize(("share", "confidence"), [(0.0, 0.99), (1.0, 0.99), (0.9, 1.0)])
def test_shares_out_of_range_are_refused(share: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="is not in"):
        upper_bound([1.0], share, confidence)
