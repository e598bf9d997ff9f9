"""Everything of a report that follows from what was measured, in one place."""

from collections.abc import Sequence

from slrbench.records import LoadRun, Measurement, Report, SummaryRow
from slrbench.reporting.accuracy import with_intervals
from slrbench.reporting.comparisons import compare, noise_floor
from slrbench.reporting.decision import decide
from slrbench.reporting.evidence import gather
from slrbench.reporting.load_tables import streams_of
from slrbench.reporting.roofline import with_roofs
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
    rows = _with_streams(summarise(report.measurements, accuracies), report.measurements, report.load)
    rows = with_roofs(rows, report.measurements, report.peaks)
    floor = noise_floor(report)
    return report.model_copy(
        update={
            "accuracies": accuracies,
            "summary": rows,
            "noise_floor": floor,
            "comparisons": compare(report, rows, floor),
            "scaling": fits(rows),
            "decision": decide(rows, None, gather(rows, report.measurements, accuracies)) if decided else None,
        }
    )


def _with_streams(
    rows: Sequence[SummaryRow], measurements: Sequence[Measurement], load: Sequence[LoadRun]
) -> tuple[SummaryRow, ...]:
    """The rows with how many streams their candidate sustains, where that was measured."""
    return tuple(
        row
        if row.measurement is None
        else row.model_copy(update={"streams": streams_of(load, measurements[row.measurement].candidate)})
        for row in rows
    )
