"""report.md: the decision first, then the tables behind it, for GitHub and for a terminal of 100 columns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from slrbench.records import Decision, ErrorCounts, Measurement, Report, SummaryRow, TrainingFigures
from slrbench.reporting.display import MISSING, backend_name, megabytes, milliseconds, number, percent, row_name
from slrbench.reporting.markdown import Cells, bullets, free_table, paragraphs, table, text
from slrbench.reporting.statistics import MIN_SAMPLES, VIDEO_HZ


@dataclass(frozen=True)
class _Line:
    """One line of the tables: a measured candidate, with its row of each scope."""

    any: SummaryRow  # for what both scopes' rows share
    compute: SummaryRow | None
    end_to_end: SummaryRow | None


def render_markdown(report: Report) -> str:
    """The whole report as Markdown, from the figures that it holds; nothing is computed anew."""
    lines = _lines(report.summary)
    sections = [
        _head(report),
        _section("Training", _training(report.training)),
        _section("Results", _results(lines)),
        _section("Latency in detail", _latency(lines)),
        _section("Throughput, memory and size", _size(lines)),
        _section("Not measured", _skipped(report)),
        _section("Parity", _parity(report)),
        *[_section(title, free_table(rows)) for title, rows in report.tables.items()],
        _section("Environment", _environment(report)),
        _section("Warnings and notes", _notes(report)),
        _section("Decision", _decision(report)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def headline(report: Report) -> str:
    """The decision in one sentence."""
    decision = report.decision
    if decision is None:
        return "Nothing was decided."
    if decision.recommended is None:
        return decision.reason
    row = report.summary[decision.recommended]
    speed = "" if row.real_time_factor is None else f", {number(row.real_time_factor)} times real time"
    return (
        f"Ship {row_name(row)}: {milliseconds(row.p50_s)} ms for {_clips(row.batch)} of {row.frames} frames{speed}, "
        f"WER {percent(row.wer)} % ({row.wer_split}), {megabytes(row.size_bytes)} MB."
    )


def _clips(batch: int) -> str:
    return "a clip" if batch == 1 else f"{batch} clips"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _lines(summary: Sequence[SummaryRow]) -> list[_Line]:
    groups: dict[tuple[Any, ...], list[SummaryRow]] = {}
    for row in summary:
        key = (row.artifact_sha256, row.model, row.backend, row.precision, row.device, row.threads, row.batch)
        groups.setdefault((*key, row.frames, row.height, row.width, row.input_kind), []).append(row)
    return [
        _Line(
            any=rows[0],
            compute=next((row for row in rows if row.scope == "compute"), None),
            end_to_end=next((row for row in rows if row.scope == "end_to_end"), None),
        )
        for rows in groups.values()
    ]


def _head(report: Report) -> str:
    machine = f"{report.environment.cpu}, {report.environment.cpu_logical_cores} logical cores"
    command = f" Made by `{report.command}`." if report.command else ""
    return paragraphs(
        f"# {text(report.title)}",
        f"**{headline(report)}**",
        f"{report.created_at}, {machine}.{command}",
    )


# --- training ---------------------------------------------------------------------------------------------------------


def _training(figures: Sequence[TrainingFigures]) -> str:
    if not figures:
        return ""
    models = table(
        ["Model", "Role", "Checks", "Parameters (M)", "Training (min)", "WER when over-fitted (%)"],
        [
            (
                f.model,
                f.role,
                {True: "passed", False: "FAILED", None: "not run"}[f.checks_passed],
                number(f.parameters, 1e6),
                number(f.train_seconds, 60.0),
                percent(f.overfit_wer),
            )
            for f in figures
        ],
        left=3,
    )
    errors = table(
        ["Model", "Data", "WER (%)", "Substitutions", "Deletions", "Insertions", "Words"],
        [row for f in figures for row in _error_rows(f)],
        left=2,
    )
    explanation = (
        "WER counts words as the corpus defines them (letters, for fingerspelling). Words of `test` were never seen in "
        "training; the control runs destroy what there is to read and must fail."
    )
    return paragraphs(models, errors, explanation)


def _error_rows(figures: TrainingFigures) -> list[Cells]:
    splits: list[tuple[str, ErrorCounts | None]] = [
        ("dev", figures.dev),
        ("test", figures.test),
        ("test-signers", figures.test_signers),
    ]
    rows: list[Cells] = [
        (figures.model, name, percent(c.wer), c.substitutions, c.deletions, c.insertions, c.reference_words)
        for name, c in splits
        if c is not None
    ]
    for name, wer in figures.controls.items():
        rows.append((figures.model, f"control: {name}", percent(wer), MISSING, MISSING, MISSING, MISSING))
    return rows


# --- what was measured ------------------------------------------------------------------------------------------------


def _results(lines: Sequence[_Line]) -> str:
    if not lines:
        return "Nothing was measured."
    cells = table(
        ["Model", "Backend", "Prec.", "Device", "Parity", "Batch", "Frames", "p50 (ms)", "Clips/s", "MB", "WER (%)"],
        [
            (
                *_who(line.any),
                line.any.parity,
                line.any.batch,
                line.any.frames,
                milliseconds(line.end_to_end.p50_s if line.end_to_end else None),
                number(line.any.throughput_clips_per_s),
                megabytes(line.any.size_bytes),
                percent(line.any.wer),
            )
            for line in lines
        ],
        left=5,
    )
    splits = sorted({line.any.wer_split for line in lines if line.any.wer_split})
    where = f" on `{'`, `'.join(splits)}`" if splits else ""
    return paragraphs(
        cells,
        f"p50: end to end for one call (a whole batch), host to host. WER: of that very file{where}. "
        f"{_shapes(lines)}; {_threads(lines)}.",
    )


def _latency(lines: Sequence[_Line]) -> str:
    if not lines:
        return ""
    body = []
    for line in lines:
        for row in (line.end_to_end, line.compute):
            if row is not None:
                times = [milliseconds(t) for t in (row.p50_s, row.p90_s, row.p95_s, row.p99_s, row.mean_s)]
                scope = "end to end" if row.scope == "end_to_end" else "compute"
                body.append((row.model, _backend_on(row), _shape(row), scope, *times, row.samples))
    cells = table(
        ["Model", "Backend", "B x T", "Scope", "p50 (ms)", "p90 (ms)", "p95 (ms)", "p99 (ms)", "Mean (ms)", "Samples"],
        body,
        left=4,
    )
    needed = ", ".join(f"p{share * 100:.0f} {count}" for share, count in MIN_SAMPLES.items())
    return paragraphs(
        cells,
        "p50 is the median over rounds of each round's median. A percentile is left out where the samples are too few "
        f"to know it ({needed}). Compute: run and synchronise; end to end: host to device and back as well.",
    )


def _size(lines: Sequence[_Line]) -> str:
    if not lines:
        return ""
    headers = ["Model", "Backend", "B x T", "Frames/s", "x real time", "Cold start (ms)", "Peak RSS (MB)", "File (MB)"]
    cells = table(
        [*headers, "Param. (M)", "GMAC"],
        [
            (
                row.model,
                _backend_on(row),
                _shape(row),
                number(row.frames_per_s),
                number(row.real_time_factor),
                milliseconds(row.cold_start_s),
                megabytes(row.peak_rss_bytes),
                megabytes(row.size_bytes),
                number(row.parameters, 1e6),
                number(row.macs, 1e9),
            )
            for row in (line.any for line in lines)
        ],
        left=3,
    )
    return paragraphs(
        cells,
        f"Throughput is measured with calls back to back; real time is {VIDEO_HZ:g} frames per second. Cold start: "
        "import of the runtime, load and first call in a fresh process. Peak RSS: of a process that imports that "
        "runtime only. GMAC: multiply-accumulates of one call, LSTM counted. MB: 1,000,000 bytes.",
    )


def _who(row: SummaryRow) -> tuple[str, str, str, str]:
    return row.model, backend_name(row), row.precision, row.device


def _backend_on(row: SummaryRow) -> str:
    parts = [backend_name(row)]
    parts += [row.precision] if row.precision != "fp32" else []
    parts += [row.device] if row.device != "cpu" else []
    return " ".join(parts)


def _shape(row: SummaryRow) -> str:
    return f"{row.batch} x {row.frames}"


def _said_once(lines: Sequence[_Line], words: Callable[[SummaryRow], str]) -> str:
    """What is the same for every line, once; otherwise what it is for each model."""
    by_model: dict[str, dict[str, None]] = {}
    for line in lines:
        by_model.setdefault(line.any.model, {})[words(line.any)] = None
    distinct = {said for of_model in by_model.values() for said in of_model}
    if len(distinct) == 1:
        return distinct.pop()
    return ", ".join(f"{model} {' and '.join(of_model)}" for model, of_model in by_model.items())


def _shapes(lines: Sequence[_Line]) -> str:
    return f"Frames of {_said_once(lines, lambda row: f'{row.height} x {row.width} pixels')}"


def _threads(lines: Sequence[_Line]) -> str:
    return _said_once(lines, lambda row: f"{row.threads} thread{'s' if row.threads > 1 else ''}")


def _skipped(report: Report) -> str:
    if not report.skipped:
        return ""
    return table(
        ["Model", "Backend", "Precision", "Device", "Because"],
        [(s.model, s.backend, s.precision, s.device, s.reason) for s in report.skipped],
        left=5,
    )


def _parity(report: Report) -> str:
    names = {row.artifact_sha256: (row.model, backend_name(row)) for row in report.summary}
    rows = []
    for sha256, verdict in report.verdicts.items():
        model, backend = names.get(sha256, (sha256[:12], str(verdict.get("backend", MISSING))))
        cases = verdict.get("cases", ())
        worst = max((case["max_abs_error"] for case in cases if case.get("max_abs_error") is not None), default=None)
        rows.append(
            (
                model,
                backend,
                "passed" if verdict.get("passed") else "FAILED",
                "; ".join(verdict.get("reasons", ())),
                len(cases),
                _scientific(worst),
                _scientific(verdict.get("tolerance_atol")),
                _scientific(verdict.get("needed_atol")),
            )
        )
    if not rows:
        return ""
    return table(
        ["Model", "Backend", "Verdict", "Because", "Cases", "Max abs error", "Tolerance", "Needed"], rows, left=4
    )


def _scientific(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1e}"


def _environment(report: Report) -> str:
    e = report.environment
    physical = "" if e.cpu_physical_cores is None else f", {e.cpu_physical_cores} physical"
    load = "" if e.load_average_1m is None else f"load average at the start {e.load_average_1m:.2f}"
    items = [
        f"CPU: {e.cpu}, {e.cpu_logical_cores} logical cores{physical}",
        f"Memory: {e.memory_bytes / 1e9:.1f} GB",
        f"GPU: {', '.join(e.gpus) if e.gpus else 'none visible'}",
        f"System: {e.platform}, Python {e.python}, host {e.hostname}",
        f"Versions: {', '.join(f'{name} {version}' for name, version in e.versions.items())}",
        f"Captured: {e.created_at}{', ' if load else ''}{load}",
        *e.notes,
    ]
    return bullets(items)


def _notes(report: Report) -> str:
    warnings = [f"{_candidate_name(m)}: {words}" for m in report.measurements for words in _warnings(m)]
    return bullets([*dict.fromkeys(warnings), *report.notes])


def _warnings(measurement: Measurement) -> list[str]:
    differing = [
        f"{name}: asked for {wanted}, got {measurement.actual[name]}"
        for name, wanted in measurement.requested.items()
        if name in measurement.actual and measurement.actual[name] != wanted
    ]
    return [*differing, *measurement.warnings]


def _candidate_name(measurement: Measurement) -> str:
    c = measurement.candidate
    return f"{c.model} on {c.backend}, {c.batch} x {c.frames}"


# --- decision ---------------------------------------------------------------------------------------------------------


def _decision(report: Report) -> str:
    decision = report.decision
    if decision is None:
        return headline(report)
    return paragraphs(
        f"**{headline(report)}**",
        decision.reason if decision.recommended is not None else "",
        _front(report, decision),
        _rejected(report, decision),
    )


def _front(report: Report, decision: Decision) -> str:
    if not decision.pareto:
        return ""
    cells = table(
        ["Pareto front", "Backend", "Prec.", "Device", "", "p50 (ms)", "WER (%)", "File (MB)"],
        [
            (
                *_who(row),
                "**recommended**" if i == decision.recommended else "",
                milliseconds(row.p50_s),
                percent(row.wer),
                megabytes(row.size_bytes),
            )
            for i, row in ((i, report.summary[i]) for i in decision.pareto)
        ],
        left=5,
    )
    return paragraphs(cells, "No other feasible file is at most as slow, as wrong and as large as one on the front.")


def _rejected(report: Report, decision: Decision) -> str:
    if not decision.rejected:
        return ""
    rows = [(report.summary[r.row], r.reason) for r in decision.rejected]
    return table(
        ["Not recommended", "Backend", "B x T", "Because"],
        [(row.model, _backend_on(row), _shape(row), reason) for row, reason in rows],
        left=4,
    )
