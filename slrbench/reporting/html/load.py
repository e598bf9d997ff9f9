"""Under load: how the tail of latency grows with the rate or the streams that the search tried."""

from collections.abc import Sequence

from slrbench.records import LoadRun, Report
from slrbench.reporting.display import MISSING, milliseconds, number
from slrbench.reporting.html.charts.axes import in_unit
from slrbench.reporting.html.charts.drawing import Drawing
from slrbench.reporting.html.charts.plane import Side, plane
from slrbench.reporting.html.charts.scale import Scale
from slrbench.reporting.html.figure import figure, panels
from slrbench.reporting.html.from_markdown import table_html
from slrbench.reporting.html.markup import Markup
from slrbench.reporting.html.names import model_class
from slrbench.reporting.load_tables import load_name, tail_of

_WITHIN = "within"

_SHOWN = 8
"""Panels that are shown at once."""


def load_figure(report: Report) -> Markup | None:
    """The searches drawn; None where there was none."""
    drawn = [
        (f"{load_name(run.candidate, report.load)}: {_scenario(run)}", _panel(report, run))
        for run in report.load
        if _curve(run)
    ]
    if not drawn:
        return None
    caption = (
        "p99 of the latency from the intended arrival at every load that the search tried, where there are fewer than "
        "662 samples the longest latency; the dashed line is the bound. Filled points are within it, hollow ones are "
        "not."
    )
    return figure(panels(drawn, shown=_SHOWN, rest="Further runs"), caption, table=_points(report.load))


def _scenario(run: LoadRun) -> str:
    return "camera streams" if run.scenario == "streams" else run.scenario


def _axis(run: LoadRun) -> str | None:
    """Which entry of the points is the load."""
    names = list(dict.fromkeys(name for point in run.points for name in point))
    known = [name for name in names if name in ("streams", "rate", "rate_hz", "clips_per_s", "qps")]
    others = [name for name in names if name not in ("p99_s", "max_s") and not name.startswith(_WITHIN)]
    return next(iter([*known, *others]), None)


def _curve(run: LoadRun) -> list[tuple[float, float, bool]]:
    """Load, its tail (s; see :func:`tail_of`) and whether that was within the bound, by load."""
    axis, bound = _axis(run), _bound(run)
    points = []
    for point in run.points:
        tail = tail_of(point)
        if axis in point and tail is not None:
            flags = [value for name, value in point.items() if name.startswith(_WITHIN)]
            within = bool(flags[0]) if flags else bound is None or tail <= bound
            points.append((point[axis], tail, within))
    return sorted(points)


def _bound(run: LoadRun) -> float | None:
    found = [v for name, v in run.settings.items() if name.endswith("bound_s") and isinstance(v, int | float)]
    return float(found[0]) if found and found[0] > 0 else None


def _figure(run: LoadRun) -> str:
    if run.figure is None:
        return MISSING
    if run.scenario == "streams":
        return f"{run.figure:g} streams"
    return (
        f"{number(run.figure)} clips/s" if run.scenario in ("Server", "Offline") else f"{milliseconds(run.figure)} ms"
    )


def _panel(report: Report, run: LoadRun) -> Markup:
    curve, bound = _curve(run), _bound(run)
    colour = model_class(report, run.candidate.model)
    axis = {"streams": "streams of 25 frames per second"}.get(_axis(run) or "", "clips per second")

    def draw(drawing: Drawing, x: Scale, y: Scale) -> None:
        # No line joins them: between two trials nothing was measured, and a disturbed one would look like a law.
        for at, tail, within in curve:
            drawing.circle(x(at), y(tail), 4.0, f"point {colour}" if within else f"hollow {colour}")
        if bound is not None:
            drawing.line(x.start, y(bound), x.end, y(bound), "threshold")
        drawing.text(316.0, 16.0, _figure(run), kind="figure", anchor="end")

    said = ", ".join(f"{milliseconds(tail)} ms at {at:g}" for at, tail, _ in curve)
    limit = "" if bound is None else f" Bound: {milliseconds(bound)} ms."
    return plane(
        Side([at for at, _, _ in curve], in_unit(1.0), axis, from_zero=True),
        Side(
            [*(tail for _, tail, _ in curve), *([] if bound is None else [bound])],
            in_unit(1e-3),
            "p99 or longest, ms",
            log=None,
        ),
        draw,
        f"{load_name(run.candidate, report.load)}, {_scenario(run)}: p99, or the longest latency, over {axis}. "
        f"{said}.{limit} Result: {_figure(run)}.",
    )


def _points(runs: Sequence[LoadRun]) -> Markup:
    rows = [
        (load_name(run.candidate, runs), _scenario(run), "yes" if within else "no", f"{at:g}", milliseconds(tail))
        for run in runs
        for at, tail, within in _curve(run)
    ]
    return table_html(
        ["File", "Scenario", "Within the bound", "Load", "p99 or longest (ms)"], rows, "loads tried", left=3
    )
