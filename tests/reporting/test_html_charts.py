"""The parts of the pictures: scales, ticks, labels, and Markdown as HTML."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slrbench.reporting.html.charts.drawing import Drawing
from slrbench.reporting.html.charts.places import Taken
from slrbench.reporting.html.charts.scale import Scale, spanning
from slrbench.reporting.html.from_markdown import sections, to_html
from slrbench.reporting.html.markup import Markup, tag
from slrbench.reporting.markdown import table

positive = st.floats(min_value=1e-6, max_value=1e6)


@given(values=st.lists(positive, min_size=1, max_size=8), log=st.sampled_from([True, False, None]))
def test_every_value_lies_within_the_picture_and_in_order(values: list[float], log: bool | None) -> None:
    scale = spanning(values, 10.0, 300.0, log=log)
    places = [scale(value) for value in sorted(values)]
    assert all(10.0 <= place <= 300.0 for place in places)
    assert places == sorted(places)


@given(values=st.lists(positive, min_size=1, max_size=8), log=st.booleans(), most=st.integers(2, 9))
def test_ticks_are_few_and_within_the_scale(values: list[float], log: bool, most: int) -> None:
    scale = spanning(values, 0.0, 300.0, log=log)
    ticks = scale.ticks(most)
    assert 1 <= len(ticks) <= most
    assert all(scale.low * (1 - 1e-9) <= tick <= scale.high * (1 + 1e-9) for tick in ticks)


def test_ticks_are_round() -> None:
    assert Scale(0.0, 10.0, 0.0, 100.0).ticks(6) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert Scale(0.004, 0.07, 0.0, 100.0, log=True).ticks(4) == [0.005, 0.01, 0.02, 0.05]


def test_a_wide_range_is_logarithmic_where_that_may_be() -> None:
    assert spanning([1.0, 100.0], 0.0, 1.0, log=None).log
    assert not spanning([1.0, 2.0], 0.0, 1.0, log=None).log
    assert not spanning([0.0, 100.0], 0.0, 1.0, log=None).log


def test_one_value_has_a_scale_too() -> None:
    for value in (0.0, 3.0):
        assert math.isfinite(spanning([value], 0.0, 100.0)(value))


def test_labels_of_one_place_do_not_cover_each_other() -> None:
    taken = Taken(200.0, 200.0)
    places = [taken.near(100.0, 100.0, 5.0, 10.0, 10.0) for _ in range(12)]
    apart = [max(abs(a[0] - b[0]), abs(a[1] - b[1])) for i, a in enumerate(places) for b in places[:i]]
    assert min(apart) >= 9.0


def test_a_long_label_is_cut_and_kept_whole_as_its_title() -> None:
    drawing = Drawing(100.0, 20.0)
    drawing.text(0.0, 10.0, "a name that is much too long", most=65.0)
    svg = drawing.svg("label")
    assert ">a name th…<" in svg.replace("</title>", "</title>>").replace(">>", ">")
    assert "<title>a name that is much too long</title>" in svg


def test_samples_on_the_same_pixel_are_one_dot() -> None:
    drawing = Drawing(100.0, 20.0)
    drawing.dots([(10.01, 5.0), (10.02, 5.0), (30.0, 5.0)], "sample")
    assert drawing.svg("label").count("h0") == 2


@given(st.text())
def test_what_is_not_markup_is_escaped(text: str) -> None:
    element = tag("p", text, title=text)
    assert element.count("<") == 2
    assert element.count(">") == 2
    assert tag("p", Markup("<b>x</b>")) == "<p><b>x</b></p>"


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["C"])), min_size=2, max_size=2), min_size=1))
def test_a_table_of_ours_keeps_its_cells(rows: list[list[str]]) -> None:
    html = to_html(table(["One", "Two"], rows, left=1), "cells")
    assert html.count("<tr>") == len(rows) + 1
    assert html.count("<td") == 2 * len(rows)


def test_markdown_of_ours_becomes_html() -> None:
    text = "**Ship `it`**: x\n\n- one\n- a \\< b\n\n| A | B (ms) |\n|:--|--:|\n| x \\| y | 1.0 |"
    assert to_html(text, "name") == (
        "<p><strong>Ship <code>it</code></strong>: x</p><ul><li>one</li><li>a &lt; b</li></ul>"
        '<div class="scroll" role="region" aria-label="Table: name" tabindex="0"><table><thead><tr>'
        '<th scope="col">A</th><th scope="col" class="number">B (ms)</th></tr></thead><tbody><tr>'
        '<td class="short">x | y</td><td class="number">1.0</td></tr></tbody></table></div>'
    )
    assert sections("# T\n\nx\n\n## A\n\n1\n\n## B\n\n2\n") == {"A": "1", "B": "2"}


def test_a_scale_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        spanning([], 0.0, 1.0)
