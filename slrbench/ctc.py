"""Connectionist temporal classification without a network: decoding, feasibility, and what log-probabilities must be.

NumPy only. Shapes: B clips, T frames, T' = ceil(T/stride) output steps, C classes with the blank at index 0.
Log-probabilities are natural logarithms, ``(T', B, C)``, the layout that ``torch.nn.CTCLoss`` takes.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters import comparison
from slrbench.records import CheckResult

BLANK = 0
"""Class index of the CTC blank; the same as in ``slrbench.models.spec``, which stands above this module."""

SHAPE_CHECK = "Output Shape Check"
NEGATIVE_CHECK = "All values negative (log probs)"
NORMALISED_CHECK = "Properly normalized"
FINITE_CHECK = "No NaN or Inf"

LOGITS_HINT = "outputs are logits: log_softmax is missing; checkpoints trained this way must be retrained"
PROBABILITIES_HINT = "outputs are probabilities: take the logarithm (log_softmax instead of softmax)"
ROUNDED_HINT = "log-probabilities are rounded (computed in half precision?): keep log_softmax in fp32"

NEGATIVE_TOLERANCE = 1e-6
"""How far above zero a log-probability may be: the rounding of float32 where one class has everything."""

NORMALISED_TOLERANCE = 1e-4
"""How far from zero the log-sum-exp over classes may be, nats: the fp32 gate of the parity check."""

ROUNDED_LIMIT = 0.05
"""Below this, nats, a log-sum-exp that is off is rounding and no missing log_softmax.

