"""From log-probabilities to glosses: prefix beam search, a language model over glosses, and where each gloss lies.

NumPy only. Greedy decoding itself is in ``slrbench.ctc``.
"""

from slrbench.decoding.alignment import Segment, align
from slrbench.decoding.beam import Hypothesis, LanguageModel, beam_search
from slrbench.decoding.decoder import Decoder, parse_decoder
from slrbench.decoding.ngram import NgramModel

__all__ = [
    "Decoder",
    "Hypothesis",
    "LanguageModel",
    "NgramModel",
    "Segment",
    "align",
    "beam_search",
    "parse_decoder",
]
