"""The picture of a profile: a bar for each module, made of the operator types in it."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from exporters.artifact import atomic_path
from slrbench.records import Profile
from slrbench.reporting.profile_tables import by_module

_COLOURS = ("#3b6fb6", "#d9822b", "#3f8f5f", "#b84a62", "#7a5ea8", "#8a6d3b", "#4a9aa5")
_REST = "#9a9a9a"


def save_profile_plot(path: Path, profile: Profile, *, depth: int) -> Path:
    """Write a PNG; the seven operator types that take longest have colours of their own.

    Raises:
        OSError: the file cannot be written.
    """
    groups = by_module(profile.operators, depth=depth)
    totals: dict[str, float] = {}
    for group in groups:
        for kind, spent in group.kinds:
            totals[kind] = totals.get(kind, 0.0) + spent
    named = sorted(totals, key=lambda kind: -totals[kind])[: len(_COLOURS)]
    figure = Figure(figsize=(10.5, 1.6 + 0.28 * len(groups)), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    rows = range(len(groups))
    left = [0.0] * len(groups)
    parts = [
        (kind, colour, [dict(g.kinds).get(kind, 0.0) for g in groups])
        for kind, colour in zip(named, _COLOURS, strict=False)
    ]
    rest = [sum(spent for kind, spent in g.kinds if kind not in named) for g in groups]
    for kind, colour, values in [*parts, ("other", _REST, rest)]:
        if any(values):
            axis.barh(
                rows, [1e3 * v for v in values], left=[1e3 * v for v in left], color=colour, label=kind, height=0.75
            )
            left = [a + b for a, b in zip(left, values, strict=True)]
    total = sum(left)
    for row, spent in enumerate(left):
        axis.text(1e3 * spent, row, f" {100 * spent / total:.1f} %", va="center", fontsize=8)
    axis.set_yticks(list(rows), [group.module for group in groups], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(right=1e3 * max(left) * 1.12)
    axis.set_xlabel("time of one call (ms, by the runtime's own profiler)")
    axis.set_title(
        f"{profile.model} on {profile.backend}, {profile.device}, {profile.threads} threads, "
        f"{profile.batch} x {profile.frames} frames of {profile.height} x {profile.width}",
        fontsize=10,
        loc="left",
    )
    axis.grid(axis="x", alpha=0.3)
    figure.legend(fontsize=8, loc="outside right upper", title="operator")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
    return path
