"""Where each decoded label lies: the most probable alignment of a label sequence with the output steps.

Shapes: T output steps, C classes with the blank at index 0, L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.ctc import BLANK, required_steps


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The output steps of one label. CTC is sure of a label at few steps: a sign lasts longer than its segment."""

    first_step: int
    last_step: int  # inclusive
    confidence: float
    """The label's probability at ``peak_step``, 0 .. 1: that of the one step, not of the whole sequence."""
    peak_step: int
    """Where in the segment the label is most probable; the first of equals."""


def align(log_probs: NDArray[Any], labels: Sequence[int]) -> tuple[Segment, ...]:
    """One segment for each label, in order, by the Viterbi algorithm over labels with blanks between them.

    The alignment is the most probable one of exactly these labels, whether or not a decoder would have chosen them.
    Steps between two segments are blank.

    Args:
        log_probs: ``(T, C)``, natural logarithm.
        labels: class indices, 1 .. C-1.

    Raises:
        ValueError: ``log_probs`` is not ``(T, C)`` or has NaN in it, a label is not a class, the labels need more steps
            than there are, or every alignment is impossible.
    """
    values = np.asarray(log_probs, dtype=np.float64)
    if values.ndim != 2 or np.isnan(values).any():
        raise ValueError(f"log_probs must be (T, C) without NaN, not of shape {values.shape}")
    wrong = [label for label in labels if not 1 <= label < values.shape[1]]
    if wrong:
        raise ValueError(f"labels {wrong} are not in 1..{values.shape[1] - 1}")
    if required_steps(labels) > len(values):
        raise ValueError(f"{len(labels)} labels need {required_steps(labels)} output steps, there are {len(values)}")
    if not labels:
        return ()
    path = _viterbi(values, labels)
    segments = []
    for position, label in enumerate(labels):
        steps = np.flatnonzero(path == 2 * position + 1)
        peak = int(steps[np.argmax(values[steps, label])])
        segments.append(
            Segment(
                first_step=int(steps[0]),
                last_step=int(steps[-1]),
                confidence=min(1.0, float(np.exp(values[peak, label]))),  # float32 may round a little above 0
                peak_step=peak,
            )
        )
    return tuple(segments)


def _viterbi(values: NDArray[np.float64], labels: Sequence[int]) -> NDArray[np.intp]:
    """The state at each step, ``(T,)``: 2 i + 1 is label i, 2 i the blank before it, 2 L the blank at the end."""
    states = 2 * len(labels) + 1
    classes = np.full(states, BLANK, dtype=np.intp)
    classes[1::2] = labels
    # Without a blank between them, equal labels would be one.
    skips = np.zeros(states, dtype=bool)
    skips[3::2] = classes[3::2] != classes[1:-2:2]
    score = np.full(states, -np.inf)
    score[:2] = values[0, classes[:2]]
    came_from = np.zeros((len(values), states), dtype=np.intp)
    for t, step in enumerate(values[1:], start=1):
        moves = np.full((3, states), -np.inf)  # by how many states the path goes on
        moves[0] = score
        moves[1, 1:] = score[:-1]
        moves[2, 2:] = np.where(skips[2:], score[:-2], -np.inf)
        came_from[t] = moves.argmax(axis=0)
        score = moves.max(axis=0) + step[classes]
    state = states - 1 if score[-1] >= score[-2] else states - 2
    if score[state] == -np.inf:
        raise ValueError("every alignment of the labels is impossible: all have probability 0")
    path = np.empty(len(values), dtype=np.intp)
    for t in range(len(values) - 1, -1, -1):
        path[t] = state
        state -= int(came_from[t, state])
    return path
