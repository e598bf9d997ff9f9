"""The trade-off as a picture: WER against latency, a file's size as area, uncertainty as bars, the front as a line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slrbench.records import Report, SummaryRow
from slrbench.reporting.display import megabytes, milliseconds, percent
from slrbench.reporting.html.charts.axes import BELOW, horizontal_axis, in_unit, vertical_axis
from slrbench.reporting.html.charts.drawing import Drawing
from slrbench.reporting.html.charts.places import Taken
from slrbench.reporting.html.charts.rows import both_widths
from slrbench.reporting.html.charts.scale import Scale, spanning
from slrbench.reporting.html.figure import figure
from slrbench.reporting.html.from_markdown import table_html
from slrbench.reporting.html.markup import Markup, tag
from slrbench.reporting.html.names import decided_setting, model_class, name_of, setting_of, setting_words

_LARGEST = 20.0
"""Radius (pixels) of the largest file."""

_SMALLEST = 4.0


@dataclass(frozen=True)
class _Point:
    index: int
    row: SummaryRow
    wer: float

    @property
    def wer_ends(self) -> tuple[float, float]:
        interval = self.row.wer_interval
        return (self.wer, self.wer) if interval is None else (interval.low, interval.high)

    @property
    def time_ends(self) -> tuple[float, float]:
        interval = self.row.p50_interval
        return (self.row.p50_s, self.row.p50_s) if interval is None else (interval.low, interval.high)


def pareto_figure(report: Report) -> Markup | None:
    """The picture at the decision's setting; None where no row has a measured WER."""
    with_wer = [
        _Point(i, row, row.wer)
        for i, row in enumerate(report.summary)
        if row.scope == "end_to_end" and isinstance(row.wer, float)
    ]
    setting = decided_setting(report, [point.row for point in with_wer])
    points = sorted((p for p in with_wer if setting_of(p.row) == setting), key=lambda p: (p.row.p50_s, p.index))
    if not points:
        return None
    label = (
        f"Scatter plot of {len(points)} files at {setting_words(points[0].row)}: word error rate from "
        f"{percent(min(p.wer for p in points))} to {percent(max(p.wer for p in points))} percent against median "
        f"latency from {milliseconds(points[0].row.p50_s)} to {milliseconds(points[-1].row.p50_s)} milliseconds."
    )
    caption = (
        f"WER against end-to-end latency (p50) at {setting_words(points[0].row)}; left and below is better. The area "
        "of a disc is the size of the file, bars are 95 % intervals where they are known."
    )
    key = []
    if _front(report, points):
        key.append(("front", "Pareto front: nothing is at most as slow, as wrong and as large"))
    if not all(map(_is_proven, points)):
        key.append(("unproven", "parity not passed: on no front"))
    picture = both_widths(lambda width, kind: _picture(report, points, label, width, kind))
    return figure(Markup(picture + _legend(report, points)), caption, key=key, table=_table(report, points))


def _picture(report: Report, points: Sequence[_Point], label: str, width: float, kind: str) -> Markup:
    height = 380.0 if kind == "wide" else 300.0
    left, top, bottom = 40.0, 28.0, height - BELOW
    drawing = Drawing(width, height)
    times = [end for p in points for end in (*p.time_ends, p.row.p50_s)]
    x = spanning(times, left + 14, width - 26, log=None)
    y = spanning([end for p in points for end in (*p.wer_ends, p.wer)], bottom - 14, top + 14, from_zero=True)
    horizontal_axis(drawing, x, top, bottom, in_unit(1e-3), f"p50, ms{' (logarithmic)' if x.log else ''}", left=left)
    vertical_axis(drawing, y, left, width - 8, in_unit(1e-2), "WER, %")
    _draw_front(drawing, x, y, _front(report, points))
    largest = max(p.row.size_bytes for p in points)
    radii = [max(_SMALLEST, _LARGEST * math.sqrt(p.row.size_bytes / largest)) for p in points]
    for p in points:
        at_x, at_y = x(p.row.p50_s), y(p.wer)
        colour = model_class(report, p.row.model)
        drawing.line(x(p.time_ends[0]), at_y, x(p.time_ends[1]), at_y, f"bar {colour}")
        drawing.line(at_x, y(p.wer_ends[0]), at_x, y(p.wer_ends[1]), f"bar {colour}")
    taken = Taken(width, height)
    for p, radius in zip(points, radii, strict=True):
        taken.add(x(p.row.p50_s), y(p.wer), 1.6 * radius, 1.6 * radius)
    order = sorted(range(len(points)), key=lambda k: -radii[k])  # small discs lie upon large ones
    for k in order:
        p = points[k]
        chosen = _is_recommended(report, p)
        state = " chosen" if chosen else "" if _is_proven(p) else " unproven"
        kind_of_disc = f"disc {model_class(report, p.row.model)}{state}"
        drawing.circle(x(p.row.p50_s), y(p.wer), radii[k], kind_of_disc, title=_words(p))
        drawing.circle(x(p.row.p50_s), y(p.wer), 1.5, f"centre {model_class(report, p.row.model)}")
    for k, p in enumerate(points):
        words = str(k + 1)
        at = taken.near(x(p.row.p50_s), y(p.wer), radii[k], 7.0 * len(words) + 2, 13.0)
        drawing.text(
            at[0], at[1] + 4, words, kind="mark strong" if _is_recommended(report, p) else "mark", anchor="middle"
        )
    return drawing.svg(label, kind)


