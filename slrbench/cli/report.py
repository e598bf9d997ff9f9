"""``slrbench report``: render a report again from its report.json, or put several together by machine."""

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
    reports: Annotated[
        list[Path],
        typer.Argument(
            metavar="REPORT...", help="A report.json, or the folder that holds one; several give one by machine."
        ),
    ],
    format: Annotated[ReportFormat, typer.Option("--format", help="What to render.")] = ReportFormat.MARKDOWN,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
    schema: Annotated[
        bool,
        typer.Option("--schema", callback=_print_schema, is_eager=True, help="Print the JSON Schema of report.json."),
    ] = False,
) -> None:
    """Render a report again from its report.json; several reports give one comparison by machine.

    Markdown and HTML are for people (ms, MB, percent), CSV and JSON are for programs (seconds, bytes, shares).
    """
    from slrbench.cli.delivery import deliver
    from slrbench.reporting.html.page import render_html
    from slrbench.reporting.merge import merge
    from slrbench.reporting.render_csv import render_csv
    from slrbench.reporting.render_markdown import render_markdown
    from slrbench.reporting.render_merged import render_merged
    from slrbench.reporting.store import read_report, report_json

    found = [read_report(path, rows_needed=True) for path in reports]
    report = found[0] if len(found) == 1 else merge(found)
    markdown = render_merged if report.machines else render_markdown
    render = {
        ReportFormat.MARKDOWN: markdown,
        ReportFormat.HTML: lambda each: render_html(each, markdown(each)),
        ReportFormat.CSV: render_csv,
        ReportFormat.JSON: report_json,
    }
    deliver(render[format](report), output)
