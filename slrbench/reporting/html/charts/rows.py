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
_TIGHT = 8.0


Background = Callable[[Drawing, Scale, float, float], None]
"""Draws what lies behind the rows, from the top to the bottom given."""


@dataclass(frozen=True)
class Row:
    """One row: what stands above it, and what draws it around a line at ``y``."""

    name: str
    figure: str
    draw: Callable[[Drawing, Scale, float], None]


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


@dataclass(frozen=True)
class _Layout:
    """Where things stand in a picture of this width: names beside the rows where there is room, else above them."""

    start: float
    end: float
    each: float
    middle: float  # of a row's marks, below its top
    name_room: float
    name_y: float


def _layout(rows: Sequence[Row], height: float, width: float, kind: str) -> _Layout:
    figure = CHARACTER * max(len(row.figure) for row in rows)
    if kind == "narrow":
        return _Layout(_PAD, width - _PAD, _NAME + height + _BETWEEN, _NAME + height / 2, width - figure - 12, 11.0)
    names = min(CHARACTER * max(len(row.name) for row in rows), 0.38 * width)
    each = height + _TIGHT
    return _Layout(names + 2 * _PAD, width - figure - 2 * _PAD, each, each / 2, names + CHARACTER, each / 2 + 4)


def _picture(rows: Sequence[Row], axis: Axis, label: str, height: float, width: float, kind: str) -> Markup:
    layout = _layout(rows, height, width, kind)
    bottom = 4 + layout.each * len(rows)
    drawing = Drawing(width, bottom + BELOW)
    scale = spanning(axis.values, layout.start, layout.end, log=axis.log)
    if axis.background is not None:
        axis.background(drawing, scale, 0.0, bottom)
    horizontal_axis(drawing, scale, 0.0, bottom, axis.words, axis.name)
    for number, row in enumerate(rows):
        top = 4 + number * layout.each
        drawing.text(0.0, top + layout.name_y, row.name, kind="label", most=layout.name_room)
        drawing.text(width, top + layout.name_y, row.figure, kind="figure", anchor="end")
        row.draw(drawing, scale, top + layout.middle)
    return drawing.svg(label, kind)
