"""A picture as a list of marks, written out as one inline SVG whose colours the page's style sheet gives."""

from collections.abc import Iterable
from typing import Any

from slrbench.reporting.html.markup import Markup, short, tag

CHARACTER = 6.5
"""Width (pixels) that a character of the pictures' text takes at most on average, at 12 pixels."""


class Drawing:
    """Marks in pixels, the origin at the top left."""

    def __init__(self, width: float, height: float) -> None:
        """An empty picture."""
        self.width, self.height = width, height
        self._marks: list[Markup] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        self._marks.append(tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=kind))

    def rect(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A box; one without width is drawn a pixel wide, so that it can be seen."""
        box = {"x": float(x), "y": float(y), "width": float(max(width, 1.0)), "height": float(height)}
        self._marks.append(tag("rect", **box, class_=kind))

    def circle(self, x: float, y: float, radius: float, kind: str, title: str | None = None) -> None:
        """A disc, with the words that a pointer held over it shows."""
        inner = [] if title is None else [tag("title", title)]
        self._marks.append(tag("circle", *inner, cx=float(x), cy=float(y), r=float(radius), class_=kind))

    def dots(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """Many small round dots as one path; dots that would cover each other to the pixel are drawn once."""
        placed = dict.fromkeys((round(x * 2) / 2, round(y)) for x, y in points)
        if placed:
            path = "".join(f"M{short(x)} {y}h0" for x, y in placed)
            self._marks.append(tag("path", d=path, class_=f"dots {kind}"))

    def crosses(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """Small crosses as one path."""
        path = "".join(f"M{short(x - 3)} {short(y - 3)}l6 6m0-6l-6 6" for x, y in points)
        if path:
            self._marks.append(tag("path", d=path, class_=kind))

    def polyline(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """Straight lines from point to point."""
        path = "L".join(f"{short(x)} {short(y)}" for x, y in points)
        if path:
            self._marks.append(tag("path", d=f"M{path}", class_=kind))

    def text(self, x: float, y: float, words: str, *, kind: str = "", anchor: str = "start", most: float = 0.0) -> None:
        """Words on one line; longer than ``most`` pixels they end in an ellipsis and are shown whole on hovering."""
        room = int(most / CHARACTER)
        cut = bool(most) and len(words) > room
        shown = f"{words[: max(room - 1, 1)]}…" if cut else words
        inner: list[Any] = [tag("title", words), shown] if cut else [shown]
        anchored = None if anchor == "start" else anchor
        attributes: dict[str, Any] = {"text_anchor": anchored, "class_": kind or None}
        self._marks.append(tag("text", *inner, x=float(x), y=float(y), **attributes))

    def svg(self, label: str, kind: str = "") -> Markup:
        """The picture with what it shows in words, for those who cannot see it."""
        size = {"viewBox": f"0 0 {short(self.width)} {short(self.height)}", "width": float(self.width)}
        return tag("svg", *self._marks, **size, role="img", aria_label=label, class_=kind or None)
