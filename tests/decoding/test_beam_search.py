"""Prefix beam search against all alignments, and against a plain dictionary search of the same beam."""

import itertools
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slrbench.ctc import greedy_decode
from slrbench.decoding import beam_search

INF = math.inf


def collapse(path):
    """Labels of an alignment: repeats collapsed, blanks dropped."""
    return tuple(label for label, _ in itertools.groupby(path) if label != 0)


@cache
def alignments(steps, classes):
    """Every alignment ``(N, T)``, the label sequences there are, and which of them each alignment is of ``(N,)``."""
    paths = np.array(list(itertools.product(range(classes), repeat=steps)), dtype=np.intp).reshape(
        classes**steps, steps
    )
    labels = [collapse(path) for path in paths.tolist()]
    found = sorted(set(labels))
    index = {sequence: i for i, sequence in enumerate(found)}
    return paths, found, np.array([index[sequence] for sequence in labels])


def brute_force(log_probs):
    """Probability of every label sequence, by adding up all its alignments."""
    steps, classes = log_probs.shape
    paths, sequences, of = alignments(steps, classes)
    each = np.exp(log_probs[np.arange(steps), paths].sum(axis=1))
    return dict(zip(sequences, np.bincount(of, weights=each, minlength=len(sequences)), strict=True))


def normalised(values):
    values = np.asarray(values, dtype=np.float64)
    return values - np.logaddexp.reduce(values, axis=-1, keepdims=True)


def noise(seed, steps, classes, scale=2.0):
    return normalised(np.random.default_rng(seed).normal(scale=scale, size=(steps, classes)))


def assert_equals_brute_force(log_probs):
    expected = {labels: p for labels, p in brute_force(log_probs).items() if p > 0}
    found = beam_search(log_probs, beam=None, nbest=10**6)
    assert {h.labels for h in found} == set(expected)
    for hypothesis in found:
        assert hypothesis.log_prob == pytest.approx(math.log(expected[hypothesis.labels]), abs=1e-9)
        assert hypothesis.score == hypothesis.log_prob
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert sum(math.exp(h.log_prob) for h in found) == pytest.approx(1.0)


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4, 5, 6])
def test_an_unlimited_beam_gives_every_sequence_its_exact_probability(steps, classes):
    for seed in range(5):
        assert_equals_brute_force(noise(seed, steps, classes))


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6])
def test_every_sequence_that_a_clip_of_four_classes_can_show_is_found_first_where_it_is_the_most_probable(steps):
    # Sharp outputs along one alignment of each sequence, so that the sequence is the best one: all of them, one by one.
    paths, sequences, of = alignments(steps, 4)
    for i, labels in enumerate(sequences):
        path = paths[int(np.flatnonzero(of == i)[0])]
        log_probs = np.log(np.where(np.eye(4)[path] == 1, 0.94, 0.02))
        best = beam_search(log_probs, beam=16)[0]
        chances = brute_force(log_probs)
        assert best.labels == labels == max(chances, key=chances.__getitem__)
        assert best.log_prob == pytest.approx(math.log(chances[labels]), abs=2e-3)


def impossible_too(steps, classes):
    """Log-probabilities of which some are -inf, at least one of each step finite."""
    elements = st.one_of(st.just(-INF), st.floats(-6, 0))
    arrays = hnp.arrays(np.float64, (steps, classes), elements=elements)
    return arrays.filter(lambda a: bool(np.isfinite(a).any(axis=1).all())).map(normalised)


outputs = st.tuples(st.integers(1, 6), st.integers(2, 4)).flatmap(lambda shape: impossible_too(*shape))


@settings(max_examples=150, deadline=None)
@given(outputs)
def test_sums_are_exact_where_some_classes_are_impossible(log_probs):
    assert_equals_brute_force(log_probs)


