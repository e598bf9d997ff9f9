"""``slrbench report``: render a report again from its report.json."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slrbench.cli import console


class ReportFormat(StrEnum):
    """What ``--format`` takes."""

    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
    HTML = "html"


def _print_schema(asked: bool) -> None:
    if asked:
        from slrbench.reporting.schema import schema_text

        console.result(schema_text().removesuffix("\n"))
        raise typer.Exit


def command(
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="A report.json, or the folder that holds one.")],
    format: Annotated[ReportFormat, typer.Option("--format", help="What to render.")] = ReportFormat.MARKDOWN,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
    schema: Annotated[
        bool,
        typer.Option("--schema", callback=_print_schema, is_eager=True, help="Print the JSON Schema of report.json."),
    ] = False,
) -> None:
    """Render a report again from its report.json.

    Markdown and HTML are for people (ms, MB, percent), CSV and JSON are for programs (seconds, bytes, shares).
    """
    from exporters.artifact import write_text_atomically
    from slrbench.reporting.html.page import render_html
    from slrbench.reporting.render_csv import render_csv
    from slrbench.reporting.render_markdown import render_markdown
    from slrbench.reporting.store import read_report, report_json

    render = {
        ReportFormat.MARKDOWN: render_markdown,
        ReportFormat.HTML: render_html,
        ReportFormat.CSV: render_csv,
        ReportFormat.JSON: report_json,
    }
    text = render[format](read_report(report))
    if output is None:
        console.result(text.removesuffix("\n"))
    else:
        write_text_atomically(output, text)
        console.wrote([output])
