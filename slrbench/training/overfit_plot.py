"""The picture of over-fitting runs: loss, word error rate, learning rate, gradient norm and blank share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from exporters.artifact import atomic_path
from slrbench.training.overfit_monitor import outcome
from slrbench.training.overfit_records import EpochStats, OverfitResult

_COLOURS = ("#1f77b4", "#d95f02")
_STYLES = ("-", "--")


def save_plot(path: Path, results: Mapping[str, OverfitResult]) -> Path:
    """Write a PNG with one line for each run in every panel; ``results`` is keyed by the name in the legend.

    Raises:
        OSError: the file cannot be written.
    """
    figure = Figure(figsize=(11, 9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 2, sharex=True).flatten()
    panels: list[tuple[str, Callable[[EpochStats], float | None], bool]] = [
        ("CTC loss (nats per label, training)", lambda s: s.loss, True),
        ("WER (%, evaluation mode)", lambda s: None if s.wer is None else 100 * s.wer, False),
        ("learning rate", lambda s: s.learning_rate, False),
        ("gradient norm, before clipping", lambda s: s.gradient_norm, True),
        ("blank share of output steps (%)", lambda s: 100 * s.blank_share, False),
    ]
    for axis, (title, value, logarithmic) in zip(axes, panels, strict=False):
        for index, (name, result) in enumerate(results.items()):
            _draw(axis, result, value, label=name, index=index)
        axis.set_title(title, fontsize=10, loc="left")
        axis.grid(alpha=0.3)
        if logarithmic and any(value(s) for result in results.values() for s in result.history):
            axis.set_yscale("log")
    bound = next(iter(results.values())).settings.target_loss
    axes[0].axhline(bound, color="grey", linewidth=1, linestyle=":", label=f"bound {bound:g}")
    axes[1].set_ylim(bottom=-2)
    for axis in axes[3:5]:
        axis.set_xlabel("epoch")
        axis.xaxis.set_tick_params(labelbottom=True)
    axes[0].legend(fontsize=9)
    _summarise(axes[5], results)
    first = next(iter(results.values()))
    figure.suptitle(f"Over-fitting {len(first.clip_ids)} clips: {' and '.join(results)}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return path


def _draw(
    axis: Axes, result: OverfitResult, value: Callable[[EpochStats], float | None], *, label: str, index: int
) -> None:
    points = [(stats.epoch, found) for stats in result.history if (found := value(stats)) is not None]
    if points:
        axis.plot(
            [epoch for epoch, _ in points],
            [found for _, found in points],
            color=_COLOURS[index % len(_COLOURS)],
            linestyle=_STYLES[index % len(_STYLES)],
            linewidth=1.5,
            marker="." if len(points) < 60 else None,
            label=label,
        )


def _summarise(axis: Axes, results: Mapping[str, OverfitResult]) -> None:
    axis.axis("off")
    lines = []
    for name, result in results.items():
        loss = "not finite" if result.final_loss is None else f"{result.final_loss:.4f}"
        lines += [
            fill(f"{name}: {outcome(result)}", 60, subsequent_indent="  "),
            f"  loss {loss} after {len(result.history)} epochs, {result.seconds:.0f} s",
            f"  best WER {result.best_wer:.1%} at epoch {result.best_wer_epoch}, {len(result.warnings)} warnings",
            "",
        ]
    axis.text(0.02, 0.95, "\n".join(lines), va="top", fontsize=10, transform=axis.transAxes)
