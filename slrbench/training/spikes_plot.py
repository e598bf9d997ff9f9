"""The picture of a student's spikes against its teacher's: offsets, and the divergence at each shift."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from exporters.artifact import atomic_path
from slrbench.training.spikes import SpikeOffsets

_NEAR, _FAR, _BEST = "#1f77b4", "#d95f02", "#2a9d5c"
_WIDEST = 12  # output steps to each side that get a bar of their own; what lies beyond is drawn at the border


def save_spike_plot(path: Path, offsets: SpikeOffsets, *, student: str, teacher: str, clips_of: str) -> Path:
    """Write a PNG; ``clips_of`` says which clips they are, for the title.

    Raises:
        OSError: the file cannot be written.
    """
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    _histogram(left, offsets)
    _divergence(right, offsets)
    figure.suptitle(f"Spikes of {student} against {teacher}, {offsets.clips} clips of {clips_of}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return path


def _histogram(axis: Axes, offsets: SpikeOffsets) -> None:
    shares: dict[int, float] = {}
    for offset, count in offsets.offsets.items():
        shown = max(-_WIDEST, min(_WIDEST, offset))
        shares[shown] = shares.get(shown, 0.0) + 100 * count / offsets.glosses
    reach = max(3, *(abs(offset) for offset in shares))
    colours = [_NEAR if abs(offset) <= 1 else _FAR for offset in shares]
    bars = axis.bar(list(shares), list(shares.values()), width=0.8, color=colours)
    axis.bar_label(bars, ["<1" if share < 1 else f"{share:.0f}" for share in shares.values()], fontsize=9, padding=2)
    mean = f"mean {offsets.mean:+.2f}"
    axis.axvline(offsets.mean, color="black", linestyle="--", linewidth=1.2, label=mean, zorder=0.5)
    axis.set_xlim(-reach - 0.8, reach + 0.8)
    axis.set_ylim(0, 1.15 * max(shares.values()))
    axis.set_xticks(range(-reach, reach + 1))
    step_ms = 1e3 * offsets.seconds_per_step
    axis.set_xlabel(f"student minus teacher, output steps of {step_ms:.0f} ms (right: the student is later)")
    axis.set_ylabel("glosses (%)")
    beyond = sum(count for offset, count in offsets.offsets.items() if abs(offset) > _WIDEST)
    note = f"; {beyond} beyond {_WIDEST} steps, drawn at the border" if beyond else ""
    axis.set_title(
        f"{offsets.within_one:.0%} of {offsets.glosses} glosses within one step (blue){note}", fontsize=10, loc="left"
    )
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    axis.legend(fontsize=9, loc="upper right")


def _divergence(axis: Axes, offsets: SpikeOffsets) -> None:
    shifts = list(offsets.divergence)
    best = offsets.best_shift
    colours = [_BEST if shift == best else "#999" for shift in shifts]
    bars = axis.bar(shifts, [offsets.divergence[shift] for shift in shifts], width=0.8, color=colours)
    axis.bar_label(bars, fmt="%.2f", fontsize=9, padding=2)
    axis.set_ylim(0, 1.15 * max(offsets.divergence.values()) or 1.0)
    axis.set_xticks(shifts, [f"{shift:+d}" if shift else "0" for shift in shifts])
    axis.set_xlabel("student's step minus teacher's")
    axis.set_ylabel("KL(teacher || student), nats per step")
    nearest = f"nearest at a shift of {best:+d} (green)" if best else "nearest without a shift (green)"
    axis.set_title(nearest, fontsize=10, loc="left")
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
