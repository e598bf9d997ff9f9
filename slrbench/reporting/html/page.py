"""report.html: the sections in their order, each only where the report has something for it.

Pictures are drawn here; words and tables that report.md has too are taken from it, so that the two never differ.
"""

from collections.abc import Iterator
from importlib.resources import files

from slrbench.records import Report
from slrbench.reporting.doubts import doubts
from slrbench.reporting.html.accuracy import accuracy_figure
from slrbench.reporting.html.baseline import baseline_figure
from slrbench.reporting.html.figure import folded
from slrbench.reporting.html.from_markdown import blocks, sections, to_html
from slrbench.reporting.html.head import opening
from slrbench.reporting.html.latency import latency_figure
from slrbench.reporting.html.load import load_figure
from slrbench.reporting.html.markup import Markup, join, tag
from slrbench.reporting.html.pareto import pareto_figure
from slrbench.reporting.html.raw_data import raw_data
from slrbench.reporting.html.roofline import roofline_figure
from slrbench.reporting.html.scaling import scaling_figure
from slrbench.reporting.markdown import bullets
from slrbench.reporting.render_markdown import headline, render_markdown

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Nothing is loaded from anywhere, and no script runs."""

_LAST = ("Environment", "Warnings and notes")


def render_html(report: Report, markdown: str | None = None) -> str:
    """The whole page; the same report gives the same bytes.

    Args:
        report: what to show.
        markdown: the report's text, whose tables and sentences the page has too; None: ``render_markdown``'s.
    """
    words = render_markdown(report) if markdown is None else markdown
    parts = [
        (f"s{number}-{_anchor(title)}", title, content)
        for number, (title, content) in enumerate(_sections(report, words), 1)
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", report.title),
        tag("style", Markup(files(__package__).joinpath("report.css").read_text(encoding="utf-8"))),
    )
    contents = tag(
        "nav",
        tag("ul", *(tag("li", tag("a", title, href=f"#{anchor}")) for anchor, title, _ in parts)),
        aria_label="Sections",
    )
    body = tag(
        "body",
        tag("a", "Skip to the decision", href="#main", class_="skip"),
        tag("header", tag("h1", report.title), _origin(report)),
        tag(
            "main",
            opening(report),
            contents,
            *(_section(*part) for part in parts),
            id="main",
            tabindex="-1",
        ),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _origin(report: Report) -> Markup:
    e = report.environment
    command = None if not report.command else join(" Made by ", tag("code", report.command), ".")
    return tag("p", f"{report.created_at}, {e.cpu}, {e.cpu_logical_cores} logical cores.", command, class_="origin")


def _sections(report: Report, words: str) -> Iterator[tuple[str, Markup]]:
    """Title and content of every section that has any."""
    text = sections(words)
    planned = [
        ("Decision", _decision(report, text.pop("Decision", ""))),
        ("Trade-off", pareto_figure(report)),
        ("Results", _results(report, text.pop("Results", ""))),
        (
            "Latency",
            _with_table(latency_figure(report), "Percentiles of both scopes", text.pop("Latency in detail", "")),
        ),
        ("Against the baseline", baseline_figure(report, text.pop("Against the baseline", ""))),
        ("Growth", scaling_figure(report)),
        ("Roofline", roofline_figure(report)),
        ("Under load", load_figure(report)),
        ("Word error rates", accuracy_figure(report, text.pop("Word error rates", ""))),
    ]
    last = [(title, text.pop(title, "")) for title in _LAST]
    for title, picture in planned:
        # What report.md says under the same title stands below the picture, unless it is the picture's own table.
        content = join(picture, to_html(text.pop(title), title) if title in text else None)
        if content:
            yield title, content
    for title, body in [*text.items(), *last]:
        if body:
            yield title, to_html(body, title)
    yield "Raw data", raw_data(report)


def _decision(report: Report, words: str) -> Markup | None:
    """What stands behind the sentence, which the top of the page has said."""
    said = (headline(report), f"**{headline(report)}**")
    kept = [block for block in blocks(words) if block not in said]
    return to_html("\n\n".join(kept), "decision") if kept else None


def _results(report: Report, words: str) -> Markup | None:
    """The main table without the doubts, which stand at the top of the page."""
    kept = blocks(words)
    reasons = bullets(doubts(report))
    if reasons in kept:
        at = kept.index(reasons)
        del kept[at - 1 if at and kept[at - 1].endswith(":") else at : at + 1]
    return to_html("\n\n".join(kept), "results") if kept else None


def _with_table(figure: Markup | None, title: str, words: str) -> Markup | None:
    if not words:
        return figure
    return join(figure, folded(title, to_html(words, title)))


def _anchor(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title.lower())


def _section(anchor: str, title: str, content: Markup) -> Markup:
    return tag("section", tag("h2", title, id=f"{anchor}-title"), content, id=anchor, aria_labelledby=f"{anchor}-title")
