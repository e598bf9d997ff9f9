"""Rows against the baseline, the noise floor, and what the report says of both."""

from typing import Any

import numpy as np
import pytest

from slrbench.records import Interval, Measurement, NoiseFloor, Report
from slrbench.reporting.comparisons import compare, effective_threshold, noise_floor
from slrbench.reporting.derive import derive
from slrbench.reporting.doubts import doubts
from slrbench.reporting.render_markdown import headline, render_decision, render_markdown
from tests.reporting.noisy_reports import CALLS, Session


def words(report: Report, scope: str = "end_to_end") -> list[str]:
    done = derive(report)
    return [c.verdict for c in done.comparisons if done.summary[c.row].scope == scope]


def test_equal_candidates_are_the_same_in_19_of_20_sessions(golden_report: Report) -> None:
    found = [words(Session(golden_report, seed).report([1.0, 1.0])) for seed in range(20)]
    assert found.count(["SAME"]) >= 19
    assert all(w in (["SAME"], ["UNCLEAR"]) for w in found)


def test_5_percent_slower_is_slower_in_19_of_20_sessions(golden_report: Report) -> None:
    found = [words(Session(golden_report, seed).report([1.0, 1.05])) for seed in range(20)]
    assert found.count(["SLOWER"]) >= 19
    assert all(w in (["SLOWER"], ["UNCLEAR"]) for w in found)


def test_every_row_is_compared_in_its_own_scope_and_the_baseline_is_not(golden_report: Report) -> None:
    done = derive(Session(golden_report).report([1.0, 0.5, 2.0]))
    assert [(c.row, c.baseline, c.verdict) for c in done.comparisons] == [
        (2, 0, "FASTER"),
        (3, 1, "FASTER"),
        (4, 0, "SLOWER"),
        (5, 1, "SLOWER"),
    ]
    assert {done.summary[c.row].scope == done.summary[c.baseline].scope for c in done.comparisons} == {True}
    assert done.comparisons[0].ratio.value == pytest.approx(0.5, rel=0.01)


