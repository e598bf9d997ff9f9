"""``slrbench report``, through the command line."""

import json
from pathlib import Path

import pytest

from slrbench.cli.app import main
from slrbench.records import REPORT_SCHEMA_VERSION


@pytest.mark.parametrize(
    ("format", "name"), [("markdown", "report.md"), ("csv", "report.csv"), ("json", "report.json")]
)
def test_every_format_is_rendered_again(
    golden_folder: Path, capsys: pytest.CaptureFixture[str], format: str, name: str
) -> None:
    assert main(["report", str(golden_folder), "--format", format]) == 0
    assert capsys.readouterr().out == (golden_folder / name).read_text(encoding="utf-8")


def test_markdown_is_the_default(golden_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(golden_folder / "report.json")]) == 0
    assert capsys.readouterr().out == (golden_folder / "report.md").read_text(encoding="utf-8")


def test_output_goes_to_a_file(golden_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "again.json"
    assert main(["report", str(golden_folder), "--format", "json", "--output", str(target)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert str(target) in captured.err
    assert json.loads(target.read_text(encoding="utf-8"))["schema_version"] == REPORT_SCHEMA_VERSION


def test_a_missing_report_and_an_unknown_format_are_wrong_input(
    golden_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.startswith("error: there is no report at")
    assert main(["report", str(golden_folder), "--format", "pdf"]) == 2
    error = capsys.readouterr().err
    assert "'pdf'" in error
    assert "hint: python -m slrbench report --help" in error


def test_a_folder_as_output_is_wrong_input(
    golden_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(golden_folder), "--output", str(tmp_path)]) == 2
    assert "folder" in capsys.readouterr().err
