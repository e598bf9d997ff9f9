"""Each file under the machine's own roof: work per second against work per byte that has to be read at least."""

from dataclasses import dataclass

from slrbench.records import MachinePeak, Report, SummaryRow
from slrbench.reporting.display import milliseconds, number, percent
from slrbench.reporting.html.charts.axes import in_unit
from slrbench.reporting.html.charts.drawing import Drawing
from slrbench.reporting.html.charts.places import Taken
from slrbench.reporting.html.charts.plane import Side, plane
from slrbench.reporting.html.charts.rows import both_widths
from slrbench.reporting.html.charts.scale import Scale
from slrbench.reporting.html.figure import figure, panels
from slrbench.reporting.html.from_markdown import table_html
from slrbench.reporting.html.markup import Markup
from slrbench.reporting.html.names import decided_setting, model_class, name_of, setting_of, shape_of

_SHOWN = 6
"""Panels that are shown at once."""


_MOST = 12
"""Files under one roof up to which all are drawn."""


@dataclass(frozen=True)
class _Place:
    number: int
    row: SummaryRow
    intensity: float  # operations per byte
    speed: float  # operations per second


def roofline_figure(report: Report) -> Markup | None:
    """A panel per measured roof with rows under it; None without a roof, or without rows of known cost."""
    under = [(peak, places) for peak in report.peaks if (places := _places(report, peak))]
    if not under:
        return None
    items = [(_peak_name(peak), _panel(report, peak, _drawn(report, places))) for peak, places in under]
    caption = (
        "Speed (compute, p50) against operations per byte, on logarithmic axes. Bytes are the file and one input, the "
        "least that a call must read; what a runtime reads and writes beside is not known, so files stand further "
        "right than a profiler would place them. The lines are what this machine reached with a large matrix product "
        "and a stream copy in the same run. The numbers are those of the table."
    )
    return figure(panels(items, shown=_SHOWN, rest="Other roofs", kind="stack"), caption, table=_table(under))


def _peak_name(peak: MachinePeak) -> str:
    return f"{peak.device}, {peak.precision}, {peak.threads} thread{'s' * (peak.threads > 1)}"


def _places(report: Report, peak: MachinePeak) -> list[_Place]:
    key = (peak.device, peak.threads, peak.precision)
    rows = [
        r
        for r in report.summary
        if r.scope == "compute" and r.macs and r.p50_s > 0 and (r.device, r.threads, r.precision) == key
    ]
    if peak.flops_per_s is None:
        return []
    return [
        _Place(n, r, 2 * (r.macs or 0) / _least_bytes(r), 2 * (r.macs or 0) / r.p50_s) for n, r in enumerate(rows, 1)
    ]


def _drawn(report: Report, places: list[_Place]) -> list[_Place]:
    """All, or where those are too many to tell apart, the ones at the decision's shape."""
    setting = decided_setting(report, [p.row for p in places])
    decided = [p for p in places if setting_of(p.row) == setting]
    return decided if len(places) > _MOST and decided else places


def _least_bytes(row: SummaryRow) -> int:
    """Weights and one input."""
    per_value = 1 if row.input_kind == "uint8" else 4
    return row.size_bytes + per_value * 3 * row.batch * row.frames * row.height * row.width


def _panel(report: Report, peak: MachinePeak, places: list[_Place]) -> Markup:
    top, width = peak.flops_per_s or 0.0, peak.bytes_per_s
    speeds = [top, *(p.speed for p in places)]
    intensities = [p.intensity for p in places]
    if width:
        intensities.append(top / width)  # the ridge, where the two roofs meet
    left, right = min(intensities) / 2, max(intensities) * 2

    def draw(drawing: Drawing, x: Scale, y: Scale) -> None:
        if width:
            start = max(left, y.low / width)
            drawing.polyline([(x(start), y(start * width)), (x(top / width), y(top)), (x(right), y(top))], "roof")
        else:
            drawing.polyline([(x(left), y(top)), (x(right), y(top))], "roof")
        taken = Taken(drawing.width, drawing.height)
        for p in places:
            drawing.circle(x(p.intensity), y(p.speed), 4.0, f"point {model_class(report, p.row.model)}", name_of(p.row))
            taken.add(x(p.intensity), y(p.speed), 8.0, 8.0)
        for p in places:
            at = taken.near(x(p.intensity), y(p.speed), 4.0, 7.0 * len(str(p.number)) + 2, 12.0)
            drawing.text(at[0], at[1] + 4, str(p.number), kind="mark", anchor="middle")

    said = "; ".join(f"{name_of(p.row)} {number(p.speed, 1e9)}" for p in places)
    label = f"Roofline of {_peak_name(peak)}: at most {number(top, 1e9)} GFLOP per second. Reached: {said}."
    x = Side([left, right], in_unit(1.0), "operations per byte (logarithmic)", log=True)
    y = Side([*speeds, min(speeds) / 1.5], in_unit(1e9), "GFLOP/s", log=True)
    return both_widths(lambda wide, kind: plane(x, y, draw, label, width=min(wide, 640.0), height=320.0, kind=kind))


def _table(under: list[tuple[MachinePeak, list[_Place]]]) -> Markup:
    rows = [
        (
            p.number,
            name_of(p.row),
            shape_of(p.row),
            _peak_name(peak),
            p.row.bound_by,
            milliseconds(p.row.p50_s),
            number(p.intensity),
            number(p.speed, 1e9),
            number(peak.flops_per_s, 1e9),
            number(peak.bytes_per_s, 1e9),
            None if p.row.peak_share is None else percent(p.row.peak_share),
        )
        for peak, places in under
        for p in places
    ]
    headers = ["", "File", "Shape", "Roof", "Bound by", "Compute p50 (ms)", "FLOP/byte", "GFLOP/s", "Peak GFLOP/s"]
    return table_html([*headers, "Peak GB/s", "Of peak (%)"], rows, "roofline", left=5)
