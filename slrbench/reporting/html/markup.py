"""HTML and SVG elements that are escaped by construction: whatever is not ``Markup`` already is taken as text."""

import html
from typing import Any

_VOID = {"br", "hr", "link", "meta"}
_EMPTY = {"path", "line", "rect", "circle"}  # of SVG: closed at once


class Markup(str):
    """Text that is markup already; anything else is escaped before it gets into a page."""

    __slots__ = ()


def escape(text: Any) -> Markup:
    """The value as text that no browser takes for markup."""
    return text if isinstance(text, Markup) else Markup(html.escape(str(text), quote=True))


def join(*parts: Any) -> Markup:
    """The parts one after another; ``None`` is nothing."""
    return Markup("".join(escape(part) for part in parts if part is not None))


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """One element. ``class_`` stands for ``class``, ``aria_label`` for ``aria-label``.

    An attribute of ``None`` or ``False`` is left out, one of ``True`` has no value; floats get at most one decimal, the
    tenth of a pixel that a picture needs.
    """
    opening = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}"
    if name in _EMPTY and not children:
        return Markup(f"{opening}/>")
    if name in _VOID:
        return Markup(f"{opening}>")
    return Markup(f"{opening}>{join(*children)}</{name}>")


def short(value: float) -> str:
    """A coordinate with at most one decimal: ``12``, ``12.5``."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _attribute(key: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = key.removesuffix("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{html.escape(short(value) if isinstance(value, float) else str(value), quote=True)}"'
