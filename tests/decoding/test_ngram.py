"""The n-gram model over glosses: probabilities that add up, counts by hand, and its file."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slrbench.decoding.beam import beam_search
from slrbench.decoding.ngram import NgramModel
from slrbench.errors import BadInputError

GLOSSES = ("A", "B", "C")
sequences = st.lists(st.lists(st.integers(1, 3), max_size=6), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(sequences, st.integers(1, 4), st.lists(st.integers(1, 3), max_size=4))
def test_what_follows_any_history_has_probabilities_above_zero_that_add_up_to_one(training, order, history):
    found = np.exp(NgramModel.train(training, glosses=GLOSSES, order=order).log_probs(tuple(history)))
    assert found.shape == (4,)
    assert found.min() > 0
    assert found.sum() == pytest.approx(1.0)


def test_a_bigram_by_hand():
    # Pairs: (start A) twice, (A B), (A A), (A end) and (B end) once.
    model = NgramModel.train([(1, 2), (1, 1)], glosses=("A", "B"), order=2)
    discount = 4 / (4 + 2 * 1)
    # Of single labels, the contexts they were seen in: A after start and A; B after A; the end after B and A.
    single_discount = 1 / (1 + 2 * 2)
    end, a, b = ((count - single_discount) / 5 + single_discount * 3 / 5 / 3 for count in (2, 2, 1))
    assert np.exp(model.log_probs(())) == pytest.approx(
        [discount / 2 * end, (2 - discount) / 2 + discount / 2 * a, discount / 2 * b]
    )
    assert np.exp(model.log_probs((2, 1))) == pytest.approx(
        [(1 - discount) / 3 + discount * end, (1 - discount) / 3 + discount * a, (1 - discount) / 3 + discount * b]
    )


def test_only_the_last_labels_count():
    model = NgramModel.train([(1, 2, 3), (3, 2, 1)], glosses=GLOSSES, order=3)
    np.testing.assert_array_equal(model.log_probs((1, 1, 2, 3)), model.log_probs((3, 2, 3)))
    assert (model.log_probs((1, 2)) != model.log_probs((3, 2))).any()


def test_a_history_that_was_never_seen_is_read_from_its_end():
    model = NgramModel.train([(1, 2), (1, 2)], glosses=GLOSSES, order=3)
    np.testing.assert_array_equal(model.log_probs((3, 1)), model.log_probs((2, 1)))


def test_perplexity_is_lower_where_the_order_of_glosses_was_trained_on():
    training = [(1, 2, 3)] * 5 + [(2, 3)] * 5
    model = NgramModel.train(training, glosses=GLOSSES, order=3)
    assert 1.0 < model.perplexity([(1, 2, 3)]) < 2.0 < model.perplexity([(3, 2, 1)])
    total = sum(model.log_probs((1,)[:i])[label] for i, label in enumerate((1, 0)))
    assert model.perplexity([(1,)]) == pytest.approx(math.exp(-total / 2))


def test_it_decides_between_readings_that_the_network_finds_alike():
    log_probs = np.log([[0.02, 0.96, 0.01, 0.01], [0.96, 0.02, 0.01, 0.01], [0.02, 0.02, 0.49, 0.47]])
    assert beam_search(log_probs, beam=8)[0].labels == (1, 2)
    model = NgramModel.train([(1, 3)] * 4 + [(2,)], glosses=GLOSSES, order=2)
    assert beam_search(log_probs, beam=8, language_model=model, lm_weight=0.5)[0].labels == (1, 3)


def test_a_file_gives_the_same_model_again(tmp_path):
    model = NgramModel.train([(1, 2, 2), (3,), ()], glosses=GLOSSES, order=3)
    model.write(tmp_path / "lm.json")
    again = NgramModel.read(tmp_path / "lm.json")
    assert (again.glosses, again.order) == (GLOSSES, 3)
    for history in itertools.product(range(1, 4), repeat=2):
        np.testing.assert_allclose(again.log_probs(history), model.log_probs(history))


def damaged(tmp_path, change):
    path = tmp_path / "lm.json"
    NgramModel.train([(1, 2)], glosses=GLOSSES, order=2).write(path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["orders"][1][0]["labels"].__setitem__(0, 9), "is damaged"),
        (lambda d: d["orders"][0][0]["counts"].__setitem__(0, 0), "is damaged"),
        (lambda d: d["orders"][1][0].update(context=[1, 1]), "is damaged"),
        (lambda d: d["orders"][1][0].update(context=[9]), "is damaged"),
        (lambda d: d["orders"].__setitem__(0, []), "shorter contexts are missing"),
        (lambda d: d.update(more=1), "not an n-gram model"),
        (lambda d: d.pop("glosses"), "not an n-gram model"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, change, message):
    with pytest.raises(BadInputError, match=message):
        NgramModel.read(damaged(tmp_path, change))


def test_what_is_no_file_or_no_json_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="cannot be read"):
        NgramModel.read(tmp_path / "none.json")
    (tmp_path / "lm.json").write_text("{")
    with pytest.raises(BadInputError, match="not an n-gram model"):
        NgramModel.read(tmp_path / "lm.json")


@pytest.mark.parametrize(
    ("training", "order", "message"),
    [([(1,)], 0, "order 0"), ([(1,)], 7, "order 7"), ([], 2, "no sequences"), ([(4,)], 2, "not all in 1..3")],
)
def test_what_cannot_be_trained_on_is_refused(training, order, message):
    with pytest.raises(BadInputError, match=message):
        NgramModel.train(training, glosses=GLOSSES, order=order)
    if not training:
        with pytest.raises(BadInputError, match="no sequences"):
            NgramModel.train([(1,)], glosses=GLOSSES, order=2).perplexity([])
