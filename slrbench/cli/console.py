"""What people and other programs see: results on stdout, everything else on stderr.

The only module that prints. Colours appear on a terminal only (``NO_COLOR`` switches them off), and a stream that
cannot encode a character gets a plain one in its place, so that a check mark never ends a command.
"""

import codecs
import json
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

if TYPE_CHECKING:
    import rich.progress

_PLAIN = {
    "✓": "+", "✗": "x", "→": "->", "←": "<-", "×": "x", "·": "-", "…": "...", "–": "-", "—": "-", "−": "-",
    "±": "+/-", "≤": "<=", "≥": ">=", "µ": "u", "α": "alpha", "λ": "lambda", "τ": "tau", "’": "'",
}  # fmt: skip

WIDTH = 100
"""Columns that tables and their notes keep to."""

verbose = False
"""Whether ``-v`` was given: tracebacks are shown."""


_silent = False


def be_silent() -> None:
    """Print nothing but errors: of several processes that do one job, one speaks."""
    global _silent
    _silent = True


def _print(text: str, stream: TextIO, *, flush: bool = False) -> None:
    if not _silent:
        print(text, file=stream, flush=flush or stream is sys.stderr)


def _replace_with_plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(c, "?") for c in error.object[error.start : error.end]), error.end


def prepare_streams() -> None:
    """Make stdout and stderr take every character, whatever their encoding."""
    codecs.register_error("slrbench-plain", _replace_with_plain)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a replaced stream may not have it
        if reconfigure is not None:
            reconfigure(errors="slrbench-plain")


def set_verbose(value: bool) -> None:
    """Remember ``-v``; only ever switches it on, since the option may stand before or after the command."""
    global verbose
    verbose = verbose or value


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _style(text: str, code: str, stream: TextIO) -> str:
    coloured = _is_terminal(stream) and not os.environ.get("NO_COLOR")
    return f"\x1b[{code}m{text}\x1b[0m" if coloured else text


def result(text: str, *, flush: bool = False) -> None:
    """Print a part of the command's result to stdout; ``flush`` where somebody reads it while it goes on."""
    _print(text, sys.stdout, flush=flush)


def print_json(value: Any) -> None:
    """Print one JSON document to stdout; pydantic records, paths, sets and NumPy's scalars are taken as they are.

    Raises:
        ValueError: a figure is NaN or infinite, which JSON cannot say.
    """
    # Escapes instead of other alphabets: a stream's plain characters would change the data.
    _print(json.dumps(value, indent=2, allow_nan=False, default=_jsonable), sys.stdout)


def json_line(value: Any) -> None:
    """Print one JSON document in one line to stdout at once; several make a stream of them.

    Raises:
        ValueError: a figure is NaN or infinite, which JSON cannot say.
    """
    _print(json.dumps(value, allow_nan=False, default=_jsonable), sys.stdout, flush=True)


