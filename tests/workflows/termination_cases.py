"""SIGTERM and Ctrl-C end a command with everything cleaned up: no folder of half-made files stays."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slrbench.cli import console
from slrbench.cli.app import main
from slrbench.workflows import archive as archive_module

SIGNALS = [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]


@pytest.fixture(autouse=True)
def usual_ctrl_c() -> Iterator[None]:
    """Python's own answer to Ctrl-C, which a shell takes away from what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go meanwhile."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def everything_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def at_progress(monkeypatch: pytest.MonkeyPatch, word: str, action: Callable[[], None]) -> None:
    """Do something when a command first says that it does what begins with ``word``."""
    real = console.Progress.__call__

    def call(self: console.Progress, text: str, *arguments: Any) -> None:
        real(self, text, *arguments)
        if text.startswith(word):
            monkeypatch.setattr(console.Progress, "__call__", real)
            action()

    monkeypatch.setattr(console.Progress, "__call__", call)


@pytest.mark.parametrize(("number", "code", "words"), SIGNALS)
@pytest.mark.parametrize(
    ("command", "word", "meanwhile"),
    [
        (("export", "MODEL", "--formats", "onnx"), "exporting tiny", ".export-*"),
        (("pack", "MODEL", "-o", "a.slrpack.zip", "--clips", "2"), "reading the clips", "slrbench-pack-*"),
    ],
)
def test_a_signal_leaves_nothing_behind(
    number: signal.Signals,
    code: int,
    words: str,
    command: tuple[str, ...],
    word: str,
    meanwhile: str,
    model: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(model.parent)
    before = everything_in(model.parent)
    seen: list[Path] = []

    def kill() -> None:
        seen.extend([*model.parent.rglob(meanwhile), *temporary.glob(meanwhile)])
        os.kill(os.getpid(), number)

    at_progress(monkeypatch, word, kill)
    assert main([str(model) if each == "MODEL" else each for each in command]) == code
    assert f"error: {words}; what was finished is kept" in capsys.readouterr().err
    assert seen
    assert everything_in(model.parent) == before
    assert everything_in(temporary) == set()


def test_a_signal_while_an_archive_is_unpacked_leaves_the_archive_alone(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = archive_module._check_contents

    def kill(*arguments: Any) -> None:
        real(*arguments)
        assert list(Path.cwd().glob(".unpack-*"))
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(archive_module, "_check_contents", kill)
    assert main(["verify", str(archive)]) == 143
    assert list(Path.cwd().iterdir()) == [Path.cwd() / archive]


def test_a_second_signal_does_not_end_the_cleaning_up(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    real = tempfile.TemporaryDirectory.cleanup

    def cleanup(self: "tempfile.TemporaryDirectory[str]") -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        real(self)

    monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", cleanup)
    before = everything_in(model.parent)
    at_progress(monkeypatch, "reading the clips", lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert main(["pack", str(model), "-o", "a.slrpack.zip", "--clips", "2"]) == 143
    assert everything_in(model.parent) == before


def test_who_decided_what_a_signal_does_is_left_alone() -> None:
    asked: list[int] = []

    def theirs(number: int, frame: object) -> None:
        asked.append(number)

    before = signal.signal(signal.SIGTERM, theirs)
    try:
        assert main(["--version"]) == 0
        assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        signal.signal(signal.SIGTERM, before)
    assert main(["--version"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before
    assert asked == []
