"""Reports on disk: the round trip, what is refused, and that a failed write leaves what was there."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slrbench.cli.app import main
from slrbench.errors import BadInputError
from slrbench.records import REPORT_SCHEMA_VERSION, Report
from slrbench.reporting.merge import merge
from slrbench.reporting.store import read_report, report_json, write_report
from tests.reporting.made_reports import STUDENT, make_report


def test_what_is_written_is_read_back(golden_report: Report, tmp_path: Path) -> None:
    path = write_report(tmp_path / "new" / "folder", golden_report)
    assert path == tmp_path / "new" / "folder" / "report.json"
    assert read_report(path) == golden_report
    assert read_report(path.parent) == golden_report
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "report.csv",
        "report.html",
        "report.json",
        "report.md",
    ]


def test_a_report_of_version_1_is_read_as_one_of_today(golden_folder: Path, golden_report: Report) -> None:
    document = json.loads((golden_folder / "report-v1.json").read_text(encoding="utf-8"))
    assert document["schema_version"] == 1
    assert "variant" not in document["measurements"][0]["candidate"]
    old = read_report(golden_folder / "report-v1.json")
    assert old.schema_version == REPORT_SCHEMA_VERSION
    assert {m.candidate.variant for m in old.measurements} == {""}
    assert {(a.precision, a.variant, a.device) for a in old.accuracies} == {("fp32", "", "cpu")}
    second = read_report(golden_folder / "report-v2.json")
    decided = {"decision": second.decision}  # version 2 names the device, on which every row was then
    assert old.model_copy(update=decided) == second


def test_a_report_of_version_2_is_read_as_one_of_today(golden_folder: Path) -> None:
    document = json.loads((golden_folder / "report-v2.json").read_text(encoding="utf-8"))
    assert document["schema_version"] == 2
    assert "control" not in document
    old = read_report(golden_folder / "report-v2.json")
    assert old.schema_version == REPORT_SCHEMA_VERSION
    assert (old.baseline, old.control, old.noise_floor, old.comparisons) == (None, None, None, ())
    assert {row.p50_interval for row in old.summary} == {None}


@given(samples=st.lists(st.floats(min_value=0.0, max_value=1e6), max_size=20), title=st.text())
def test_every_sample_and_title_survives(golden_report: Report, samples: list[float], title: str) -> None:
    measurement = golden_report.measurements[0].model_copy(update={"compute_s": tuple(samples)})
    report = golden_report.model_copy(update={"measurements": (measurement,), "title": title})
    assert Report.model_validate(json.loads(report_json(report))) == report


def test_samples_stand_on_one_line(golden_report: Report) -> None:
    lines = report_json(golden_report).splitlines()
    assert any('"end_to_end_s": [0.0413634, ' in line and line.endswith("],") for line in lines)


def test_a_figure_that_json_cannot_say_is_refused_before_anything_is_written(
    golden_report: Report, tmp_path: Path
) -> None:
    measurement = golden_report.measurements[0].model_copy(update={"cold_start_s": math.nan})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(tmp_path, golden_report.model_copy(update={"measurements": (measurement,)}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "has no schema_version"),
        ('{"schema_version": "one"}', "has no schema_version"),
        (f'{{"schema_version": {REPORT_SCHEMA_VERSION + 1}}}', f"this slrbench reads up to {REPORT_SCHEMA_VERSION}"),
        (f'{{"schema_version": {REPORT_SCHEMA_VERSION}}}', r"is not a report: title: Field required"),
    ],
)
def test_a_broken_report_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError, match=words) as caught:
        read_report(path)
    assert caught.value.hint
    assert str(path) in caught.value.message


def test_a_report_with_an_unknown_field_is_refused(golden_report: Report, tmp_path: Path) -> None:
    document = json.loads(report_json(golden_report))
    document["summary"][0]["p42_s"] = 1.0
    (tmp_path / "report.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BadInputError, match=r"summary\.0\.p42_s"):
        read_report(tmp_path)


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInputError, match="is not JSON"):
        read_report(tmp_path)


def test_a_missing_report_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "report.json"):
        with pytest.raises(BadInputError, match="there is no report at"):
            read_report(path)


def _at(document: Any, path: str, value: Any) -> None:
    *folders, name = path.split(".")
    for folder in folders:
        document = document[int(folder)] if isinstance(document, list) else document[folder]
    document[name] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("summary.0.measurement", 999),
        ("summary.0.measurement", -1),
        ("baseline", 999),
        ("comparisons.0.row", 999),
        ("comparisons.0.baseline", 999),
        ("scaling.0.row", 999),
        ("decision.recommended", 999),
        ("decision.runner_up", 999),
        ("decision.pareto", [999]),
        ("decision.front_share", {"999": 1.0}),
        ("decision.rejected", [{"row": 999, "reason": "none"}]),
        ("decision.sensitivity", [{"limit": "max_p50_ms", "value": 1.0, "direction": "above", "row": 999}]),
        ("measurements.0.marks", {"steal": [99999]}),
        ("summary", []),
    ],
)
@pytest.mark.parametrize("command", ["report", "decide", "compare"])
def test_an_index_that_points_at_nothing_and_a_report_without_rows_are_wrong_input(
    rich_report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, path: str, value: Any
) -> None:
    document = json.loads(report_json(rich_report))
    (tmp_path / "whole.json").write_text(json.dumps(document), encoding="utf-8")
    _at(document, path, value)
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(document), encoding="utf-8")
    assert main([command, str(broken), *([str(tmp_path / "whole.json")] if command == "compare" else [])]) == 2
    error = capsys.readouterr().err
    words = "has no rows" if path == "summary" else f"is not a report: {path}"
    assert words in error
    assert "hint: write it again with python -m slrbench bench" in error


def test_a_merged_report_without_the_decision_of_a_machine_is_wrong_input(tmp_path: Path) -> None:
    merged = merge([make_report(STUDENT), make_report(STUDENT, environment={"cpu": "Other CPU"})])
    document = json.loads(report_json(merged))
    document["decisions"].popitem()
    (tmp_path / "report.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BadInputError, match="is not among both machines and decisions"):
        read_report(tmp_path)
