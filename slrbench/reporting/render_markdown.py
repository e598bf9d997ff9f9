"""report.md: the decision first, then the tables behind it, for GitHub and for a terminal of 100 columns."""

from collections.abc import Iterable
from typing import Any

from slrbench.records import Decision, Measurement, Report, SummaryRow
from slrbench.reporting.beside_tables import beside_sections
from slrbench.reporting.certainty import certainty, changes, front_words
from slrbench.reporting.comparison_tables import comparison_table, invalid_session, scaling_table, wer_table
from slrbench.reporting.display import backend_on, megabytes, milliseconds, number, percent, row_name, with_input
from slrbench.reporting.doubts import clips_behind, doubts
from slrbench.reporting.gpu_tables import NOT_ON_A_GPU, gpu_lines, gpu_table, ran_on_a_gpu
from slrbench.reporting.latency_tables import latency_section
from slrbench.reporting.load_tables import load_section, load_summary
from slrbench.reporting.markdown import Cells, bullets, free_table, paragraphs, table, text
from slrbench.reporting.naming import Naming
from slrbench.reporting.parity_tables import parity_section
from slrbench.reporting.plain_text import wrapped
from slrbench.reporting.tables import (
    folded_skips,
    lines_of,
    results_table,
    size_table,
    training_tables,
    who,
)


