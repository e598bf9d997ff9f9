"""How a picture stands in the page: its caption, what its marks mean, and the same figures as a table."""

from collections.abc import Iterable

from slrbench.reporting.html.markup import Markup, join, tag

Key = Iterable[tuple[str, str]]
"""Class of a mark and what it means."""


def figure(picture: Markup, caption: str, *, key: Key = (), table: Markup | None = None, kind: str = "") -> Markup:
    """One figure; the table is folded."""
    meanings = [tag("li", tag("span", class_=f"swatch {mark}", aria_hidden="true"), words) for mark, words in key]
    return tag(
        "figure",
        picture,
        tag("ul", *meanings, class_="key") if meanings else None,
        tag("figcaption", caption),
        None if table is None else folded("The same figures as a table", table),
        class_=kind or None,
    )


def folded(summary: str, *content: Markup) -> Markup:
    """Content that a click or a key unfolds; on paper it always is."""
    return tag("details", tag("summary", summary), *content)


def panels(items: Iterable[tuple[str, Markup]], *, shown: int, rest: str, kind: str = "panels") -> Markup:
    """Small pictures with a title each; the first ``shown`` at once, the others folded under ``rest``."""
    made = [tag("div", tag("h3", title), picture, class_="panel") for title, picture in items]
    first = tag("div", *made[:shown], class_=kind)
    if len(made) <= shown:
        return first
    return join(first, folded(f"{rest} ({len(made) - shown})", tag("div", *made[shown:], class_=kind)))
