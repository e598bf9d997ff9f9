"""report.html without a browser: well formed, complete, closed against text and network, readable by all."""

import base64
import gzip
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from slrbench.records import Report
from slrbench.reporting.html.load import load_figure
from slrbench.reporting.html.page import render_html
from slrbench.reporting.render_csv import render_csv
from slrbench.reporting.render_markdown import headline
from slrbench.reporting.store import read_report
from tests.reporting.enriched import enriched_report

VOID = {"meta", "br", "hr", "link"}
HOSTILE = "<script>alert(1)</script>\"'&`|**x**"


@dataclass
class Element:
    name: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    def every(self, name: str) -> list["Element"]:
        below = [e for child in self.children if isinstance(child, Element) for e in child.every(name)]
        return [*([self] if self.name == name else []), *below]

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)


class Parser(HTMLParser):
    """Builds the tree, and fails where a closing tag is not that of the innermost open element."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"</{tag}> closes <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parsed(page: str) -> Element:
    parser = Parser()
    parser.feed(page)
    parser.close()
    assert parser.open == [parser.root], "elements are left open"
    return parser.root


def titles(page: Element) -> list[str]:
    return [section.every("h2")[0].text for section in page.every("section")]


@pytest.fixture(scope="module")
def page(rich_report: Report) -> Element:
    return parsed(render_html(rich_report))


def test_the_page_opens_with_the_decision_and_the_table_behind_it(page: Element, rich_report: Report) -> None:
    opening = page.every("main")[0].children[0]
    assert isinstance(opening, Element)
    assert opening.text.startswith(headline(rich_report))
    first = page.every("section")[0]
    assert first.every("h2")[0].text == "Decision"
    assert "ship" in first.every("table")[0].text


def test_every_part_of_the_report_has_its_section(page: Element) -> None:
    assert titles(page) == [
        "Decision",
        "Trade-off",
        "Results",
        "Latency",
        "Against the baseline",
        "Growth",
        "Roofline",
        "Under load",
        "Word error rates",
        *[title for title in titles(page) if title not in KNOWN],
        "Environment",
        "Warnings and notes",
        "Raw data",
    ]
    assert {"Not measured", "Parity", "Distillation"} < set(titles(page))


KNOWN = {
    *("Decision", "Trade-off", "Results", "Latency", "Against the baseline", "Growth", "Roofline", "Under load"),
    *("Word error rates", "Environment", "Warnings and notes", "Raw data"),
}


NOTHING_MEASURED = {
    **{"measurements": (), "baseline": None, "control": None, "noise_floor": None},
    **{"summary": (), "comparisons": (), "scaling": (), "decision": None},
}


@pytest.mark.parametrize(
    ("emptied", "gone"),
    [
        ({"comparisons": (), "noise_floor": None}, "Against the baseline"),
        ({"scaling": ()}, "Growth"),
        ({"peaks": ()}, "Roofline"),
        ({"load": ()}, "Under load"),
        ({"accuracies": ()}, "Word error rates"),
        (NOTHING_MEASURED, "Latency"),
        ({"skipped": ()}, "Not measured"),
        ({"notes": ()}, "Warnings and notes"),
    ],
)
def test_a_section_without_data_is_not_shown(rich_report: Report, emptied: dict[str, object], gone: str) -> None:
    shown = titles(parsed(render_html(rich_report.model_copy(update=emptied))))
    assert gone not in shown


def test_a_report_of_nothing_is_a_page_that_says_so(rich_report: Report) -> None:
    bare = Report(title="Nothing", created_at="now", environment=rich_report.environment)
    text = parsed(render_html(bare)).text
    assert "Nothing was decided." in text
    assert "Nothing was measured." in text


def test_every_picture_says_in_words_what_it_shows_and_has_its_figures_as_a_table(page: Element) -> None:
    pictures = page.every("svg")
    assert len(pictures) > 20
    for picture in pictures:
        assert picture.attributes["role"] == "img"
        assert len(picture.attributes["aria-label"]) > 40
    for figure in page.every("figure"):
        assert figure.every("figcaption")[0].text
        assert figure.every("details")[-1].every("table"), "a figure without a table"
    assert sum(len(figure.every("svg")) for figure in page.every("figure")) == len(pictures)


def test_marked_samples_are_drawn_and_none_is_left_out_of_the_count(rich_report: Report, page: Element) -> None:
    first = rich_report.measurements[0]
    marked = sum(map(len, first.marks.values()))
    latency = next(section for section in page.every("section") if section.every("h2")[0].text == "Latency")
    words = [text.text for text in latency.every("svg")[0].every("text")]
    assert any(f"{len(first.end_to_end_s)} calls, {marked} marked" in word for word in words)
    crosses = next(p for p in latency.every("svg")[0].every("path") if p.attributes["class"] == "marked")
    assert crosses.attributes["d"].count("M") == marked


def test_a_file_on_the_front_and_the_recommended_one_are_told_apart(page: Element) -> None:
    trade_off = next(section for section in page.every("section") if section.every("h2")[0].text == "Trade-off")
    wide = trade_off.every("svg")[0]
    discs = [circle.attributes["class"] for circle in wide.every("circle") if "disc" in circle.attributes["class"]]
    assert len(discs) == 6
    assert sum("chosen" in kind for kind in discs) == 1
    assert any(path.attributes["class"] == "front" for path in wide.every("path"))
    assert "87" in trade_off.every("table")[0].text


def test_a_file_without_passed_parity_is_drawn_as_such(gpu_report: Report, page: Element) -> None:
    trade_off = next(e for e in parsed(render_html(gpu_report)).every("figure") if "Pareto" in e.text)
    classes = [circle.attributes["class"] for circle in trade_off.every("svg")[0].every("circle")]
    assert sum("unproven" in kind for kind in classes) == 1
    assert "parity failed" in trade_off.every("table")[0].text
    assert not [c for c in page.every("circle") if "unproven" in c.attributes["class"]]


def test_an_invalid_session_says_so_before_anything_else(rich_report: Report) -> None:
    main = parsed(render_html(enriched_report(valid=False))).every("main")[0]
    opening = main.children[0]
    assert isinstance(opening, Element)
    assert opening.text.startswith("This session is not valid")
    assert "two copies of the baseline differ by x1.09" in opening.text
    assert "not valid" not in parsed(render_html(rich_report)).every("main")[0].children[0].text  # type: ignore[union-attr]


def test_doubts_stand_at_the_top_and_once(golden_report: Report) -> None:
    busy = golden_report.environment.model_copy(update={"load_average_1m": 99.0})
    page = parsed(render_html(golden_report.model_copy(update={"environment": busy})))
    opening = page.every("main")[0].children[0]
    assert isinstance(opening, Element)
    assert "The machine was busy at the start" in opening.text
    assert page.text.count("The machine was busy at the start") == 1


def test_no_text_of_a_report_becomes_markup() -> None:
    page = render_html(enriched_report(hostile=HOSTILE))
    root = parsed(page)
    assert not root.every("script")
    assert "<script" not in page
    assert HOSTILE in root.every("title")[0].text
    for element in (e for name in ("svg", "a", "div", "span", "table", "figure") for e in root.every(name)):
        assert not [name for name in element.attributes if name.startswith("on") or "'" in name or '"' in name]
    assert any(HOSTILE in picture.attributes["aria-label"] for picture in root.every("svg"))


def test_nothing_is_loaded_from_anywhere(page: Element, rich_report: Report) -> None:
    text = re.sub(r'href="data:[^"]*"', "", render_html(rich_report))
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text)
    assert {
        e.name for e in page.every("link") + page.every("script") + page.every("img") + page.every("iframe")
    } == set()
    (policy,) = (m for m in page.every("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.attributes["content"].startswith("default-src 'none'")


def test_the_raw_data_are_the_report(page: Element, rich_report: Report, tmp_path: Path) -> None:
    links = {a.attributes["download"]: a.attributes["href"] for a in page.every("a") if "download" in a.attributes}
    packed = base64.b64decode(links["report.json.gz"].partition("base64,")[2])
    (tmp_path / "report.json").write_bytes(gzip.decompress(packed))
    assert read_report(tmp_path) == rich_report
    assert base64.b64decode(links["report.csv"].partition("base64,")[2]).decode() == render_csv(rich_report)


def test_the_same_report_gives_the_same_bytes(rich_report: Report) -> None:
    again = Report.model_validate(json.loads(rich_report.model_dump_json()))
    assert render_html(again) == render_html(rich_report)


def test_links_within_the_page_lead_somewhere_and_ids_are_unique(page: Element) -> None:
    def ids(element: Element) -> list[str]:
        below = [i for child in element.children if isinstance(child, Element) for i in ids(child)]
        return [*([element.attributes["id"]] if "id" in element.attributes else []), *below]

    found = ids(page)
    assert len(found) == len(set(found))
    targets = [a.attributes["href"][1:] for a in page.every("a") if a.attributes["href"].startswith("#")]
    assert targets
    assert set(targets) <= set(found)
    assert page.every("body")[0].every("a")[0].attributes["class"] == "skip"


@pytest.mark.parametrize("name", ["golden", "golden/gpu", "golden/report-v1.json", "golden/report-v2.json"])
def test_reports_of_every_age_are_rendered(golden_folder: Path, name: str) -> None:
    root = parsed(render_html(read_report(golden_folder.parent / name)))
    assert "Trade-off" in titles(root)
    assert "Latency" in titles(root)


def test_rows_with_random_weights_have_no_trade_off(golden_report: Report) -> None:
    rows = tuple(row.model_copy(update={"wer": "untrained", "wer_split": None}) for row in golden_report.summary)
    root = parsed(render_html(golden_report.model_copy(update={"summary": rows, "decision": None})))
    assert "Trade-off" not in titles(root)


# --- colours ----------------------------------------------------------------------------------------------------------


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_trials_under_load_are_points_that_no_line_joins(rich_report: Report) -> None:
    points = [{"streams": n, "p99_s": 0.1, "samples": 700.0, "within": float(n != 23.0)} for n in (20.0, 23.0, 53.0)]
    run = next(run for run in rich_report.load if run.scenario == "streams").model_copy(update={"points": points})
    drawn = load_figure(rich_report.model_copy(update={"load": (run,)}))
    assert drawn is not None
    assert "<polyline" not in str(drawn)
    classes = [str(drawn).count(f'class="{kind} ') for kind in ("point", "hollow")]
    assert classes == [2, 1]


@pytest.fixture(scope="module")
def schemes(page: Element) -> list[dict[str, str]]:
    """The colours of light, dark and print, in that order."""
    blocks = re.findall(r":root \{([^}]*)\}", page.every("style")[0].text)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]


@pytest.mark.parametrize("number", [0, 1, 2], ids=["light", "dark", "print"])
def test_text_and_marks_stand_out(schemes: list[dict[str, str]], number: int) -> None:
    colours = schemes[number]
    pairs = [("fg", "page"), ("fg", "surface"), ("fg", "raised"), ("muted", "surface"), ("muted", "raised")]
    pairs += [("muted", "page"), ("accent", "surface"), ("accent", "page"), ("accent", "raised")]
    pairs += [("note-fg", "note"), ("bad-fg", "bad")]
    for text, ground in pairs:
        assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    marks = ["c1", "c2", "c3", "c4", "c5", "c6", "faster", "slower", "same", "unclear", "floor"]
    for mark in marks:
        assert _contrast(colours[mark], colours["surface"]) >= 3.0, mark


def test_a_colour_too_pale_would_be_found() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert _contrast("#bbbbbb", "#ffffff") < 3.0