def test_turns_are_paired_where_they_are_known_and_the_report_says_which(golden_report: Report) -> None:
    plain = Session(golden_report).report([1.0, 2.0])
    # The second candidate misses the last turn of each round, which is the first one's slow half.
    turns = tuple(np.tile(np.repeat([0, 1], CALLS // 2), 10).tolist())
    first, second = (m.model_copy(update={"turn_of": turns}) for m in plain.measurements)
    slow = tuple(t * (5.0 if turn else 1.0) for t, turn in zip(first.end_to_end_s, turns, strict=True))
    first = first.model_copy(update={"end_to_end_s": slow})
    second = second.model_copy(update={"turn_of": tuple(2 * turn for turn in turns)})

    def shown(*measurements: Measurement) -> tuple[str, float]:
        report = derive(plain.model_copy(update={"measurements": measurements}))
        found = next(c for c in report.comparisons if report.summary[c.row].scope == "end_to_end")
        return render_markdown(report), found.ratio.value

    text, ratio = shown(first, second)
    assert ratio == pytest.approx(2.0, rel=0.02)
    assert "end to end, paired by turn: below 1 is faster" in text
    text, ratio = shown(first, second.model_copy(update={"turn_of": ()}))
    assert ratio < 1.5
    assert "end to end, paired by round: below 1 is faster" in text
    apart = tuple(t + (100 if r < 3 else 0) for t, r in zip(second.turn_of, second.round_of, strict=True))
    text, _ = shown(first, second.model_copy(update={"turn_of": apart}))
    assert "paired by turn, or by round where two took no turns with each other: below" in text


def _moved(measurement: Measurement, **fields: Any) -> Measurement:
    return measurement.model_copy(update={"candidate": measurement.candidate.model_copy(update=fields)})


def test_rows_of_another_shape_are_compared_with_the_baseline_there_or_not_at_all(golden_report: Report) -> None:
    report = Session(golden_report).report([1.0, 1.0, 4.0, 4.0, 1.0])
    base, same, base_8, other_8, at_64 = report.measurements
    sha = base.candidate.artifact_sha256
    report = report.model_copy(
        update={
            "measurements": (
                base,
                same,
                _moved(base_8, batch=8, artifact_sha256=sha, model="m0"),
                _moved(other_8, batch=8),
                _moved(at_64, frames=64),
            )
        }
    )
    done = derive(report)
    e2e = [(c.row, c.baseline) for c in done.comparisons if done.summary[c.row].scope == "end_to_end"]
    assert e2e == [(3, 1), (7, 5)]


def test_without_a_baseline_nothing_is_compared(golden_report: Report) -> None:
    report = Session(golden_report).report([1.0, 2.0]).model_copy(update={"baseline": None})
    done = derive(report)
    assert (done.comparisons, done.noise_floor) == ((), None)
    assert "## Against the baseline" not in render_markdown(done)


def test_few_rounds_are_unclear_and_say_what_is_missing(golden_report: Report) -> None:
    done = derive(Session(golden_report, rounds=4).report([1.0, 2.0]))
    first = done.comparisons[0]
    assert (first.verdict, first.more_rounds, first.ratio.confidence) == ("UNCLEAR", 2, 0.875)
    assert done.noise_floor is not None
    assert (done.noise_floor.valid, done.noise_floor.state, done.noise_floor.rounds) == (None, "unknown", 4)
    text = render_markdown(done)
    assert "The noise floor is not known: 6 rounds are needed, there were 4." in text
    assert "too few rounds (fewer than 6) for an interval" in text
    assert "Range of rounds" in text
    assert "| 95 % interval" not in text.split("## Against the baseline")[1].split("\n## ")[0]


def test_the_noise_floor_is_the_control_over_the_baseline(golden_report: Report) -> None:
    floor = noise_floor(Session(golden_report).report([1.0, 1.0]))
    assert floor is not None
    assert floor.valid
    assert floor.ratio.low < 1.0 < floor.ratio.high
    assert floor.ratio.value == pytest.approx(1.0, abs=0.01)
    assert noise_floor(Session(golden_report).report([1.0], control=None)) is None


def test_a_session_whose_copies_differ_is_not_valid_and_says_so_at_the_top(golden_report: Report) -> None:
    done = derive(Session(golden_report).report([1.0, 1.06], control=1.08))
    assert done.noise_floor is not None
    assert not done.noise_floor.valid
    assert doubts(done)[0].startswith("This session is not valid: two copies of the baseline differ by x1.08")
    top = "\n".join(render_markdown(done).splitlines()[:8])
    assert "This session is not valid" in top
    assert "This session is not valid" in render_decision(done)
    # and what two copies of one thing differ by is no difference between candidates
    assert {c.verdict for c in done.comparisons} <= {"SAME", "UNCLEAR"}
    valid = derive(Session(golden_report).report([1.0, 1.06]))
    assert "not valid" not in render_markdown(valid)
    assert {c.verdict for c in valid.comparisons} == {"SLOWER"}


def test_a_report_that_cannot_be_trusted_is_a_first_impression(golden_report: Report) -> None:
    bad = NoiseFloor(ratio=Interval(value=1.1, low=1.08, high=1.12), threshold=0.02, valid=False)
    assert headline(golden_report.model_copy(update={"noise_floor": bad})).startswith("First impression")


def test_the_threshold_is_two_percent_or_what_the_copies_differ_by() -> None:
    assert effective_threshold(None) == 0.02
    wide = NoiseFloor(ratio=Interval(value=1.03, low=0.99, high=1.07), threshold=0.02, valid=True)
    assert effective_threshold(wide) == pytest.approx(0.03)
    few = NoiseFloor(ratio=Interval(value=1.5, low=0.9, high=2.0, confidence=0.75), threshold=0.02, valid=True)
    assert effective_threshold(few) == 0.02


def test_the_table_shows_verdict_ratio_interval_and_floor(golden_report: Report) -> None:
    done = derive(Session(golden_report).report([1.0, 0.5, 1.0, 1.05]))
    text = render_markdown(done).split("## Against the baseline")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| m")]
    assert [line.split("|")[4].strip() for line in lines] == ["FASTER", "SAME", "SLOWER"]
    assert all("[" in line for line in lines)
    assert "Noise floor (A/A): the baseline's second copy took x" in text
    assert "corrected for 3 comparisons (Holm)" in text
    results = render_markdown(done).split("## Results")[1].split("\n## ")[0]
    assert " baseline |" in results
    assert "FASTER x0.50" in results
    assert text.splitlines()[2] in render_decision(done)


def test_many_equal_candidates_are_never_told_apart(golden_report: Report) -> None:
    done = derive(Session(golden_report, seed=7).report([1.0] * 16))
    assert {c.verdict for c in done.comparisons} <= {"SAME", "UNCLEAR"}


def test_comparisons_need_rows_that_know_their_measurement(golden_report: Report) -> None:
    report = Session(golden_report).report([1.0, 2.0])
    rows = [row.model_copy(update={"measurement": None}) for row in derive(report).summary]
    assert compare(report, rows, None) == ()
