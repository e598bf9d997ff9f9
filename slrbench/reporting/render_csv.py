"""report.csv: the rows of the summary, one line each, in seconds, bytes and shares."""

import csv
import io

from slrbench.records import Report, SummaryRow


def render_csv(report: Report) -> str:
    """The summary with a header line; the columns are those of report.json, an unknown figure is empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(SummaryRow.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.model_dump(mode="json") for row in report.summary)
    return buffer.getvalue()
