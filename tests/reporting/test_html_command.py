"""``slrbench report --format html``, through the command line."""

from pathlib import Path

import pytest

from slrbench.cli.app import main
from slrbench.reporting.store import read_report, write_report


def test_html_is_the_page_that_a_benchmark_writes(
    golden_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "again.html"
    assert main(["report", str(golden_folder), "--format", "html", "--output", str(target)]) == 0
    assert str(target) in capsys.readouterr().err
    write_report(tmp_path, read_report(golden_folder))
    assert target.read_bytes() == (tmp_path / "report.html").read_bytes()
