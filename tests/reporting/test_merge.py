"""Reports of several machines as one: indices that hold, a decision for each machine, and what is refused."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slrbench.cli.app import main
from slrbench.errors import BadInputError
from slrbench.records import Report
from slrbench.reporting.doubts import INCOMPLETE, doubts
from slrbench.reporting.merge import by_machine, machine_name, machine_view, merge
from slrbench.reporting.render_merged import render_merged
from slrbench.reporting.store import read_report, report_json, write_report
from tests.reporting.made_reports import (
    FILES,
    MACHINE,
    STUDENT,
    STUDENT_ONNX,
    STUDENT_TORCH,
    TEACHER,
    File,
    make_report,
)

BOX = {"cpu": "Other(R) CPU E5-2690 v4 @ 2.60GHz", "cpu_logical_cores": 8, "created_at": "2026-02-03T04:05:06+00:00"}


def _other(*files: File, **changes: Any) -> Report:
    return make_report(*files, seed=1, title="Benchmark: box", environment={**BOX, **changes})


@pytest.fixture(scope="module")
def merged() -> Report:
    quicker = [replace(file, p50_ms=file.p50_ms / 4) for file in FILES]
    return merge([make_report(*FILES, control_factor=1.01), _other(*quicker)])


def test_rows_carry_their_machine_and_their_measurements(merged: Report) -> None:
    assert [row.machine for row in merged.summary] == ["Example, 4 cores"] * 10 + ["Other E5-2690 v4, 8 cores"] * 10
    for row in merged.summary:
        assert row.measurement is not None
        candidate = merged.measurements[row.measurement].candidate
        assert (candidate.artifact_sha256, candidate.backend) == (row.artifact_sha256, row.backend)


def test_each_machine_has_its_decision_and_none_competes(merged: Report) -> None:
    assert merged.decision is None
    for name, decision in merged.decisions.items():
        indices = {decision.recommended, decision.runner_up, *decision.pareto, *(r.row for r in decision.rejected)}
        assert {merged.summary[i].machine for i in indices if i is not None} == {name}
    assert [d.recommended for d in merged.decisions.values()] == [1, 11]


def test_a_machines_view_is_its_report(merged: Report) -> None:
    alone = make_report(*FILES, control_factor=1.01)
    view = machine_view(merged, "Example, 4 cores")
    assert view.decision == alone.decision
    assert view.comparisons == alone.comparisons
    assert [row.model_copy(update={"machine": ""}) for row in view.summary] == list(alone.summary)


def test_a_benchmark_that_had_not_ended_is_doubted_in_its_machines_part() -> None:
    note = f"{INCOMPLETE}4 of 6 rounds, no WER yet"
    merged = merge([make_report(*FILES), _other(*FILES).model_copy(update={"notes": (note,)})])
    here, box = (doubts(machine_view(merged, name)) for name in merged.machines)
    assert "Incomplete: 4 of 6 rounds, no WER yet" in box
    assert not any("ncomplete" in doubt for doubt in here)


def test_a_table_says_what_each_machine_is(merged: Report) -> None:
    first, second = merged.tables["Machines"]
    assert (first["Machine"], first["Cores"], second["Cores"]) == ("Example, 4 cores", 4, 8)
    assert first["A/A"] == "1.010 .. 1.010"
    assert second["A/A"] is None
    assert set(merged.machines) == {"Example, 4 cores", "Other E5-2690 v4, 8 cores"}


def test_markdown_opens_with_the_decision_of_each_machine(merged: Report) -> None:
    text = render_merged(merged)
    head = text.split("##")[0]
    assert "- **Example, 4 cores**: Ship teacher on openvino" in head
    assert "- **Other E5-2690 v4, 8 cores**: " in head
    assert "| Model | Backend | B x T | Example, 4 cores | Other E5-2690 v4, 8 cores |" in " ".join(text.split())
    assert "## Machines" in text
    assert "If a limit changes:" in text


def test_many_machines_get_a_line_each() -> None:
    reports = [make_report(STUDENT, environment={"cpu_logical_cores": cores}) for cores in (1, 2, 4, 8)]
    assert "| Machine" in render_merged(merge(reports)).split("## Every file on every machine")[1].split("##")[0]


def test_unlike_machines_of_one_name_are_told_apart() -> None:
    other = make_report(STUDENT, environment={"cpu_physical_cores": 4})
    assert [m.name for m in by_machine([make_report(STUDENT), other])] == ["Example, 4 cores", "Example, 4 cores #2"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"gpus": ("NVIDIA H100, 80 GiB, driver 580",)}, "NVIDIA H100"),
        ({"gpus": ("NVIDIA H100, 80 GiB, driver 580",) * 2}, "2 x NVIDIA H100"),
        ({"cpu": "AMD EPYC 7B13 64-Core Processor (avx2)", "cpu_logical_cores": 1}, "AMD EPYC 7B13 64-Core, 1 core"),
        ({"cpu": ""}, "CPU, 4 cores"),
    ],
)
def test_a_machine_is_named_by_its_gpu_or_its_cpu(changes: dict[str, Any], name: str) -> None:
    assert machine_name(MACHINE.model_copy(update=changes)) == name


def test_reports_of_one_machine_are_put_together_and_say_so() -> None:
    later = make_report(STUDENT_ONNX, STUDENT_TORCH, environment={"created_at": "2026-03-03T00:00:00+00:00"})
    (machine,) = by_machine([make_report(TEACHER, STUDENT), later])
    assert len(machine.report.summary) == 8
    assert machine.places == tuple(range(8))
    assert any("separate sessions" in note for note in machine.report.notes)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_nonsense_is_refused(merged: Report) -> None:
    one = make_report(STUDENT)
    for reports, words in (
        ([one, merged], "is merged from several reports already"),
        ([one, make_report()], "has no rows"),
        ([one, one], "is given twice"),
        ([one, make_report(STUDENT, seed=2, environment={"created_at": "later"})], "measured the same: student on"),
        (
            [one, make_report(TEACHER, environment={"versions": {"openvino": "1"}})],
            "of different versions: torch 2.14.1",
        ),
        (
            [make_report(STUDENT_TORCH), _other(replace(STUDENT_TORCH, content="retrained"))],
            "'student' is another network",
        ),
    ):
        with pytest.raises(BadInputError, match=words):
            merge(reports)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_merges_and_the_merged_report_is_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_report(tmp_path / "a", make_report(STUDENT, STUDENT_ONNX))
    write_report(tmp_path / "b", _other(STUDENT, STUDENT_ONNX))
    both = [str(tmp_path / "a" / "report.json"), str(tmp_path / "b")]
    target = tmp_path / "both.json"
    assert main(["report", *both, "--format", "json", "--output", str(target)]) == 0
    again = read_report(target)
    assert report_json(again) == target.read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["report", *both]) == 0
    markdown = capsys.readouterr().out
    assert main(["report", str(target)]) == 0
    assert capsys.readouterr().out == markdown
    assert main(["report", *both, "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {line["machine"] for line in lines} == {"Example, 4 cores", "Other E5-2690 v4, 8 cores"}
    assert main(["decide", str(target)]) == 2
    assert "is merged from several reports already" in capsys.readouterr().err
    assert main(["report", both[0], both[0]]) == 2


def test_json_keys_of_decisions_are_machines(merged: Report) -> None:
    document = json.loads(report_json(merged))
    assert list(document["decisions"]) == list(document["machines"])
