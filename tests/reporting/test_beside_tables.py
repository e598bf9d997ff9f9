"""What is measured beside latency: every figure is in report.md, and where there is none, the reason."""

from typing import Any

import pytest

from slrbench.measure.output_check import NETWORK, SELF
from slrbench.records import Energy, MachinePeak, OutputCheck, ParallelRun, Report
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


# --- energy -----------------------------------------------------------------------------------------------------------

RAPL = Energy(source="RAPL package", joules=12.0, calls=100, seconds=1.0)


def test_the_source_of_energy_says_what_it_counts_once() -> None:
    shown = section(measured(make_report(STUDENT, STUDENT_ONNX), energy=RAPL), "Energy").strip()
    assert shown.startswith("RAPL package: the processor packages")
    assert "idle and for other programs is included" in shown
    assert shown.count("RAPL package") == 1


def test_why_there_is_no_energy_is_said_once() -> None:
    none = Energy(unavailable="not available here: no RAPL")
    shown = section(measured(make_report(STUDENT, STUDENT_ONNX), energy=none), "Energy")
    assert shown.strip() == "Not available here: no RAPL."


def test_sources_that_differ_stand_with_their_files() -> None:
    nvml = Energy(source="NVML", joules=3.0, calls=10, seconds=1.0)
    shown = section(measured(make_report(STUDENT, STUDENT_ONNX), {"energy": RAPL}, {"energy": nvml}), "Energy")
    assert "- student on openvino: RAPL package" in shown
    assert "- student on onnx: NVML: the GPU's own counter" in shown


def test_energy_that_nobody_asked_for_has_no_section() -> None:
    assert section(make_report(STUDENT), "Energy") == ""


# --- outputs of timed calls -------------------------------------------------------------------------------------------

OUTPUTS = "Outputs of timed calls"


def checked(compared_with: str = f"{SELF}, and these with {NETWORK}", **changes: Any) -> OutputCheck:
    values: dict[str, Any] = {
        "compared_with": compared_with, "calls": 24, "max_abs_error": 3.21e-6, "decoded_alike": True, "passed": True,
        "repeated_ratio": 0.987,
    }  # fmt: skip
    return OutputCheck.model_validate(values | changes)


def test_what_was_compared_and_found_is_shown() -> None:
    shown = section(measured(make_report(STUDENT, STUDENT_ONNX), output_check=checked()), OUTPUTS)
    assert cells(shown, "student", "onnx")[3:] == ["yes", "24", "3.2e-06", "0.99"]
    assert "All that were compared passed." in shown
    assert f"- All: compared with {SELF}, and these with {NETWORK}." in shown
    assert "not compared with" not in shown


def test_outputs_that_differ_and_a_cache_are_seen() -> None:
    bad = checked(decoded_alike=False, passed=False, repeated_ratio=0.1, caches=True, max_abs_error=2.0)
    shown = section(measured(make_report(STUDENT), output_check=bad), OUTPUTS)
    assert cells(shown, "student")[3:] == ["NO", "NO", "24", "2.0e+00", "0.10 (caches)"]
    assert "passed." not in shown


def test_without_the_network_in_the_run_the_report_says_so() -> None:
    shown = section(measured(make_report(STUDENT, STUDENT_ONNX), output_check=checked(SELF)), OUTPUTS)
    assert (
        "All: not compared with the fp32 network: no row of torch in fp32 on the CPU at the same shape in this run."
        in shown
    )


def test_a_torch_row_of_another_shape_is_not_the_network_of_this_one() -> None:
    report = make_report(STUDENT_ONNX, STUDENT_TORCH)
    longer = report.measurements[1].candidate.model_copy(update={"frames": 64})
    shown = section(
        measured(report, {"output_check": checked(SELF)}, {"output_check": checked(SELF), "candidate": longer}), OUTPUTS
    )
    assert "- student on onnx: not compared with the fp32 network: no row of torch in fp32 on the CPU" in shown
    assert "- student on torch: it is the fp32 network itself." in shown


def test_a_torch_row_of_the_same_shape_is_not_denied() -> None:
    shown = section(measured(make_report(STUDENT_ONNX, STUDENT_TORCH), output_check=checked(SELF)), OUTPUTS)
    assert "no row of torch" not in shown
    assert "- student on onnx: not compared with the fp32 network: its outputs were not known" in shown


def test_a_file_at_one_of_its_shapes_is_named_with_it() -> None:
    report = make_report(STUDENT_ONNX, STUDENT_ONNX)
    longer = report.measurements[1].candidate.model_copy(update={"frames": 64})
    shown = section(measured(report, {"output_check": checked()}, {"candidate": longer}), OUTPUTS)
    assert "- student on onnx (1 x 64): no output of a timed call was compared." in shown


def test_a_report_without_compared_outputs_has_no_section() -> None:
    assert section(make_report(STUDENT), OUTPUTS) == ""


# --- cold start -------------------------------------------------------------------------------------------------------


def test_cold_starts_are_a_range_over_processes_with_their_parts() -> None:
    shown = section(make_report(STUDENT, STUDENT_ONNX), "Cold start")
    assert cells(shown, "Model")[3:] == ["Processes", "Cold start (s)"]
    assert cells(shown, "student", "onnx")[3:] == ["2", "0.400 to 0.420"]
    _, parts = (table for table in shown.split("\n\n") if table.strip().startswith("|"))
    assert cells(parts, "Model")[3:] == ["Import (s)", "Load (s)", "First call (s)"]
    assert cells(parts, "student", "onnx")[3:] == ["0.200 to 0.210", "0.120 to 0.126", "0.080 to 0.084"]
    assert "file in the page cache" in shown


def test_starts_with_long_names_stay_within_the_screen() -> None:
    report = make_report(STUDENT)
    long = report.measurements[0].candidate.model_copy(update={"model": "a-student-with-a-name-of-forty-characters"})
    shown = section(measured(report, candidate=long), "Cold start")
    assert cells(shown, long.model)[3:] == ["2", "0.400 to 0.420"]
    assert widest_table_line(shown) <= 100


def test_a_report_without_fresh_processes_has_no_section() -> None:
    assert section(measured(make_report(STUDENT), cold_starts=()), "Cold start") == ""


# --- all --------------------------------------------------------------------------------------------------------------

TITLES = [PARALLEL, "Roofline", "Energy", OUTPUTS, "Cold start"]


@pytest.mark.parametrize("title", TITLES)
def test_every_section_fits_the_screen_and_is_on_the_page(title: str) -> None:
    report = enriched_report()
    shown = section(report, title)
    assert shown
    assert widest_table_line(shown) <= 100
    assert f">{title}</h2>" in render_html(report)


@pytest.mark.parametrize("title", TITLES)
def test_long_names_stay_within_the_screen(title: str) -> None:
    report = with_cost(make_report(STUDENT, STUDENT_ONNX), 0.3)
    long = report.measurements[0].candidate.model_copy(
        update={"model": "untrained student:width=0.5,size=64", "backend": "torch", "variant": "compile-max-autotune"}
    )
    passes = runs((1, 100.0), (2, 150.0), (8, 400.0))
    shown = section(measured(report, {"candidate": long}, parallel=passes, energy=RAPL, output_check=checked()), title)
    assert "untrained student" in shown or title == "Energy"
    assert widest_table_line(shown) <= 100
