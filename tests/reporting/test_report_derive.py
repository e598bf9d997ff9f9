"""Derived fields: intervals and bounds of rows, word error rates, growth; and the tables that show them."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from slrbench.records import (
    Accuracy,
    Energy,
    Interval,
    LoadRun,
    Measurement,
    OutputCheck,
    Report,
    ScalingFit,
    SummaryRow,
)
from slrbench.reporting.accuracy import with_intervals
from slrbench.reporting.derive import derive
from slrbench.reporting.display import TIME_UNITS, off_percent, time_unit
from slrbench.reporting.doubts import doubts
from slrbench.reporting.render_markdown import render_markdown
from slrbench.reporting.scaling import fits
from slrbench.reporting.statistics import summarise
from slrbench.statistics.percentiles import percentile
from tests.reporting.alike import assert_alike
from tests.reporting.noisy_reports import Session


def row_of(measurement: Measurement, scope: str = "end_to_end", **fields: Any) -> SummaryRow:
    rows = summarise([measurement.model_copy(update=fields)], [])
    return next(row for row in rows if row.scope == scope)


def section(report: Report, title: str) -> str:
    return render_markdown(report).partition(f"## {title}\n")[2].split("\n## ")[0]


def test_deriving_twice_gives_the_same_and_the_golden_report_is_derived(golden_report: Report) -> None:
    assert_alike(derive(golden_report).model_dump(), golden_report.model_dump())
    assert derive(golden_report, decided=False).decision is None


def test_rows_know_their_measurement_interval_and_bounds(golden_report: Report) -> None:
    report = derive(Session(golden_report, rounds=30).report([1.0]))  # 900 samples
    row = report.summary[1]
    assert (row.measurement, row.scope, row.samples) == (0, "end_to_end", 900)
    assert row.p50_interval is not None
    assert row.p50_interval.low < row.p50_s < row.p50_interval.high
    for share, value, bound in ((0.9, row.p90_s, row.p90_bound_s), (0.99, row.p99_s, row.p99_bound_s)):
        assert value == percentile(report.measurements[0].end_to_end_s, share)
        assert bound is not None
        assert bound >= value
    assert f"{1e3 * row.p99_s:.1f} ≤{1e3 * row.p99_bound_s:.1f}" in section(report, "Latency in detail")


def test_a_percentile_and_its_bound_are_missing_together_and_the_table_says_what_they_need(
    golden_report: Report,
) -> None:
    report = derive(Session(golden_report, rounds=6).report([1.0]))  # 180 samples
    row = report.summary[0]
    assert (row.p99_s, row.p99_bound_s) == (None, None)
    assert None not in (row.p90_s, row.p90_bound_s, row.p95_s, row.p95_bound_s)
    assert "With 180 samples p99 needs 482 more." in section(report, "Latency in detail")


def test_marked_samples_count_and_the_median_without_them_stands_beside(golden_report: Report) -> None:
    measurement = Session(golden_report).report([1.0]).measurements[0]
    slow = tuple(range(0, 300, 3))
    times = tuple(2 * t if i in slow else t for i, t in enumerate(measurement.end_to_end_s))
    marks = {"steal": slow[:60], "switched out": slow[40:], "throttled": ()}
    marked = measurement.model_copy(update={"end_to_end_s": times, "marks": marks})
    row, quiet = row_of(marked), row_of(measurement)
    assert (row.samples, row.marked_samples) == (300, 100)
    assert row.p50_unmarked_s == pytest.approx(quiet.p50_s, rel=0.01)
    assert row.p50_s > row.p50_unmarked_s
    assert (quiet.marked_samples, quiet.p50_unmarked_s) == (0, None)
    assert row_of(marked, marks={"steal": tuple(range(300))}).p50_unmarked_s is None
    report = derive(golden_report.model_copy(update={"measurements": (marked,), "control": None, "accuracies": ()}))
    shown = section(report, "Latency in detail")
    assert "| 100 of 300 |" in shown
    assert "steal 60, switched out 60" in shown
    assert "throttled" not in shown


def test_energy_memory_and_streams_come_into_the_rows(golden_report: Report) -> None:
    measurement = golden_report.measurements[7]
    assert measurement.candidate.batch == 8
    energy = Energy(source="RAPL package", joules=80.0, calls=5, seconds=1.0)
    row = row_of(measurement, energy=energy, steady_rss_bytes=7)
    assert (row.joules_per_clip, row.steady_rss_bytes) == (2.0, 7)
    assert row_of(measurement, energy=Energy(unavailable="no RAPL")).joules_per_clip is None
    run = LoadRun(candidate=measurement.candidate, scenario="streams", valid=True, figure=3.0)
    done = derive(golden_report.model_copy(update={"load": (run,)}))
    assert {row.measurement for row in done.summary if row.streams == 3} == {7}
    assert "Energy (J/clip)" not in render_markdown(golden_report)
    measured = tuple(m.model_copy(update={"energy": energy}) for m in golden_report.measurements)
    assert "Energy (J/clip)" in render_markdown(derive(golden_report.model_copy(update={"measurements": measured})))


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({"passed": False}, "gave other outputs than the checkpoint"),
        ({"passed": True, "caches": True, "repeated_ratio": 0.4}, "takes x0.40 of the time"),
        ({"passed": True}, None),
    ],
    ids=str,
)
def test_wrong_outputs_and_caches_speak_against_the_figures(
    golden_report: Report, check: dict[str, Any], words: str | None
) -> None:
    known = OutputCheck(compared_with="the checkpoint", calls=4, **check)
    first = golden_report.measurements[0].model_copy(update={"output_check": known})
    report = golden_report.model_copy(update={"measurements": (first, *golden_report.measurements[1:])})
    found = doubts(report)
    assert [words in doubt for doubt in found] == ([] if words is None else [True])


def test_the_peak_of_memory_is_never_below_what_the_rounds_held(golden_report: Report) -> None:
    measurement = golden_report.measurements[0]
    for opened, steady, peak in ((5, 7, 7), (7, 5, 7), (None, 5, 5), (5, None, 5), (None, None, None)):
        assert row_of(measurement, peak_rss_bytes=opened, steady_rss_bytes=steady).peak_rss_bytes == peak


def test_wide_intervals_are_named(golden_report: Report) -> None:
    noisy = derive(Session(golden_report, spread=0.2).report([1.0]))
    shown = section(noisy, "Latency in detail")
    assert "Wide intervals, beyond 3 % of the median" in shown
    assert re.search(r"- m0 on torch \(fp32, cpu\) at 1 x 32: \S+ \[\S+, \S+\] ms, -\S+ %/\+\S+ %: ", shown)
    quiet = Session(golden_report, spread=0.0001).report([1.0]).measurements[0]
    even = tuple(float(t) for t in np.resize([0.010, 0.0101, 0.0102], 300))
    report = derive(
        golden_report.model_copy(update={"measurements": (quiet.model_copy(update={"end_to_end_s": even}),)})
    )
    assert "Wide intervals" not in section(report, "Latency in detail")


# --- growth -----------------------------------------------------------------------------------------------------------


def swept(row: SummaryRow, axis: str, points: Sequence[tuple[int, float]]) -> list[SummaryRow]:
    return [row.model_copy(update={axis: place, "p50_s": p50}) for place, p50 in points]


@pytest.mark.parametrize("axis", ["frames", "batch"])
def test_a_line_through_points_on_a_line_is_found_along_every_axis(make_row: Any, axis: str) -> None:
    rows = swept(make_row(), axis, [(n, 0.002 + 0.003 * n) for n in (1, 2, 4, 8)])
    times, memory = fits(rows)
    assert (times.axis, times.figure, times.row, len(times.points)) == (axis, "p50_s", 0, 4)
    assert (times.intercept, times.slope, times.r_squared) == pytest.approx((0.002, 0.003, 1.0))
    assert (memory.figure, memory.slope) == ("peak_rss_bytes", 0.0)


def test_frame_sizes_are_an_axis_though_each_has_its_own_file(make_row: Any) -> None:
    rows = [
        make_row(height=s, width=s, artifact_sha256=f"{s:064x}", p50_s=1e-4 * s, peak_rss_bytes=None)
        for s in (64, 128, 224)
    ]
    (fit,) = fits(rows)
    assert (fit.axis, fit.slope) == ("size", pytest.approx(1e-4))


def test_fewer_than_three_points_and_threads_have_no_line(make_row: Any) -> None:
    row = make_row(peak_rss_bytes=None)
    assert fits(swept(row, "frames", [(16, 0.1), (32, 0.3)])) == ()
    assert fits(swept(row, "threads", [(1, 0.3), (2, 0.2), (4, 0.1)])) == ()
    (curved,) = fits(swept(row, "frames", [(16, 0.1), (32, 0.3), (64, 0.31)]))
    assert curved.r_squared is not None
    assert curved.r_squared < 0.9


def test_unlike_rows_and_computing_alone_are_on_no_line(make_row: Any) -> None:
    rows = swept(make_row(peak_rss_bytes=None), "frames", [(16, 0.1), (32, 0.2), (64, 0.4)])
    assert len(fits(rows)) == 1
    for other in ({"precision": "fp16"}, {"scope": "compute"}, {"batch": 4}):
        assert fits([*rows[:2], rows[2].model_copy(update=other)]) == ()


def grown(report: Report, intercept: float, points: Sequence[float]) -> Report:
    """The report with one line, over the batch."""
    line = ScalingFit(
        row=1, axis="batch", figure="p50_s", points=tuple((x, 0.01 * x) for x in points), intercept=intercept,
        slope=0.01, r_squared=0.99,
    )  # fmt: skip
    return report.model_copy(update={"scaling": (line,)})


def test_growth_has_its_table(golden_report: Report) -> None:
    assert golden_report.scaling == ()
    assert "| batch | 1, 4, 8 " in section(grown(golden_report, 0.002, (1, 4, 8)), "Growth")
    assert "2.00 |" in section(grown(golden_report, 0.002, (1, 4, 8)), "Growth")


def test_growth_says_no_time_below_zero_and_draws_no_line_through_two_points(golden_report: Report) -> None:
    assert "-2.00" not in section(grown(golden_report, -0.002, (1, 4, 8)), "Growth")
    assert section(grown(golden_report, 0.002, (1, 8)), "Growth") == ""


# --- words ------------------------------------------------------------------------------------------------------------


def test_word_error_rates_are_compared_with_the_checkpoint_of_the_model(golden_report: Report) -> None:
    by_way = {(a.model, a.backend, a.split): a for a in golden_report.accuracies}
    checkpoint = by_way["student-demo", "torch", "test"]
    other = by_way["student-demo", "openvino", "test"]
    assert (checkpoint.against, checkpoint.wer_difference, checkpoint.agreement) == ("", None, None)
    assert other.against == checkpoint.artifact_sha256
    assert other.wer_difference is not None
    assert other.wer_difference.value == pytest.approx(other.wer - checkpoint.wer)
    assert other.agreement == pytest.approx(119 / 120)
    assert by_way["student-demo", "onnx", "test"].agreement is None  # what it decoded is not known
    assert by_way["student-demo", "onnx", "test-signers"].wer_difference is None  # other clips
    for row in golden_report.summary:
        assert (row.wer_interval is None) == (not isinstance(row.wer, float))


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "fp16"},
        {"variant": "compile"},
        {"device": "cuda"},
        {"input_kind": "uint8"},
        {"backend": "onnx"},
        {"model": "another"},
        {"data_fingerprint": "other"},
        {"clip_words": (4,) * 120},
        {"decoder": "beam:10"},
        {"scoring": "phoenix2014"},
        {"alignment": "sclite"},
    ],
    ids=str,
)
def test_only_the_fp32_checkpoint_on_the_same_clips_is_compared_with(
    golden_report: Report, change: dict[str, Any]
) -> None:
    found = {(a.model, a.backend, a.split): a for a in golden_report.accuracies}
    checkpoint, other = (found["student-demo", backend, "test"] for backend in ("torch", "openvino"))
    bare = other.model_copy(update={"against": "", "wer_difference": None, "agreement": None})
    assert with_intervals([checkpoint, bare])[1] == other
    assert with_intervals([checkpoint.model_copy(update=change), bare])[1].wer_difference is None


def test_older_accuracies_stay_as_they_are(golden_report: Report) -> None:
    old = golden_report.accuracies[0].model_copy(update={"clip_errors": (), "wer_interval": None})
    assert with_intervals([old]) == (old,)
    assert isinstance(old, Accuracy)


def test_the_table_says_how_words_were_counted_where_it_is_not_the_plain_way(golden_report: Report) -> None:
    assert "Scoring:" not in section(golden_report, "Word error rates")
    counted = {"scoring": "phoenix2014", "alignment": "sclite"}
    accuracies = tuple(a.model_copy(update=counted) for a in golden_report.accuracies)
    shown = section(golden_report.model_copy(update={"accuracies": accuracies}), "Word error rates")
    assert "Scoring: phoenix2014, aligned by sclite costs, decoder greedy." in shown


def test_word_error_rates_have_their_table(golden_report: Report) -> None:
    shown = section(golden_report, "Word error rates")
    assert " +0.20 [" in shown
    assert "99.2 |" in shown
    assert section(golden_report.model_copy(update={"accuracies": ()}), "Word error rates") == ""


# --- units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        ((0.02, 1.9), "ms"),
        ((0.5, 90.0), "s"),
        ((0.0002, 0.09), "ms"),
        ((0.00002, 0.09), "us"),
        ((1e-9,), "us"),
        ((None,), "ms"),
        ((), "ms"),
    ],
)
def test_one_unit_of_time_for_a_table(times: tuple[float | None, ...], unit: str) -> None:
    assert time_unit(times).name == unit


def test_an_interval_is_said_with_both_its_ends() -> None:
    interval = Interval(value=0.0179, low=0.0163, high=0.0251)
    assert TIME_UNITS[1].with_interval(0.0179, interval) == "17.9 [16.3, 25.1]"
    assert TIME_UNITS[1].with_interval(0.0179, None) == "17.9"
    assert off_percent(interval, 0.0179) == "-8.9 %/+40.2 %"


@pytest.mark.parametrize("factor", [1e-3, 1.0, 100.0])
def test_tables_fit_a_terminal_whatever_the_unit(golden_report: Report, factor: float) -> None:
    report = Session(golden_report, rounds=30).report([factor, 2 * factor, 300 * factor])
    text = render_markdown(derive(report))
    for title in ("Results", "Against the baseline", "Latency in detail", "Throughput, memory and size"):
        part = text.partition(f"## {title}\n")[2].split("\n## ")[0]
        assert max(len(line) for line in part.splitlines() if line.startswith("|")) <= 100, title


def test_a_machine_whose_speed_changed_is_named_as_the_reason_of_wide_intervals(golden_report: Report) -> None:
    alike = section(derive(Session(golden_report, spread=0.004).report([1.0, 2.0, 3.0, 4.0])), "Latency in detail")
    assert re.search(r"- m1 on torch .*: the machine's speed changed by x1\.\d\d\n", alike)
    assert "what the other candidates took in its slowest round over its fastest" in alike
    each_its_own = section(derive(Session(golden_report, spread=0.5).report([1.0, 2.0, 3.0, 4.0])), "Latency in detail")
    assert "differ by as much" in each_its_own
    assert "machine's speed" not in each_its_own


def test_processes_that_differ_are_named_as_the_reason_of_a_wide_interval(golden_report: Report) -> None:
    plain = Session(golden_report, spread=0.01).report([1.0, 2.0])
    first, second = plain.measurements
    process_of = tuple(min(round_ // 4, 2) for round_ in second.round_of)
    levels = [1.0, 0.7, 1.1]
    times = tuple(time * levels[p] for time, p in zip(second.end_to_end_s, process_of, strict=True))

    def shown(processes: tuple[int, ...]) -> str:
        apart = second.model_copy(update={"end_to_end_s": times, "process_of": processes})
        return section(derive(plain.model_copy(update={"measurements": (first, apart)})), "Latency in detail")

    assert re.search(
        r"its 3 processes differ, at [\d.]+, [\d.]+, [\d.]+ ms \(--processes asks for more\)", shown(process_of)
    )
    assert "processes differ" not in shown((0,) * len(times))
    assert "differ by as much" in shown((0,) * len(times))
