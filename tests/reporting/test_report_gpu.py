"""What reports say of GPUs: goldens, columns that come and go, engines without a verdict, and the GPU's state."""

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from slrbench.records import Report, Skipped
from slrbench.reporting.decision import decide
from slrbench.reporting.doubts import doubts
from slrbench.reporting.gpu_tables import NOT_ON_A_GPU, gpu_lines
from slrbench.reporting.render_csv import render_csv
from slrbench.reporting.render_markdown import render_decision, render_markdown
from slrbench.reporting.statistics import summarise
from slrbench.reporting.store import report_json
from slrbench.reporting.tables import lines_of

Check = Callable[[str, Path], None]


def test_markdown_csv_and_json_are_the_golden_ones(
    gpu_report: Report, golden_folder: Path, check_golden: Check
) -> None:
    check_golden(render_markdown(gpu_report), golden_folder / "gpu" / "report.md")
    check_golden(render_csv(gpu_report), golden_folder / "gpu" / "report.csv")
    check_golden(report_json(gpu_report), golden_folder / "gpu" / "report.json")


def test_summary_and_decision_follow_from_the_measurements(gpu_report: Report) -> None:
    assert summarise(gpu_report.measurements, gpu_report.accuracies) == gpu_report.summary
    assert decide(gpu_report.summary) == gpu_report.decision


def section(report: Report, title: str) -> str:
    return render_markdown(report).partition(f"## {title}\n")[2].split("\n## ")[0]


def test_a_report_without_a_row_of_a_gpu_says_so(golden_report: Report, gpu_report: Report) -> None:
    empty = Report(title="Empty", created_at="2026-01-02", environment=golden_report.environment)
    for report in (golden_report, empty):
        assert render_markdown(report).count("not yet run on a GPU") == 1
        assert NOT_ON_A_GPU in section(report, "Environment")
        assert "not yet run on a GPU" not in render_decision(report)
        assert "## On the GPU" not in render_markdown(report)
    assert NOT_ON_A_GPU not in render_markdown(gpu_report)


def without(report: Report, **fields: Any) -> Report:
    """The report with fields of every measurement emptied."""
    measurements = tuple(m.model_copy(update=fields) for m in report.measurements)
    return report.model_copy(
        update={"measurements": measurements, "summary": summarise(measurements, report.accuracies)}
    )


def test_device_time_has_a_column_only_where_any_row_has_it(gpu_report: Report) -> None:
    shown = section(gpu_report, "On the GPU")
    assert "| Device time (ms) |" in shown
    assert "not comparable with any time of the host's clock" in shown
    hidden = section(without(gpu_report, device_s=()), "On the GPU")
    assert "Device time" not in hidden
    assert "| Process |" in hidden
    assert "MB" not in section(without(gpu_report, device_memory_bytes={}), "On the GPU")
    assert "engine 2.70, context 31.0, buffers 12.0" in shown


def test_the_main_table_fits_a_terminal_and_names_what_differs(gpu_report: Report) -> None:
    table = [line for line in render_decision(gpu_report).split("\n\n")[0].splitlines() if line.startswith("|")]
    assert max(map(len, table)) <= 100
    assert "Prec." in table[0]
    assert "Device" in table[0]
    assert "All rows: B x T 1 x 32." in section(gpu_report, "Results")
    only = gpu_report.model_copy(update={"summary": gpu_report.summary[-2:], "decision": None})
    assert "All rows: int8, cuda, B x T 1 x 32." in section(only, "Results")


def test_variants_of_a_file_stay_apart(gpu_report: Report) -> None:
    row = next(row for row in gpu_report.summary if row.backend == "trt")
    assert len(lines_of([row, row.model_copy(update={"variant": "cuda-graph"})])) == 2
    assert "| trt (cuda-graph) " in section(gpu_report, "Results")


