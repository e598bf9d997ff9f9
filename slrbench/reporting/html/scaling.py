"""How latency and memory grow along an axis: the points that were measured and the line fitted to them."""

from collections.abc import Sequence

from slrbench.records import Report, ScalingFit, SummaryRow
from slrbench.reporting.comparison_tables import held
from slrbench.reporting.display import megabytes, milliseconds
from slrbench.reporting.html.charts.axes import in_unit
from slrbench.reporting.html.charts.drawing import Drawing
from slrbench.reporting.html.charts.plane import Side, plane
from slrbench.reporting.html.charts.scale import Scale
from slrbench.reporting.html.figure import figure, panels
from slrbench.reporting.html.from_markdown import table_html
from slrbench.reporting.html.markup import Markup
from slrbench.reporting.html.names import model_class, name_of
from slrbench.reporting.scaling import fits_shown

_ONE_MORE = {"frames": "frame", "batch": "clip", "size": "pixel of height"}

_SHOWN = 12
"""Panels that are shown at once."""


def scaling_figure(report: Report) -> Markup | None:
    """A panel per fit; None where no axis was swept."""
    fits = fits_shown(report)
    if not fits:
        return None
    items = [
        (
            _title(report.summary[fit.row], fit),
            _panel(report, fit),
        )
        for fit in fits
    ]
    caption = (
        "Measured points and the straight line fitted to them by least squares, all else equal. The slope is what one "
        "more frame, clip or pixel costs; an r² well below 1 says that growth is not straight."
    )
    return figure(panels(items, shown=_SHOWN, rest="Further fits"), caption, table=_table(report, fits))


def _title(row: SummaryRow, fit: ScalingFit) -> str:
    return f"{name_of(row)}: {_figure(fit)} over {fit.axis} at {held(row, fit.axis)}"


def _figure(fit: ScalingFit) -> str:
    return "latency" if fit.figure == "p50_s" else "memory"


def _written(fit: ScalingFit, value: float) -> str:
    return f"{milliseconds(value)} ms" if fit.figure == "p50_s" else f"{megabytes(round(value))} MB"


def _slope(fit: ScalingFit) -> str:
    sign = "−" if fit.slope < 0 else "+"
    return f"{sign}{_written(fit, abs(fit.slope))} per {_ONE_MORE[fit.axis]}"


def _panel(report: Report, fit: ScalingFit) -> Markup:
    row = report.summary[fit.row]
    ends = [min(p[0] for p in fit.points), max(p[0] for p in fit.points)]
    line = [(at, fit.intercept + fit.slope * at) for at in ends]
    unit, name = (1e-3, "p50, ms") if fit.figure == "p50_s" else (1e6, "peak memory, MB")

    def draw(drawing: Drawing, x: Scale, y: Scale) -> None:
        drawing.polyline([(x(at), y(value)) for at, value in line], f"fit {model_class(report, row.model)}")
        for at, value in fit.points:
            drawing.circle(x(at), y(value), 4.0, f"point {model_class(report, row.model)}")
        drawing.text(316.0, 16.0, _slope(fit), kind="figure", anchor="end")

    points = ", ".join(f"{_written(fit, value)} at {at:g}" for at, value in fit.points)
    return plane(
        Side(ends, in_unit(1.0), fit.axis, ticks=_apart([at for at, _ in fit.points])),
        Side([*(value for _, value in fit.points), *(value for _, value in line)], in_unit(unit), name, from_zero=True),
        draw,
        f"{name_of(row)}: {_figure(fit)} over {fit.axis}. {points}. Fitted: {_slope(fit)}.",
    )


def _apart(values: list[float]) -> list[float]:
    """The measured places, without those whose words would run into the one before."""
    kept: list[float] = []
    room = 0.09 * (max(values) - min(values))
    for value in sorted(values):
        if not kept or value - kept[-1] >= room:
            kept.append(value)
    return kept


def _table(report: Report, fits: Sequence[ScalingFit]) -> Markup:
    rows = [
        (
            name_of(report.summary[fit.row]),
            held(report.summary[fit.row], fit.axis),
            fit.axis,
            _figure(fit),
            ", ".join(f"{at:g}: {_written(fit, value)}" for at, value in sorted(fit.points)),
            _slope(fit),
            _written(fit, fit.intercept) if fit.intercept >= 0.0 else None,
            None if fit.r_squared is None else f"{fit.r_squared:.3f}",
        )
        for fit in fits
    ]
    return table_html(["File", "At", "Axis", "Figure", "Measured", "Slope", "At zero", "r²"], rows, "scaling", left=5)