@settings(max_examples=150, deadline=None)
@given(outputs, st.integers(1, 12), st.integers(1, 12))
def test_with_a_limited_beam_no_probability_is_too_high_and_all_together_are_at_most_one(log_probs, beam, nbest):
    chances = brute_force(log_probs)
    found = beam_search(log_probs, beam=beam, nbest=nbest)
    assert 1 <= len(found) <= min(beam, nbest)
    assert len({h.labels for h in found}) == len(found)
    for hypothesis in found:
        assert math.exp(hypothesis.log_prob) <= chances[hypothesis.labels] * (1 + 1e-9)
    assert sum(math.exp(h.log_prob) for h in found) <= 1 + 1e-9


def plain_search(log_probs, beam, bonus=lambda prefix: 0.0, prune=INF):
    """Prefix beam search as the textbooks have it: a dictionary, every label tried for every prefix."""
    kept = {(): (0.0, -INF)}
    for step in log_probs:
        following = {}

        def add(prefix, blank, label, following=following):
            b, n = following.get(prefix, (-INF, -INF))
            following[prefix] = (np.logaddexp(b, blank), np.logaddexp(n, label))

        for prefix, (blank, label) in kept.items():
            both = np.logaddexp(blank, label)
            add(prefix, both + step[0], label + step[prefix[-1]] if prefix else -INF)
            for c in range(1, len(step)):
                if step[c] >= step.max() - prune:
                    again = prefix and prefix[-1] == c
                    add((*prefix, c), -INF, (blank if again else both) + step[c])
        ranked = sorted(following, key=lambda p: -(np.logaddexp(*following[p]) + bonus(p)))
        kept = {prefix: following[prefix] for prefix in ranked[:beam]}
    return [(prefix, float(np.logaddexp(*values))) for prefix, values in kept.items()]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("beam", "classes", "scale"), [(1, 9, 2), (2, 5, 1), (3, 30, 3), (8, 30, 2), (10, 6, 0.5)])
def test_a_limited_beam_keeps_what_a_plain_search_keeps(seed, beam, classes, scale):
    log_probs = noise(seed, 12, classes, scale)
    found = beam_search(log_probs, beam=beam, nbest=beam)
    expected = plain_search(log_probs, beam)
    assert [h.labels for h in found] == [labels for labels, _ in expected]
    np.testing.assert_allclose([h.log_prob for h in found], [p for _, p in expected], atol=1e-9)


class Pairs:
    """A language model of pairs: the next label's probabilities depend on the last one; index 0 is the end."""

    def __init__(self, classes, seed=0):
        self.table = noise(seed, classes, classes)

    def log_probs(self, history):
        return self.table[history[-1] if history else 0]


@pytest.mark.parametrize("seed", range(4))
def test_a_language_model_and_a_bonus_rank_and_leave_the_networks_probability_alone(seed):
    log_probs, model = noise(seed, 5, 4), Pairs(4, seed)
    chances = brute_force(log_probs)
    found = beam_search(log_probs, beam=None, nbest=10**6, language_model=model, lm_weight=0.7, insertion_bonus=0.3)
    assert len(found) == len(chances)
    for h in found:
        assert h.log_prob == pytest.approx(math.log(chances[h.labels]), abs=1e-9)
        history = [h.labels[:i] for i in range(len(h.labels) + 1)]
        prior = sum(model.log_probs(before)[after] for before, after in zip(history, (*h.labels, 0), strict=True))
        assert h.score == pytest.approx(h.log_prob + 0.7 * prior + 0.3 * len(h.labels), abs=1e-9)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


@pytest.mark.parametrize("seed", range(6))
def test_a_language_model_steers_a_limited_beam_as_it_does_a_plain_search(seed):
    log_probs, model = noise(seed, 10, 12), Pairs(12, seed)

    def bonus(prefix):
        pairs = zip((prefix[:i] for i in range(len(prefix))), prefix, strict=True)
        return sum(0.5 * model.log_probs(before)[after] + 0.2 for before, after in pairs)

    found = beam_search(log_probs, beam=6, nbest=6, language_model=model, lm_weight=0.5, insertion_bonus=0.2)
    expected = plain_search(log_probs, 6, bonus)
    assert {h.labels for h in found} == {labels for labels, _ in expected}
    # The end is weighed too, so the order may differ from the one in which the beam was kept.
    best = max(expected, key=lambda e: e[1] + bonus(e[0]) + 0.5 * model.log_probs(e[0])[0])
    assert found[0].labels == best[0]


