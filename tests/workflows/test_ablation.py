import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slrbench.cli.app import main
from slrbench.workflows.ablation import AblationRow, finding


def _rows(gains: list[float]) -> list[AblationRow]:
    return [
        AblationRow(seed=i, dev_without=0.5, dev_with=0.5, test_without=0.5, test_with=0.5 - gain)
        for i, gain in enumerate(gains)
    ]


def test_the_finding_says_what_the_interval_says():
    assert finding(_rows([0.10, 0.11, 0.12])).startswith("distillation lowers the WER: mean gain +11.00 points")
    assert finding(_rows([-0.10, -0.11, -0.12])).startswith("distillation raises the WER")
    assert finding(_rows([0.10, -0.11, 0.02])).startswith("no effect is shown: the interval holds zero")


def test_the_interval_is_student_t_over_seeds():
    # Gains 1, 2, 3 points: mean 2, deviation 1, so 2 -+ 4.303 / sqrt(3).
    assert "95 % interval -0.48 to +4.48" in finding(_rows([0.01, 0.02, 0.03]))


def test_one_seed_proves_nothing():
    assert "proves nothing" in finding(_rows([0.2]))


@given(st.lists(st.floats(-0.4, 0.4), min_size=2, max_size=10))
def test_swapping_the_arms_swaps_the_verdict(gains: list[float]):
    opposite = {"lowers": "raises", "raises": "lowers", "effect": "effect"}
    word, other = finding(_rows(gains)).split()[1], finding(_rows([-gain for gain in gains])).split()[1]
    assert opposite[word] == other


def test_the_command_trains_both_arms_and_reports_them(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    smoke = ["--preset", "smoke", "--threads", "1", "--steps", "2", "--no-overfit"]
    assert main(["train", "teacher", *smoke]) == 0
    capsys.readouterr()
    assert main(["distill", "teacher-smoke", *smoke, "--ablate-kd", "2", "--log-dir", "logs"]) == 2
    assert "--log-dir does not go with --ablate-kd" in capsys.readouterr().err
    assert main(["distill", "teacher-smoke", *smoke, "--ablate-kd", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["seed"] for row in document["rows"]] == [0, 1]
    report = json.loads(Path(document["report"]).read_text())
    assert any("with and without" in title for title in report["tables"])
    assert report["decision"] is None
    assert not (tmp_path / "trained_models" / "student-smoke").exists(), "an ablation leaves no checkpoint"


@pytest.mark.parametrize("field", ["dev_with", "test_without"])
def test_rows_show_percent(field: str):
    row = _rows([0.1])[0].as_dict()
    assert row["test gain (points)"] == 10.0
    assert row["dev WER with (%)" if field == "dev_with" else "test WER without (%)"] == 50.0
