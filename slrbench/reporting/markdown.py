"""Markdown from plain values: tables, paragraphs and lists that hold together whatever the text in them."""

from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

from slrbench.reporting.display import MISSING

Cells = Sequence[Any]


def table(headers: Sequence[str], rows: Iterable[Cells], *, left: int) -> str:
    """A Markdown table; the first ``left`` columns are text, the rest figures, right-aligned."""
    return _aligned(headers, rows, ["left"] * left + ["right"] * (len(headers) - left))


WIDTH = 100
"""Columns of the terminal that tables are made for."""


def first_that_fits(tables: Iterable[str], width: int = WIDTH) -> str:
    """The first of several ways to show a table whose lines are no longer than ``width``; the last where none is."""
    found = ""
    for found in tables:
        if max(map(len, found.splitlines())) <= width:
            break
    return found


def free_table(rows: Sequence[dict[str, Any]]) -> str:
    """Objects as a table: a column per key, in the order in which keys first occur; figures are right-aligned."""
    if not rows:
        return ""
    headers = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_plain(row.get(key)) for key in headers] for row in rows]
    figures = [all(isinstance(row.get(key), int | float | None) for row in rows) for key in headers]
    return _aligned(headers, cells, ["right" if is_figure else "left" for is_figure in figures])


def _aligned(headers: Sequence[str], rows: Iterable[Cells], align: Sequence[str]) -> str:
    cells = [headers, *([_cell(cell) for cell in row] for row in rows)]
    # tabulate pads what it knows to be headers by two columns, which takes wide tables off the screen. Given as a row,
    # the headers stand below the rule instead of above it.
    rule, head, *body = tabulate(cells, tablefmt="pipe", colalign=align, disable_numparse=True).splitlines()
    return "\n".join([head, rule, *body])


def _cell(value: Any) -> str:
    return MISSING if value is None else text(value).replace("|", "\\|")


def text(value: Any) -> str:
    """A value on one line, safe from being taken for HTML."""
    return " ".join(str(value).replace("<", "\\<").split())


def paragraphs(*parts: str) -> str:
    """The parts that are not empty, with a blank line between them."""
    return "\n\n".join(part for part in parts if part)


def bullets(items: Iterable[str]) -> str:
    """One bullet per item."""
    return "\n".join(f"- {text(item)}" for item in items)


def _plain(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
