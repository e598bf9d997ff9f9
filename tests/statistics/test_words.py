"""Word error rates with intervals over clips."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slrbench.statistics.words import MIN_CLIPS, agreement, draw_wer, wer_difference, wer_interval

clips = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 8)), min_size=MIN_CLIPS, max_size=60)
quick = settings(max_examples=40, deadline=None)


def test_the_interval_covers_the_truth_in_about_95_of_100_test_sets() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        words = random.integers(3, 9, 120)
        hard = random.random(120) < 0.3  # errors come together in hard clips: 40 % of their words
        errors = random.binomial(words, np.where(hard, 0.4, 0.0))
        found = wer_interval(list(errors), list(words), resamples=400)
        assert found is not None
        covered += found.low <= 0.3 * 0.4 <= found.high
    assert covered >= 0.9 * 200


@given(clips)
@quick
def test_an_interval_holds_its_rate_and_no_negative_one(found: list[tuple[int, int, int]]) -> None:
    errors, _, words = map(list, zip(*found, strict=True))
    interval = wer_interval(errors, words)
    assert interval is not None
    assert interval.value == pytest.approx(sum(errors) / sum(words))
    assert 0.0 <= interval.low <= interval.value <= interval.high


@given(clips)
@quick
def test_the_difference_the_other_way_round_has_the_other_sign(found: list[tuple[int, int, int]]) -> None:
    a, b, words = map(list, zip(*found, strict=True))
    there, back = wer_difference(a, b, words), wer_difference(b, a, words)
    assert there is not None
    assert back is not None
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


def test_a_paired_difference_is_known_better_than_the_rates() -> None:
    random = np.random.default_rng(2)
    words = [6] * 100
    base = [int(n) for n in random.binomial(6, 0.3, 100)]
    worse = [n + (i % 20 == 0) for i, n in enumerate(base)]
    rate, difference = wer_interval(base, words), wer_difference(worse, base, words)
    assert rate is not None
    assert difference is not None
    assert difference.value == pytest.approx(5 / 600)
    assert difference.high - difference.low < (rate.high - rate.low) / 2


def test_no_error_seen_is_no_proof_of_none() -> None:
    few, many = wer_interval([0] * 20, [5] * 20), wer_interval([0] * 2000, [5] * 2000)
    assert few is not None
    assert many is not None
    assert (few.value, few.low) == (0.0, 0.0)
    assert 0.02 < few.high < 0.05
    assert many.high < 0.001
    alike = wer_difference([1] * 20, [1] * 20, [5] * 20)
    assert alike is not None
    assert (alike.low, alike.value, alike.high) == (-few.high, 0.0, few.high)


def test_few_clips_have_no_interval() -> None:
    assert wer_interval([1] * 5, [4] * 5) is None
    assert wer_difference([1] * 5, [1] * 5, [4] * 5) is None


def test_draws_of_two_files_are_of_the_same_clips() -> None:
    errors, words = [0, 1, 2, 3, 0, 1], [4, 5, 6, 3, 4, 5]
    assert draw_wer([2 * e for e in errors], words) == pytest.approx(2 * draw_wer(errors, words))
    assert draw_wer(errors, words, resamples=7).shape == (7,)


def test_agreement_is_the_share_of_equal_sequences() -> None:
    assert agreement([("A", "B"), (), ("C",)], [["A", "B"], [], ["D"]]) == pytest.approx(2 / 3)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match="errors of 2 clips"):
        wer_interval([1, 2], [3])
    with pytest.raises(ValueError, match="no reference words"):
        wer_interval([1] * 6, [0] * 6)
    with pytest.raises(ValueError, match="no clips"):
        draw_wer([], [])
    with pytest.raises(ValueError, match="no clips"):
        agreement([], [])
