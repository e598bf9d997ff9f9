"""The tables of report.md about time: percentiles with their bounds, and samples taken under contention."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from slrbench.records import Report, SummaryRow
from slrbench.reporting.display import MISSING, TimeUnit, backend_on, percent, time_unit
from slrbench.reporting.markdown import Cells, bullets, first_that_fits, paragraphs, table
from slrbench.reporting.statistics import marked_samples
from slrbench.statistics.percentiles import MIN_SAMPLES, samples_missing

if TYPE_CHECKING:
    from slrbench.reporting.tables import Line

WIDEST_INTERVAL = 0.03
"""Half width of the interval of a median, as a share of it, above which the report says so."""

_PERCENTILES = {0.90: ("p90_s", "p90_bound_s"), 0.95: ("p95_s", "p95_bound_s"), 0.99: ("p99_s", "p99_bound_s")}


def latency_section(report: Report, lines: Sequence["Line"], name: Callable[[SummaryRow], tuple[str, ...]]) -> str:
    """Every percentile that is known, with its bound, of both scopes; and what contention did to them.

    Args:
        report: whose marks are counted.
        lines: the rows, both scopes together.
        name: model, backend and shape of a row.
    """
    scopes = {
        "End to end, host to host (stage, run, synchronise, fetch):": [line.end_to_end for line in lines],
        "Compute (run and synchronise):": [line.compute for line in lines],
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
    about = f"p50 ±: 95 % interval of the median over rounds, by bootstrap over rounds. n: samples. {bound}".strip()
    return paragraphs(
        *parts, about, bullets([*_missing(shown), *_wide(report, shown)]), _contention(report, shown, name)
    )


def _any_bound(rows: Iterable[SummaryRow]) -> bool:
    return any(row.p90_bound_s is not None for row in rows)


def _percentiles(rows: Sequence[SummaryRow], name: Callable[[SummaryRow], tuple[str, ...]]) -> str:
    unit = time_unit(row.p50_s for row in rows)
    headers = [f"{word} ({unit.name})" for word in ("p50", "p90", "p95", "p99")]

    def cells(bounded: Sequence[float]) -> str:
        return table(
            ["Model", "Backend", "B x T", *headers, "n"],
            [
                (
                    *name(row),
                    unit.with_interval(row.p50_s, row.p50_interval),
                    *(_percentile(row, share, unit, bounded=share in bounded) for share in _PERCENTILES),
                    row.samples,
                )
                for row in rows
            ],
            left=3,
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


def _wide(report: Report, rows: Sequence[SummaryRow]) -> list[str]:
    """Medians that are known badly, and what is seen of the reason."""
    found = []
    for row in rows:
        interval = row.p50_interval
        if interval is None or row.scope != "end_to_end":
            continue
        half = max(interval.high - row.p50_s, row.p50_s - interval.low) / row.p50_s
        if half > WIDEST_INTERVAL:
            found.append(
                f"The median of {row.model} on {backend_on(row)}, {row.batch} x {row.frames} is known to "
                f"±{percent(half)} % only: {_why_wide(report, row)}."
            )
    few = [row for row in rows if row.p50_interval is None and row.scope == "end_to_end"]
    if few:
        found.append(f"{len(few)} of the medians have no interval: fewer than 6 rounds.")
    return found


def _why_wide(report: Report, row: SummaryRow) -> str:
    rounds = len(set(report.measurements[row.measurement].round_of)) if row.measurement is not None else 0
    marked = (
        f"{row.marked_samples} of {row.samples} samples were taken under contention, " if row.marked_samples else ""
    )
    return f"{marked}its {rounds} rounds differ by as much"


def _contention(report: Report, rows: Sequence[SummaryRow], name: Callable[[SummaryRow], tuple[str, ...]]) -> str:
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
            ["Model", "Backend", "B x T", "Marked", f"p50 ({unit.name})", f"Without ({unit.name})", "What was seen"],
            [(*cell[:3], *cell[3:6], cell[6]) for cell in cells],
            left=3,
        ),
    )


def _kinds(report: Report, row: SummaryRow) -> str:
    measurement = report.measurements[row.measurement or 0]
    assert marked_samples(measurement)
    return ", ".join(f"{kind} {len(indices)}" for kind, indices in measurement.marks.items() if indices)
