"""The tables of report.md about time: percentiles with their bounds, and samples taken under contention."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from slrbench.records import Measurement, Report, SummaryRow
from slrbench.reporting.display import MISSING, TIME_UNITS, TimeUnit, off_percent, time_unit
from slrbench.reporting.markdown import Cells, bullets, first_that_fits, paragraphs, table
from slrbench.reporting.naming import Naming
from slrbench.reporting.statistics import marked_samples
from slrbench.statistics.drift import Drift, between_processes, drift_of_others
from slrbench.statistics.percentiles import MIN_SAMPLES, median_of_each_round, samples_missing

if TYPE_CHECKING:
    from slrbench.reporting.tables import Line

WIDEST_INTERVAL = 0.03
"""How far an end of the interval of a median may lie from it, as a share of it, before the report says so."""

_FEW_ROUNDS = 10

_MARKED = 0.05
"""Share of samples from which contention is named as a reason."""

_SPEED = "the machine's speed changed"

_EXPLAINED = 0.5
"""Share of a candidate's variance over rounds from which the machine's changing speed is named as a reason."""

_BETWEEN = 0.7
"""Share of a candidate's variance over rounds that lies between its processes from which those are named."""

_PERCENTILES = {0.90: ("p90_s", "p90_bound_s"), 0.95: ("p95_s", "p95_bound_s"), 0.99: ("p99_s", "p99_bound_s")}


def latency_section(report: Report, lines: Sequence["Line"], name: Naming) -> str:
    """Every percentile that is known, with its bound, of every scope; and what contention did to them.

    Args:
        report: whose marks are counted.
        lines: the rows, all scopes together.
        name: of a row.
    """
    scopes = {
        "End to end, host to host (stage, run, synchronise, fetch):": [line.end_to_end for line in lines],
        "Compute (run and synchronise):": [line.compute for line in lines],
        "Pixels to glosses (from a video's bytes):": [line.pixels_to_glosses for line in lines],
    }
    parts = []
    shown: list[SummaryRow] = []
    for title, of_scope in scopes.items():
        rows = [row for row in of_scope if row is not None]
        if rows:
            parts += [title, _percentiles(rows, name)]
            shown += rows
    if not shown:
        return ""
    bound = "≤: MLPerf's upper bound of that percentile, which holds with 99 % confidence." if _any_bound(shown) else ""
    about = f"{_about_p50(shown)} n: samples. {bound}".strip()
    return paragraphs(
        *parts, about, bullets(_missing(shown)), _wide(report, shown, name), _contention(report, shown, name)
    )


def _any_bound(rows: Iterable[SummaryRow]) -> bool:
    return any(row.p90_bound_s is not None for row in rows)


def _percentiles(rows: Sequence[SummaryRow], name: Naming) -> str:
    unit = time_unit(row.p50_s for row in rows)
    headers = [f"{word} ({unit.name})" for word in ("p50", "p90", "p95", "p99")]

    def cells(bounded: Sequence[float]) -> str:
        return table(
            [*name.headers, *headers, "n"],
            [
                (
                    *name(row),
                    unit.with_interval(row.p50_s, row.p50_interval),
                    *(_percentile(row, share, unit, bounded=share in bounded) for share in _PERCENTILES),
                    row.samples,
                )
                for row in rows
            ],
            left=len(name.headers),
        )

    return first_that_fits(cells(bounded) for bounded in (list(_PERCENTILES), [0.95, 0.99], [0.99], []))


def _percentile(row: SummaryRow, share: float, unit: TimeUnit, *, bounded: bool) -> str:
    value, bound = (getattr(row, field) for field in _PERCENTILES[share])
    if value is None:
        return MISSING
    return f"{unit(value)} ≤{unit(bound)}" if bounded and bound is not None else unit(value)


def _missing(rows: Iterable[SummaryRow]) -> list[str]:
    """What each number of samples is too few for."""
    counts = sorted({row.samples for row in rows if row.samples < max(MIN_SAMPLES.values())})
    return [
        f"With {count} samples "
        + ", ".join(
            f"p{share * 100:.0f} needs {missing} more"
            for share in MIN_SAMPLES
            if (missing := samples_missing(count, share))
        )
        + "."
        for count in counts
    ]


def _about_p50(rows: Iterable[SummaryRow]) -> str:
    known = {row.p50_interval is not None for row in rows}
    said = "p50 [low, high]: the median over rounds with its 95 % interval, by bootstrap over rounds."
    few = "too few rounds (fewer than 6) for an interval"
    if len(known) > 1:
        return f"{said} Without one: {few}."
    return said if True in known else f"p50: the median over rounds; {few}."