bfloat16, the coarsest type in use, keeps 8 significant bits: each log-probability is off by at most 2**-8 of itself,
and their log-sum-exp so by at most 2**-8 of the entropy, which is at most ln C: 0.028 nats for 1,300 classes.
"""


def output_length(frames: int, stride: int = 4) -> int:
    """Output steps T' = ceil(T/stride) of a clip of ``frames`` frames; 0 for 0 frames.

    Raises:
        ValueError: ``frames`` is negative, or ``stride`` is below 1.
    """
    if frames < 0 or stride < 1:
        raise ValueError(f"frames must be at least 0 and stride at least 1, not {frames} and {stride}")
    return -(-frames // stride)


def greedy_decode(log_probs: NDArray[Any], lengths: Sequence[int] | None = None) -> list[tuple[int, ...]]:
    """Best class of each step, repeats collapsed, blanks dropped: one tuple of labels (1 .. C-1) for each clip.

    Args:
        log_probs: ``(T', B, C)``; anything that is monotone in the probabilities decodes to the same labels.
        lengths: valid output steps of each clip, 0 .. T'; every step is valid where it is not given.

    Raises:
        ValueError: ``log_probs`` is not 3-D, or ``lengths`` does not fit it.
    """
    if log_probs.ndim != 3:
        raise ValueError(f"log_probs must be (T', B, C), not of shape {log_probs.shape}")
    steps, batch, _ = log_probs.shape
    valid = [steps] * batch if lengths is None else [int(length) for length in lengths]
    if len(valid) != batch or any(not 0 <= length <= steps for length in valid):
        raise ValueError(f"lengths {valid} do not fit {batch} clips of {steps} output steps")
    return [comparison.greedy_decode(log_probs[:n, clip]) if n else () for clip, n in enumerate(valid)]


def required_steps(labels: Sequence[int]) -> int:
    """Fewest output steps that CTC can align ``labels`` to: one for each, and one between adjacent equal labels."""
    return len(labels) + sum(a == b for a, b in pairwise(labels))


def is_feasible(labels: Sequence[int], frames: int, stride: int = 4) -> bool:
    """Whether CTC can align ``labels`` to a clip of ``frames`` frames; the loss is infinite where it cannot."""
    return required_steps(labels) <= output_length(frames, stride)


def log_sum_exp(values: NDArray[Any], axis: int = -1) -> NDArray[np.float64]:
    """``log(sum(exp(values)))`` over one axis in float64, without overflow; NaN where a value is NaN."""
    return comparison.logsumexp(np.moveaxis(np.asarray(values, dtype=np.float64), axis, -1))


def check_log_probs(log_probs: NDArray[Any], *, expected_shape: Sequence[int | None]) -> tuple[CheckResult, ...]:
    """The four checks of a network's output, in order: shape, sign, normalisation, finiteness.

    Each looks at all values, whatever the others found, and a hint names the fault where its marks are known: raw
    logits, probabilities, a softmax over the wrong axis or in half precision, clips and steps swapped.

    Args:
        log_probs: the output, ``(T', B, C)`` where all is well.
        expected_shape: T', B and C; ``None`` stands for any size of at least 1.
    """
    shape = tuple(log_probs.shape)
    values = np.asarray(log_probs, dtype=np.float64)
    if values.size == 0 or values.ndim == 0:
        return (
            _check_shape(shape, tuple(expected_shape)),
            *(
                CheckResult(name=name, passed=False, figure="no values", hint="the output is empty")
                for name in (NEGATIVE_CHECK, NORMALISED_CHECK, FINITE_CHECK)
            ),
        )
    nans, infinities = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    fault = _name_fault(values) if nans + infinities == 0 else "the output is not finite: see the last check"
    highest = float(values.max())
    negative = highest <= NEGATIVE_TOLERANCE  # False for NaN
    off = float(np.abs(log_sum_exp(values)).max())
    normalised = off <= NORMALISED_TOLERANCE
    return (
        _check_shape(shape, tuple(expected_shape)),
        CheckResult(
            name=NEGATIVE_CHECK, passed=negative, figure=f"max {highest:.4g}", hint=None if negative else fault
        ),
        CheckResult(
            name=NORMALISED_CHECK,
            passed=normalised,
            figure=f"max |logsumexp| {off:.2g}",
            hint=None if normalised else fault,
        ),
        CheckResult(
            name=FINITE_CHECK,
            passed=nans + infinities == 0,
            figure=f"{nans} NaN, {infinities} Inf of {values.size} values",
            hint=None
            if nans + infinities == 0
            else "look for NaN in the weights first, then for an overflow (a lower learning rate, gradient clipping)",
        ),
    )


def merge_checks(results: Sequence[Sequence[CheckResult]]) -> tuple[CheckResult, ...]:
    """The same checks of several outputs as one line each: the first that failed, or else the first."""
    return tuple(next((c for c in same if not c.passed), same[0]) for same in zip(*results, strict=True))


def _check_shape(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> CheckResult:
    def fits(found: tuple[int, ...]) -> bool:
        return len(found) == len(expected) and all(
            size >= 1 if wanted is None else size == wanted for size, wanted in zip(found, expected, strict=True)
        )

    passed = fits(shape)
    hint = None
    if not passed:
        wanted = "(" + ", ".join("any" if size is None else str(size) for size in expected) + ")"
        hint = f"expected (T', B, C) = {wanted}"
        if len(shape) == 3 and fits((shape[1], shape[0], shape[2])):
            hint += ": clips and steps are swapped, transpose(0, 1) is missing"
    return CheckResult(name=SHAPE_CHECK, passed=passed, figure=str(shape), hint=hint)


def _name_fault(values: NDArray[np.float64]) -> str:
    """What finite values are that are not log-probabilities over the last axis."""
    if values.min() >= -NEGATIVE_TOLERANCE and np.abs(values.sum(axis=-1) - 1.0).max() <= 1e-3:
        return PROBABILITIES_HINT
    for axis in range(values.ndim - 1):
        if values.shape[axis] > 1 and np.abs(log_sum_exp(values, axis=axis)).max() <= NORMALISED_TOLERANCE:
            return f"log_softmax was taken over axis {axis}: take it over the classes, the last axis"
    if values.max() <= NEGATIVE_TOLERANCE and np.abs(log_sum_exp(values)).max() < ROUNDED_LIMIT:
        return ROUNDED_HINT
    return LOGITS_HINT
