"""The decoder by its name on the command line."""

import numpy as np
import pytest

from slrbench.ctc import greedy_decode
from slrbench.decoding import Decoder, NgramModel, beam_search, parse_decoder
from slrbench.errors import BadInputError


def noise(steps=9, batch=3, classes=5):
    values = np.random.default_rng(1).normal(scale=2, size=(steps, batch, classes))
    return values - np.logaddexp.reduce(values, axis=-1, keepdims=True)


def test_greedy_is_greedy():
    assert parse_decoder("greedy") is None
    assert Decoder().name == "greedy"
    assert Decoder()(noise()) == greedy_decode(noise())


def test_a_beam_decodes_each_clip_of_a_batch():
    assert parse_decoder("beam:10") == 10
    log_probs = noise()
    expected = [beam_search(log_probs[:, clip], beam=10)[0].labels for clip in range(3)]
    assert Decoder(beam=10)(log_probs) == expected


def test_the_settings_reach_the_search_and_stand_in_the_name():
    model = NgramModel.train([(1, 2), (3,)], glosses=("A", "B", "C", "D"), order=2)
    decoder = Decoder(beam=4, language_model=model, lm_name="2", lm_weight=2.0, insertion_bonus=1.5, prune=3.0)
    assert decoder.name == "beam:4,lm=2,lm_weight=2,insertion_bonus=1.5,prune=3"
    log_probs = noise()
    options = {"language_model": model, "lm_weight": 2.0, "insertion_bonus": 1.5, "prune": 3.0}
    assert decoder(log_probs) == [beam_search(log_probs[:, i], beam=4, **options)[0].labels for i in range(3)]
    assert decoder(log_probs) != Decoder(beam=4)(log_probs)


@pytest.mark.parametrize("text", ["beam", "beam:", "beam:0", "beam:ten", "beam:10001", "viterbi", "Greedy", ""])
def test_another_word_is_refused(text):
    with pytest.raises(BadInputError, match="unknown decoder"):
        parse_decoder(text)


def test_an_array_of_one_clip_is_refused():
    with pytest.raises(ValueError, match="must be"):
        Decoder(beam=2)(noise()[:, 0])
