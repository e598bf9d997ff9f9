"""Reports on disk: report.json is the truth, report.md, report.csv and report.html are rendered from it."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporters.artifact import write_text_atomically
from slrbench.errors import BadInputError
from slrbench.records import REPORT_SCHEMA_VERSION, Report
from slrbench.reporting.html.page import render_html
from slrbench.reporting.indices import dangling
from slrbench.reporting.render_csv import render_csv
from slrbench.reporting.render_markdown import render_markdown

REPORT_NAME = "report.json"

_NUMBERS = re.compile(r"\[\n\s+(-?[\d.eE+-]+(?:,\n\s+-?[\d.eE+-]+)*)\n\s+\]")


def report_json(report: Report) -> str:
    """report.json as text; a list of numbers stays on one line, so that samples do not drown the rest.

    Raises:
        ValueError: a figure is NaN or infinite, which JSON cannot say.
    """
    text = json.dumps(report.model_dump(mode="json"), indent=2, allow_nan=False)
    return _NUMBERS.sub(lambda match: "[" + re.sub(r",\n\s+", ", ", match.group(1)) + "]", text) + "\n"


def write_report(folder: Path, report: Report, *, page: bool = True) -> Path:
    """Write report.json, then report.md, report.csv and report.html into ``folder``, each whole or not at all.

    ``page``: report.html, too, which takes longest.

    Returns:
        The path of report.json.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    path = folder / REPORT_NAME
    texts = {path: report_json(report), folder / "report.md": render_markdown(report)}
    texts[folder / "report.csv"] = render_csv(report)
    if page:
        texts[folder / "report.html"] = render_html(report)
    else:
        (folder / "report.html").unlink(missing_ok=True)  # one of another run would stand beside newer figures
    for target, text in texts.items():
        write_text_atomically(target, text)
    return path


def read_report(path: Path, *, rows_needed: bool = False) -> Report:
    """The report in a file, or in ``report.json`` of a folder.

    Args:
        path: of the file or the folder.
        rows_needed: refuse a report in which nothing was measured; bench writes one where all was skipped.

    Raises:
        BadInputError: there is none, it is not a report, an index of it points at nothing, it has no rows where some
            are needed, or it is of a newer schema than this version reads.
    """
    file = path / REPORT_NAME if path.is_dir() else path
    if not file.is_file():
        raise BadInputError(
            f"there is no report at {str(file)!r}", hint="give a report.json, or the folder that holds one"
        )
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInputError(f"{str(file)!r} is not JSON: {error}", hint="give a report.json of slrbench") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, int):
        raise BadInputError(f"{str(file)!r} has no schema_version", hint="give a report.json of slrbench")
    if version > REPORT_SCHEMA_VERSION:
        raise BadInputError(
            f"{str(file)!r} has schema_version {version}, this slrbench reads up to {REPORT_SCHEMA_VERSION}",
            hint="read it with the version of slrbench that wrote it, or a newer one",
        )
    try:
        report = Report.model_validate(_upgraded(document, version))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInputError(
            f"{str(file)!r} is not a report: {where}: {first['msg']} ({error.error_count()} problems)",
            hint=_AGAIN,
        ) from error
    if rows_needed and not report.summary:
        raise BadInputError(f"{str(file)!r} has no rows: nothing was measured", hint=_AGAIN)
    wrong = dangling(report)
    if wrong is not None:
        raise BadInputError(f"{str(file)!r} is not a report: {wrong}", hint=_AGAIN)
    return report


_AGAIN = "write it again with python -m slrbench bench"


def _upgraded(document: dict[str, Any], version: int) -> dict[str, Any]:
    """A report of an older schema as one of today's.

    Version 1 knew fp32 on the CPU only; those are the values that fields of version 2 have where a file lacks them.
    What version 3 added is empty or null where a file lacks it: not measured. Before version 4 the turns of samples
    were not kept, one untimed call settled a candidate after a rest, and the first call at a shape counted in the peak
    of torch's device memory.
    """
    return document if version == REPORT_SCHEMA_VERSION else {**document, "schema_version": REPORT_SCHEMA_VERSION}
