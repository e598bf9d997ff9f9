"""The tables of report.md that hold figures: training, results, throughput, memory and size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from slrbench.records import ErrorCounts, Report, Skipped, SummaryRow, TrainingFigures
from slrbench.reporting.comparison_tables import verdict_words
from slrbench.reporting.display import (
    MISSING,
    TimeUnit,
    backend_name,
    megabytes,
    number,
    percent,
    time_unit,
)
from slrbench.reporting.doubts import accuracies_shown, doubts
from slrbench.reporting.markdown import Cells, bullets, first_that_fits, paragraphs, table
from slrbench.reporting.naming import Naming, shape, short_names, threads_words
from slrbench.reporting.statistics import VIDEO_HZ


@dataclass(frozen=True)
class Line:
    """One line of the tables: a measured candidate, with its row of each scope."""

    any: SummaryRow  # for what the rows of all scopes share
    compute: SummaryRow | None
    end_to_end: SummaryRow | None
    pixels_to_glosses: SummaryRow | None = None


def lines_of(summary: Sequence[SummaryRow]) -> list[Line]:
    """The rows of the summary, all scopes of a candidate together, in the order in which candidates first occur."""
    groups: dict[tuple[Any, ...], list[SummaryRow]] = {}
    for row in summary:
        key = (row.artifact_sha256, row.model, row.backend, row.precision, row.device, row.threads, row.batch)
        groups.setdefault((*key, row.frames, row.height, row.width, row.input_kind, row.variant), []).append(row)
    return [
        Line(
            any=rows[0],
            compute=next((row for row in rows if row.scope == "compute"), None),
            end_to_end=next((row for row in rows if row.scope == "end_to_end"), None),
            pixels_to_glosses=next((row for row in rows if row.scope == "pixels_to_glosses"), None),
        )
        for rows in groups.values()
    ]


# --- training ---------------------------------------------------------------------------------------------------------


def training_tables(figures: Sequence[TrainingFigures]) -> str:
    """What training gave; empty where the report has none."""
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
    error_rows = [row for f in figures for row in _error_rows(f)]
    errors = table(
        ["Model", "Data", "WER (%)", "Substitutions", "Deletions", "Insertions", "Words"],
        error_rows,
        left=2,
    )
    explanation = (
        "WER counts words as the corpus defines them (letters, for fingerspelling). Nothing in `dev` and `test` was "
        "trained on; the control runs destroy what there is to read and must fail."
    )
    signers = (
        "For fingerspelling that means words never spelled in training, by the same recordings. `test-signers`: "
        "signers never seen in training; its clips are mostly single letters."
    )
    if not error_rows:
        return models
    return paragraphs(models, errors, explanation, signers if any(f.test_signers for f in figures) else "")


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


def results_table(report: Report, lines: Sequence[Line]) -> str:
    """The main table: latency, throughput, size, WER and parity of each file at each shape.

    Precision, device and shape are columns where they differ; what all rows share is said below the table, which so
    stays within a terminal.
    """
    if not lines:
        return "Nothing was measured."
    swept = Naming(report.summary)
    columns = {
        "Prec.": [line.any.precision for line in lines],
        "Device": [line.any.device for line in lines],
        "B x T": [shape(line.any) for line in lines],
        **{header: [swept.swept(line.any)[header] for line in lines] for header in swept.swept(lines[0].any)},
    }
    shared = [
        f"B x T {values[0]}" if header == "B x T" else values[0]
        for header, values in columns.items()
        if len(set(values)) == 1
    ]
    differing = {header: values for header, values in columns.items() if len(set(values)) > 1}
    cells = first_that_fits(
        _results(report, lines, differing, interval=interval, verdict=verdict)
        for interval, verdict in ((True, True), (True, False), (False, False))
    )
    sentences = [
        f"All rows: {', '.join(shared)}." if shared else "",
        "B x T: clips of a call x frames of a clip.",
        f"p50: end to end for one call (a whole batch), host to host{_interval_words(lines)}.",
        _wer_basis(report),
        *([] if "Size" in columns else [f"{_shapes(lines)}."]),
        *([] if "Threads" in columns else [f"{_threads(lines)[0].upper()}{_threads(lines)[1:]}."]),
    ]
    reasons = doubts(report)
    return paragraphs(
        cells,
        " ".join(sentence for sentence in sentences if sentence),
        *(["What speaks against deciding on these figures:", bullets(reasons)] if reasons else []),
    )


def _results(
    report: Report, lines: Sequence[Line], differing: dict[str, list[str]], *, interval: bool, verdict: bool
) -> str:
    unit = time_unit(line.end_to_end.p50_s for line in lines if line.end_to_end)
    words = verdict_words(report)
    verdict = verdict and bool(words)
    index_of = {id(row): index for index, row in enumerate(report.summary)}
    names = short_names(line.any.model for line in lines)
    return table(
        [
            *("Model", "Backend", *differing, "Parity", f"p50 ({unit.name})"),
            *(["Verdict"] if verdict else []),
            *("Clips/s", "MB", "WER (%)"),
        ],
        [
            (
                names[line.any.model],
                backend_name(line.any),
                *(values[index] for values in differing.values()),
                line.any.parity,
                _p50(line, unit, interval=interval),
                *([words.get(index_of[id(line.end_to_end)], "") if line.end_to_end else ""] if verdict else []),
                number(line.any.throughput_clips_per_s),
                megabytes(line.any.size_bytes),
                percent(line.any.wer),
            )
            for index, line in enumerate(lines)
        ],
        left=3 + len(differing),
    )


def _p50(line: Line, unit: TimeUnit, *, interval: bool) -> str:
    row = line.end_to_end
    if row is None:
        return MISSING
    return unit.with_interval(row.p50_s, row.p50_interval if interval else None)


def _interval_words(lines: Sequence[Line]) -> str:
    known = any(line.end_to_end is not None and line.end_to_end.p50_interval is not None for line in lines)
    return ", with its 95 % interval where there are 6 rounds" if known else "; too few rounds for its interval"


def _wer_basis(report: Report) -> str:
    """On what the rows' WER rests."""
    used = accuracies_shown(report)
    sizes = sorted({(a.clips, a.counts.reference_words) for a in used})
    splits = sorted({a.split for a in used})
    if not used:
        return "No WER was measured."
    clips = " or ".join(f"{count} clips, {words} words" for count, words in sizes)
    return f"WER: of that very file on `{'`, `'.join(splits)}` ({clips})."


