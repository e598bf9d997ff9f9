"""A picture with a row for each thing that is compared: its name and figure above, marks along a common axis below."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slrbench.reporting.html.charts.axes import BELOW, Words, horizontal_axis
from slrbench.reporting.html.charts.drawing import CHARACTER, Drawing
from slrbench.reporting.html.charts.scale import Scale, spanning
from slrbench.reporting.html.markup import Markup, join

WIDE, NARROW = 900.0, 340.0
"""Widths (pixels) of the two drawings of a picture: the page shows the one that fits, so that text keeps its size."""

_PAD = 12.0
_NAME = 16.0
_BETWEEN = 14.0


Background = Callable[[Drawing, Scale, float, float], None]
"""Draws what lies behind the rows, from the top to the bottom given."""


@dataclass(frozen=True)
class Row:
    """One row: what stands above it, and what draws it around a line at ``y``."""

    name: str
    figure: str
    draw: Callable[[Drawing, Scale, float], None]
    strong: bool = False


@dataclass(frozen=True)
class Axis:
    """The common axis of the rows."""

    values: Sequence[float]
    words: Words
    name: str
    log: bool | None = None
    background: Background | None = None


def both_widths(draw: Callable[[float, str], Markup]) -> Markup:
    """One picture drawn twice, for wide and for narrow screens; ``draw`` takes the width and the class."""
    return join(draw(WIDE, "wide"), draw(NARROW, "narrow"))


def rows_picture(rows: Sequence[Row], axis: Axis, label: str, *, height: float = 26.0) -> Markup:
    """The rows in both widths, each ``height`` pixels tall without its name."""
    return both_widths(lambda width, kind: _picture(rows, axis, label, height, width, kind))


def _picture(rows: Sequence[Row], axis: Axis, label: str, height: float, width: float, kind: str) -> Markup:
    each = _NAME + height + _BETWEEN
    bottom = 4 + each * len(rows)
    drawing = Drawing(width, bottom + BELOW)
    scale = spanning(axis.values, _PAD, width - _PAD, log=axis.log)
    if axis.background is not None:
        axis.background(drawing, scale, 0.0, bottom)
    horizontal_axis(drawing, scale, 0.0, bottom, axis.words, axis.name)
    for number, row in enumerate(rows):
        top = 4 + number * each
        room = width - CHARACTER * (len(row.figure) + 2)
        drawing.text(0.0, top + 11, row.name, kind="label strong" if row.strong else "label", most=room)
        drawing.text(width, top + 11, row.figure, kind="figure", anchor="end")
        row.draw(drawing, scale, top + _NAME + height / 2)
    return drawing.svg(label, kind)
