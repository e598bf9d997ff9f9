"""Parity: does an exported file compute what the checkpoint computes? Two callables in, a verdict out. NumPy only.

Shapes: B clips, T frames, T' output steps, C classes. Outputs are log-probabilities ``(T', B, C)``, natural logarithm.
:mod:`exporters.comparison` says when one case passes. The verdict passes where every case does and the artifact's own
invariances hold, which need no reference: rows of a batch do not mix, and nothing is left over from an earlier call.

An export at one shape may be right there and nowhere else, so the cases have shapes other than the export's.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.artifact import InvarianceResult, ParityVerdict
from exporters.comparison import Gates, ParityInput, compare

__all__ = ["Gates", "ParityInput", "check_parity", "one_line"]

Infer = Callable[[NDArray[Any]], NDArray[Any]]

MINIMUM_SHAPES = 6
FP32 = Gates()

ROWS_ALONE = "each row alone equals its row in a batch"
IDENTICAL_ROWS = "identical rows give identical outputs"
REPETITION = "the same input twice gives the same output"


def check_parity(
    reference: Infer,
    candidate: Infer,
    inputs: Sequence[ParityInput],
    *,
    artifact_sha256: str,
    backend: str,
    reference_name: str = "torch fp32 cpu",
    gates: Gates = FP32,
    gates_name: str = "fp32",
    invariance_atol: float | None = None,
    machine: str = "",
    export_shape: tuple[int, int] | None = None,
    minimum_shapes: int = MINIMUM_SHAPES,
    needs_batch: bool = True,
) -> ParityVerdict:
    """Run both on every input, compare, and check the candidate's invariances.

    Args:
        reference: video to log-probabilities, trusted; what it raises is passed on.
        candidate: the artifact on its runtime; an input at which it raises is a failed case, with the reason.
        inputs: at least ``minimum_shapes`` different (B, T) other than ``export_shape``, one with B of 2 or more.
        artifact_sha256: the file that ``candidate`` runs.
        backend: the runtime, for the record.
        reference_name: what ``reference`` is, for the record.
        gates: what a case must keep to; see :mod:`exporters.gates`.
        gates_name: what they are called, for the record: usually the precision.
        invariance_atol: tolerance of the invariances, nats; where it is not given the gates' own: rows of another
            batch size are summed in another order.
        machine: what the candidate runs on, for the record.
        export_shape: B and T of the export's example, where one was used.
        minimum_shapes: fewest shapes that make a verdict.
        needs_batch: whether an input with B of 2 or more must be among them, and its rows are run alone; not for what
            takes one batch size only.

    Raises:
        ValueError: the inputs are too few or too alike to mean anything, or a tolerance is negative.
    """
    _require_inputs(inputs, export_shape, minimum_shapes, needs_batch=needs_batch)
    if min(gates.atol, gates.rtol, gates.logsumexp_tolerance, gates.clear_margin, invariance_atol or 0.0) < 0:
        raise ValueError("tolerances must not be negative")
    cases, outputs = [], []
    for item in inputs:
        expected = np.array(reference(item.video), dtype=np.float64)
        found = _attempt(candidate, item.video)
        cases.append(compare(expected, found, item, gates))
        outputs.append(found)
    if invariance_atol is None:
        invariance_atol = max(gates.atol, FP32.atol) if gates.invariance_atol is None else gates.invariance_atol
    invariances = _check_invariances(candidate, inputs, outputs, invariance_atol, rows=needs_batch)
    needed = [case.needed_atol for case in cases]
    reasons = [f"{case.name}: {case.why}" for case in cases if not case.passed]
    reasons += [f"{invariance.name}: {invariance.why}" for invariance in invariances if not invariance.passed]
    return ParityVerdict(
        artifact_sha256=artifact_sha256,
        reference=reference_name,
        backend=backend,
        tolerance_atol=gates.atol,
        tolerance_rtol=gates.rtol,
        cases=tuple(cases),
        invariances=invariances,
        needed_atol=None if None in needed else max(n for n in needed if n is not None),
        logsumexp_tolerance=gates.logsumexp_tolerance,
        clear_margin=gates.clear_margin,
        gates=gates_name,
        machine=machine,
        passed=not reasons,
        reasons=tuple(reasons),
    )


def _require_inputs(
    inputs: Sequence[ParityInput], export_shape: tuple[int, int] | None, minimum: int, *, needs_batch: bool
) -> None:
    others = {item.shape for item in inputs} - {export_shape}
    if len(others) < minimum:
        raise ValueError(f"parity at {len(others)} (B, T) other than {export_shape}, at least {minimum} are needed")
    if needs_batch and all(item.shape[0] < 2 for item in inputs):
        raise ValueError("no input has a batch of 2 or more: rows that leak into each other would go unseen")


def _attempt(candidate: Infer, video: NDArray[Any]) -> NDArray[np.float64] | str:
    """The candidate's output, copied (a runtime may hand out a buffer that it writes again), or why there is none."""
    try:
        output = np.array(candidate(video), dtype=np.float64)
    except MemoryError:
        raise  # says nothing about the artifact
    except Exception as error:  # every runtime has its own exceptions, and each means a case that does not run
        return f"raised {one_line(error)}"
    return output if output.ndim == 3 else f"output has shape {output.shape}, expected (T', B, C)"


