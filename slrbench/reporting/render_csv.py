"""report.csv: the rows of the summary, one line each, in seconds, bytes and shares."""

import csv
import io
from typing import Any

from slrbench.records import Interval, Report, SummaryRow

_INTERVALS = {"p50_interval": ("p50_low_s", "p50_high_s"), "wer_interval": ("wer_low", "wer_high")}
"""Field of a row to the columns of its two ends, so that every cell is one plain value."""


def render_csv(report: Report) -> str:
    """The summary with a header line; the columns are those of report.json, an unknown figure is empty.

    An interval is two columns, its low and its high end.
    """
    names = [column for name in SummaryRow.model_fields for column in _INTERVALS.get(name, (name,))]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_flat(row) for row in report.summary)
    return buffer.getvalue()


def _flat(row: SummaryRow) -> dict[str, Any]:
    flat = row.model_dump(mode="json", exclude=set(_INTERVALS))
    for name, (low, high) in _INTERVALS.items():
        interval: Interval | None = getattr(row, name)
        flat |= {low: None, high: None} if interval is None else {low: interval.low, high: interval.high}
    return flat
