"""The top of the page: the decision in one sentence, what speaks against it, and its key figures."""

from collections.abc import Callable, Iterator

from slrbench.records import Interval, Report, SummaryRow
from slrbench.reporting.comparisons import floor_state
from slrbench.reporting.display import megabytes, milliseconds, number, percent, row_name
from slrbench.reporting.doubts import doubts
from slrbench.reporting.html.from_markdown import inline
from slrbench.reporting.html.markup import Markup, tag
from slrbench.reporting.render_markdown import headline


def opening(report: Report) -> Markup:
    """The sentence, the doubts, and the figures of the recommended row."""
    invalid = floor_state(report.noise_floor) == "invalid"
    sentence, against = tag("p", headline(report), class_="headline"), _doubts(report)
    return tag(
        "div",
        *((against, sentence) if invalid else (sentence, against)),  # nothing is read before that it does not hold
        _key_figures(report),
        class_="opening",
    )


def _doubts(report: Report) -> Markup | None:
    reasons = doubts(report)
    invalid = floor_state(report.noise_floor) == "invalid"
    if not reasons:
        return None
    title = "This session is not valid" if invalid else "What speaks against deciding on these figures"
    return tag(
        "div",
        tag("h2", title, id="doubts"),
        tag("ul", *(tag("li", inline(reason)) for reason in reasons)),
        class_="doubts invalid" if invalid else "doubts",
        role="note",
        aria_labelledby="doubts",
    )


def _key_figures(report: Report) -> Markup | None:
    decision = report.decision
    if decision is None or decision.recommended is None:
        return None
    row = report.summary[decision.recommended]
    tiles = [
        tag(
            "div",
            tag("dt", name),
            tag("dd", tag("b", value), tag("span", f" {unit}"), tag("small", beside) if beside else None),
        )
        for name, value, unit, beside in _tiles(row)
    ]
    return tag("dl", *tiles, class_="tiles", aria_label=f"Key figures of {row_name(row)}")


def _tiles(row: SummaryRow) -> Iterator[tuple[str, str, str, str]]:
    """Name, figure, unit and what stands beside it."""
    yield "Latency, p50", milliseconds(row.p50_s), "ms", _between(row.p50_interval, milliseconds)
    if row.p99_s is not None:
        bound = "" if row.p99_bound_s is None else f"at most {milliseconds(row.p99_bound_s)}"
        yield "Latency, p99", milliseconds(row.p99_s), "ms", bound
    yield "Word error rate", percent(row.wer), "%", _between(row.wer_interval, percent)
    packed = "" if row.compressed_bytes is None else f"{megabytes(row.compressed_bytes)} compressed"
    yield "File", megabytes(row.size_bytes), "MB", packed
    if row.peak_rss_bytes is not None:
        yield "Memory, peak", megabytes(row.peak_rss_bytes), "MB", ""
    if row.throughput_clips_per_s is not None:
        real_time = "" if row.real_time_factor is None else f"{number(row.real_time_factor)} × real time"
        yield "Throughput", number(row.throughput_clips_per_s), "clips/s", real_time
    if row.streams is not None:
        yield "Camera streams", str(row.streams), "at 25 fps", ""


def _between(interval: Interval | None, words: Callable[[float], str]) -> str:
    return "" if interval is None else f"[{words(interval.low)}, {words(interval.high)}]"
