"""Pictures of what a corpus holds: lengths of clips and labels, frames per gloss, and how often each gloss occurs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from exporters.artifact import atomic_path
from slrbench.ctc import output_length, required_steps
from slrbench.errors import BadInputError

_COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3")
_FORMATS = (".png", ".svg", ".pdf")
_STRIDES = (4, 8)
_LAST_IN_FONT = 0x24F  # matplotlib's own font has Latin letters, and no Chinese characters


@dataclass(frozen=True, kw_only=True)
class LengthAndGlosses:
    """A clip's number of frames and its glosses: all that is drawn."""

    frames: int
    glosses: tuple[str, ...]


def check_plot_path(path: Path) -> None:
    """Raises BadInputError for a suffix or a folder that a plot cannot be written to."""
    if path.suffix.lower() not in _FORMATS:
        raise BadInputError(f"cannot draw into {path.name!r}", hint=f"end the name in one of {' '.join(_FORMATS)}")
    if not path.parent.is_dir():
        raise BadInputError(f"there is no folder {path.parent} for {path.name}", hint="make it, or name another")


def write_distributions(
    path: Path, splits: Mapping[str, Sequence[LengthAndGlosses]], *, title: str, unit: str = "gloss"
) -> None:
    """Draw four panels; ``unit`` is what the corpus calls one element of a label.

    Raises:
        BadInputError: another suffix, or a missing folder.
        OSError: the file cannot be written.
    """
    check_plot_path(path)
    shown = {name: clips for name, clips in splits.items() if clips}
    many = f"{unit}es" if unit.endswith("s") else f"{unit}s"
    figure = Figure(figsize=(12, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2).flatten()
    _histogram(axes[0], {name: [c.frames for c in clips] for name, clips in shown.items()}, "Frames of a clip")
    lengths = {name: [len(c.glosses) for c in clips] for name, clips in shown.items()}
    _histogram(axes[1], lengths, f"{many.capitalize()} of a clip", whole=True)
    _alignment(axes[2], shown)
    _frequency(axes[3], shown, unit, many)
    figure.suptitle(title, fontsize=11)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lower()[1:], dpi=110)


def _histogram(axis: Axes, values: Mapping[str, Sequence[int]], title: str, *, whole: bool = False) -> None:
    longest = max((max(found) for found in values.values()), default=1)
    bins = np.arange(0.5, longest + 1.5) if whole and longest <= 60 else np.linspace(0, longest + 1, 31)
    for colour, (name, found) in zip(_COLOURS * len(values), values.items(), strict=False):
        share = np.full(len(found), 100 / len(found))
        axis.hist(
            found,
            bins=list(bins),
            weights=share,
            histtype="step",
            linewidth=1.6,
            color=colour,
            label=f"{name}: {len(found)} clips, median {np.median(found):g}",
        )
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_ylabel("share of the split's clips, %")
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)


def _alignment(axis: Axes, splits: Mapping[str, Sequence[LengthAndGlosses]]) -> None:
    """Output steps that CTC needs against frames; below a line, a clip cannot be aligned at that stride."""
    longest, most = 1, 1
    for colour, (name, clips) in zip(_COLOURS * len(splits), splits.items(), strict=False):
        frames = [c.frames for c in clips]
        steps = [_steps(c.glosses) for c in clips]
        area = max(6.0, min(30.0, 5000 / len(clips)))
        axis.scatter(frames, steps, s=area, alpha=0.45, color=colour, label=name, linewidths=0)
        longest, most = max(longest, *frames), max(most, *steps)
    x = np.arange(1, longest + 1)
    for stride, style in zip(_STRIDES, ("-", "--"), strict=True):
        axis.plot(x, [output_length(int(n), stride) for n in x], style, color="black", linewidth=1, label=f"T/{stride}")
    axis.set_ylim(0, most * 1.25 + 1)
    axis.set_title("Output steps that CTC needs; above a line it cannot align", fontsize=10, loc="left")
    axis.set_xlabel("frames of the clip")
    axis.legend(fontsize=8, loc="upper left", ncols=2)
    axis.grid(alpha=0.3)


def _steps(glosses: tuple[str, ...]) -> int:
    number = {gloss: i for i, gloss in enumerate(dict.fromkeys(glosses))}
    return required_steps([number[gloss] for gloss in glosses])


def _frequency(axis: Axes, splits: Mapping[str, Sequence[LengthAndGlosses]], unit: str, many: str) -> None:
    """How often the most frequent, the second, ... occurs; where there are few, with their names."""
    first = next(iter(splits), None)
    for colour, (name, clips) in zip(_COLOURS * len(splits), splits.items(), strict=False):
        counts = Counter(gloss for clip in clips for gloss in clip.glosses).most_common()
        once = sum(count == 1 for _, count in counts)
        label = f"{name}: {len(counts)} {many}, {once} once"
        axis.plot(
            range(1, len(counts) + 1), [count for _, count in counts], ".-", ms=3, lw=1, color=colour, label=label
        )
        if name == first:
            for rank, (gloss, count) in enumerate(counts[:3], start=1):
                if max(map(ord, gloss)) > _LAST_IN_FONT:
                    continue
                axis.annotate(gloss, (rank, count), fontsize=7, xytext=(4, 2), textcoords="offset points")
    axis.set_xscale("log")
    axis.set_yscale("log")
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_formatter(StrMethodFormatter("{x:g}"))
        each.set_minor_formatter(NullFormatter())
    axis.set_title(f"How often each {unit} occurs", fontsize=10, loc="left")
    axis.set_xlabel("rank")
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3, which="both")
