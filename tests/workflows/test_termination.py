"""SIGTERM and Ctrl-C, sent to a process of their own: whatever a signal does must not depend on, or end, this one."""

import subprocess
import sys
from pathlib import Path

CASES = Path(__file__).with_name("termination_cases.py")


def test_signals_unwind_commands_and_leave_nothing_behind(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "cases")]
    found = subprocess.run([*command, str(CASES)], cwd=repository, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert " passed" in found.stdout
    assert "skipped" not in found.stdout