def render_markdown(report: Report) -> str:
    """The whole report as Markdown, from the figures that it holds; nothing is computed anew."""
    lines = lines_of(report.summary)
    sections = [
        _head(report),
        _section("Training", training_tables(report.training)),
        _section("Results", results_table(report, lines)),
        _section("Against the baseline", comparison_table(report, Naming(report.summary))),
        _section("Latency in detail", latency_section(report, lines, Naming(report.summary))),
        _section("Growth", scaling_table(report, Naming(report.summary))),
        _section("Under load", load_section(report.load)),
        _section("Throughput, memory and size", size_table(report, lines)),
        *[_section(title, body) for title, body in beside_sections(report)],
        _section("Word error rates", wer_table(report.accuracies)),
        _section("On the GPU", gpu_table(report, lines)),
        _section("Not measured", _skipped(report)),
        _section("Parity", parity_section(report)),
        *[_section(title, free_table(rows)) for title, rows in report.tables.items()],
        _section("Environment", _environment(report)),
        _section("Warnings and notes", _notes(report)),
        _section("Decision", _decision(report)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def render_decision(report: Report) -> str:
    """What a terminal shows at the end of a run: the main table and the decision."""
    shown = paragraphs(
        results_table(report, lines_of(report.summary)),
        comparison_table(report, Naming(report.summary)),
        load_summary(report.load),
        headline(report),
        _reason(report),
        _front(report, report.decision) if report.decision is not None else "",
    )
    plain = shown.replace("**", "")  # a terminal has no bold from asterisks
    return "\n\n".join(_wrapped(block) for block in plain.split("\n\n"))


def _wrapped(block: str) -> str:
    """Prose and bullets in the columns of a terminal; a table as it is."""
    if block.startswith("|"):
        return block
    lines = [wrapped(line, hanging="  " if line.startswith("- ") else "") for line in block.splitlines()]
    return "\n".join(lines)


def headline(report: Report) -> str:
    """The decision in one sentence."""
    decision = report.decision
    if decision is None:
        return "Nothing was decided."
    if decision.recommended is None:
        return decision.reason
    row = report.summary[decision.recommended]
    ship = "First impression, not a decision: ship" if doubts(report) else "Ship"
    speed = "" if row.real_time_factor is None else f", {number(row.real_time_factor)} times real time"
    return (
        f"{ship} {row_name(row)}: {milliseconds(row.p50_s)} ms for {_clips(row.batch)} of {row.frames} frames{speed}, "
        f"{megabytes(row.size_bytes)} MB, WER {_wer(report, row)}."
    )


def _wer(report: Report, row: SummaryRow) -> str:
    """The row's WER and, where training measured it, that on signers never seen, without which it flatters."""
    unseen = _wer_on_unseen_signers(report, row)
    clips = clips_behind(report, row)
    where = row.wer_split if clips is None else f"{clips} clip{'s' * (clips > 1)} of {row.wer_split}"
    if unseen is None:
        return f"{percent(row.wer)} % ({where})"
    return f"{percent(row.wer)} % ({where}: recordings seen in training); {percent(unseen)} % on {_UNSEEN}"


_UNSEEN = "signers never seen"


def _wer_on_unseen_signers(report: Report, row: SummaryRow) -> float | None:
    """That of the checkpoint from which the row's file was exported."""
    return next((f.test_signers.wer for f in report.training if f.model == row.model and f.test_signers), None)


def _clips(batch: int) -> str:
    return "a clip" if batch == 1 else f"{batch} clips"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _head(report: Report) -> str:
    machine = f"{report.environment.cpu}, {report.environment.cpu_logical_cores} logical cores"
    command = f" Made by `{report.command}`." if report.command else ""
    return paragraphs(
        f"# {text(report.title)}",
        f"**{headline(report)}**",
        f"**{invalid}**" if (invalid := invalid_session(report.noise_floor)) else "",
        f"{report.created_at}, {machine}.{command}",
    )


def _skipped(report: Report) -> str:
    if not report.skipped:
        return ""
    return table(
        ["Model", "Backend", "Precision", "Device", "Because"],
        [
            (", ".join(models), with_input(s.backend, "float32", s.variant), s.precision, s.device, s.reason)
            for s, models in folded_skips(report.skipped)
        ],
        left=5,
    )


def _environment(report: Report) -> str:
    e = report.environment
    physical = "" if e.cpu_physical_cores is None else f", {e.cpu_physical_cores} physical"
    load = "" if e.load_average_1m is None else f"load average at the start {e.load_average_1m:.2f}"
    items = [
        f"CPU: {e.cpu}, {e.cpu_logical_cores} logical cores{physical}",
        f"Memory: {e.memory_bytes / 1e9:.1f} GB",
        f"GPU: {', '.join(e.gpus) if e.gpus else 'none visible'}",
        *gpu_lines(report),
        *([] if ran_on_a_gpu(report) else [NOT_ON_A_GPU]),
        f"System: {e.platform}, Python {e.python}",
        f"Versions: {', '.join(f'{name} {version}' for name, version in e.versions.items())}",
        f"Captured: {e.created_at}{', ' if load else ''}{load}",
        *_settings(report.measuring.get("settings")),
        *e.notes,
    ]
    return bullets(items)


def _settings(settings: Any) -> list[str]:
    """How much was measured, as one bullet; the settings of a part stand with it."""
    if not isinstance(settings, dict):
        return []
    parts = []
    for name, value in settings.items():
        inner = value if isinstance(value, dict) else {name: value}
        parts += [f"{key} {figure}" for key, figure in inner.items()]
    return [f"Measured with: {', '.join(parts)}"]


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
    return f"{c.model} on {backend_on(c)}, {c.batch} x {c.frames}"


# --- decision ---------------------------------------------------------------------------------------------------------


def _decision(report: Report) -> str:
    decision = report.decision
    if decision is None:
        return headline(report)
    return paragraphs(
        f"**{headline(report)}**",
        _reason(report),
        _front(report, decision),
        _sure(report, decision),
        _rejected(report, decision),
    )


def _sure(report: Report, decision: Decision) -> str:
    """How sure the decision is, and where it would change."""
    rows = report.summary
    changed = changes(rows, decision)
    return paragraphs(
        bullets(part for part in (*certainty(rows, decision), front_words(rows, decision)) if part),
        paragraphs("If a limit changes:", bullets(changed)) if changed else "",
    )


def _reason(report: Report) -> str:
    """Empty where there is nothing beyond the headline."""
    decision = report.decision
    if decision is None or decision.recommended is None:
        return ""
    row = report.summary[decision.recommended]
    unseen = _wer_on_unseen_signers(report, row)
    if unseen is None:
        return decision.reason
    return (
        f"{decision.reason} On {_UNSEEN} (`test-signers`), the checkpoint of {row.model} has a WER of "
        f"{percent(unseen)} %; the decision does not look at that figure."
    )


def _front(report: Report, decision: Decision) -> str:
    if not decision.pareto:
        return ""
    rows = [report.summary[i] for i in decision.pareto]
    unseen = [_wer_on_unseen_signers(report, row) for row in rows]
    shown = any(wer is not None for wer in unseen)
    headers = ["Pareto front", "Backend", "Prec.", "Device", "", "p50 (ms)", "File (MB)", "WER (%)"]
    cells = table(
        [*headers, *(["Unseen (%)"] if shown else [])],
        [
            (
                *who(row),
                "ship" if i == decision.recommended else "",
                milliseconds(row.p50_s),
                megabytes(row.size_bytes),
                percent(row.wer),
                *([percent(wer)] if shown else []),
            )
            for i, row, wer in zip(decision.pareto, rows, unseen, strict=True)
        ],
        left=5,
    )
    explained = "No other feasible file is at most as slow, as wrong and as large as one on the front."
    return paragraphs(cells, explained + (f" Unseen: the checkpoint's WER on {_UNSEEN}." if shown else ""))


def _rejected(report: Report, decision: Decision) -> str:
    if not decision.rejected:
        return ""
    return table(["Not recommended", "Backend", "B x T", "Because"], _folded(report, decision), left=4)


def _folded(report: Report, decision: Decision) -> list[Cells]:
    """One line per file and reason; one for all files that are out for the same reason at other batches or devices."""
    of_file: dict[tuple[str, str, str], list[SummaryRow]] = {}
    for rejection in decision.rejected:
        row = report.summary[rejection.row]
        of_file.setdefault((row.model, backend_on(row), rejection.reason), []).append(row)
    decided = None if decision.recommended is None else report.summary[decision.recommended]
    name = Naming(report.summary)
    lines: dict[tuple[str, ...], list[SummaryRow]] = {}
    for (model, backend, reason), rows in of_file.items():
        elsewhere = decided is not None and all((r.batch, r.device) != (decided.batch, decided.device) for r in rows)
        key = (reason, *map(name.at, rows)) if elsewhere else (reason, model, backend)
        lines.setdefault(key, []).extend(rows)
    return [
        (_each(row.model for row in rows), _each(map(backend_on, rows)), _each(map(name.at, rows)), key[0])
        for key, rows in lines.items()
    ]


def _each(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))
