"""What makes a report's figures a first impression: a busy machine or GPU, disturbed samples, too few words."""

from collections.abc import Iterable

from slrbench.records import Accuracy, Report, SummaryRow
from slrbench.reporting.comparison_tables import session_words
from slrbench.reporting.display import off_percent, row_name
from slrbench.reporting.gpu_tables import gpu_doubts
from slrbench.reporting.naming import Naming
from slrbench.statistics.verdicts import PRACTICAL_THRESHOLD

LARGEST_LOAD_PER_CORE = 0.75
"""Load average at the start over logical cores, above which others were computing too."""

LARGEST_MEAN_OVER_P50 = 1.3
"""Mean over median, above which some calls took far longer than most."""

LARGEST_THROUGHPUT_FACTOR = 2.0
"""How far apart measured clips per second and batch / p50 may be, either way."""

WIDEST = 0.1
"""How far an end of the recommended row's interval may lie from its median, as a share of it."""

LEAST_SHARE = 0.9
"""Share of resamples in which the recommended row should be the one that is chosen."""

INCOMPLETE = "incomplete: "
"""How the note begins of a report that was written before its benchmark had ended."""

FEWEST_WORDS = 200
"""Reference words below which a WER is too coarse to decide on: one word is half a percentage point."""


def doubts(report: Report) -> list[str]:
    """Why the figures of this report should not be decided on, a sentence each; empty where nothing speaks against."""
    if not report.summary:
        return []
    found = [
        *(note[0].upper() + note[1:] for note in report.notes if note.startswith(INCOMPLETE)),
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
        *_contention(report),
        *_unsure(report),
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


def _deciding(report: Report) -> list[SummaryRow]:
    """The end-to-end rows that the choice rests on: the recommended one, the runner-up, the front, the baseline."""
    decision = report.decision
    indices = {c.baseline for c in report.comparisons}
    if decision is not None:
        indices |= {i for i in (decision.recommended, decision.runner_up) if i is not None} | set(decision.pareto)
    return [report.summary[i] for i in sorted(indices) if report.summary[i].scope == "end_to_end"]


def _contention(report: Report) -> list[str]:
    name = Naming(report.summary)
    found = []
    for row in _deciding(report):
        without = row.p50_unmarked_s
        if without is None or abs(change := without / row.p50_s - 1.0) <= PRACTICAL_THRESHOLD:
            continue
        found.append(
            f"{100 * row.marked_samples / row.samples:.0f} % of the samples of {name.sentence(row)} were taken under "
            f"contention; without them the median is {100 * abs(change):.1f} % {'lower' if change < 0 else 'higher'}."
        )
    return found


def _unsure(report: Report) -> list[str]:
    """What is not certain of the recommended row: its time, and that it is the one."""
    decision = report.decision
    if decision is None or decision.recommended is None:
        return []
    row, name = report.summary[decision.recommended], Naming(report.summary)
    found = []
    interval = row.p50_interval
    if interval is not None and max(interval.high - row.p50_s, row.p50_s - interval.low) > WIDEST * row.p50_s:
        found.append(f"The median of {name.sentence(row)} is known to {off_percent(interval, row.p50_s)} only.")
    share = decision.choice_share.get(decision.recommended, 0.0)
    if decision.choice_share and share < LEAST_SHARE:
        found.append(f"{name.sentence(row)} is chosen in {100 * share:.0f} % of resamples only.")
    return found


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
        f"With one clip repeated, {name} takes x{ratio or 0.0:.2f} of the time that it takes with clips never seen: "
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
