"""Measure candidates against each other: rounds that visit all of them in random order, each in its own process.

Measuring one candidate after the other mistakes a slow minute of the machine for a slow candidate (Abedi and Brecht,
ICPE 2017). So every round visits every candidate, in a seeded random order; while one is timed, the others' processes
block on their pipes. The baseline is measured a second time as if it were another candidate: what the two differ by is
what this run cannot tell apart.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from slrbench.errors import SlrbenchError
from slrbench.measure.cells import Cell
from slrbench.measure.journal import Journal
from slrbench.measure.opening import Infer, infer_with, open_in
from slrbench.measure.session import Session
from slrbench.measure.settings import MeasureSettings
from slrbench.measure.timing_inputs import InputSource, noise_inputs
from slrbench.records import Candidate, Interval, Measurement, Skipped

__all__ = ["Infer", "MeasureResult", "MeasureSettings", "Status", "infer_with", "measure", "open_in", "skipped_row"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is; only between timed regions."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """What is about to be measured, and what is known of it by now."""

    candidate: Candidate
    second_copy: bool
    """Whether it is the baseline's second copy."""
    round: int
    """Counted from 1."""
    rounds: int | None
    """How many there will be; None where the time decides."""
    estimate: Interval | None
    """Of its median, end to end, seconds; None with too few rounds."""
    left_s: float | None
    """Seconds that the rest of the rounds will take, roughly; None before anything was measured."""
    starting: bool = False
    """Whether it is its process that is about to start."""


@dataclass(frozen=True, kw_only=True)
class MeasureResult:
    """What was measured so far, what was not and why, and the order of each round (indices of candidates)."""

    measurements: tuple[Measurement, ...]
    skipped: tuple[Skipped, ...]
    errors: tuple[SlrbenchError, ...]
    """What stands behind each of ``skipped``."""
    order: tuple[tuple[int, ...], ...]
    """The baseline's second copy has the index after the last candidate's."""
    baseline: int | None = None
    """Index into ``measurements``; None where there is no baseline, or it failed."""
    control: Measurement | None = None
    """The baseline's second copy; None where there is none, or it failed."""
    control_error: SlrbenchError | None = None
    """Why the second copy failed."""
    spent_s: float = 0.0
    """Wall time of the rounds."""
    ended: str = ""
    """Why there were no more rounds, in words; empty while there are."""


def measure(
    candidates: Sequence[Candidate],
    settings: MeasureSettings,
    *,
    inputs: InputSource = noise_inputs,
    baseline: int | None = None,
    journal: Journal | None = None,
    progress: Progress | None = None,
    on_visit: Callable[[Status], None] | None = None,
    on_round: Callable[[MeasureResult, int], None] | None = None,
    at_end: Callable[[Candidate, Infer], None] | None = None,
) -> MeasureResult:
    """Measure all candidates; one that fails, hangs or is killed becomes a skipped row and the rest go on.

    Args:
        candidates: what to measure.
        settings: how much.
        inputs: the videos for a candidate.
        baseline: index of the candidate that is measured twice; None: none is.
        journal: where every cell is kept as it ends, and taken from where it holds it already.
        progress: called before processes start, and before each visit.
        on_visit: called before each start of a process and before each visit, with what is known of the candidate.
        on_round: called after each round in which something was measured, with everything so far and the number of
            rounds that are done.
        at_end: called for each measured candidate after its last round, with a function that runs a video through its
            process: for what need not be timed, such as its word error rate.

    Raises:
        BadInputError: the journal's cells were measured with other inputs.
        OSError: the journal or a scratch file cannot be written.
    """
    cells = [Cell(candidate) for candidate in candidates]
    if baseline is not None:
        cells.append(Cell(candidates[baseline], copy=True))
    with tempfile.TemporaryDirectory(prefix="slrbench-") as scratch:
        session = Session(
            cells, settings, inputs, Path(scratch), journal if journal is not None else Journal(), baseline=baseline
        )
        try:
            _run_rounds(session, progress, on_visit, on_round)
            session.end_rounds()
            if at_end is not None:
                for cell in cells[: len(candidates)]:
                    session.hand_over(cell, at_end)
            return _result(session)
        finally:
            session.close()