def _wide(report: Report, rows: Iterable[SummaryRow], name: Naming) -> str:
    """Medians that are known badly, and what is seen of the reason; empty where there are none."""
    ms = TIME_UNITS[1]
    found = [
        f"{name.sentence(row)}: {ms.with_interval(row.p50_s, interval)} ms, {off_percent(interval, row.p50_s)}: "
        f"{_why_wide(report, row)}"
        for row in rows
        if (interval := row.p50_interval) is not None
        and row.scope == "end_to_end"
        and farther_end(row) > WIDEST_INTERVAL
    ]
    if not found:
        return ""
    about = (
        "The machine's speed: what the other candidates took in its slowest round over its fastest, by their median; "
        "it is named where it explains at least half of how a row's rounds differ. Ratios are of times that lie close "
        "together, so it cancels."
    )
    return paragraphs(
        f"Wide intervals, beyond {100 * WIDEST_INTERVAL:g} % of the median, end to end:",
        bullets(found),
        about if any(_SPEED in line for line in found) else "",
    )


def farther_end(row: SummaryRow) -> float:
    """How far the farther end of the median's interval lies from it, as a share of it; 0 without an interval."""
    interval = row.p50_interval
    return 0.0 if interval is None else max(interval.high - row.p50_s, row.p50_s - interval.low) / row.p50_s


def _why_wide(report: Report, row: SummaryRow) -> str:
    measurement = None if row.measurement is None else report.measurements[row.measurement]
    rounds = 0 if measurement is None else len(set(measurement.round_of))
    reasons = []
    if row.marked_samples >= _MARKED * row.samples:
        kinds = f" ({_kinds(report, row)})" if measurement is not None and row.marked_samples else ""
        reasons.append(f"{row.marked_samples} of {row.samples} samples under contention{kinds}")
    if measurement is not None and not measurement.warmup_steady:
        reasons.append("warm-up had not settled")
    if 0 < rounds < _FEW_ROUNDS:
        reasons.append(f"{rounds} rounds")
    drift = None if row.measurement is None else _drift(report, row.measurement)
    if drift is not None and drift.explained >= _EXPLAINED:
        reasons.append(f"{_SPEED} by x{drift.ratio:.2f}")
    if measurement is not None and (medians := _of_processes(measurement)):
        shown = ", ".join(TIME_UNITS[1](value) for value in medians)
        reasons.append(f"its {len(medians)} processes differ, at {shown} ms (--processes asks for more)")
    return ", ".join(reasons) or f"its {rounds} rounds differ by as much"


def _drift(report: Report, index: int) -> Drift | None:
    medians = [median_of_each_round(m.end_to_end_s, m.round_of) for m in report.measurements]
    return drift_of_others(medians[index], medians[:index] + medians[index + 1 :])


def _of_processes(measurement: Measurement) -> list[float]:
    """The median of each process' rounds, seconds; empty where most of how the rounds differ lies elsewhere."""
    own = median_of_each_round(measurement.end_to_end_s, measurement.round_of)
    process_of = dict(zip(measurement.round_of, measurement.process_of, strict=False))
    processes = list(dict.fromkeys(process_of.values()))
    if not 1 < len(processes) < len(own) == len(process_of) or between_processes(own, process_of) < _BETWEEN:
        return []
    return [median(own[round_] for round_ in own if process_of[round_] == process) for process in processes]


def _contention(report: Report, rows: Sequence[SummaryRow], name: Naming) -> str:
    """Marked samples, and the medians without them; empty where nothing is marked."""
    marked = [row for row in rows if row.marked_samples and row.measurement is not None and row.scope == "end_to_end"]
    if not marked:
        return ""
    unit = time_unit(row.p50_s for row in marked)
    cells: list[Cells] = [
        (
            *name(row),
            f"{row.marked_samples} of {row.samples}",
            unit(row.p50_s),
            unit(row.p50_unmarked_s),
            _kinds(report, row),
        )
        for row in marked
    ]
    return paragraphs(
        "Samples taken while something else ran, which count in every figure above, and the median without them:",
        table(
            [*name.headers, "Marked", f"p50 ({unit.name})", f"Without ({unit.name})", "What was seen"],
            cells,
            left=len(name.headers),
        ),
    )


def _kinds(report: Report, row: SummaryRow) -> str:
    measurement = report.measurements[row.measurement or 0]
    assert marked_samples(measurement)
    return ", ".join(f"{kind} {len(indices)}" for kind, indices in measurement.marks.items() if indices)
