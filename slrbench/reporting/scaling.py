"""How latency and memory grow with frames, batch and frame size, all else equal: a line by least squares.

Of end-to-end rows, at three values or more: any two points lie on a line. Over threads there is none: what threads
give is no straight line.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from slrbench.records import Report, ScalingFit, SummaryRow

Axis = Literal["frames", "batch", "threads", "size"]
Figure = Literal["p50_s", "peak_rss_bytes"]

AXES: tuple[Axis, ...] = ("frames", "batch", "threads", "size")
"""What rows of one candidate may differ in."""

FITTED: tuple[Axis, ...] = ("frames", "batch", "size")
"""Axes that a line is fitted along."""

FEWEST_POINTS = 3
"""Places on an axis below which no line is fitted."""

FIGURES: tuple[Figure, ...] = ("p50_s", "peak_rss_bytes")

_SAME = ("machine", "backend", "format", "precision", "variant", "device", "input_kind", "model")
_FIELDS = {"frames": ("frames",), "batch": ("batch",), "threads": ("threads",), "size": ("height", "width")}


def fits(rows: Sequence[SummaryRow]) -> tuple[ScalingFit, ...]:
    """A line for every candidate and axis along which it was measured at three values or more."""
    return tuple(
        fit
        for axis in FITTED
        for group in _groups(rows, axis)
        for figure in FIGURES
        if (fit := _fit(rows, group, axis, figure)) is not None
    )


def fits_shown(report: Report) -> list[ScalingFit]:
    """Those of a report that a line may be drawn through; older reports hold others, too."""
    return [f for f in report.scaling if f.axis in FITTED and len({x for x, _ in f.points}) >= FEWEST_POINTS]


def _groups(rows: Sequence[SummaryRow], axis: Axis) -> Iterator[list[int]]:
    """Indices of rows that differ in nothing but their place on the axis."""
    others = [name for other in AXES if other != axis for name in _FIELDS[other]]
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, row in enumerate(rows):
        if row.scope != "end_to_end" or (axis == "size" and row.height != row.width):
            continue
        # A file may be made for one frame size, so along that axis the hash may differ.
        file = () if axis == "size" else (row.artifact_sha256,)
        key = (*(getattr(row, name) for name in (*_SAME, *others)), *file)
        groups.setdefault(key, []).append(index)
    return (group for group in groups.values() if len({_place(rows[i], axis) for i in group}) >= FEWEST_POINTS)


def _place(row: SummaryRow, axis: Axis) -> int:
    return int(getattr(row, _FIELDS[axis][0]))


def _fit(rows: Sequence[SummaryRow], group: Sequence[int], axis: Axis, figure: Figure) -> ScalingFit | None:
    points = sorted(
        (float(_place(rows[i], axis)), float(v)) for i in group if (v := getattr(rows[i], figure)) is not None
    )
    x, y = (np.array(values) for values in (zip(*points, strict=True) if points else ((), ())))
    if len(set(x)) < FEWEST_POINTS:
        return None
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    intercept = float(y.mean() - slope * x.mean())
    spread = float(((y - y.mean()) ** 2).sum())
    left = float(((y - intercept - slope * x) ** 2).sum())
    return ScalingFit(
        row=group[0],
        axis=axis,
        figure=figure,
        points=tuple(points),
        intercept=intercept,
        slope=slope,
        r_squared=max(0.0, 1.0 - left / spread) if spread > 0.0 else None,
    )