def test_a_language_model_of_weight_zero_changes_nothing():
    log_probs = noise(3, 8, 6)
    with_model = beam_search(log_probs, beam=5, nbest=5, language_model=Pairs(6), lm_weight=0.0)
    assert with_model == beam_search(log_probs, beam=5, nbest=5)


@pytest.mark.parametrize("seed", range(6))
def test_pruning_leaves_out_labels_far_below_the_best_class_of_a_step(seed):
    log_probs = noise(seed, 10, 8, scale=3)
    found = beam_search(log_probs, beam=6, nbest=6, prune=2.0)
    assert [h.labels for h in found] == [labels for labels, _ in plain_search(log_probs, 6, prune=2.0)]
    assert beam_search(log_probs, beam=6, nbest=6, prune=1e9) == beam_search(log_probs, beam=6, nbest=6)


CLEAR = math.sqrt(0.5)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(CLEAR + 1e-6, 1.0)), min_size=1, max_size=12), st.data())
def test_a_beam_of_one_reads_what_greedy_reads_where_each_step_gives_one_class_over_71_percent(steps, data):
    rest = hnp.arrays(np.float64, (len(steps), 4), elements=st.floats(0.01, 1))
    probs = data.draw(rest)
    for row, (best, chance) in zip(probs, steps, strict=True):
        row[best] = 0
        row *= (1 - chance) / row.sum()
        row[best] = chance
    with np.errstate(divide="ignore"):
        log_probs = np.log(probs)
    assert beam_search(log_probs, beam=1)[0].labels == greedy_decode(log_probs[:, None])[0]


def test_a_beam_of_one_is_not_greedy_where_blank_and_repeat_together_beat_the_best_class():
    log_probs = np.log([[0.05, 0.90, 0.05], [0.30, 0.30, 0.40]])
    assert greedy_decode(log_probs[:, None])[0] == (1, 2)
    assert beam_search(log_probs, beam=1)[0].labels == (1,)
    assert max(brute_force(log_probs).items(), key=lambda e: e[1])[0] == (1,)


def test_the_most_probable_sequence_need_not_be_the_best_alignments():
    log_probs = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert greedy_decode(log_probs[:, None])[0] == ()  # 0.36, against 0.16 + 2 * 0.24
    assert beam_search(log_probs, beam=2)[0].labels == (1,)
    assert beam_search(log_probs, beam=2)[0].log_prob == pytest.approx(math.log(0.64))
    assert beam_search(log_probs, beam=1)[0].labels == ()


def test_a_repeated_label_takes_a_blank_between():
    sharp = np.log(np.where(np.eye(3)[[1, 1, 0, 1, 2]] == 1, 0.9, 0.05))
    assert beam_search(sharp, beam=4)[0].labels == (1, 1, 2)


def test_no_steps_show_nothing_for_certain():
    (only,) = beam_search(np.empty((0, 5)), beam=3, nbest=3)
    assert (only.labels, only.log_prob) == ((), 0.0)


@pytest.mark.parametrize(
    ("log_probs", "options", "message"),
    [
        (np.zeros((2, 1, 3)), {}, r"must be \(T, C\)"),
        (np.array([[0.0, np.nan]]), {}, "1 of 2 log-probabilities are NaN"),
        (np.array([[0.0, -1.0], [-INF, -INF]]), {}, "all -inf"),
        (np.array([[0.0, INF]]), {}, r"\+inf"),
        (np.zeros((2, 3)), {"beam": 0}, "at least 1"),
        (np.zeros((2, 3)), {"nbest": 0}, "at least 1"),
        (np.zeros((2, 3)), {"prune": 0.0}, "above 0"),
    ],
)
def test_what_cannot_be_searched_is_refused(log_probs, options, message):
    with pytest.raises(ValueError, match=message):
        beam_search(log_probs, **{"beam": 3, **options})
