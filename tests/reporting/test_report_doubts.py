"""What speaks against deciding on a report's figures is found, and said where the decision is."""

from typing import Any

import pytest

from slrbench.records import Interval, NoiseFloor, Report
from slrbench.reporting.comparison_tables import blurred_session
from slrbench.reporting.doubts import doubts
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


def test_nothing_measured_is_nothing_to_doubt(golden_report: Report) -> None:
    assert doubts(_with_load(golden_report, 9.0).model_copy(update={"summary": ()})) == []


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.98, 1.03, ""), (0.81, 1.045, "about 23 % cannot be told"), (0.97, 1.12, "about 12 % cannot be told")],
)
def test_a_session_whose_copies_differ_by_chance_says_what_it_cannot_tell(low: float, high: float, said: str) -> None:
    floor = NoiseFloor(ratio=Interval(value=1.0, low=low, high=high), threshold=0.02, valid=True)
    assert said in blurred_session(floor)
    assert bool(said) == bool(blurred_session(floor))
    assert blurred_session(None) == blurred_session(floor.model_copy(update={"valid": False})) == ""