def test_verdicts_name_their_gates_their_machine_and_what_int8_reads(gpu_report: Report) -> None:
    parity = section(gpu_report, "Parity")
    lines = {line.split("|")[2].strip(): line for line in parity.splitlines() if line.startswith("| student-demo")}
    assert "| fp16  | Example GPU |" in lines["trt fp16 trt.sm86"]
    assert "| fp32  | CPU " in lines["onnx"]
    assert lines["trt int8 trt.sm86"].endswith("|         – |       – |        +1.32 |")
    assert "relative one of 1e-4 or 1e-2." in parity
    assert "points above the reference on 100 clips of `dev`, 1 allowed" in parity


def test_a_report_of_plain_verdicts_has_no_column_for_gates_and_machines(golden_report: Report) -> None:
    parity = section(golden_report, "Parity")
    assert [word in parity for word in ("Gates", "| On ", "WER")] == [False] * 3


def test_an_engine_that_was_not_run_is_listed_with_its_graphs_verdict_named_as_the_graphs(gpu_report: Report) -> None:
    parity = section(gpu_report, "Parity")
    (line,) = (line for line in parity.splitlines() if "| fp16 " in line and "rtx.sm86-sm89" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["student-demo", "fp16", "rtx.sm86-sm89", "not run: needs an RTX GPU", "passed", "2.2e-02"]
    assert "Its graph's parity" in parity
    assert "says nothing of the engine" in parity
    alone = gpu_report.model_copy(update={"verdicts": {}})
    assert "rtx.sm86-sm89" in section(alone, "Parity")


def test_the_same_reason_for_several_models_is_one_line(gpu_report: Report) -> None:
    (line,) = (line for line in section(gpu_report, "Not measured").splitlines() if "openvino" in line)
    assert line.startswith("| student-demo, teacher-demo ")
    other = Skipped(model="x", backend="openvino", precision="fp32", device="cuda", reason="another")
    more = gpu_report.model_copy(update={"skipped": (*gpu_report.skipped, other)})
    assert len([line for line in section(more, "Not measured").splitlines() if "openvino" in line]) == 2


# --- the GPU's state --------------------------------------------------------------------------------------------------


def with_state(report: Report, *states: dict[str, Any]) -> Report:
    pairs = zip_longest(report.measurements, states, fillvalue={})
    return report.model_copy(update={"measurements": tuple(m.model_copy(update={"gpu": gpu}) for m, gpu in pairs)})


def test_the_state_is_a_range_over_rounds_before_and_after(gpu_report: Report) -> None:
    (line,) = gpu_lines(gpu_report)
    assert line.startswith("cuda while measured: Example GPU, compute capability 8.6, driver 580.1, ")
    assert "sm clock 1410 to 1560 MHz before and 1905 MHz after" in line
    assert "power 28 to 33 W before and 121 to 126 W after" in line
    assert f"- {line}" in section(gpu_report, "Environment")


def test_a_figure_that_is_not_known_is_left_out(gpu_report: Report) -> None:
    (line,) = gpu_lines(with_state(gpu_report, {"name": "X", "power_w": None, "ecc": True}))
    assert line == "cpu while measured: X, ecc yes"


@pytest.mark.parametrize(
    ("state", "doubt"),
    [
        (
            {"summary": {"slowed_by": ["power limit", "sync boost"]}},
            "held back while it was measured: power limit, sync",
        ),
        ({"summary": {"foreign_processes": 2}}, "Other processes used the GPU"),
        ({"summary": {"slowed_by": [], "foreign_processes": 0}}, None),
        ({"summary": {"slowed_by": None, "foreign_processes": None}}, None),
        ({"unavailable": "NVML does not start"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_clocks_held_back_and_others_on_the_gpu_speak_against_the_figures(
    gpu_report: Report, state: dict[str, Any], doubt: str | None
) -> None:
    found = [text for text in doubts(with_state(gpu_report, state)) if "GPU" in text]
    if doubt is None:
        assert found == []
    else:
        assert len(found) == 1
        assert doubt in found[0]
