"""What makes a report's figures a first impression: a busy machine or GPU, disturbed samples, too few words."""

from collections.abc import Iterable

from slrbench.records import Accuracy, Report, SummaryRow
from slrbench.reporting.comparison_tables import session_words
from slrbench.reporting.display import row_name
from slrbench.reporting.gpu_tables import gpu_doubts

LARGEST_LOAD_PER_CORE = 0.75
"""Load average at the start over logical cores, above which others were computing too."""

LARGEST_MEAN_OVER_P50 = 1.3
"""Mean over median, above which some calls took far longer than most."""

LARGEST_THROUGHPUT_FACTOR = 2.0
"""How far apart measured clips per second and batch / p50 may be, either way."""

LARGEST_MARKED_SHARE = 0.25
"""Share of a candidate's samples taken under contention, above which its figures are as much the other program's."""

FEWEST_WORDS = 200
"""Reference words below which a WER is too coarse to decide on: one word is half a percentage point."""


def doubts(report: Report) -> list[str]:
    """Why the figures of this report should not be decided on, a sentence each; empty where nothing speaks against."""
    if not report.summary:
        return []
    found = [
        session_words(report.noise_floor),
        _load(report),
        _rows(
            f"the mean is more than {LARGEST_MEAN_OVER_P50:g} times the median, so something disturbed the samples",
            ((row, row.mean_s / row.p50_s) for row in report.summary if row.mean_s > LARGEST_MEAN_OVER_P50 * row.p50_s),
        ),
        _rows(
            f"clips per second and batch / p50 differ by more than a factor of {LARGEST_THROUGHPUT_FACTOR:g}",
            ((row, factor) for row in report.summary if (factor := _factor(row)) > LARGEST_THROUGHPUT_FACTOR),
        ),
        _contention(report),
        *_outputs(report),
        *_words(report),
        *gpu_doubts(report),
    ]
    return [doubt for doubt in found if doubt]


def accuracies_shown(report: Report) -> list[Accuracy]:
    """The evaluations on which the WER of the rows rests."""
    shown = {(*_way(row), row.wer_split) for row in report.summary}
    return [a for a in report.accuracies if (*_way(a), a.split) in shown]


def clips_behind(report: Report, row: SummaryRow) -> int | None:
    """On how many clips the WER of a row rests; None where the report does not say."""
    found = (a.clips for a in report.accuracies if (*_way(a), a.split) == (*_way(row), row.wer_split))
    return next(found, None)


def _way(what: SummaryRow | Accuracy) -> tuple[str, ...]:
    return what.artifact_sha256, what.backend, what.precision, what.variant, what.device, what.input_kind


def _load(report: Report) -> str:
    load, cores = report.environment.load_average_1m, report.environment.cpu_logical_cores
    if load is None or load <= LARGEST_LOAD_PER_CORE * cores:
        return ""
    return f"The machine was busy at the start: load average {load:.2f} on {cores} logical core{'s' * (cores > 1)}."


def _factor(row: SummaryRow) -> float:
    """How far apart the two ways to know the throughput are, at least 1; 1 where only one is known."""
    if row.scope != "end_to_end" or not row.throughput_clips_per_s or not row.p50_s:
        return 1.0
    ratio = row.throughput_clips_per_s * row.p50_s / row.batch
    return max(ratio, 1.0 / ratio)


def _rows(what: str, rows: Iterable[tuple[SummaryRow, float]]) -> str:
    worst: dict[str, float] = {}  # a candidate once, though both its scopes may be in doubt
    for row, factor in rows:
        name = f"{row_name(row)} at {row.batch} x {row.frames}"
        worst[name] = max(factor, worst.get(name, 0.0))
    if not worst:
        return ""
    return f"{what[0].upper()}{what[1:]}: {', '.join(f'{name} (x{factor:.2f})' for name, factor in worst.items())}."


def _contention(report: Report) -> str:
    return _rows(
        f"more than {LARGEST_MARKED_SHARE:.0%} of the samples were taken while something else ran, and the median with "
        "them is that many times the one without",
        (
            (row, row.p50_s / (row.p50_unmarked_s or row.p50_s))
            for row in report.summary
            if row.marked_samples > LARGEST_MARKED_SHARE * row.samples
        ),
    )


def _outputs(report: Report) -> list[str]:
    """Candidates that computed something else while they were timed, or that were quick on what they had seen."""
    wrong: dict[str, str] = {}
    caching: dict[str, float | None] = {}
    for row in report.summary:
        check = None if row.measurement is None else report.measurements[row.measurement].output_check
        if check is not None:
            name = f"{row_name(row)} at {row.batch} x {row.frames}"
            wrong |= {} if check.passed else {name: check.compared_with}
            caching |= {name: check.repeated_ratio} if check.caches else {}
    found = [
        f"While it was timed, {name} gave other outputs than {reference}: its times are of another computation."
        for name, reference in wrong.items()
    ]
    return found + [
        f"With one clip repeated, {name} takes x{ratio or 0.0:.2f} of the time that it takes with clips in rotation: "
        "something caches."
        for name, ratio in caching.items()
    ]


def _words(report: Report) -> list[str]:
    few = {
        (a.split, a.counts.reference_words): None
        for a in accuracies_shown(report)
        if a.counts.reference_words < FEWEST_WORDS
    }
    return [f"The WER on `{split}` rests on {words} words, fewer than {FEWEST_WORDS}." for split, words in few]