def one_line(error: BaseException, limit: int = 300) -> str:
    """An exception in one line: no colours, no line breaks, the middle left out where it is longer than ``limit``."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", f"{type(error).__name__}: {error}")
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    head = limit // 3
    return f"{text[:head]} ... {text[-(limit - head - 5) :]}"


def _check_invariances(
    candidate: Infer,
    inputs: Sequence[ParityInput],
    outputs: Sequence[NDArray[np.float64] | str],
    tolerance: float,
    *,
    rows: bool,
) -> tuple[InvarianceResult, ...]:
    """What must hold of the artifact whatever the reference says."""
    pairs = list(zip(inputs, outputs, strict=True))
    if not rows:
        again = _attempt(candidate, inputs[0].video)
        return (_invariance(REPETITION, [(outputs[0], again)], tolerance),)
    batches = [pair for pair in pairs if pair[0].shape[0] > 1]
    # One batch of each source; noise and real clips excite different parts of a network.
    chosen = {item.source: (item, output) for item, output in reversed(batches)}.values()
    alone = [(output, _rows_alone(candidate, item.video)) for item, output in chosen]
    first, first_output = batches[0]
    repeated = _attempt(candidate, np.repeat(first.video[:1], 3, axis=0))
    one_row = repeated if isinstance(repeated, str) else np.repeat(repeated[:, :1], 3, axis=1)
    # Asked again after every other shape has gone through: state that outlives a call would show.
    again = _attempt(candidate, first.video)
    return (
        _invariance(ROWS_ALONE, alone, tolerance),
        _invariance(IDENTICAL_ROWS, [(repeated, one_row)], tolerance),
        _invariance(REPETITION, [(first_output, again)], tolerance),
    )


def _rows_alone(candidate: Infer, video: NDArray[Any]) -> NDArray[np.float64] | str:
    """The outputs of every row given alone, side by side as one batch would be."""
    rows: list[NDArray[np.float64]] = []
    for row in range(video.shape[0]):
        output = _attempt(candidate, video[row : row + 1])
        if isinstance(output, str):
            return output
        if rows and output.shape != rows[0].shape:
            return f"row {row} alone has shape {output.shape}, row 0 {rows[0].shape}"
        rows.append(output)
    return np.concatenate(rows, axis=1)


def _invariance(
    name: str, pairs: Sequence[tuple[NDArray[np.float64] | str, NDArray[np.float64] | str]], tolerance: float
) -> InvarianceResult:
    """Equal within ``tolerance`` in every pair; NaN equals nothing."""
    found = [_distance(one, other) for one, other in pairs]
    faults = [distance for distance in found if isinstance(distance, str)]
    worst = max((distance for distance in found if not isinstance(distance, str)), default=0.0)
    comparable = not faults
    if worst > tolerance:
        faults.append(f"outputs differ by up to {worst:.3g}, allowed {tolerance:g}")
    return InvarianceResult(
        name=name,
        max_abs_error=worst if comparable else None,
        tolerance=tolerance,
        passed=not faults,
        why="; ".join(faults),
    )


def _distance(one: NDArray[np.float64] | str, other: NDArray[np.float64] | str) -> float | str:
    """Largest difference, or why there is none."""
    if isinstance(one, str):
        return one
    if isinstance(other, str):
        return other
    if one.shape != other.shape:
        return f"shapes {one.shape} and {other.shape} differ"
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return "values are NaN or infinite"
    return float(np.abs(one - other).max())
