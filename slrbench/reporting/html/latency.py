"""Where the time of each call lies: every raw sample, the quartiles, the median and its interval; a panel per shape."""

from collections.abc import Sequence
from statistics import median, quantiles

from slrbench.records import Measurement, Report, SummaryRow
from slrbench.reporting.display import backend_on, milliseconds
from slrbench.reporting.html.charts.axes import in_unit
from slrbench.reporting.html.charts.drawing import Drawing
from slrbench.reporting.html.charts.rows import Axis, Row, rows_picture
from slrbench.reporting.html.charts.scale import Scale
from slrbench.reporting.html.figure import figure, panels
from slrbench.reporting.html.from_markdown import table_html
from slrbench.reporting.html.markup import Markup
from slrbench.reporting.html.names import is_baseline, model_class, row_of, setting_of, setting_words

_SHOWN = 4
"""Panels that are shown at once."""

_LOG_FROM = 3.0
"""Slowest over fastest call from which the axis is logarithmic: few slow calls would else press the others together."""

_GOLDEN = 0.618034
"""Spreads samples over the height of their row evenly and the same at every rendering."""


def latency_figure(report: Report) -> Markup | None:
    """The samples end to end, host to host; None where nothing was measured."""
    groups: dict[tuple[object, ...], list[tuple[Measurement, SummaryRow | None, str]]] = {}
    for index, m in enumerate(report.measurements):
        if m.end_to_end_s:
            row = row_of(report, index)
            panel = (*setting_of(row or m.candidate), m.candidate.model)
            name = backend_on(m.candidate) + (" (baseline)" if is_baseline(report, m) else "")
            groups.setdefault(panel, []).append((m, row, name))
            if report.control is not None and is_baseline(report, m) and report.control.end_to_end_s:
                groups[panel].append((report.control, None, f"{backend_on(m.candidate)} again (A/A)"))
    if not groups:
        return None
    items = []
    for group in groups.values():
        first = group[0][1] or group[0][0].candidate
        items.append((f"{first.model}, {setting_words(first)}", _panel(report, group)))
    key = [
        ("sample", "one call"),
        ("box", "middle half of the calls"),
        ("median", "p50: median over rounds"),
        *([("interval", "its 95 % interval")] if any(row.p50_interval for row in report.summary) else []),
        *([("marked", "call under contention, kept and marked")] if _marked(report) else []),
    ]
    caption = (
        "Every timed call, end to end, host to host; no sample is left out. Each panel has an axis of its own, which "
        "is logarithmic where the slowest call took many times as long as the fastest."
    )
    picture = panels(items, shown=_SHOWN, rest="Other shapes", kind="stack")
    return figure(picture, caption, key=key, table=_table(list(groups.values())))


def _marked(report: Report) -> bool:
    return any(indices for m in report.measurements for indices in m.marks.values())


def marked_samples(measurement: Measurement) -> set[int]:
    """Indices of samples with any mark."""
    return {index for indices in measurement.marks.values() for index in indices}


def _panel(report: Report, group: Sequence[tuple[Measurement, SummaryRow | None, str]]) -> Markup:
    rows = [_row(report, m, row, name) for m, row, name in group]
    values = [sample for m, _, _ in group for sample in m.end_to_end_s]
    log = min(values) > 0 and max(values) > _LOG_FROM * min(values)
    named = "; ".join(f"{name}: median {milliseconds(_p50(m, row))} ms" for m, row, name in group)
    label = f"Strip plot of the time of every call. {named}."
    return rows_picture(
        rows, Axis(values, in_unit(1e-3), f"ms per call{' (logarithmic)' if log else ''}", log=log), label
    )


def _p50(measurement: Measurement, row: SummaryRow | None) -> float:
    return median(measurement.end_to_end_s) if row is None else row.p50_s


def _row(report: Report, measurement: Measurement, row: SummaryRow | None, name: str) -> Row:
    colour = model_class(report, measurement.candidate.model)
    samples = measurement.end_to_end_s
    marked = marked_samples(measurement)

    def draw(drawing: Drawing, x: Scale, y: float) -> None:
        def place(index: int) -> tuple[float, float]:
            return x(samples[index]), y + 18 * ((index * _GOLDEN) % 1.0 - 0.5)

        drawing.dots((place(i) for i in range(len(samples)) if i not in marked), f"sample {colour}")
        if len(samples) > 1:
            low, _, high = quantiles(samples, n=4, method="inclusive")
            drawing.rect(x(low), y - 11, x(high) - x(low), 22, "box")
        drawing.crosses((place(i) for i in sorted(marked) if i < len(samples)), "marked")
        if row is not None and row.p50_interval is not None:
            interval = row.p50_interval
            drawing.rect(x(interval.low), y - 3, x(interval.high) - x(interval.low), 6, "interval")
        middle = x(_p50(measurement, row))
        drawing.line(middle, y - 13, middle, y + 13, "median")

    words = f"{milliseconds(_p50(measurement, row))} ms, {len(samples)} calls"
    return Row(name, f"{words}, {len(marked)} marked" if marked else words, draw)


def _table(groups: Sequence[Sequence[tuple[Measurement, SummaryRow | None, str]]]) -> Markup:
    rows = []
    for m, row, name in (line for group in groups for line in group):
        times = sorted(m.end_to_end_s)
        low, _, high = quantiles(times, n=4, method="inclusive") if len(times) > 1 else (times[0],) * 3
        interval = None if row is None else row.p50_interval
        rows.append(
            (
                f"{m.candidate.model} on {name}",
                setting_words(row or m.candidate),
                *map(milliseconds, (times[0], low, _p50(m, row), high, times[-1])),
                None if interval is None else f"[{milliseconds(interval.low)}, {milliseconds(interval.high)}]",
                len(times),
                len(marked_samples(m)),
            )
        )
    headers = ["File", "Setting", "Fastest (ms)", "Lower quartile", "p50", "Upper quartile", "Slowest"]
    return table_html([*headers, "p50, 95 %", "Calls", "Marked"], rows, "samples end to end", left=2)
