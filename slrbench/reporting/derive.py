"""Everything of a report that follows from what was measured, in one place."""

from collections.abc import Sequence

from slrbench.records import Candidate, LoadRun, Report, SummaryRow
from slrbench.reporting.accuracy import with_intervals
from slrbench.reporting.comparisons import compare, noise_floor
from slrbench.reporting.decision import decide
from slrbench.reporting.scaling import fits
from slrbench.reporting.statistics import summarise


def derive(report: Report, *, decided: bool = True) -> Report:
    """The report with its derived fields made anew; what was measured, verdicts and environment stay as they are.

    Derived are: intervals and differences of ``accuracies``, ``summary``, ``noise_floor``, ``comparisons``, ``scaling``
    and ``decision``. Deriving twice gives the same.

    Args:
        report: of one machine.
        decided: False where measurements are still missing, and then nothing is decided.
    """
    accuracies = with_intervals(report.accuracies)
    rows = _with_streams(summarise(report.measurements, accuracies), report.load)
    floor = noise_floor(report)
    return report.model_copy(
        update={
            "accuracies": accuracies,
            "summary": rows,
            "noise_floor": floor,
            "comparisons": compare(report, rows, floor),
            "scaling": fits(rows),
            "decision": decide(rows) if decided else None,
        }
    )


_KEY = tuple(sorted((set(Candidate.model_fields) & set(SummaryRow.model_fields)) - {"parity", "compressed_bytes"}))


def _with_streams(rows: Sequence[SummaryRow], load: Sequence[LoadRun]) -> tuple[SummaryRow, ...]:
    """The rows with how many streams their candidate sustains, where that was measured."""
    sustained = {
        _key(run.candidate): int(run.figure) for run in load if run.scenario == "streams" and run.figure is not None
    }
    return tuple(
        row.model_copy(update={"streams": sustained[_key(row)]}) if _key(row) in sustained else row for row in rows
    )


def _key(what: Candidate | SummaryRow) -> tuple[object, ...]:
    return tuple(getattr(what, name) for name in _KEY)
