"""The command line: which commands there are, and what exit code and words every way of ending gets.

A command's module is imported when that command runs, so ``--help`` answers at once; nothing here may import torch.
"""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from traceback import print_exception
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from slrbench import __version__
from slrbench.cli import console
from slrbench.errors import ExitCode, SlrbenchError
from slrbench.training.launch import launched_index, launched_processes

COMMANDS = {
    "train-and-export": "The main job: train, distil, verify, export, check parity, bench and report.",
    "train": "Train a teacher or a student with CTC.",
    "distill": "Train a student from a verified teacher.",
    "overfit": "Check that a network can learn: 0 % WER on a handful of clips.",
    "verify": "Check that a checkpoint or an artifact gives log-probabilities, line by line.",
    "evaluate": "Word error rate of a checkpoint or an artifact on a split.",
    "recognize": "Print the glosses of a video with start, end and confidence; live with --online.",
    "export": "Export a checkpoint to TorchScript, ONNX, OpenVINO and TensorRT, and prove parity.",
    "pack": "Pack a model into one archive that another machine verifies and benches without torch.",
    "bench": "Measure latency, throughput, memory and size of artifacts, on several backends.",
    "profile": "Where the time of one call goes, by the network's modules and by operator.",
    "decide": "Which file to ship within stated limits, how sure that is, and where it would change.",
    "compare": "Compare two reports of one machine; a gate against regressions.",
    "report": "Render a report again from its report.json.",
    "data": "Preview a corpus and print its statistics.",
    "list": "List models, backends or presets.",
    "doctor": "Which backends work here, why the others do not, and how to get them.",
}
"""Command to the line that ``--help`` shows for it. The module is the name with underscores."""

ALIASES = {"recognise": "recognize"}
"""Other spellings of commands; ``--help`` does not show them."""

_OUR_PACKAGES = ("slrbench", "exporters")
_LIGHT = "run it where all of slrbench's packages are; where few are: verify, bench, evaluate, list, report and doctor"

_FAILED_ERRNO = {
    errno.ENOSPC: "no space left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the file system is read-only",
}
_BAD_INPUT_ERRNO = {
    errno.ENOENT: "no such file or folder",
    errno.EISDIR: "a folder stands where a file is expected",
    errno.ENOTDIR: "a file stands where a folder is expected",
    errno.EEXIST: "something of that name stands in the way",
    errno.ENAMETOOLONG: "the name is too long",
}


def _verbose_option(
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", is_eager=True, expose_value=False, callback=console.set_verbose, help="Show tracebacks."
        ),
    ] = False,
) -> None: ...


def _command_from(function: Any, *, name: str) -> Any:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name)(function)
    return typer.main.get_command(app)


def load_command(name: str) -> Any:
    """Import the module of a command and return the typer command, with ``-v`` among its options."""
    module = import_module(f"slrbench.cli.{name.replace('-', '_')}")
    command = _command_from(module.command, name=name)
    command.params += _command_from(_verbose_option, name=name).params
    return command


