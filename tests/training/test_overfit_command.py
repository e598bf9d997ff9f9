"""``slrbench overfit``: exit codes, the lines that people look for, and the picture."""

import json
import re

import pytest

from slrbench.cli.app import main
from slrbench.cli.overfit import _settings, _with_size

TINY = ("--data", "fingerspelling:language=ase,letters=10", "--size", "32", "--width", "0.125", "--lstm-hidden", "16")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        capsys.readouterr()
        code = main(["overfit", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_success_is_said_and_drawn(run, tmp_path):
    code, out, err = run("teacher", *TINY, "--samples", "1", "--lr", "0.01", "--warmup", "5", "--dropout", "0")
    assert code == 0
    success = re.search(r"^SUCCESS! Achieved 0% WER at epoch (\d+)", out, re.MULTILINE)
    assert success
    lines = [line for line in err.splitlines() if line.startswith("Epoch [")]
    assert all(
        re.fullmatch(
            r"Epoch \[\d+/2000\] \| Loss: [\d.]+ \(Best: [\d.]+\) \| WER: [\d.]+% \(Best: [\d.]+% @ \d+\)", line
        )
        for line in lines
    )
    assert lines[-1].endswith(f"WER: 0.00% (Best: 0.00% @ {success[1]})")
    assert (tmp_path / "runs" / "overfit-teacher" / "overfit.png").read_bytes().startswith(b"\x89PNG")
    assert "wrote runs/overfit-teacher/overfit.png" in err
    assert "next: python -m slrbench train teacher" in err


def test_failure_gives_tips_and_exit_code_1(run):
    code, out, err = run("student", *TINY, "--samples", "1", "--lr", "0", "--epochs", "2", "--plot", "p.png")
    assert code == 1
    assert "SUCCESS" not in out
    assert "Debugging tips:" in out
    assert "--lr 0.0001" in out
    assert "error: student: 0% WER was not reached: best WER" in err
    assert "hint: python -m slrbench overfit student --option a" in err
    assert "No WARNING" not in out


def test_compare_runs_both_with_the_same_settings(run, tmp_path):
    code, out, err = run(
        "--compare", *TINY, "--samples", "1", "--epochs", "2", "--plot", "both.png", "--json", "--option", "b"
    )
    assert code == 1
    runs = json.loads(out)["runs"]
    assert list(runs) == ["teacher", "student"]
    assert runs["teacher"]["settings"] == runs["student"]["settings"]
    assert runs["teacher"]["clip_ids"] == runs["student"]["clip_ids"]
    assert runs["teacher"]["settings"]["optimizer"] == "adamw"
    assert len(runs["student"]["history"]) == 2
    assert (tmp_path / "both.png").stat().st_size > 10_000
    assert "teacher: 0% WER was not reached" in err
    assert "; student: 0% WER was not reached" in err


def test_compare_prints_one_table(run):
    code, out, _ = run("--compare", *TINY, "--samples", "1", "--epochs", "1", "--plot", "both.png")
    assert code == 1
    rows = [line.split()[0] for line in out.splitlines()[2:4]]
    assert rows == ["teacher", "student"]
    assert out.startswith("Network")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no network was named"),
        (("techer",), "unknown network 'techer'"),
        (("teacher", "--option", "d"), "unknown option 'd'"),
        (("teacher", "--optimizer", "sgd"), "optimizer = 'sgd' does not fit"),
        (("teacher", "--data", "nothing"), "nothing"),
        (("teacher", "--preset", "huge"), "unknown preset 'huge'"),
        (("teacher", "--epochs", "0"), "--epochs"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, words, run):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_single_options_win_over_an_option():
    settings = _settings("a", learning_rate=0.25, epochs=None)
    assert (settings.learning_rate, settings.warmup_epochs, settings.dropout) == (0.25, 100, 0.05)
    assert _settings(None).learning_rate == 0.001


def test_size_replaces_that_of_the_corpus():
    assert _with_size("fingerspelling:language=ase,size=48,letters=5", 32) == (
        "fingerspelling:language=ase,letters=5,size=32"
    )
    assert _with_size("fingerspelling", 32) == "fingerspelling:size=32"
    assert _with_size("fingerspelling:size=48", None) == "fingerspelling:size=48"
