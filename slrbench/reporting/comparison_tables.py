"""The tables of report.md that compare: rows against the baseline, growth along an axis, word error rates."""

import math
from collections.abc import Sequence

from slrbench.records import Accuracy, Comparison, Interval, NoiseFloor, Report, ScalingFit, SummaryRow
from slrbench.reporting.comparisons import effective_threshold, floor_state, paired_by
from slrbench.reporting.display import (
    MISSING,
    megabytes,
    number,
    percent,
    row_name,
    time_unit,
    with_input,
)
from slrbench.reporting.markdown import paragraphs, table
from slrbench.reporting.naming import Naming, threads_words
from slrbench.reporting.scaling import fits_shown
from slrbench.statistics.bootstrap import MIN_ROUNDS
from slrbench.statistics.verdicts import resolution, rounds_to_resolve

UNKNOWN_FLOOR = "The noise floor is not known: the baseline was not measured twice."


def comparison_table(report: Report, name: Naming) -> str:
    """End-to-end rows against the baseline, with the noise floor; empty where nothing was compared."""
    shown = [c for c in report.comparisons if report.summary[c.row].scope == "end_to_end"]
    if not shown:
        return noise_floor_words(report) if report.noise_floor is not None else ""
    ratios = [c.ratio for c in shown]
    cells = table(
        [*name.headers, "Verdict", "Time", _interval_header(ratios), "More rounds"],
        [(*name(report.summary[c.row]), c.verdict, f"x{c.ratio.value:.3f}", _known(c.ratio), _more(c)) for c in shown],
        left=len(name.headers) + 1,
    )
    bases = list(dict.fromkeys(row_name(report.summary[c.baseline]) for c in shown))
    limit = _percent(effective_threshold(report.noise_floor))
    explanation = (
        f"Time of the row by that of {' and '.join(bases)} at the same shape, end to end, paired by "
        f"{paired_by(report)}: below 1 is faster. FASTER, SLOWER: the whole interval is beyond {limit} %, corrected "
        f"for {len(shown)} comparison{'s' if len(shown) > 1 else ''} (Holm). SAME: the whole interval is within. More "
        "rounds: what UNCLEAR would still need, estimated." + (f" {TOO_FEW}" if any(map(few_rounds, ratios)) else "")
    )
    return paragraphs(cells, noise_floor_words(report), explanation)


TOO_FEW = "Too few rounds for an interval of 95 %: what is shown is the range of the rounds, and none for one round."


def few_rounds(interval: Interval) -> bool:
    """Whether it is but the range of fewer rounds than an interval needs."""
    return interval.confidence < 0.95


def _interval_header(ratios: Sequence[Interval]) -> str:
    """What the ends in a column are."""
    few = {few_rounds(ratio) for ratio in ratios}
    return "Interval or range" if len(few) > 1 else "Range of rounds" if True in few else "95 % interval"


def _known(ratio: Interval) -> str:
    return _interval(ratio) if ratio.confidence > 0.0 else MISSING  # one round has no range


def noise_floor_words(report: Report) -> str:
    """What the baseline against itself says, in a sentence."""
    floor = report.noise_floor
    if floor is None:
        return UNKNOWN_FLOOR
    said = session_words(floor)
    if floor_state(floor) == "unknown":
        return said
    return (
        f"Noise floor (A/A): the baseline's second copy took x{floor.ratio.value:.3f} {_interval(floor.ratio)} of the "
        f"first one's time; differences up to {_percent(effective_threshold(floor))} % are taken for none."
        f"{f' {said}' if said else ''}"
    )


def session_words(floor: NoiseFloor | None) -> str:
    """What this session cannot tell, and why; empty where its noise floor is good, or it had no control at all."""
    if floor is None:
        return ""
    ratio = floor.ratio
    match floor_state(floor):
        case "unknown":
            return f"The noise floor is not known: {MIN_ROUNDS} rounds are needed, there were {_rounds(floor)}."
        case "invalid":
            return (
                f"This session is not valid: two copies of the baseline differ by x{ratio.value:.2f} [{ratio.low:.2f}, "
                f"{ratio.high:.2f}], more than {_percent(floor.threshold)} % and no chance."
            )
        case "unresolved":
            return (
                "This session cannot tell small differences: the baseline against itself is anywhere between "
                f"x{ratio.low:.2f} and x{ratio.high:.2f}. Measure on a quieter machine{_more_rounds(floor)}."
            )
        case "coarse":
            return f"Differences under {math.ceil(round(100 * resolution(ratio), 6))} % cannot be told here."
        case "good":
            return ""


def invalid_session(floor: NoiseFloor | None) -> str:
    """Why nothing in this report can be compared; empty where two copies of one thing do not differ for sure."""
    return session_words(floor) if floor_state(floor) == "invalid" else ""


def _rounds(floor: NoiseFloor) -> int:
    """Rounds of an A/A that has no interval: where the report does not say, its confidence, 1 - 2 ** (1 - n), does."""
    return floor.rounds if floor.rounds is not None else round(1 - math.log2(1 - floor.ratio.confidence))


def _more_rounds(floor: NoiseFloor) -> str:
    if floor.rounds is None:
        return ", or with more rounds"
    needed = rounds_to_resolve(floor.ratio, floor.rounds)
    return ": more rounds alone would take too long" if needed is None else f", or with more rounds (about {needed})"


