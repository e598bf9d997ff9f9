"""A small picture with two axes, for panels side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slrbench.reporting.html.charts.axes import BELOW, Words, horizontal_axis, vertical_axis
from slrbench.reporting.html.charts.drawing import CHARACTER, Drawing
from slrbench.reporting.html.charts.scale import Scale, spanning
from slrbench.reporting.html.markup import Markup

WIDTH, HEIGHT = 320.0, 220.0


@dataclass(frozen=True)
class Side:
    """One axis: the values that need room, how they are written, and what they are."""

    values: Sequence[float]
    words: Words
    name: str
    log: bool | None = False
    from_zero: bool = False
    ticks: Sequence[float] | None = None


Draw = Callable[[Drawing, Scale, Scale], None]
"""Draws upon the axes, with the scales of both."""


def plane(
    x: Side, y: Side, draw: Draw, label: str, *, width: float = WIDTH, height: float = HEIGHT, kind: str = ""
) -> Markup:
    """The axes, and upon them what ``draw`` draws."""
    top, bottom = 26.0, height - BELOW
    tall = spanning(y.values, bottom, top, log=y.log, from_zero=y.from_zero)
    widest = max((len(y.words(tick)) for tick in tall.ticks(4)), default=1)
    left = max(30.0, CHARACTER * widest + 10)
    wide = spanning(x.values, left + 8, width - 8, log=x.log, from_zero=x.from_zero)
    drawing = Drawing(width, height)
    horizontal_axis(drawing, wide, top, bottom, x.words, x.name, left=left, ticks=x.ticks)
    vertical_axis(drawing, tall, left, width - 8, y.words, y.name)
    draw(drawing, wide, tall)
    return drawing.svg(label, kind)
