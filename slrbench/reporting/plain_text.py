"""Text for a terminal of 100 columns: tables whose names wrap until they fit, paragraphs, lists."""

import textwrap
from collections.abc import Sequence

from tabulate import tabulate

WIDTH = 100
"""Columns of a terminal that everything fits into."""

_WIDEST, _NARROWEST = 24, 8  # columns of a name before and after it is wrapped


def plain_table(
    headers: Sequence[str],
    cells: Sequence[Sequence[str]],
    *,
    names: Sequence[int],
    left: int,
    then: Sequence[int] = (),
) -> str:
    """A table; columns wrap their text as far as is needed to fit, which a table of too many figures still may not.

    Args:
        headers: of the columns, one line each.
        cells: of each row.
        names: columns that may be wrapped.
        left: how many columns are text; the rest are figures, right-aligned.
        then: columns that may be wrapped where that of names is not enough.
    """
    align = ["left" if column < left else "right" for column in range(len(headers))]
    widths = range(_WIDEST, _NARROWEST - 1, -2)
    for of_names, of_others in [*((width, None) for width in widths), *((_NARROWEST, width) for width in widths)]:
        limits = [
            of_names if column in names else of_others if column in then else None for column in range(len(headers))
        ]
        # tabulate pads what it knows to be headers by two columns. Given as a row, they stand below the rule.
        rule, head, *body, _ = tabulate(
            [headers, *cells], tablefmt="simple", colalign=align, maxcolwidths=limits, disable_numparse=True
        ).splitlines()
        if len(rule) <= WIDTH:
            break
    return "\n".join(line.rstrip() for line in (head, rule, *body))


def listed(title: str, items: Sequence[str]) -> str:
    """A title over one bullet per item, wrapped; empty where there are none."""
    if not items:
        return ""
    return "\n".join([title, *(_filled(item, "- ", "  ") for item in items)])


def wrapped(text: str, *, hanging: str = "") -> str:
    """A paragraph of at most ``WIDTH`` columns; ``hanging`` stands before every line but the first."""
    return _filled(text, "", hanging)


def _filled(text: str, first: str = "", others: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False)
