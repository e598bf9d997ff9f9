"""CTC arithmetic against brute force, and every mark of a wrong output."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from exporters import comparison
from slrbench import ctc
from slrbench.models import spec
from slrbench.records import CheckResult


def log_softmax(logits, axis=-1):
    return logits - ctc.log_sum_exp(logits, axis=axis)[(slice(None),) * (axis % logits.ndim) + (None,)]


def random_logits(shape=(8, 2, 27), seed=0):
    return np.random.default_rng(seed).normal(size=shape) * 3


def collapse_by_hand(path):
    """The definition, letter by letter: drop each label that equals the one before it, then the blanks."""
    kept = [label for i, label in enumerate(path) if i == 0 or label != path[i - 1]]
    return tuple(label for label in kept if label != 0)


def one_hot(paths, classes):
    """Log-probabilities (T', B, C) whose best path of clip b is paths[b]."""
    values = np.full((len(paths[0]), len(paths), classes), -9.0)
    for clip, path in enumerate(paths):
        values[np.arange(len(path)), clip, list(path)] = -0.1
    return values


@given(st.integers(2, 5).flatmap(lambda c: st.tuples(st.just(c), st.lists(st.integers(0, c - 1), max_size=12))))
def test_greedy_decode_is_the_brute_force_collapse(case):
    classes, path = case
    assert ctc.greedy_decode(one_hot([path], classes)) == [collapse_by_hand(path)]


@given(arrays(np.float64, (9, 3, 4), elements=st.floats(-20, 0)), st.lists(st.integers(0, 9), min_size=3, max_size=3))
def test_greedy_decode_looks_at_the_valid_steps_only(values, lengths):
    expected = [collapse_by_hand(values[:n, clip].argmax(-1)) for clip, n in enumerate(lengths)]
    assert ctc.greedy_decode(values, lengths) == expected


def test_greedy_decode_keeps_a_repeat_that_a_blank_parts():
    assert ctc.greedy_decode(one_hot([[1, 1, 0, 1, 2, 2]], 3)) == [(1, 1, 2)]


@pytest.mark.parametrize("lengths", [[1], [1, 7], [-1, 2]])
def test_greedy_decode_refuses_lengths_that_do_not_fit(lengths):
    with pytest.raises(ValueError, match="do not fit 2 clips of 6 output steps"):
        ctc.greedy_decode(np.zeros((6, 2, 3)), lengths)


def test_greedy_decode_of_no_valid_step_is_empty():
    assert ctc.greedy_decode(one_hot([[1, 2], [2, 1]], 3), [0, 2]) == [(), (2, 1)]


def test_greedy_decode_refuses_another_rank():
    with pytest.raises(ValueError, match=r"\(T', B, C\)"):
        ctc.greedy_decode(np.zeros((6, 3)))


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_output_length_counts_windows(stride):
    for frames in range(1, 201):
        assert ctc.output_length(frames, stride) == len(range(0, frames, stride))
    assert ctc.output_length(0, stride) == 0


@pytest.mark.parametrize(("frames", "stride"), [(-1, 4), (4, 0)])
def test_output_length_refuses_what_is_no_length(frames, stride):
    with pytest.raises(ValueError, match="at least"):
        ctc.output_length(frames, stride)


def test_required_steps_is_the_shortest_path_that_collapses_to_the_labels():
    shortest = {}
    for steps in range(6):
        for path in product(range(3), repeat=steps):
            shortest.setdefault(collapse_by_hand(path), steps)
    assert len(shortest) == 25
    for labels, steps in shortest.items():
        assert ctc.required_steps(labels) == steps


def test_feasible_just_where_a_path_exists():
    for steps in range(1, 6):
        reachable = {collapse_by_hand(path) for path in product(range(3), repeat=steps)}
        for length in range(7):
            for labels in product((1, 2), repeat=length):
                for frames in (4 * steps - 3, 4 * steps):
                    assert ctc.is_feasible(labels, frames) == (labels in reachable)


def test_the_blank_is_the_same_everywhere():
    assert ctc.BLANK == spec.BLANK == comparison.BLANK


@given(arrays(np.float64, (5, 4), elements=st.floats(-1e3, 1e3)))
def test_log_sum_exp_agrees_with_logaddexp(values):
    np.testing.assert_allclose(ctc.log_sum_exp(values), np.logaddexp.reduce(values, axis=-1), atol=1e-9)


def test_log_sum_exp_of_infinities():
    values = np.array([[-np.inf, -np.inf], [np.inf, 0.0], [np.nan, 0.0], [-np.inf, 1.0]])
    np.testing.assert_array_equal(ctc.log_sum_exp(values), [-np.inf, np.inf, np.nan, 1.0])


def checks(values, expected=(8, 2, 27)):
    found = ctc.check_log_probs(values, expected_shape=expected)
    assert [c.name for c in found] == [
        "Output Shape Check",
        "All values negative (log probs)",
        "Properly normalized",
        "No NaN or Inf",
    ]
    return found


def failed(results):
    return [c.name for c in results if not c.passed]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_probabilities_pass(dtype):
    results = checks(log_softmax(random_logits()).astype(dtype))
    assert failed(results) == []
    assert results[0].figure == "(8, 2, 27)"
    assert results[3].figure == "0 NaN, 0 Inf of 432 values"
    assert all(c.hint is None for c in results)


def test_a_certain_step_passes_though_it_is_zero():
    values = np.full((8, 2, 27), -200.0, dtype=np.float32)
    values[..., 0] = 0.0
    assert failed(checks(values)) == []


def test_logits_are_named():
    results = checks(random_logits())
    assert failed(results) == ["All values negative (log probs)", "Properly normalized"]
    words = "outputs are logits: log_softmax is missing; checkpoints trained this way must be retrained"
    assert {c.hint for c in results[1:3]} == {words}


def test_logits_that_happen_to_be_negative_are_named():
    results = checks(random_logits() - 50)
    assert failed(results) == ["Properly normalized"]
    assert "log_softmax is missing" in results[2].hint


def rounded(values, bits):
    """To a number of significant bits: 11 in float16, 8 in bfloat16."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2**bits) / 2**bits, exponent)


@pytest.mark.parametrize("bits", [11, 8])
def test_half_precision_is_no_missing_log_softmax(bits):
    values = rounded(log_softmax(random_logits()), bits)
    if bits == 11:
        np.testing.assert_array_equal(values, values.astype(np.float16))
    results = checks(values)
    assert failed(results) == ["Properly normalized"]
    assert results[2].hint == ("log-probabilities are rounded (computed in half precision?): keep log_softmax in fp32")


@pytest.mark.parametrize("shift", [0.06, -0.06])
def test_what_is_further_off_than_rounding_is_logits(shift):
    values = log_softmax(random_logits()) + shift
    assert "log_softmax is missing" in checks(values)[2].hint


def test_a_positive_value_is_no_rounding():
    values = np.full((8, 2, 27), -200.0)
    values[..., 0] = 0.01  # |logsumexp| is as small as that of bfloat16
    assert "log_softmax is missing" in checks(values)[2].hint


def test_probabilities_are_named():
    results = checks(np.exp(log_softmax(random_logits())))
    assert failed(results) == ["All values negative (log probs)", "Properly normalized"]
    words = "outputs are probabilities: take the logarithm (log_softmax instead of softmax)"
    assert {c.hint for c in results[1:3]} == {words}


@pytest.mark.parametrize("axis", [0, 1])
def test_the_wrong_softmax_axis_is_named(axis):
    results = checks(log_softmax(random_logits(), axis=axis))
    assert failed(results) == ["Properly normalized"]
    assert f"axis {axis}" in results[2].hint


@pytest.mark.parametrize(("bad", "figure"), [(np.nan, "1 NaN, 0 Inf"), (-np.inf, "0 NaN, 1 Inf")])
def test_non_finite_values_are_counted(bad, figure):
    values = log_softmax(random_logits())
    values[3, 1, 5] = bad
    results = checks(values)
    assert "No NaN or Inf" in failed(results)
    assert results[3].figure.startswith(figure)


def test_swapped_axes_are_named():
    results = checks(np.swapaxes(log_softmax(random_logits()), 0, 1))
    assert failed(results) == ["Output Shape Check"]
    assert "transpose" in results[0].hint


@pytest.mark.parametrize("shape", [(7, 2, 27), (8, 2, 26), (8, 27), (8, 2, 27, 1)])
def test_another_shape_fails(shape):
    results = checks(log_softmax(random_logits(shape)))
    assert "Output Shape Check" in failed(results)
    assert results[0].figure == str(shape)
    assert "(8, 2, 27)" in results[0].hint


def test_a_free_size_fits_anything_but_none():
    assert failed(checks(log_softmax(random_logits()), (None, 2, None))) == []
    assert failed(checks(np.zeros((0, 2, 27)), (None, 2, 27))) == [c.name for c in checks(np.zeros((0, 2, 27)))]


@given(arrays(np.float32, (3, 2, 5), elements=st.floats(-30, 30, width=32)))
def test_every_log_softmax_passes(logits):
    assert failed(checks(log_softmax(logits).astype(np.float32), (3, 2, 5))) == []


def test_the_first_failure_stands_for_all():
    def result(name, passed, figure):
        return CheckResult(name=name, passed=passed, figure=figure)

    merged = ctc.merge_checks(
        [
            [result("a", True, "1"), result("b", True, "2")],
            [result("a", True, "3"), result("b", False, "4")],
            [result("a", True, "5"), result("b", False, "6")],
        ]
    )
    assert merged == (result("a", True, "1"), result("b", False, "4"))
