"""What is measured beside latency: every figure is in report.md, and where there is none, the reason."""

from typing import Any

import pytest

from slrbench.records import MachinePeak, ParallelRun, Report
from slrbench.reporting.html.page import render_html
from slrbench.reporting.render_markdown import render_markdown
from tests.reporting.enriched import enriched_report
from tests.reporting.made_reports import STUDENT, STUDENT_ONNX, STUDENT_TORCH, make_report

PARALLEL = "Throughput with several requests"


def section(report: Report, title: str) -> str:
    """The text of a section; empty where it is not there."""
    _, _, rest = render_markdown(report).partition(f"## {title}\n")
    return rest.split("\n## ")[0]


def measured(report: Report, *changes: dict[str, Any], **everywhere: Any) -> Report:
    """The report with fields of its measurements changed: of the first ones each, and of all."""
    each = [*changes, *[{} for _ in report.measurements[len(changes) :]]]
    changed = tuple(m.model_copy(update=everywhere | c) for m, c in zip(report.measurements, each, strict=True))
    return report.model_copy(update={"measurements": changed})


def cells(text: str, *first: str) -> list[str]:
    """The cells of the line that begins with these."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return next(row for row in rows if tuple(row[: len(first)]) == first)


def runs(*clips_per_s: tuple[int, float]) -> tuple[ParallelRun, ...]:
    return tuple(ParallelRun(requests=n, calls=100, seconds=100 / speed) for n, speed in clips_per_s)


def widest_table_line(text: str) -> int:
    return max((len(line) for line in text.splitlines() if line.startswith("|")), default=0)


# --- several requests -------------------------------------------------------------------------------------------------


def test_clips_per_second_and_their_ratio_stand_by_requests_in_flight() -> None:
    report = measured(make_report(STUDENT, STUDENT_ONNX), parallel=runs((1, 100.0), (2, 150.0)))
    shown = section(report, PARALLEL)
    assert cells(shown, "Model")[3:] == ["1 req. (clips/s)", "2 req. (clips/s)", "2 req. (ratio)"]
    assert cells(shown, "student", "onnx")[3:] == ["100", "150", "1.50"]
    assert "Not measured" not in shown


def test_clips_are_counted_not_calls() -> None:
    report = make_report(STUDENT)
    four = report.measurements[0].candidate.model_copy(update={"batch": 4})
    shown = section(measured(report, candidate=four, parallel=runs((1, 100.0), (2, 120.0))), PARALLEL)
    assert cells(shown, "student")[3:] == ["400", "480", "1.20"]


def test_why_there_are_no_more_requests_is_said_once_for_all_files_with_that_reason() -> None:
    why = "torch offers one request at a time here"
    report = measured(
        make_report(STUDENT, STUDENT_ONNX, STUDENT_TORCH),
        {"parallel": runs((1, 100.0), (2, 150.0))},
        {"parallel": runs((1, 90.0)), "actual": {"parallel": why}},
        {"parallel": runs((1, 80.0)), "actual": {"parallel": why}},
    )
    shown = section(report, PARALLEL)
    assert f"- student on onnx, student on torch: {why}." in shown
    assert cells(shown, "student", "torch")[3:] == ["80.0", "–", "–"]


@pytest.mark.parametrize(
    ("changes", "candidate", "why"),
    [
        ({"parallel": runs((1, 9.0))}, {"threads": 1}, "one thread has room for one request"),
        ({"parallel": runs((1, 9.0))}, {"device": "cuda"}, "on a GPU one request is in flight here"),
        ({"warnings": ("throughput with several requests was not measured: killed",)}, {}, ": killed."),
        ({}, {}, "no such pass was made"),
    ],
)
def test_a_file_without_more_requests_has_a_reason(
    changes: dict[str, Any], candidate: dict[str, Any], why: str
) -> None:
    report = make_report(STUDENT, STUDENT_ONNX)
    other = report.measurements[1].candidate.model_copy(update=candidate)
    several = {"parallel": runs((1, 100.0), (2, 150.0))}
    assert why in section(measured(report, several, {"candidate": other, **changes}), PARALLEL)


def test_a_reason_alone_is_shown_too() -> None:
    shown = section(measured(make_report(STUDENT), actual={"parallel": "no second session: memory"}), PARALLEL)
    assert "no second session: memory" in shown
    assert "|" not in shown


def test_nothing_is_said_of_passes_that_nobody_asked_for() -> None:
    assert section(make_report(STUDENT), PARALLEL) == ""


def test_many_thread_counts_stand_below_each_other_within_the_screen() -> None:
    report = make_report(STUDENT, STUDENT_ONNX)
    of = [m.candidate.model_copy(update={"threads": t}) for m, t in zip(report.measurements, (4, 16), strict=True)]
    shown = section(
        measured(
            report,
            {"candidate": of[0], "parallel": runs((1, 100.0), (2, 150.0), (4, 180.0))},
            {"candidate": of[1], "parallel": runs((1, 100.0), (2, 150.0), (16, 400.0))},
        ),
        PARALLEL,
    )
    assert cells(shown, "student", "onnx", "1 x 32", "16", "16")[-2:] == ["400", "4.00"]
    assert widest_table_line(shown) <= 100


# --- roofline ---------------------------------------------------------------------------------------------------------

PEAK = MachinePeak(threads=2, flops_per_s=4.6e11, bytes_per_s=2.1e10, how="numpy, matrices; copy of 256 MiB")


def with_cost(report: Report, peak_share: float | None, **candidate: Any) -> Report:
    cost = {"macs": 10**9, "traffic_bytes": 10**8} | candidate
    of = [{"candidate": m.candidate.model_copy(update=cost)} for m in report.measurements]
    rows = [r.model_copy(update={"peak_share": peak_share, "bound_by": "memory"}) for r in report.summary]
    return measured(report, *of).model_copy(update={"summary": tuple(rows), "peaks": (PEAK,)})


def test_peaks_and_every_files_share_of_them_are_shown() -> None:
    shown = section(with_cost(make_report(STUDENT, STUDENT_ONNX), 0.3141), "Roofline")
    assert cells(shown, "cpu") == ["cpu", "2", "fp32", "460", "21.0"]
    assert "- cpu, 2 threads, fp32: numpy, matrices; copy of 256 MiB" in shown
    assert cells(shown, "student", "onnx")[3:] == ["memory", "31.41"]
    assert "overhead below 25 %" in shown
    assert "Not measured" not in shown


@pytest.mark.parametrize(
    ("candidate", "peak", "why"),
    [
        ({"device": "cuda"}, {}, "a GPU's are not measured"),
        ({"macs": None}, {}, "which takes torch"),
        ({"traffic_bytes": None}, {}, "which takes torch"),
        ({"threads": 8}, {}, "no peak was measured at its threads and precision"),
        ({"precision": "int8"}, {}, "no peak was measured at its threads and precision"),
        ({}, {"flops_per_s": None}, "matrix product in fp32 could be timed"),
        ({}, {"bytes_per_s": None}, "the copy could not be timed"),
    ],
)
def test_a_row_without_a_share_has_a_reason(candidate: dict[str, Any], peak: dict[str, Any], why: str) -> None:
    report = with_cost(make_report(STUDENT), None, **candidate)
    shown = section(report.model_copy(update={"peaks": (PEAK.model_copy(update=peak),)}), "Roofline")
    assert why in shown
    assert cells(shown, "student")[-1] == "not measured"


def test_a_run_on_gpus_only_says_that_their_peaks_are_not_measured(gpu_report: Report) -> None:
    only = tuple(row for row in gpu_report.summary if row.device != "cpu")
    shown = section(gpu_report.model_copy(update={"summary": only, "decision": None, "comparisons": ()}), "Roofline")
    assert shown.strip() == "Not measured: the machine's peaks are those of its CPU, a GPU's are not measured."


def test_a_report_without_peaks_has_no_roofline(golden_report: Report) -> None:
    assert section(golden_report, "Roofline") == ""


# --- all --------------------------------------------------------------------------------------------------------------

TITLES = [PARALLEL, "Roofline"]


@pytest.mark.parametrize("title", TITLES)
def test_every_section_fits_the_screen_and_is_on_the_page(title: str) -> None:
    report = enriched_report()
    shown = section(report, title)
    assert shown
    assert widest_table_line(shown) <= 100
    assert f">{title}</h2>" in render_html(report)