class _LazyGroup(TyperGroup):
    """Knows every command by name and line; imports the one that runs."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, line in COMMANDS.items():
            self.add_command(TyperCommand(name=name, help=line, short_help=line))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, [*(ALIASES.get(arg, arg) for arg in args[:1]), *args[1:]])
        assert name is not None  # an unknown name was refused
        return name, load_command(name), rest


app = typer.Typer(
    cls=_LazyGroup,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, every verdict good; 1 a negative verdict; 2 wrong usage or input; "
    "3 not available here; 4 a run failed; 70 a bug; 130 interrupted; 143 terminated.",
)


def _print_version(value: bool) -> None:
    if value:
        console.result(f"slrbench {__version__}")
        raise typer.Exit


@app.callback()
def _slrbench(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", callback=console.set_verbose, help="Show tracebacks.")] = (
        False
    ),
) -> None:
    """From a trained sign language recogniser to a deployment decision."""


class _Terminated(KeyboardInterrupt):
    """SIGTERM came. Whatever is done on Ctrl-C (files removed, workers ended, states kept) is done then, too."""


@contextmanager
def _termination_as_exception() -> Iterator[None]:
    """Let SIGTERM, which would end the process where it stands, unwind it instead.

    Only where nobody else decided what it does, and in the main thread, which alone may.
    """
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not ours:
        yield
        return

    def unwind(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not end the cleaning up
        raise _Terminated

    signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(arguments: list[str]) -> int:
    group = typer.main.get_command(app)
    try:
        with group.make_context("slrbench", list(arguments) or ["--help"]) as context:
            code = group.invoke(context)
    except typer.Exit as exit_:
        code = exit_.exit_code
    if not arguments:
        return ExitCode.BAD_INPUT
    return int(code) if isinstance(code, int) else ExitCode.OK


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code (:class:`slrbench.errors.ExitCode`).

    ``arguments`` are those after the program's name, the process's own where None.
    """
    console.prepare_streams()
    # Read when torch is loaded. Threads that spin for long while they wait slow each other down many times on shared
    # cores; not spinning at all costs training a third of its speed on quiet ones. So they spin for microseconds.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    if launched_index() > 0:
        console.be_silent()
    try:
        with _termination_as_exception():
            try:
                code = _run(list(sys.argv[1:] if arguments is None else arguments))
                sys.stdout.flush()
            except BrokenPipeError:
                raise
            except Exception as error:
                # Inside: a launcher that ends all processes when one has failed must not cut the words off.
                return _explain(error)
    except BrokenPipeError:
        # The reader went away (`| head`). What is still buffered must not fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.INTERRUPTED
    except _Terminated:
        if launched_index() == 0:
            console.error("terminated; what was finished is kept")
        return ExitCode.TERMINATED
    except KeyboardInterrupt:
        if launched_index() == 0:
            console.error("interrupted; what was finished is kept")
        return ExitCode.INTERRUPTED
    return code


def _explain(error: Exception) -> int:
    """Say on stderr what went wrong; returns the exit code."""
    code, message, hint = _classify(error)
    if console.verbose:
        print_exception(error)
    if launched_processes() > 1:
        message = f"process {launched_index()} of {launched_processes()}: {message}"
    console.error(message, hint)
    return code


def _classify(error: Exception) -> tuple[int, str, str | None]:
    from exporters.artifact import ExporterError

    match error:
        case SlrbenchError():
            return error.exit_code, error.message, error.hint
        case ExporterError():
            return ExitCode.BAD_INPUT if error.bad_input else ExitCode.FAILED, error.message, error.hint
        case typer.TyperException():
            return ExitCode.BAD_INPUT, _in_house_style(error.format_message()), _usage_hint(error)
        case typer.Abort():
            return ExitCode.INTERRUPTED, "aborted", None
        case OSError() if error.errno is not None:
            return _classify_os_error(error)
        case ModuleNotFoundError() if error.name and (package := error.name.partition(".")[0]) not in _OUR_PACKAGES:
            return ExitCode.UNAVAILABLE, f"this needs the package {package}, which is not installed here", _LIGHT
        case MemoryError():
            return ExitCode.FAILED, "out of memory", "try a smaller batch, fewer frames or a smaller network"
    if os.strerror(errno.ENOSPC) in str(error):  # libraries in C++ wrap it in errors of their own
        return ExitCode.FAILED, f"no space left on the device: {_first_line(error)}", "free some space and run it again"
    return (
        ExitCode.BUG,
        f"a bug in slrbench: {type(error).__name__}: {_first_line(error)}",
        "run the command again with -v and report the traceback",
    )


def _classify_os_error(error: OSError) -> tuple[int, str, str | None]:
    number = error.errno or 0
    path = f": {os.fspath(error.filename)!r}" if isinstance(error.filename, str | os.PathLike) else ""
    if number in _BAD_INPUT_ERRNO:
        return ExitCode.BAD_INPUT, f"{_BAD_INPUT_ERRNO[number]}{path}", "check the path"
    words = _FAILED_ERRNO.get(number) or f"the system refused: {os.strerror(number)}"
    hint = "free some space and run it again" if number in (errno.ENOSPC, errno.EDQUOT) else None
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "choose a folder that you may write, or a file that you may read"
    return ExitCode.FAILED, f"{words}{path}", hint


def _usage_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path.removeprefix("slrbench").strip() if context is not None else ""
    return " ".join(["python -m slrbench", *command.split(), "--help"])


def _in_house_style(message: str) -> str:
    message = " ".join(message.replace("Value error, ", "").split()).removesuffix(".")
    return message[:1].lower() + message[1:]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
