"""A decoder as the command line names it, ``greedy`` or ``beam:10``, for the outputs of many clips."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.ctc import greedy_decode
from slrbench.decoding.beam import LanguageModel, beam_search
from slrbench.errors import BadInputError

WIDEST = 10_000
"""Beams beyond this are a slip of the finger."""


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Log-probabilities ``(T', B, C)`` to one tuple of labels for each clip. NumPy only."""

    beam: int | None = None
    """Prefixes that are kept; None: greedy, the best class of each step."""
    language_model: LanguageModel | None = None
    lm_name: str = ""
    lm_weight: float = 0.0
    insertion_bonus: float = 0.0
    prune: float = math.inf

    @property
    def name(self) -> str:
        """As reports give it, with every setting: ``beam:10,lm=3,lm_weight=0.5``."""
        if self.beam is None:
            return "greedy"
        parts = [f"beam:{self.beam}"]
        if self.language_model is not None:
            parts += [f"lm={self.lm_name}", f"lm_weight={self.lm_weight:g}"]
        if self.insertion_bonus:
            parts.append(f"insertion_bonus={self.insertion_bonus:g}")
        if self.prune < math.inf:
            parts.append(f"prune={self.prune:g}")
        return ",".join(parts)

    def __call__(self, log_probs: NDArray[Any]) -> list[tuple[int, ...]]:
        """Decode every clip of ``(T', B, C)``; all steps are valid.

        Raises:
            ValueError: the array is not 3-D, or holds what cannot be decoded.
        """
        if self.beam is None:
            return greedy_decode(log_probs)
        if log_probs.ndim != 3:
            raise ValueError(f"log_probs must be (T', B, C), not of shape {log_probs.shape}")
        return [self._best(log_probs[:, clip]) for clip in range(log_probs.shape[1])]

    def _best(self, log_probs: NDArray[Any]) -> tuple[int, ...]:
        best = beam_search(
            np.asarray(log_probs),
            beam=self.beam,
            language_model=self.language_model,
            lm_weight=self.lm_weight,
            insertion_bonus=self.insertion_bonus,
            prune=self.prune,
        )
        return best[0].labels


def parse_decoder(text: str) -> int | None:
    """The beam of ``beam:N``, None for ``greedy``.

    Raises:
        BadInputError: neither of them.
    """
    if text == "greedy":
        return None
    kind, _, width = text.partition(":")
    if kind != "beam" or not width.isdecimal() or not 1 <= int(width) <= WIDEST:
        raise BadInputError(
            f"unknown decoder {text!r}", hint=f"greedy, or beam:N with N in 1..{WIDEST}, such as beam:10"
        )
    return int(width)
