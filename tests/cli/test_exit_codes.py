"""Every way of ending a command: its exit code and its words."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from exporters.artifact import ExporterError
from slrbench.cli import app, console
from slrbench.cli.app import main
from slrbench.errors import BadInputError, ExitCode, NegativeVerdictError, RunFailedError, UnavailableError


@pytest.fixture(autouse=True)
def quiet_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "verbose", False)


@pytest.fixture
def command_that(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let ``slrbench list`` do something else."""

    def replace(action: Callable[[], object]) -> None:
        def command() -> object:
            """Do what the test asks for."""
            return action()

        module = type(app)("slrbench.cli.list")
        module.command = command  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "slrbench.cli.list", module)

    return replace


def _raising(error: BaseException) -> Callable[[], object]:
    def action() -> object:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (NegativeVerdictError("parity failed", hint="look"), ExitCode.NEGATIVE, "error: parity failed\n  hint: look\n"),
        (BadInputError("no such clip", hint="a\nb"), ExitCode.BAD_INPUT, "error: no such clip\n  hint: a\n  hint: b\n"),
        (UnavailableError("no GPU"), ExitCode.UNAVAILABLE, "error: no GPU\n"),
        (RunFailedError("diverged"), ExitCode.FAILED, "error: diverged\n"),
        (ExporterError("no opset", hint="x"), ExitCode.FAILED, "error: no opset\n  hint: x\n"),
        (ExporterError("not a manifest", bad_input=True), ExitCode.BAD_INPUT, "error: not a manifest\n"),
        (MemoryError(), ExitCode.FAILED, "out of memory"),
        (OSError(errno.ENOSPC, "full", "a.onnx"), ExitCode.FAILED, "no space left on the device: 'a.onnx'"),
        (RuntimeError("write: No space left on device (os error 28)"), ExitCode.FAILED, "no space left on the device"),
        (PermissionError(errno.EACCES, "denied", "a"), ExitCode.FAILED, "no permission: 'a'"),
        (FileNotFoundError(errno.ENOENT, "gone", "a"), ExitCode.BAD_INPUT, "no such file or folder: 'a'"),
        (
            IsADirectoryError(errno.EISDIR, "dir", "a"),
            ExitCode.BAD_INPUT,
            "a folder stands where a file is expected: 'a'",
        ),
        (NotADirectoryError(errno.ENOTDIR, "file", "a"), ExitCode.BAD_INPUT, "a file stands where a folder is"),
        (
            FileExistsError(errno.EEXIST, "there", "a"),
            ExitCode.BAD_INPUT,
            "something of that name stands in the way: 'a'",
        ),
        (OSError(errno.EIO, "io", "a"), ExitCode.FAILED, "the system refused"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "error: interrupted"),
        (typer.Abort(), ExitCode.INTERRUPTED, "error: aborted"),
        (RuntimeError("shapes\ndiffer"), ExitCode.BUG, "error: a bug in slrbench: RuntimeError: shapes\n"),
        (
            ModuleNotFoundError("No module named 'safetensors.torch'", name="safetensors.torch"),
            ExitCode.UNAVAILABLE,
            "error: this needs the package safetensors, which is not installed here\n  hint: run it where",
        ),
        (ModuleNotFoundError("No module named 'slrbench.x'", name="slrbench.x"), ExitCode.BUG, "error: a bug in"),
        (ModuleNotFoundError("nothing"), ExitCode.BUG, "error: a bug in slrbench"),
        (KeyError(), ExitCode.BUG, "error: a bug in slrbench: KeyError: no message\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_error_has_its_code_and_its_words(
    command_that: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: ExitCode,
    words: str,
) -> None:
    command_that(_raising(error))
    assert main(["list"]) == code
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [["-v", "list"], ["list", "-v"], ["list", "--verbose"]])
def test_a_bug_asks_for_verbose_and_verbose_shows_the_traceback(
    command_that: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    command_that(_raising(RuntimeError("boom")))
    assert main(["list"]) == ExitCode.BUG
    assert "with -v" in capsys.readouterr().err
    assert main(arguments) == ExitCode.BUG
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (lambda: None, 0),
        (lambda: ExitCode.NEGATIVE, 1),
        (lambda: 3, 3),
        (_raising(typer.Exit(1)), 1),
        (_raising(typer.Exit()), 0),
    ],
)
def test_a_command_may_return_its_exit_code_or_raise_it(
    command_that: Callable[[Callable[[], object]], None], action: Callable[[], object], code: int
) -> None:
    command_that(action)
    assert main(["list"]) == code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["benhc"], "error: no such command 'benhc'. Did you mean 'bench'?\n  hint: python -m slrbench --help\n"),
        (["--nonsense"], "error: no such option: --nonsense\n  hint: python -m slrbench --help\n"),
        (["list", "--jsn"], "hint: python -m slrbench list --help\n"),
        (
            ["list", "nothing"],
            "error: invalid value for 'kind': 'nothing' is not one of 'models', 'backends', 'presets'",
        ),
        (["list"], "error: missing argument 'kind'. Choose from: models, backends, presets\n"),
    ],
)
def test_wrong_usage_is_said_in_one_line_with_a_hint(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(arguments) == ExitCode.BAD_INPUT
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


def test_no_command_shows_the_help_and_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == ExitCode.BAD_INPUT
    assert "Commands:" in capsys.readouterr().out


RUN = [sys.executable, "-m", "slrbench"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_behind_stdout_is_said(repository: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [*RUN, "list", "backends"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=repository, check=False
        )
    assert done.returncode == ExitCode.FAILED
    assert "error: no space left on the device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_ends_the_command_quietly(repository: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*RUN, "list", "backends"], stdout=write, stderr=subprocess.PIPE, cwd=repository, check=False)
    os.close(write)
    assert done.returncode == ExitCode.INTERRUPTED
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_an_interrupt_ends_a_running_command(repository: Path) -> None:
    code = (
        "import signal, sys, types\n"
        # A shell starts what it puts in the background with Ctrl-C ignored, and a test runner passes that on.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from slrbench.cli.app import main\n"
        "module = types.ModuleType('slrbench.cli.list')\n"
        "def command():\n"
        "    'Wait.'\n"
        "    print('waiting', flush=True)\n"
        "    sys.stdin.read()\n"
        "module.command = command\n"
        "sys.modules['slrbench.cli.list'] = module\n"
        "sys.exit(main(['list']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=repository,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == ExitCode.INTERRUPTED
        assert process.stderr.read() == b"error: interrupted; what was finished is kept\n"