def _front(report: Report, points: Sequence[_Point]) -> list[_Point]:
    on_it = set() if report.decision is None else set(report.decision.pareto)
    return [p for p in points if p.index in on_it]


def _draw_front(drawing: Drawing, x: Scale, y: Scale, front: Sequence[_Point]) -> None:
    """As steps over those that are better in WER the slower they are: what is between two files cannot be had."""
    corners: list[tuple[float, float]] = []
    lowest = math.inf
    for p in front:
        if p.wer < lowest:
            if corners:
                corners.append((x(p.row.p50_s), corners[-1][1]))
            corners.append((x(p.row.p50_s), y(p.wer)))
            lowest = p.wer
    drawing.polyline(corners, "front")


def _is_recommended(report: Report, point: _Point) -> bool:
    return report.decision is not None and report.decision.recommended == point.index


def _is_proven(point: _Point) -> bool:
    """Whether parity passed for that very file; else it is on no front, wherever it lies."""
    return point.row.parity == "passed"


def _words(point: _Point) -> str:
    row = point.row
    figures = f"{milliseconds(row.p50_s)} ms, WER {percent(point.wer)} %, {megabytes(row.size_bytes)} MB"
    return f"{name_of(row)}: {figures}"


def _legend(report: Report, points: Sequence[_Point]) -> Markup:
    """What the numbers in the picture stand for."""
    return tag(
        "ol",
        *(
            tag(
                "li",
                tag("span", class_=f"swatch disc {model_class(report, p.row.model)}", aria_hidden="true"),
                tag("span", name_of(p.row), " ", tag("strong", "recommended") if _is_recommended(report, p) else None),
            )
            for p in points
        ),
        class_="points",
    )


def _table(report: Report, points: Sequence[_Point]) -> Markup:
    share = {} if report.decision is None else report.decision.front_share
    front = {p.index for p in _front(report, points)}
    rows = [
        (
            k + 1,
            name_of(p.row),
            _standing(report, p, front),
            milliseconds(p.row.p50_s),
            _ends(p.row.p50_interval is not None, *map(milliseconds, p.time_ends)),
            percent(p.wer),
            _ends(p.row.wer_interval is not None, *map(percent, p.wer_ends)),
            megabytes(p.row.size_bytes),
            f"{100 * share[p.index]:.0f}" if p.index in share else None,
        )
        for k, p in enumerate(points)
    ]
    headers = ["", "File", "", "p50 (ms)", "95 %", "WER (%)", "95 %", "MB", "On the front (% of resamples)"]
    shown = [k for k, _ in enumerate(headers) if k in (0, 1) or any(row[k] not in ("", None) for row in rows)]
    return table_html(
        [headers[k] for k in shown],
        [[row[k] for k in shown] for row in rows],
        "WER, latency and size",
        left=sum(k < 3 for k in shown),
    )


def _standing(report: Report, point: _Point, front: set[int]) -> str:
    if _is_recommended(report, point):
        return "recommended"
    if point.index in front:
        return "on the front"
    return "" if _is_proven(point) else f"parity {point.row.parity}"


def _ends(known: bool, low: str, high: str) -> str:
    return f"{low} to {high}" if known else ""
