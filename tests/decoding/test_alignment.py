"""Where decoded labels lie, against all alignments."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slrbench.ctc import required_steps
from slrbench.decoding import Segment, align


def normalised(values):
    return values - np.logaddexp.reduce(values, axis=-1, keepdims=True)


def collapse(path):
    return tuple(label for label, _ in itertools.groupby(path) if label != 0)


def path_of(segments, labels, steps):
    """The alignment that the segments stand for."""
    path = [0] * steps
    for segment, label in zip(segments, labels, strict=True):
        path[segment.first_step : segment.last_step + 1] = [label] * (segment.last_step - segment.first_step + 1)
    return path


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.lists(st.integers(1, 3), min_size=1, max_size=6), st.integers(0, 2**20))
def test_it_is_the_most_probable_alignment_of_exactly_these_labels(steps, labels, seed):
    if required_steps(labels) > steps:
        with pytest.raises(ValueError, match="output steps, there are"):
            align(np.zeros((steps, 4)), labels)
        return
    log_probs = normalised(np.random.default_rng(seed).normal(scale=2, size=(steps, 4)))
    segments = align(log_probs, labels)
    path = path_of(segments, labels, steps)
    assert collapse(path) == tuple(labels)
    best = max(
        sum(log_probs[t, c] for t, c in enumerate(other))
        for other in itertools.product(range(4), repeat=steps)
        if collapse(other) == tuple(labels)
    )
    assert sum(log_probs[t, c] for t, c in enumerate(path)) == pytest.approx(best)
    for segment, label in zip(segments, labels, strict=True):
        shown = np.exp(log_probs[segment.first_step : segment.last_step + 1, label])
        assert segment.confidence == pytest.approx(shown.max())
        assert segment.peak_step == segment.first_step + int(shown.argmax())


def test_spikes_are_found_where_they_are():
    log_probs = np.log(np.where(np.eye(3)[[0, 1, 1, 0, 2, 0, 0, 2]] == 1, 0.8, 0.1))
    log_probs[2, 1] = np.log(0.95)
    assert align(log_probs, (1, 2, 2)) == (
        Segment(first_step=1, last_step=2, confidence=pytest.approx(0.95), peak_step=2),
        Segment(first_step=4, last_step=4, confidence=pytest.approx(0.8), peak_step=4),
        Segment(first_step=7, last_step=7, confidence=pytest.approx(0.8), peak_step=7),
    )


def test_labels_that_the_output_does_not_show_have_little_confidence():
    log_probs = np.log(np.where(np.eye(3)[[1, 0, 0, 0]] == 1, 0.98, 0.01))
    first, second = align(log_probs, (1, 2))
    assert first.confidence == pytest.approx(0.98)
    assert second.confidence == pytest.approx(0.01)


def test_nothing_decoded_lies_nowhere():
    assert align(np.zeros((3, 4)), ()) == ()


def test_a_single_step_holds_a_single_label():
    assert align(np.log([[0.3, 0.7]]), (1,))[0].first_step == 0


@pytest.mark.parametrize(
    ("log_probs", "labels", "message"),
    [
        (np.zeros((2, 1, 3)), (1,), r"must be \(T, C\)"),
        (np.full((2, 3), np.nan), (1,), "without NaN"),
        (np.zeros((2, 3)), (3,), r"labels \[3\] are not in 1..2"),
        (np.zeros((2, 3)), (0,), r"labels \[0\]"),
        (np.zeros((2, 3)), (1, 1), "2 labels need 3 output steps, there are 2"),
        (np.array([[0.0, -np.inf], [0.0, -np.inf]]), (1,), "impossible"),
    ],
)
def test_what_cannot_be_aligned_is_refused(log_probs, labels, message):
    with pytest.raises(ValueError, match=message):
        align(log_probs, labels)
