"""``slrbench compare``: what changed from one report to another; a gate against regressions."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ComparedScope(StrEnum):
    """What ``--scope`` takes."""

    END_TO_END = "end_to_end"
    COMPUTE = "compute"


def command(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The report of what was: a report.json or its folder.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The report of what is.")],
    fail_if_slower: Annotated[
        str, typer.Option("--fail-if-slower", metavar="SHARE", help="How much slower is a regression: 5% or 0.05.")
    ] = "5%",
    fail_if_unclear: Annotated[
        bool,
        typer.Option("--fail-if-unclear", help="Exit code 1, too, where a row may be slower than --fail-if-slower."),
    ] = False,
    fail_if_missing: Annotated[
        bool, typer.Option("--fail-if-missing", help="Exit code 1, too, where NEW lacks a row of BASE.")
    ] = False,
    allow_wer: Annotated[
        str, typer.Option("--allow-wer", metavar="SHARE", help="How much the WER may rise: 1% or 0.01, in points.")
    ] = "0%",
    scope: Annotated[
        ComparedScope, typer.Option("--scope", help="Which times: host to host, or run and synchronise only.")
    ] = ComparedScope.END_TO_END,
    allow_unlike: Annotated[
        bool, typer.Option("--allow-unlike", help="Compare though machines or versions of runtimes differ.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown, for a comment under a change.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
) -> None:
    """Compare two reports of one machine row by row: FASTER, SLOWER, SAME or UNCLEAR, and changes of WER and size.

    Exit code 1: some row is slower with its whole interval beyond --fail-if-slower, or its WER rose with its whole
    interval beyond --allow-wer, or it lost its parity; differences that may be noise give 0.
    """
    from slrbench.cli.delivery import deliver
    from slrbench.errors import BadInputError, NegativeVerdictError
    from slrbench.reporting.compare_reports import compare_reports, parse_share
    from slrbench.reporting.render_compare import render_compare, render_compare_markdown, verdict_sentence
    from slrbench.reporting.store import read_report

    if json and markdown:
        raise BadInputError("--json and --markdown cannot both be given", hint="leave one of them out")
    compared = compare_reports(
        read_report(base, rows_needed=True),
        read_report(new, rows_needed=True),
        fail_if_slower=parse_share(fail_if_slower),
        allow_wer=parse_share(allow_wer, option="--allow-wer", zero=True),
        scope=scope.value,
        allow_unlike=allow_unlike,
    )
    if json:
        text = compared.model_dump_json(indent=2) + "\n"
    else:
        text = render_compare_markdown(compared) if markdown else render_compare(compared)
    deliver(text, output)
    if compared.regressions:
        kinds = {row.regression for row in compared.regressions}
        raise NegativeVerdictError(
            verdict_sentence(compared).removesuffix(".").replace("Regression", "regression", 1),
            hint=_HINTS["slower" if "slower" in kinds else "wer" if "wer" in kinds else "parity"],
        )
    if fail_if_missing and compared.only_base:
        raise NegativeVerdictError(
            f"the new report lacks {len(compared.only_base)} of the base report's rows: {compared.only_base[0]}",
            hint="bench the same files again; what could not be measured says why in its report",
        )
    if fail_if_unclear and compared.inconclusive:
        raise NegativeVerdictError(
            f"{len(compared.inconclusive)} of {len(compared.rows)} rows may be slower by more than is allowed",
            hint="bench both with more --rounds, or on a quieter machine",
        )


_HINTS = {
    "slower": "bench both again to be sure; --fail-if-slower allows more",
    "wer": "python -m slrbench evaluate FILE shows what it decodes; --allow-wer allows more",
    "parity": "python -m slrbench verify FILE says what is wrong with it",
}
