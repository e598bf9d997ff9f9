"""Axes: a line with round figures at it, a grid behind the marks, and what the figures are."""

from collections.abc import Callable

from slrbench.reporting.html.charts.drawing import CHARACTER, Drawing
from slrbench.reporting.html.charts.scale import Scale

Words = Callable[[float], str]

BELOW = 40.0
"""Height (pixels) that a horizontal axis with its words takes."""


def in_unit(unit: float) -> Words:
    """Writes ``value / unit`` as short as it goes: milliseconds with 1e-3, percent with 1e-2."""
    return lambda value: f"{float(f'{value / unit:.6g}'):,.10g}"


def horizontal_axis(
    drawing: Drawing, scale: Scale, top: float, bottom: float, words: Words, name: str, *, left: float | None = None
) -> None:
    """Figures and their name below ``bottom``, grid lines up to ``top``; the line begins at ``left``, if given."""
    apart = max(70.0, CHARACTER * 9)
    for tick in scale.ticks(max(2, int((scale.end - scale.start) / apart))):
        x = scale(tick)
        drawing.line(x, top, x, bottom, "grid")
        label = words(tick)
        half = CHARACTER * len(label) / 2
        drawing.text(min(max(x, half), drawing.width - half), bottom + 16, label, kind="tick", anchor="middle")
    drawing.line(scale.start if left is None else left, bottom, scale.end, bottom, "axis")
    drawing.text((scale.start + scale.end) / 2, bottom + 34, name, kind="name", anchor="middle")


def vertical_axis(drawing: Drawing, scale: Scale, left: float, right: float, words: Words, name: str) -> None:
    """Figures left of ``left``, grid lines to ``right``, the name above the axis."""
    for tick in scale.ticks(max(2, int(abs(scale.end - scale.start) / 40))):
        y = scale(tick)
        drawing.line(left, y, right, y, "grid")
        drawing.text(left - 6, y + 4, words(tick), kind="tick", anchor="end")
    drawing.line(left, scale.start, left, scale.end, "axis")
    drawing.text(2.0, min(scale.start, scale.end) - 10, name, kind="name")
