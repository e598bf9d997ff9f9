"""Each file against the baseline: ratios of time with their intervals, and what the session cannot tell apart."""

from collections.abc import Sequence

from slrbench.records import Comparison, NoiseFloor, Report
from slrbench.reporting.comparison_tables import few_rounds
from slrbench.reporting.comparisons import effective_threshold, paired_by
from slrbench.reporting.html.charts.drawing import Drawing
from slrbench.reporting.html.charts.rows import Axis, Background, Row, rows_picture
from slrbench.reporting.html.charts.scale import Scale
from slrbench.reporting.html.figure import figure, panels
from slrbench.reporting.html.from_markdown import to_html
from slrbench.reporting.html.markup import Markup
from slrbench.reporting.html.names import name_of, setting_words

_SHOWN = 4
"""Panels that are shown at once."""


def baseline_figure(report: Report, words: str) -> Markup | None:
    """A forest plot of the end-to-end ratios with report.md's ``words`` on them; None where nothing is compared."""
    shown = [c for c in report.comparisons if report.summary[c.row].scope == "end_to_end"] or list(report.comparisons)
    if not shown:
        return None
    floor = report.noise_floor
    groups: dict[str, list[Comparison]] = {}
    for comparison in shown:
        groups.setdefault(setting_words(report.summary[comparison.row]), []).append(comparison)
    baselines = dict.fromkeys(name_of(report.summary[c.baseline]) for c in shown)
    few = any(few_rounds(c.ratio) for c in shown)
    kind = "the range of the rounds, too few for an interval" if few else "95 % intervals"
    limit = f"{100 * effective_threshold(floor):.2f}".rstrip("0").rstrip(".")
    caption = (
        f"Time against {', '.join(baselines)}, paired by {paired_by(report)}, with {kind}. {_floor_words(floor)}FASTER "
        f"and SLOWER: the whole interval is beyond {limit} %. UNCLEAR: more rounds would be needed."
    )
    key = [("interval", "range of the rounds" if few else "95 % interval of the ratio")]
    if floor is not None:
        key += [
            ("floor", "the baseline against itself (A/A)"),
            ("threshold", f"practical threshold, ±{100 * floor.threshold:g} %"),
        ]
    drawn = [(setting, _panel(report, comparisons)) for setting, comparisons in groups.items()]
    picture = panels(drawn, shown=_SHOWN, rest="Other shapes", kind="stack")
    return figure(picture, caption, key=key, table=to_html(words, "comparison with the baseline"))


def _panel(report: Report, comparisons: Sequence[Comparison]) -> Markup:
    floor = report.noise_floor
    rows = [_row(report, comparison) for comparison in comparisons]
    values = [1.0, *(end for c in comparisons for end in (c.ratio.low, c.ratio.high))]
    if floor is not None:
        values += [floor.ratio.low, floor.ratio.high, 1 - floor.threshold, 1 + floor.threshold]
    axis = Axis(values, lambda value: f"{value:g}", "time / baseline's time; left is faster", background=_band(floor))
    said = "; ".join(f"{row.name}: {row.figure}" for row in rows)
    return rows_picture(rows, axis, f"Forest plot of the time relative to the baseline. {said}.", height=18.0)


def _floor_words(floor: NoiseFloor | None) -> str:
    if floor is None:
        return ""
    ends = f"{floor.ratio.low:.3f} to {floor.ratio.high:.3f}"
    return f"The baseline against itself gives {ends}: the noise floor of this session. "


def _band(floor: NoiseFloor | None) -> Background:
    """What lies behind the rows: the noise floor as a band, the threshold and 1 as lines."""

    def draw(drawing: Drawing, x: Scale, top: float, bottom: float) -> None:
        if floor is not None:
            drawing.rect(x(floor.ratio.low), top, x(floor.ratio.high) - x(floor.ratio.low), bottom - top, "floor")
            for edge in (1 - floor.threshold, 1 + floor.threshold):
                drawing.line(x(edge), top, x(edge), bottom, "threshold")
        drawing.line(x(1.0), top, x(1.0), bottom, "one")

    return draw


def _row(report: Report, comparison: Comparison) -> Row:
    row = report.summary[comparison.row]
    ratio = comparison.ratio

    def draw(drawing: Drawing, x: Scale, y: float) -> None:
        kind = comparison.verdict.lower()
        drawing.rect(x(ratio.low), y - 3, x(ratio.high) - x(ratio.low), 6, f"verdict {kind}")
        drawing.rect(x(ratio.value) - 1.5, y - 8, 3.0, 16, f"verdict {kind}")

    return Row(name_of(row), f"×{ratio.value:.3f} {comparison.verdict}", draw)
