"""The tables of report.md that hold figures: training, results, latency, throughput, memory and size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from slrbench.records import ErrorCounts, Report, Skipped, SummaryRow, TrainingFigures
from slrbench.reporting.display import MISSING, backend_name, backend_on, megabytes, milliseconds, number, percent
from slrbench.reporting.doubts import accuracies_shown, doubts
from slrbench.reporting.gpu_tables import NOT_ON_A_GPU, ran_on_a_gpu
from slrbench.reporting.markdown import Cells, bullets, paragraphs, table
from slrbench.reporting.statistics import VIDEO_HZ
from slrbench.statistics.percentiles import MIN_SAMPLES


@dataclass(frozen=True)
class Line:
    """One line of the tables: a measured candidate, with its row of each scope."""

    any: SummaryRow  # for what both scopes' rows share
    compute: SummaryRow | None
    end_to_end: SummaryRow | None


def lines_of(summary: Sequence[SummaryRow]) -> list[Line]:
    """The rows of the summary, both scopes of a candidate together, in the order in which candidates first occur."""
    groups: dict[tuple[Any, ...], list[SummaryRow]] = {}
    for row in summary:
        key = (row.artifact_sha256, row.model, row.backend, row.precision, row.device, row.threads, row.batch)
        groups.setdefault((*key, row.frames, row.height, row.width, row.input_kind, row.variant), []).append(row)
    return [
        Line(
            any=rows[0],
            compute=next((row for row in rows if row.scope == "compute"), None),
            end_to_end=next((row for row in rows if row.scope == "end_to_end"), None),
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
        return f"Nothing was measured. {NOT_ON_A_GPU}"
    columns = {
        "Prec.": [line.any.precision for line in lines],
        "Device": [line.any.device for line in lines],
        "B x T": [shape(line.any) for line in lines],
    }
    shared = [
        f"B x T {values[0]}" if header == "B x T" else values[0]
        for header, values in columns.items()
        if len(set(values)) == 1
    ]
    differing = {header: values for header, values in columns.items() if len(set(values)) > 1}
    cells = table(
        ["Model", "Backend", *differing, "Parity", "p50 (ms)", "Clips/s", "MB", "WER (%)"],
        [
            (
                line.any.model,
                backend_name(line.any),
                *(values[index] for values in differing.values()),
                line.any.parity,
                milliseconds(line.end_to_end.p50_s if line.end_to_end else None),
                number(line.any.throughput_clips_per_s),
                megabytes(line.any.size_bytes),
                percent(line.any.wer),
            )
            for index, line in enumerate(lines)
        ],
        left=3 + len(differing),
    )
    sentences = [
        f"All rows: {', '.join(shared)}." if shared else "",
        "B x T: clips of a call x frames of a clip.",
        "p50: end to end for one call (a whole batch), host to host.",
        _wer_basis(report),
        f"{_shapes(lines)}; {_threads(lines)}.",
        "" if ran_on_a_gpu(report) else NOT_ON_A_GPU,
    ]
    reasons = doubts(report)
    return paragraphs(
        cells,
        " ".join(sentence for sentence in sentences if sentence),
        *(["What speaks against deciding on these figures:", bullets(reasons)] if reasons else []),
    )


def _wer_basis(report: Report) -> str:
    """On what the rows' WER rests."""
    used = accuracies_shown(report)
    sizes = sorted({(a.clips, a.counts.reference_words) for a in used})
    splits = sorted({a.split for a in used})
    if not used:
        return "No WER was measured."
    clips = " or ".join(f"{count} clips, {words} words" for count, words in sizes)
    return f"WER: of that very file on `{'`, `'.join(splits)}` ({clips})."


def latency_table(lines: Sequence[Line]) -> str:
    """Every percentile that is known, of both scopes."""
    if not lines:
        return ""
    body = []
    for line in lines:
        for row in (line.end_to_end, line.compute):
            if row is not None:
                times = [milliseconds(t) for t in (row.p50_s, row.p90_s, row.p95_s, row.p99_s, row.mean_s)]
                scope = "end to end" if row.scope == "end_to_end" else "compute"
                body.append((row.model, backend_on(row), shape(row), scope, *times, row.samples))
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


def size_table(lines: Sequence[Line]) -> str:
    """Throughput, cold start, memory, size and cost."""
    if not lines:
        return ""
    headers = ["Model", "Backend", "B x T", "Frames/s", "x real time", "Cold start (ms)", "Peak RSS (MB)", "File (MB)"]
    cells = table(
        [*headers, "Param. (M)", "GMAC"],
        [
            (
                row.model,
                backend_on(row),
                shape(row),
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


def folded_skips(skipped: Sequence[Skipped]) -> list[tuple[Skipped, list[str]]]:
    """Skipped rows that differ in their model only as one, with the models, in the order in which they occur."""
    folded: dict[Skipped, list[str]] = {}
    for row in skipped:
        folded.setdefault(row.model_copy(update={"model": ""}), []).append(row.model)
    return list(folded.items())


def who(row: SummaryRow) -> tuple[str, str, str, str]:
    """Cells that name a row: model, backend, precision, device."""
    return row.model, backend_name(row), row.precision, row.device


def shape(row: SummaryRow) -> str:
    """Batch and frames in one cell."""
    return f"{row.batch} x {row.frames}"


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
    return _said_once(lines, lambda row: f"{row.threads} thread{'s' if row.threads > 1 else ''}")