def _jsonable(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    item = getattr(value, "item", None)  # NumPy's scalars
    if item is not None:
        return item()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> str:
    """The rows as a table for the screen: figures are right-aligned, ``None`` is a dash, text is as given."""
    from tabulate import tabulate

    shown = [["–" if cell is None else str(cell) for cell in row] for row in rows]
    align = ["right" if all(map(_is_figure, column)) else "left" for column in zip(*shown, strict=True)]
    # Parsed as numbers, "2.50" would be shown as 2.5.
    return tabulate(shown, headers=list(headers), tablefmt="simple", colalign=align or None, disable_numparse=True)


def _is_figure(cell: str) -> bool:
    return cell == "–" or cell.lstrip("+-").replace(".", "", 1).replace(",", "").isdigit()


def wrapped(text: str, *, first: str = "", indent: str = "    ") -> str:
    """The text in lines of at most :data:`WIDTH` columns that begin with ``indent``, the first one with ``first``.

    Long words stay whole.
    """
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def reasons(word: str, why: Iterable[tuple[str, str]]) -> list[str]:
    """What a table has no room for, as lines below it: each reason once, with the names that it holds for."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in why:
        by_reason.setdefault(reason, []).append(name)
    return [wrapped(f"{word}: {', '.join(names)}: {reason}") for reason, names in by_reason.items()]


def info(text: str) -> None:
    """Print a line of progress or advice to stderr."""
    _print(text, sys.stderr)


def warning(text: str) -> None:
    """Print a warning to stderr."""
    _print(f"{_style('warning:', '33', sys.stderr)} {text}", sys.stderr)


def error(message: str, hint: str | None = None) -> None:
    """Print an error, and under it what to do next, to stderr."""
    print(f"{_style('error:', '1;31', sys.stderr)} {message}", file=sys.stderr, flush=True)
    for line in (hint or "").splitlines():
        print(f"  {_style('hint:', '36', sys.stderr)} {line}", file=sys.stderr, flush=True)


def wrote(paths: Iterable[str | os.PathLike[str]], *, next_command: str | None = None) -> None:
    """Say on stderr which files the command wrote, and the next useful command."""
    for path in paths:
        info(f"wrote {os.fspath(path)}")
    if next_command is not None:
        info(f"next: {next_command}")


class Progress:
    """Progress on stderr: one bar on a terminal, elsewhere a line per step and per further tenth of a step.

    A callable, so that the layers below need nothing but ``Callable[[str, int, int], None]`` (or ``Callable[[str],
    None]``) in their signatures::

        with Progress() as progress:
            progress("exporting student")            # a step of unknown length
            progress("training teacher", 30, 200)    # 30 of 200 done; the same text is the same step
            progress.line("WARNING gradients explode")
    """

    def __init__(self) -> None:
        """Print nothing yet."""
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None
        self._step = ""
        self._tenth = -1
        self._printed = False

    def __enter__(self) -> Self:
        """Start the bar, on a terminal."""
        if _is_terminal(sys.stderr) and not _silent:
            self._bar = _rich_progress()
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bar; what it last showed stays."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, text: str, done: int | None = None, total: int | None = None) -> None:
        """Show that ``text`` is being done; ``done`` of ``total`` where the step's length is known."""
        if self._bar is not None:
            self._show_bar(self._bar, text, done, total)
        else:
            self._print_line(text, done, total)
        self._step = text

    def detail(self, text: str, left_s: float | None = None) -> None:
        """Show what the current step is at, and how many seconds it will take: beside the bar, or below its line."""
        if self._bar is not None:
            if self._task is not None:
                self._bar.update(self._task, description=text)
                self._bar.refresh()
        elif self._printed:
            self._printed = False
            info(f"  {text}{_left_in_words(left_s)}")

    def line(self, text: str) -> None:
        """Print one line that stays, above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            info(text)

    def _show_bar(self, bar: "rich.progress.Progress", text: str, done: int | None, total: int | None) -> None:
        if self._task is None or text != self._step:
            if self._task is not None and bar.tasks[-1].total is None:
                bar.update(self._task, total=1, completed=1)
            self._task = bar.add_task(text, total=total, completed=done or 0)
        else:
            # What was last told of a step is of what it did before.
            bar.update(self._task, total=total, completed=done, description=text if done == total else None)
        bar.refresh()

    def _print_line(self, text: str, done: int | None, total: int | None) -> None:
        tenth = 10 * done // total if done is not None and total else -1
        if text == self._step and tenth <= self._tenth:
            return
        self._tenth = tenth
        self._printed = True
        info(text if tenth < 0 else f"{text} [{done}/{total}]")


def _left_in_words(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f", about {seconds:.0f} s left" if seconds < 90 else f", about {seconds / 60:.0f} min left"


def _rich_progress() -> "rich.progress.Progress":
    import rich.progress
    from rich.console import Console

    return rich.progress.Progress(
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,  # a thread that draws ten times a second would draw into timed regions
    )