def _run_rounds(
    session: Session,
    progress: Progress | None,
    on_visit: Callable[[Status], None] | None,
    on_round: Callable[[MeasureResult, int], None] | None,
) -> None:
    session.take_up()
    round_ = 0
    while (order := session.order_of(round_)) is not None:
        groups = enumerate(session.groups_of(order))
        measured = [_run_group(session, group, number, round_, progress, on_visit) for number, group in groups]
        round_ += 1
        if any(measured) and on_round is not None:
            on_round(_result(session), round_)
    if progress is not None:
        done, _ = session.done_of_total()
        progress("measuring", done, done)


def _run_group(
    session: Session,
    group: Sequence[int],
    number: int,
    round_: int,
    progress: Progress | None,
    on_visit: Callable[[Status], None] | None,
) -> bool:
    """The turns of the candidates that take them with each other; whether anything was measured."""

    def measuring() -> None:
        if progress is not None:
            progress("measuring", *session.done_of_total())

    def tell(cell: Cell, *, starting: bool = False) -> None:
        if on_visit is not None:
            on_visit(_status(session, cell, round_, starting=starting))

    measuring()
    session.open_group(group, round_, partial(tell, starting=True))
    for turn, index in session.turns_of(group, round_):
        cell = session.cells[index]
        if turn == 0 and session.is_due(cell, round_):
            tell(cell)
        session.take_turn(index, round_, turn, group=number)
    measured = False
    for index in group:
        measuring()
        measured = session.visit(index, round_) or measured
    return measured


def _status(session: Session, cell: Cell, round_: int, *, starting: bool = False) -> Status:
    settings = session.settings
    return Status(
        candidate=cell.candidate,
        second_copy=cell.copy,
        round=round_ + 1,
        rounds=settings.rounds if settings.budget_s is None else None,
        estimate=cell.estimate(),
        left_s=session.left_s(),
        starting=starting,
    )


def _result(session: Session) -> MeasureResult:
    min_calls, video = session.settings.sampling.min_calls, session.settings.video
    planned = [cell for cell in session.cells if not cell.copy]
    candidates = [cell.candidate for cell in planned]
    measurements: list[Measurement] = []
    skipped: list[Skipped] = []
    errors: list[SlrbenchError] = []
    baseline = None
    for index, cell in enumerate(planned):
        if cell.error is not None:
            skipped.append(skipped_row(cell.candidate, _shape_words(cell.candidate, candidates) + cell.error.message))
            errors.append(cell.error)
        elif (measurement := cell.measurement(min_calls=min_calls, video=video)) is not None:
            if index == session.baseline:
                baseline = len(measurements)
            measurements.append(measurement)
    copy = next((cell for cell in session.cells if cell.copy), None)
    return MeasureResult(
        measurements=tuple(measurements),
        skipped=tuple(skipped),
        errors=tuple(errors),
        order=tuple(session.order),
        baseline=baseline,
        control=None if copy is None or copy.error is not None else copy.measurement(min_calls=min_calls, video=video),
        control_error=None if copy is None else copy.error,
        spent_s=session.spent_s(),
        ended=session.ended,
    )


def skipped_row(candidate: Candidate, reason: str) -> Skipped:
    """The row that stands in the report in place of a measurement."""
    return Skipped(
        model=candidate.model,
        backend=candidate.backend,
        precision=candidate.precision,
        variant=candidate.variant,
        device=candidate.device,
        reason=reason,
    )


def _shape_words(candidate: Candidate, candidates: Sequence[Candidate]) -> str:
    """What a skipped row has no column for and not all candidates share, such as ``batch 8, frames 64: ``."""
    axes = ("variant", "input_kind", "threads", "batch", "frames", "height", "width")
    shown = [axis for axis in axes if len({getattr(c, axis) for c in candidates}) > 1]
    words = ", ".join(f"{axis.replace('_', ' ')} {getattr(candidate, axis)}" for axis in shown)
    return f"{words}: " if words else ""
