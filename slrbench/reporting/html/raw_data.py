"""The report's own data in the page, to be saved: report.json packed, and its rows as CSV."""

import base64
import gzip

from slrbench.records import Report
from slrbench.reporting.display import megabytes
from slrbench.reporting.html.markup import Markup, join, tag
from slrbench.reporting.render_csv import render_csv


def raw_data(report: Report) -> Markup:
    """Two links that save what they hold; packed, the samples take a third of their size."""
    json = report.model_dump_json().encode()
    packed = gzip.compress(json, 9, mtime=0)  # no time of day: the same report gives the same page
    samples = sum(len(m.end_to_end_s) for m in report.measurements)
    return join(
        tag(
            "p",
            _link("report.json.gz", "application/gzip", packed, f"report.json.gz ({megabytes(len(packed))} MB)"),
            " ",
            _link("report.csv", "text/csv", render_csv(report).encode(), "report.csv"),
            class_="links",
        ),
        tag(
            "p",
            f"Every sample of {samples} timed calls with the conditions they were taken under, in seconds and bytes; ",
            tag("code", "gunzip report.json.gz"),
            " unpacks it.",
        ),
    )


def _link(name: str, kind: str, content: bytes, words: str) -> Markup:
    href = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return tag("a", words, href=href, download=name, class_="button")
