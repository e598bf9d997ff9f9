"""Where a network says what: the runs of one class in its best path, or in the alignment of what was decoded.

NumPy only.

Shapes: T' output steps, C classes with the blank at index 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.ctc import BLANK
from slrbench.decoding.alignment import align


@dataclass(frozen=True, kw_only=True)
class Spike:
    """A gloss of the best path; ``first`` and ``last`` are output steps, both of them in the run."""

    label: int
    first: int
    last: int
    confidence: float
    """Mean probability of the label over the run, 0 .. 1."""

    def moved(self, steps: int) -> "Spike":
        """The same, ``steps`` later."""
        return Spike(label=self.label, first=self.first + steps, last=self.last + steps, confidence=self.confidence)


def spikes_of(log_probs: NDArray[Any]) -> tuple[Spike, ...]:
    """The runs of greedy decoding in order; their labels are those of ``slrbench.ctc.greedy_decode``.

    Args:
        log_probs: ``(T', C)``, natural logarithms.
    """
    if len(log_probs) == 0:
        return ()
    path = log_probs.argmax(axis=-1)
    starts = np.flatnonzero(np.append(True, path[1:] != path[:-1]))
    stops = np.append(starts[1:], len(path))
    found = []
    for first, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        label = int(path[first])
        if label != BLANK:
            found.append(_spike(log_probs, label, first, stop - 1))
    return tuple(found)


def aligned_spikes(log_probs: NDArray[Any], labels: Sequence[int]) -> tuple[Spike, ...]:
    """Where the labels of any decoder lie, by the most probable alignment of exactly these labels.

    Args:
        log_probs: ``(T', C)``, natural logarithms.
        labels: class indices 1 .. C-1 that a decoder found in them.

    Raises:
        ValueError: the labels cannot be aligned.
    """
    segments = align(log_probs, labels)
    return tuple(
        _spike(log_probs, label, segment.first_step, segment.last_step)
        for label, segment in zip(labels, segments, strict=True)
    )


def _spike(log_probs: NDArray[Any], label: int, first: int, last: int) -> Spike:
    chance = float(np.exp(log_probs[first : last + 1, label].astype(np.float64)).mean())
    return Spike(label=int(label), first=first, last=last, confidence=min(1.0, chance))
