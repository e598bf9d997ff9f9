"""Axes: a line with round figures at it, a grid behind the marks, and what the figures are."""

from collections.abc import Callable, Sequence

from slrbench.reporting.html.charts.drawing import CHARACTER, Drawing
from slrbench.reporting.html.charts.scale import Scale

Words = Callable[[float], str]

_APART = 58.0

BELOW = 40.0
"""Height (pixels) that a horizontal axis with its words takes."""


def in_unit(unit: float) -> Words:
    """Writes ``value / unit`` as short as it goes: milliseconds with 1e-3, percent with 1e-2."""
    return lambda value: f"{float(f'{value / unit:.6g}'):,.10g}"


def horizontal_axis(
    drawing: Drawing,
    scale: Scale,
    top: float,
    bottom: float,
    words: Words,
    name: str,
    *,
    left: float | None = None,
    ticks: Sequence[float] | None = None,
) -> None:
    """Figures and their name below ``bottom``, grid lines up to ``top``.

    Args:
        drawing: where to.
        scale: of the axis.
        top: pixel.
        bottom: pixel.
        words: writes a figure.
        name: of the axis.
        left: where the line begins; None: with the scale.
        ticks: what to mark; None: round figures.
    """
    for tick in ticks or scale.ticks(max(2, int((scale.end - scale.start) / _APART))):
        x = scale(tick)
        drawing.line(x, top, x, bottom, "grid")
        label = words(tick)
        half = CHARACTER * len(label) / 2
        drawing.text(min(max(x, half), drawing.width - half), bottom + 16, label, kind="tick", anchor="middle")
    drawing.line(scale.start if left is None else left, bottom, scale.end, bottom, "axis")
    drawing.text((scale.start + scale.end) / 2, bottom + 34, name, kind="name", anchor="middle")


def vertical_axis(drawing: Drawing, scale: Scale, left: float, right: float, words: Words, name: str) -> None:
    """Figures left of ``left``, grid lines to ``right``, the name above the axis."""
    for tick in scale.ticks(max(2, int(abs(scale.end - scale.start) / 34))):
        y = scale(tick)
        drawing.line(left, y, right, y, "grid")
        drawing.text(left - 6, y + 4, words(tick), kind="tick", anchor="end")
    drawing.line(left, scale.start, left, scale.end, "axis")
    drawing.text(2.0, min(scale.start, scale.end) - 10, name, kind="name")