def verdict_words(report: Report) -> dict[int, str]:
    """Index of a row to its verdict and ratio in one cell: ``FASTER x0.52``, or that it is the baseline."""
    bases = {c.baseline: "baseline" for c in report.comparisons}
    return {**bases, **{c.row: f"{c.verdict} x{c.ratio.value:.2f}" for c in report.comparisons}}


def _percent(share: float) -> str:
    return percent(share).rstrip("0").rstrip(".")


def _interval(interval: Interval) -> str:
    return f"[{interval.low:.3f}, {interval.high:.3f}]"


def _more(comparison: Comparison) -> str:
    if comparison.verdict != "UNCLEAR":
        return ""
    return MISSING if comparison.more_rounds is None else str(comparison.more_rounds)


# --- growth -----------------------------------------------------------------------------------------------------------


def scaling_table(report: Report, name: Naming) -> str:
    """How latency and memory grow along each axis that was swept; empty where none was."""
    by_axis: dict[tuple[int, str], dict[str, ScalingFit]] = {}
    for fit in fits_shown(report):
        by_axis.setdefault((fit.row, fit.axis), {})[fit.figure] = fit
    if not by_axis:
        return ""
    unit = time_unit(fit.slope for fit in fits_shown(report) if fit.figure == "p50_s")
    return paragraphs(
        table(
            [
                "Model",
                "Backend",
                "At",
                "Axis",
                "Values",
                f"p50 at 0 ({unit.name})",
                f"p50 per 1 ({unit.name})",
                "r²",
                "MB per 1",
            ],
            [
                (
                    *name(report.summary[row])[:2],
                    held(report.summary[row], axis),
                    axis,
                    _values(fits),
                    *(
                        (unit(t.intercept) if t.intercept >= 0.0 else MISSING, unit(t.slope), _r2(t))
                        if (t := fits.get("p50_s"))
                        else (MISSING,) * 3
                    ),
                    megabytes_per(fits.get("peak_rss_bytes")),
                )
                for (row, axis), fits in by_axis.items()
            ],
            left=5,
        ),
        "A line by least squares through the end-to-end medians (and peak RSS) at those values (three or more), all "
        "else equal; per 1: for one more frame, clip or pixel of height.",
    )


def held(row: SummaryRow, axis: str) -> str:
    """What is the same at all values of an axis."""
    words = {
        "batch": f"batch {row.batch}",
        "frames": f"{row.frames} frames",
        "size": f"{row.height} px",
        "threads": threads_words(row),
    }
    return ", ".join(word for name, word in words.items() if name != axis)


def megabytes_per(fit: ScalingFit | None) -> str:
    """Slope of memory in MB."""
    if fit is None:
        return MISSING
    return f"{'-' if fit.slope < 0 else ''}{megabytes(abs(round(fit.slope)))}"


def _values(fits: dict[str, ScalingFit]) -> str:
    points = next(iter(fits.values())).points
    return ", ".join(f"{x:g}" for x in sorted({x for x, _ in points}))


def _r2(fit: ScalingFit) -> str:
    return MISSING if fit.r_squared is None else f"{fit.r_squared:.3f}"


# --- words ------------------------------------------------------------------------------------------------------------


def wer_table(accuracies: Sequence[Accuracy]) -> str:
    """Word error rates with what is known of how sure they are; empty where no clip's errors are known."""
    shown = [a for a in accuracies if a.wer_interval is not None]
    if not shown:
        return ""
    cells = table(
        ["Model", "Backend", "Split", "WER (%)", "95 % interval", "To the checkpoint", "Same (%)"],
        [
            (
                a.model,
                _way(a),
                a.split,
                percent(a.wer),
                _points(a.wer_interval),
                MISSING
                if a.wer_difference is None
                else f"{100 * a.wer_difference.value:+.2f} {_points(a.wer_difference)}",
                number(None if a.agreement is None else 100 * a.agreement),
            )
            for a in shown
        ],
        left=3,
    )
    return paragraphs(
        cells,
        "Intervals: 95 %, by bootstrap over clips. To the checkpoint: WER minus that of the fp32 checkpoint on the "
        "same clips, in points, paired by clip. Same: clips that decode to the checkpoint's sequence."
        + _conventions(shown),
    )


def _conventions(accuracies: Sequence[Accuracy]) -> str:
    """How errors were counted, where it is not the plain way."""
    found = {(a.decoder, a.scoring, a.alignment) for a in accuracies} - {("greedy", "plain", "unit")}
    ways = [
        f"{scoring}, aligned by {alignment} costs, decoder {decoder}" for decoder, scoring, alignment in sorted(found)
    ]
    return f" Scoring: {'; '.join(ways)}." if ways else ""


def _points(interval: Interval | None) -> str:
    return MISSING if interval is None else f"[{100 * interval.low:.2f}, {100 * interval.high:.2f}]"


def _way(accuracy: Accuracy) -> str:
    parts = [with_input(accuracy.backend, accuracy.input_kind, accuracy.variant)]
    parts += [accuracy.precision] if accuracy.precision != "fp32" else []
    parts += [accuracy.device] if accuracy.device != "cpu" else []
    return " ".join(parts)
