"""What speaks against deciding on a report's figures is found, and said where the decision is."""

import html
from typing import Any

import pytest

from slrbench.records import Interval, NoiseFloor, Report
from slrbench.reporting.comparison_tables import noise_floor_words, session_words
from slrbench.reporting.doubts import doubts
from slrbench.reporting.html.page import render_html
from slrbench.reporting.render_markdown import headline, render_decision, render_markdown


def _with_row(report: Report, **fields: Any) -> Report:
    """The report with another recommended row."""
    assert report.decision is not None
    assert report.decision.recommended is not None
    rows = list(report.summary)
    rows[report.decision.recommended] = rows[report.decision.recommended].model_copy(update=fields)
    return report.model_copy(update={"summary": tuple(rows)})


def _with_load(report: Report, load: float | None) -> Report:
    return report.model_copy(
        update={"environment": report.environment.model_copy(update={"load_average_1m": load})},
    )


def _with_words(report: Report, words: int) -> Report:
    fewer = [
        a.model_copy(update={"counts": a.counts.model_copy(update={"reference_words": words})})
        for a in report.accuracies
    ]
    return report.model_copy(update={"accuracies": tuple(fewer)})


def test_good_figures_leave_no_doubt(golden_report: Report) -> None:
    for report in (_with_load(golden_report, 1.5), _with_load(golden_report, None), _with_words(golden_report, 200)):
        assert doubts(report) == []
        assert headline(report).startswith("Ship ")
        assert "speaks against" not in render_markdown(report)


def _doubtful(report: Report) -> dict[str, Report]:
    p50_s = 0.0204048
    return {
        "load average 1.60 on 2 logical cores": _with_load(report, 1.6),
        "times the median": _with_row(report, mean_s=1.4 * p50_s),
        "batch / p50 differ": _with_row(report, throughput_clips_per_s=0.4 / p50_s),
        "(x2.50)": _with_row(report, throughput_clips_per_s=2.5 / p50_s),
        "rests on 199 words": _with_words(report, 199),
        "(fp32, cpu) at 1 x 32 were taken under contention; without them the median is 10.0 % lower": _with_row(
            report, marked_samples=58, p50_unmarked_s=0.9 * p50_s, measurement=None
        ),
        "is known to -9.0 %/+40.0 % only": _with_row(
            report, p50_interval=Interval(value=p50_s, low=0.91 * p50_s, high=1.4 * p50_s)
        ),
    }


@pytest.mark.parametrize("index", range(7))
def test_each_doubt_is_said_under_the_results_and_in_the_headline(golden_report: Report, index: int) -> None:
    words, report = list(_doubtful(golden_report).items())[index]
    assert len(doubts(report)) == 1
    assert words in doubts(report)[0]
    assert headline(report).startswith("First impression, not a decision: ship teacher-demo on openvino")
    assert words in render_markdown(report).split("## Results")[1].split("## ")[0]
    assert words in " ".join(render_decision(report).split())


def test_a_report_of_a_benchmark_that_had_not_ended_says_so_first(golden_report: Report) -> None:
    noted = {"notes": ("incomplete: 6 of 6 rounds, no WER yet", "something else")}
    report = _with_load(golden_report, 9.0).model_copy(update=noted)
    assert doubts(report)[0] == "Incomplete: 6 of 6 rounds, no WER yet"
    assert [words for words in doubts(report) if "else" in words] == []


def test_nothing_measured_is_nothing_to_doubt(golden_report: Report) -> None:
    assert doubts(_with_load(golden_report, 9.0).model_copy(update={"summary": ()})) == []


def _floor(value: float, low: float, high: float, confidence: float = 0.95, rounds: int | None = 10) -> NoiseFloor:
    ratio = Interval(value=value, low=low, high=high, confidence=confidence)
    return NoiseFloor(ratio=ratio, threshold=0.02, valid=True, rounds=rounds)


@pytest.mark.parametrize(
    ("floor", "said"),
    [
        (None, ""),
        (_floor(1.0, 0.98, 1.03), ""),
        (_floor(1.0, 0.97, 1.08), "Differences under 8 % cannot be told here."),
        (
            _floor(1.0, 0.81, 1.045),
            "This session cannot tell small differences: the baseline against itself is anywhere between x0.81 and "
            "x1.04. Measure on a quieter machine, or with more rounds (about 49).",
        ),
        (_floor(1.0, 0.41, 3.43), "x0.41 and x3.43. Measure on a quieter machine: more rounds alone would take"),
        (_floor(1.0, 0.41, 3.43, rounds=None), "Measure on a quieter machine, or with more rounds."),
        (
            _floor(1.08, 1.05, 1.11),
            "This session is not valid: two copies of the baseline differ by x1.08 [1.05, 1.11], more than 2 % and no "
            "chance.",
        ),
        (_floor(1.0, 1.0, 1.0, 0.75, None), "The noise floor is not known: 6 rounds are needed, there were 3."),
    ],
)
def test_a_session_says_what_it_cannot_tell(golden_report: Report, floor: NoiseFloor | None, said: str) -> None:
    assert said in session_words(floor)
    assert bool(said) == bool(session_words(floor))
    report = golden_report.model_copy(update={"noise_floor": floor})
    assert doubts(report) == [words for words in [session_words(floor)] if words]
    assert headline(report).startswith("First impression") == bool(said)
    if said:
        assert html.escape(session_words(floor)) in render_html(report)
        assert session_words(floor) in noise_floor_words(report)