def size_table(report: Report, lines: Sequence[Line]) -> str:
    """Throughput, cold start and energy; memory, size and cost."""
    if not lines:
        return ""
    rows, name = [line.any for line in lines], Naming(report.summary)
    unit = time_unit(row.cold_start_s for row in rows)
    energy = any(row.joules_per_clip is not None for row in rows)
    speed = table(
        [
            *(*name.headers, "Frames/s", "x real time", f"Cold start ({unit.name})"),
            *(["Energy (J/clip)"] if energy else []),
        ],
        [
            (
                *name(row),
                number(row.frames_per_s),
                number(row.real_time_factor),
                unit(row.cold_start_s),
                *([number(row.joules_per_clip)] if energy else []),
            )
            for row in rows
        ],
        left=len(name.headers),
    )
    optional: dict[str, Callable[[SummaryRow], int | None]] = {
        "Steady": lambda row: row.steady_rss_bytes,
        "Zipped": lambda row: row.compressed_bytes,
    }
    shown = {header for header, of_row in optional.items() if any(of_row(row) is not None for row in rows)}
    memory = table(
        [
            *(*name.headers, "Peak RSS (MB)"),
            *(["Steady"] if "Steady" in shown else []),
            "File (MB)",
            *(["Zipped"] if "Zipped" in shown else []),
            *("Param. (M)", "GMAC"),
        ],
        [
            (
                *name(row),
                megabytes(row.peak_rss_bytes),
                *([megabytes(row.steady_rss_bytes)] if "Steady" in shown else []),
                megabytes(row.size_bytes),
                *([megabytes(row.compressed_bytes)] if "Zipped" in shown else []),
                number(row.parameters, 1e6),
                number(row.macs, 1e9),
            )
            for row in rows
        ],
        left=len(name.headers),
    )
    return paragraphs(
        speed,
        memory,
        f"Throughput is measured with calls back to back; real time is {VIDEO_HZ:g} frames per second. Cold start: "
        "import of the runtime, load and first call in a fresh process. Peak RSS: of a process that imports that "
        "runtime only; steady: after the last round. Zipped: the file through zlib, as a download would be. GMAC: "
        "multiply-accumulates of one call, LSTM counted. MB: 1,000,000 bytes.",
    )


def folded_skips(skipped: Sequence[Skipped]) -> list[tuple[Skipped, list[str]]]:
    """Skipped rows that differ in their model only as one, with the models, in the order in which they occur."""
    folded: dict[Skipped, list[str]] = {}
    for row in skipped:
        folded.setdefault(row.model_copy(update={"model": ""}), []).append(row.model)
    return list(folded.items())


def who(row: SummaryRow) -> tuple[str, str, str, str]:
    """Cells that name a row: model, backend, precision, device."""
    return row.model, backend_name(row), row.precision, row.device


def _said_once(lines: Sequence[Line], words: Callable[[SummaryRow], str]) -> str:
    """What is the same for every line, once; otherwise what it is for each model."""
    by_model: dict[str, dict[str, None]] = {}
    for line in lines:
        by_model.setdefault(line.any.model, {})[words(line.any)] = None
    distinct = {said for of_model in by_model.values() for said in of_model}
    if len(distinct) == 1:
        return distinct.pop()
    return ", ".join(f"{model} {' and '.join(of_model)}" for model, of_model in by_model.items())


def _shapes(lines: Sequence[Line]) -> str:
    return f"Frames of {_said_once(lines, lambda row: f'{row.height} x {row.width} pixels')}"


def _threads(lines: Sequence[Line]) -> str:
    return _said_once(lines, threads_words)
