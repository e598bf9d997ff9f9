"""The Markdown that this package writes itself as HTML: tables, bullets, paragraphs, code and bold.

So every table has one source: what report.md says, report.html says too.
"""

import re
from collections.abc import Sequence

from slrbench.reporting.html.markup import Markup, escape, join, tag

_INLINE = re.compile(r"`([^`]*)`|\*\*(.+?)\*\*|\\([|<])")
_BETWEEN_CELLS = re.compile(r"(?<!\\)\|")
_SHORT, _LONG = 16, 40
"""Characters up to which a cell stays on one line, and from which it needs a wide column."""

_RULE = re.compile(r"\|[\s:|-]+\|")


def sections(markdown: str) -> dict[str, str]:
    """Title to text of each section of the second level, in order; what stands before the first is left out."""
    parts = re.split(r"^## (.*)\n", markdown, flags=re.MULTILINE)
    return {title: body.strip("\n") for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def blocks(markdown: str) -> list[str]:
    """Paragraphs, tables and lists, each as its text."""
    return [block for block in markdown.split("\n\n") if block.strip()]


def to_html(markdown: str, name: str) -> Markup:
    """The text as HTML; ``name`` is what its tables are called to those who hear the page."""
    return join(*(_block(block, name) for block in blocks(markdown)))


def table_html(headers: Sequence[str], rows: Sequence[Sequence[object]], name: str, *, left: int = 1) -> Markup:
    """A table of plain values; the first ``left`` columns are text, the others are figures."""
    cells = [[escape("–" if cell is None else cell) for cell in row] for row in rows]
    return _table(
        [escape(header) for header in headers], cells, [column >= left for column in range(len(headers))], name
    )


def _block(block: str, name: str) -> Markup:
    lines = block.splitlines()
    if len(lines) > 1 and _RULE.fullmatch(lines[1]):
        figures = [rule.strip().endswith(":") for rule in _cells(lines[1])]
        head, *body = ([inline(cell.strip()) for cell in _cells(line)] for line in (lines[0], *lines[2:]))
        return _table(head, body, figures, name)
    if all(line.startswith("- ") for line in lines):
        return tag("ul", *(tag("li", inline(line.removeprefix("- "))) for line in lines))
    if len(lines) == 1 and block.startswith("### "):
        return tag("h3", inline(block.removeprefix("### ")))
    return tag("p", inline(" ".join(lines)))


def _cells(line: str) -> list[str]:
    return _BETWEEN_CELLS.split(line.strip())[1:-1]


def _table(head: Sequence[Markup], body: Sequence[Sequence[Markup]], figures: Sequence[bool], name: str) -> Markup:
    kinds = ["number" if is_figure else None for is_figure in figures]
    header = tag("tr", *(tag("th", cell, scope="col", class_=kind) for cell, kind in zip(head, kinds, strict=True)))
    rows = [
        tag("tr", *(tag("td", cell, class_=kind or _length(cell)) for cell, kind in zip(cells, kinds, strict=True)))
        for cells in body
    ]
    table = tag("table", tag("thead", header), tag("tbody", *rows))
    return tag("div", table, class_="scroll", role="region", aria_label=f"Table: {name}", tabindex="0")


def _length(cell: Markup) -> str | None:
    """The class of a cell of words: a short one is not broken, a long one gets room."""
    return "short" if len(cell) <= _SHORT else "long" if len(cell) > _LONG else None


def inline(text: str) -> Markup:
    """Code, bold and escapes of one line."""
    parts: list[Markup] = []
    at = 0
    for match in _INLINE.finditer(text):
        parts.append(escape(text[at : match.start()]))
        code, bold, escaped = match.groups()
        if code is not None:
            parts.append(tag("code", code))
        else:
            parts.append(tag("strong", inline(bold)) if bold is not None else escape(escaped))
        at = match.end()
    return join(*parts, escape(text[at:]))
