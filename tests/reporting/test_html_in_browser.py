"""report.html in Chromium: silent, without network, within a phone's width, light and dark, reachable by keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from slrbench.records import Report
from slrbench.reporting.html.page import render_html
from tests.reporting.browser import Browser, chromium

pytestmark = pytest.mark.skipif(chromium() is None, reason="no chromium on the PATH (Debian: apt install chromium)")

SHOWN = "[...document.querySelectorAll('svg')].filter(e => e.checkVisibility())"
TOO_WIDE = """[...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.scroll') && !e.closest('svg') && !e.matches('.skip') && e.checkVisibility())
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(e => e.tagName + '.' + e.className)"""
CLIPPED = """[...document.querySelectorAll('svg')].filter(e => e.checkVisibility()).flatMap(svg =>
  [...svg.querySelectorAll('text')].filter(t => {
    const box = t.getBBox(), view = svg.viewBox.baseVal;
    return box.x < -2 || box.y < -2 || box.x + box.width > view.width + 2 || box.y + box.height > view.height + 2;
  }).map(t => t.textContent))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(rich_report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_html(rich_report), encoding="utf-8")
    return path


def test_the_console_is_silent_and_the_network_unused(browser: Browser, page: Path) -> None:
    browser.open(page, width=1100)
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]


def test_a_page_that_breaks_the_rules_is_found_out(browser: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<meta name="viewport" content="width=device-width, initial-scale=1"><script>console.error("oh")</script>'
        '<div style="width:900px">x</div><img src="http://x.invalid/y">'
        '<svg viewBox="0 0 100 20" width="100"><text x="80" y="10">longer than there is room</text></svg>'
    )
    browser.open(bad, width=360)
    assert browser.complaints()
    assert len(browser.requests()) == 2
    assert browser.evaluate(TOO_WIDE) == ["DIV."]
    assert browser.evaluate("document.documentElement.scrollWidth") == 900 + 8  # and the body's margin
    assert browser.evaluate(CLIPPED) == ["longer than there is room"]


@pytest.mark.parametrize("width", [360, 768, 1100])
def test_nothing_is_wider_than_the_screen_and_no_label_is_cut_off(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert width - 20 <= browser.evaluate("document.documentElement.clientWidth") <= width  # a scroll bar is 15 wide
    assert browser.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.evaluate(CLIPPED) == []


def test_pictures_are_shown_once_in_the_drawing_that_fits(browser: Browser, page: Path) -> None:
    browser.open(page, width=1100)
    wide = browser.evaluate(f"{SHOWN}.map(e => e.getAttribute('class'))")
    browser.open(page, width=360)
    narrow = browser.evaluate(f"{SHOWN}.map(e => e.getAttribute('class'))")
    assert "wide" in wide
    assert "narrow" not in wide
    assert "narrow" in narrow
    assert "wide" not in narrow
    assert len(wide) == len(narrow) > 10
    height = browser.evaluate("Math.min(...[...document.querySelectorAll('svg')].map(e => e.clientHeight || 99))")
    assert height > 40


def test_letters_on_a_phone_are_large_enough(browser: Browser, page: Path) -> None:
    browser.open(page, width=360)
    smallest = browser.evaluate(
        f"Math.min(...{SHOWN}.flatMap(s => [...s.querySelectorAll('text')].map("
        "t => parseFloat(getComputedStyle(t).fontSize) * s.clientWidth / s.viewBox.baseVal.width)))"
    )
    assert smallest >= 9.5


def test_dark_differs_from_light(browser: Browser, page: Path) -> None:
    colours = []
    for scheme in ("light", "dark"):
        browser.open(page, width=1100, scheme=scheme)
        colours.append(
            browser.evaluate(
                "[document.body, document.querySelector('section'), document.querySelector('svg text')]"
                ".map(e => getComputedStyle(e).backgroundColor + getComputedStyle(e).fill + getComputedStyle(e).color)"
            )
        )
    assert all(light != dark for light, dark in zip(*colours, strict=True))


def test_paper_shows_what_is_folded_on_the_screen(browser: Browser, page: Path) -> None:
    table = "document.querySelector('figure details table').checkVisibility()"
    browser.open(page, width=1100)
    assert browser.evaluate(table) is False
    browser.open(page, width=1100, media="print", scheme="dark")
    assert browser.evaluate(table) is True
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"


def test_the_keyboard_reaches_the_decision_and_the_tables(browser: Browser, page: Path) -> None:
    browser.open(page, width=1100)

    def press(key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            written = {"text": text} if text and kind == "keyDown" else {}
            browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **written)

    press("Tab", 9)
    assert browser.evaluate("document.activeElement.className") == "skip"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    press("Enter", 13, "\r")
    assert browser.evaluate("document.activeElement.id") == "main"
    browser.evaluate("document.querySelector('figure summary').focus()")
    press("Enter", 13, "\r")
    assert browser.evaluate("document.querySelector('figure details').open")


def test_the_raw_data_can_be_saved(browser: Browser, page: Path, tmp_path: Path) -> None:
    browser.open(page, width=1100)
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.evaluate("document.querySelector('a[download=\"report.csv\"]').click()")
    while not any(
        event.get("method") == "Page.downloadProgress" and event["params"]["state"] != "inProgress"
        for event in browser.events
    ):
        browser.wait()
    assert (tmp_path / "report.csv").read_text().startswith("model,backend,")
