"""A whole benchmark that is killed with its processes and goes on: a real network, real workers, a real kill -9."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from slrbench.cli.app import main
from slrbench.errors import ExitCode
from slrbench.measure.journal import JOURNAL_NAME
from slrbench.measure.process import Worker
from slrbench.reporting.store import read_report
from slrbench.workflows.bench_journal import begun_in

NETWORK = "student:width_mult=0.35,conv_channels=8,lstm_hidden=8,lstm_layers=1,num_classes=5,size=32"
ASKED = ["--untrained", NETWORK, "--backend", "onnx", "--quick", "--threads", "1", "--frames", "8"]

KILLED = """
import json, os, signal, sys
from slrbench.cli.app import main
from slrbench.measure.process import Worker

real, asked = Worker.ask, []

def ask(self, op, *, limit_s, **arguments):
    if op == "round":
        asked.append(self.pid)
        if len(asked) == int(sys.argv[1]):  # the worker has its command, and the benchmark dies while it is timed
            self._process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\\n")
            self._process.stdin.flush()
            os.killpg(0, signal.SIGKILL)
    return real(self, op, limit_s=limit_s, **arguments)

Worker.ask = ask
sys.exit(main(sys.argv[2:]))
"""


def entries(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / JOURNAL_NAME).read_text().splitlines()[1:]]
    return [line for line in lines if line["of"][0] == kind]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a benchmark that was killed in its fourth visit of six."""
    folder = tmp_path_factory.mktemp("killed") / "report"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "4", "bench", *ASKED, "--cache", "clips", "-o", str(folder)],
        cwd=folder.parent,
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return folder


def run(*arguments: str | Path) -> int:
    return main(["bench", *map(str, arguments)])


def copy_of(killed: Path, folder: Path) -> Path:
    folder.mkdir()
    (folder / JOURNAL_NAME).write_bytes((killed / JOURNAL_NAME).read_bytes())
    return folder


def test_after_kill_9_nothing_measured_is_lost_or_measured_twice(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_of(killed, tmp_path / "report")
    before = entries(folder, "visit")
    assert len(before) == 3
    asked: list[int] = []
    real = Worker.ask

    def ask(self: Worker, op: str, **arguments: Any) -> dict[str, Any]:
        asked.extend([self.pid] if op == "round" else [])
        return real(self, op, **arguments)

    monkeypatch.setattr(Worker, "ask", ask)
    assert run("--resume", folder) == ExitCode.OK
    assert len(asked) == 6 - 3
    report = read_report(folder)
    assert report.control is not None
    assert report.baseline == 0
    found = [*report.measurements, report.control]
    assert [m.candidate.backend for m in found] == ["onnx", "onnx"]
    for m in found:
        rounds = Counter(m.round_of)
        assert sorted(rounds) == [0, 1, 2]
        assert all(samples >= 22 for samples in rounds.values())
    for line in before:
        _, index, _, round_ = line["of"]
        kept = [t for t, r in zip(found[index].end_to_end_s, found[index].round_of, strict=True) if r == round_]
        assert kept == line["value"]["answer"]["end_to_end_s"]
    starts = entries(killed, "start")
    for line in starts:
        _, index, _, process = line["of"]
        assert found[index].cold_starts[process] == line["value"]["opened"]["cold_start_parts_s"]
    assert all(sorted(order) == [0, 1] for order in report.measuring["order"])
    assert len(report.measuring["candidates"]) == 2
    assert any("this benchmark was interrupted" in note for note in report.notes)
    assert NETWORK in report.command
    assert sorted(path.name for path in folder.iterdir()) == ["report.csv", "report.html", "report.json", "report.md"]
    capsys.readouterr()
    assert run("--resume", folder) == ExitCode.BAD_INPUT
    assert "its benchmark is complete" in capsys.readouterr().err


def test_the_cache_of_clips_is_no_condition_of_measuring(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(killed, tmp_path / "report")
    rounds: list[int] = []
    real = Worker.ask

    def ask(self: Worker, op: str, **arguments: Any) -> dict[str, Any]:
        rounds.extend([self.pid] if op == "round" else [])
        return real(self, op, **arguments)

    monkeypatch.setattr(Worker, "ask", ask)
    assert begun_in(folder).options.cache == killed.parent / "clips", "wherever it is resumed from"
    assert run(*ASKED, "--cache", tmp_path / "clips", "--resume", folder) == ExitCode.OK
    assert len(rounds) == 3, "three of six visits were measured before"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--rounds", "4"], "settings.rounds is 4, in the journal 3"),
        (["--seed", "1"], "settings.seed is 1, in the journal 0"),
        (["--wer-clips", "7"], "wer_clips is 7, in the journal 100"),
        (["-o", "elsewhere"], "--output elsewhere is not the folder of --resume"),
    ],
)
def test_other_options_than_the_journals_are_refused(
    killed: Path, capsys: pytest.CaptureFixture[str], changes: list[str], words: str
) -> None:
    before = (killed / JOURNAL_NAME).read_bytes()
    assert run(*ASKED, *changes, "--resume", killed) == ExitCode.BAD_INPUT
    assert words in capsys.readouterr().err
    assert (killed / JOURNAL_NAME).read_bytes() == before


def test_other_versions_or_files_are_refused(killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for section, value in (("versions", {"onnxruntime": "0.1"}), ("files", {"x": "0" * 64})):
        folder = copy_of(killed, tmp_path / section)
        first, rest = (folder / JOURNAL_NAME).read_text().split("\n", 1)
        header = json.loads(first)
        header["compared"][section] |= value
        (folder / JOURNAL_NAME).write_text(json.dumps(header) + "\n" + rest)
        assert run("--resume", folder) == ExitCode.BAD_INPUT
        error = capsys.readouterr().err
        assert "was begun under other conditions" in error
        assert f"{section}.{next(iter(value))} is" in error


def test_a_new_benchmark_does_not_overwrite_an_interrupted_one(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (killed / JOURNAL_NAME).read_bytes()
    assert run(*ASKED, "-o", killed) == ExitCode.BAD_INPUT
    assert f"bench --resume {killed}" in capsys.readouterr().err
    assert (killed / JOURNAL_NAME).read_bytes() == before


def test_a_folder_without_a_journal_cannot_be_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--resume", tmp_path) == ExitCode.BAD_INPUT
    assert "nothing was measured there" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cache", __file__], "is a file"),
        (["--budget", "5"], "--budget '5' is not a time above zero with its unit"),
        (["--budget", "0m"], "--budget '0m' is not a time above zero"),
        (["--budget", "5m", "--rounds", "3"], "--rounds 3 is too few for --budget, expected at least 6"),
        (["--processes", "4", "--rounds", "2"], "--processes 4 is more than the 2 rounds"),
        (["--baseline", "tensorflow"], "tensorflow"),
        (["--baseline", "torch", "--backend", "onnx"], "--baseline 'torch' is not among the backends"),
        (["--untrained", NETWORK, "--backend", "onnx", "--baseline", "x:onnx"], "is none of the candidates"),
    ],
)
def test_options_that_cannot_be_are_refused_with_words(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "-o", tmp_path / "report") == ExitCode.BAD_INPUT
    assert words in capsys.readouterr().err
    assert not (tmp_path / "report").exists()
