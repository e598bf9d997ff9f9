"""Where a network says what: the runs of one class in its best path. NumPy only.

Shapes: T' output steps, C classes with the blank at index 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.ctc import BLANK


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
            chance = float(np.exp(log_probs[first:stop, label].astype(np.float64)).mean())
            found.append(Spike(label=label, first=first, last=stop - 1, confidence=min(1.0, chance)))
    return tuple(found)
