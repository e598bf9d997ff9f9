"""The published JSON Schema of report.json: it is the generated one, and holds for reports of every version."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from slrbench.cli.app import main
from slrbench.records import Report
from slrbench.reporting import schema
from slrbench.reporting.store import read_report, report_json

PUBLISHED = Path(schema.__file__).with_name(schema.SCHEMA_NAME)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    document = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


def test_the_published_schema_is_the_generated_one(check_golden: Callable[[str, Path], None]) -> None:
    check_golden(schema.schema_text(), PUBLISHED)


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--schema"]) == 0
    assert capsys.readouterr().out == PUBLISHED.read_text(encoding="utf-8")


def test_a_report_of_today_is_valid(validator: Draft202012Validator, rich_report: Report) -> None:
    validator.validate(json.loads(report_json(rich_report)))


def test_committed_reports_and_those_of_older_versions_are_valid(
    validator: Draft202012Validator, repository: Path, golden_folder: Path
) -> None:
    files = [*repository.glob("reports/*/report.json"), *golden_folder.rglob("report*.json")]
    versions = set()
    for file in files:
        document = json.loads(file.read_text(encoding="utf-8"))
        versions.add(document["schema_version"])
        validator.validate(document)
        validator.validate(json.loads(report_json(read_report(file))))  # and as this version writes it again
    assert versions >= {1, 2}


def test_version_2_is_read_as_one_of_today(golden_folder: Path) -> None:
    old = read_report(golden_folder / "report-v2.json")
    assert (old.noise_floor, old.control, old.comparisons, old.scaling, old.load) == (None, None, (), (), ())
    assert {row.p50_interval for row in old.summary} == {None}


def _without_title(document: dict[str, Any]) -> None:
    del document["title"]


def _unknown_figure(document: dict[str, Any]) -> None:
    document["summary"][0]["p42_s"] = 1.0


def _words_for_a_time(document: dict[str, Any]) -> None:
    document["measurements"][0]["compute_s"][0] = "fast"


def _of_tomorrow(document: dict[str, Any]) -> None:
    document["schema_version"] += 1


@pytest.mark.parametrize("spoil", [_without_title, _unknown_figure, _words_for_a_time, _of_tomorrow])
def test_a_broken_report_is_not_valid(
    validator: Draft202012Validator, rich_report: Report, spoil: Callable[[dict[str, Any]], None]
) -> None:
    document = json.loads(report_json(rich_report))
    spoil(document)
    assert not validator.is_valid(document)
