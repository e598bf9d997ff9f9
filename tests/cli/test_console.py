"""What goes to which stream, in which characters; progress with and without a terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slrbench.cli import console
from slrbench.records import CheckResult


def test_results_go_to_stdout_and_the_rest_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console.result("result")
    console.info("info")
    console.warning("careful")
    console.error("wrong", "do this")
    console.wrote([Path("a.json")], next_command="slrbench list models")
    captured = capsys.readouterr()
    assert captured.out == "result\n"
    assert captured.err == (
        "info\nwarning: careful\nerror: wrong\n  hint: do this\nwrote a.json\nnext: slrbench list models\n"
    )


def test_json_takes_records_paths_sets_and_numpy(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    check = CheckResult(name="shape", passed=True, figure="7")
    console.print_json({"check": check, "path": Path("a"), "set": {2, 1}, "scalar": np.float32(0.5), "word": "ß"})
    assert json.loads(capsys.readouterr().out) == {
        "check": {"name": "shape", "passed": True, "figure": "7", "hint": None},
        "path": "a",
        "set": [1, 2],
        "scalar": 0.5,
        "word": "ß",
    }
    with pytest.raises(ValueError, match="not JSON compliant"):
        console.print_json({"wer": float("nan")})
    with pytest.raises(TypeError, match="no JSON form"):
        console.print_json({"thing": object()})


def test_a_table_keeps_the_digits_it_is_given_and_aligns_figures() -> None:
    lines = console.table([["a", "2.50", None], ["bcd", "12.0", "x"]], ["Name", "ms", "Note"]).splitlines()
    assert lines[0].split() == ["Name", "ms", "Note"]
    assert lines[2:] == ["a       2.50  –", "bcd     12.0  x"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_check_marks_never_end_a_command(repository: Path, encoding: str) -> None:
    code = "from slrbench.cli import console as c; c.prepare_streams(); c.result('✓ PASS → ß 手'); c.error('✗')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        cwd=repository,
        capture_output=True,
        check=True,
    )
    expected = {"ascii": "+ PASS -> ? ?", "cp1252": "+ PASS -> ß ?", "utf-8": "✓ PASS → ß 手"}
    assert done.stdout.decode(encoding).rstrip() == expected[encoding]


def test_progress_without_a_terminal_is_a_line_per_step_and_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with console.Progress() as progress:
        progress("exporting")
        progress("exporting")
        for done in range(101):
            progress("training", done, 100)
        progress.line("WARNING gradients")
        progress("exporting")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "exporting",
        *[f"training [{done}/100]" for done in range(0, 101, 10)],
        "WARNING gradients",
        "exporting",
    ]


PROGRESS = """
from slrbench.cli import console
console.prepare_streams()
with console.Progress() as progress:
    progress("exporting [student]")
    for done in range(11):
        progress("training", done, 10)
    progress.line("WARNING [red]")
console.error("wrong")
"""


def _on_a_terminal(repository: Path, **environment: str) -> str:
    pty = pytest.importorskip("pty", reason="the system has no pseudo-terminals")
    own, theirs = pty.openpty()
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment}
    with subprocess.Popen([sys.executable, "-c", PROGRESS], stderr=theirs, cwd=repository, env=variables) as process:
        os.close(theirs)
        received = b""
        while True:
            try:
                block = os.read(own, 65536)
            except OSError:  # Linux's way of saying that the other end was closed
                break
            if not block:
                break
            received += block
    os.close(own)
    assert process.returncode == 0
    return received.decode()


def test_progress_on_a_terminal_is_a_bar(repository: Path) -> None:
    text = _on_a_terminal(repository)
    assert "━" in text
    assert "10/10" in text
    assert "exporting [student]" in text  # square brackets are no markup
    assert "WARNING [red]" in text
    assert "\x1b[1;31merror:\x1b[0m wrong" in text


def test_no_color_is_obeyed_on_a_terminal(repository: Path) -> None:
    text = _on_a_terminal(repository, NO_COLOR="1")
    assert "━" in text
    assert "error: wrong" in text


def test_long_text_keeps_to_the_width_and_its_words_stay_whole() -> None:
    shown = console.wrapped("word " * 60 + "x" * 150, first="  ", indent="    ")
    *lines, last = shown.splitlines()
    assert all(len(line) <= console.WIDTH for line in lines)
    assert lines[0].startswith("  word")
    assert all(line.startswith("    word") for line in lines[1:])
    assert last == "    " + "x" * 150


def test_a_reason_is_said_once_for_all_that_it_holds_for() -> None:
    found = console.reasons("not run", [("a", "no GPU"), ("b", "no runtime"), ("c", "no GPU")])
    assert found == ["not run: a, c: no GPU", "not run: b: no runtime"]
    assert console.reasons("not run", []) == []


def test_a_detail_stands_below_the_line_that_it_belongs_to(capsys: pytest.CaptureFixture[str]) -> None:
    with console.Progress() as progress:
        for done in range(4):
            progress("measuring", done, 100)
            progress.detail(f"candidate {done}", 300.0)
        progress("measuring", 20, 100)
        progress.detail("candidate 20", 45.0)
    assert capsys.readouterr().err.splitlines() == [
        "measuring [0/100]", "  candidate 0, about 5 min left", "measuring [20/100]", "  candidate 20, about 45 s left",
    ]  # fmt: skip
