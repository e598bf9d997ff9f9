"""Load in the report: tables, sentences, and the figure of streams that a row repeats."""

from typing import Any

import pytest

from slrbench.records import Candidate, LoadRun, Report
from slrbench.reporting.display import MISSING
from slrbench.reporting.html.page import render_html
from slrbench.reporting.load_tables import load_section, load_summary, stream_words, streams_of, streams_table
from slrbench.reporting.render_markdown import render_decision, render_markdown


@pytest.fixture
def candidate(golden_report: Report) -> Candidate:
    found: Candidate = golden_report.measurements[0].candidate
    return found.model_copy(update={"model": "untrained student:width=0.5,size=64", "backend": "onnx", "batch": 1})


def point(streams: int, p99_s: float, *, within: bool, samples: int = 700, planned: int = 700) -> dict[str, float]:
    return {
        "streams": float(streams), "p99_s": p99_s, "within": float(within), "samples": float(samples),
        "planned": float(planned), "kept_up": float(within),
    }  # fmt: skip


def streams_run(candidate: Candidate, **changes: Any) -> LoadRun:
    values: dict[str, Any] = {
        "candidate": candidate, "scenario": "streams", "valid": True, "figure": 7.0, "samples": 700,
        "settings": {"latency_bound_s": 0.2, "stride": 32},
        "points": (
            point(4, 0.1, within=True, samples=30, planned=30), point(8, 0.412, within=False, samples=40),
            point(16, 2.0, within=False, samples=40), point(7, 0.143, within=True),
        ),
    }  # fmt: skip
    return LoadRun.model_validate(values | changes)


def loadgen_run(candidate: Candidate, scenario: str, figure: float | None, **changes: Any) -> LoadRun:
    values: dict[str, Any] = {
        "candidate": candidate, "scenario": scenario, "valid": figure is not None, "figure": figure, "samples": 700,
        "percentiles_s": {"p50": 0.0412, "p90": 0.051, "p99": 0.0987},
        "loadgen": {"agreement": {"p50": 1.0012, "p99": 0.9966}},
    }  # fmt: skip
    return LoadRun.model_validate(values | changes)


def test_a_sentence_says_how_many_streams_and_what_one_more_would_cost(candidate: Candidate) -> None:
    words = stream_words(streams_run(candidate), [])
    assert words.endswith("sustains 7 streams: p99 143 ms of 200; at 8: longest 412 ms, ended early")
    one = streams_run(candidate, figure=1.0, points=(point(1, 0.1, within=True),))
    assert stream_words(one, []).endswith("sustains 1 stream: p99 100 ms of 200")


def test_no_stream_at_all_is_a_sentence_too(candidate: Candidate) -> None:
    none = streams_run(candidate, figure=0.0, points=(), valid=False, reason="a single call takes 300 ms at the least")
    assert stream_words(none, []).endswith("sustains no stream: a single call takes 300 ms at the least")
    fewer = streams_run(candidate, figure=None, points=(point(9, 0.5, within=False, samples=9),), valid=False)
    assert stream_words(fewer, []).endswith("sustains fewer; at 9: longest 500 ms, ended early")


def test_p99_is_said_from_662_clips_on_and_below_only_its_bound(candidate: Candidate) -> None:
    few = streams_run(candidate, points=(point(7, 0.143, within=True, samples=560) | {"p99_bound_s": 0.15},))
    assert stream_words(few, []).endswith("sustains 7 streams: p99 <= 150 ms of 200 with 99 % confidence")
    cells = [cell.strip() for cell in streams_table((few,)).splitlines()[-1].split("|")]
    assert cells[2:5] == ["7", MISSING, "150"]
    enough = streams_run(candidate, points=(point(7, 0.143, within=True, samples=662) | {"p99_bound_s": 0.15},))
    cells = [cell.strip() for cell in streams_table((enough,)).splitlines()[-1].split("|")]
    assert cells[2:5] == ["7", "143", "150"]
    for rule in ("p99 is given from 662 clips on", "Sure: that is within the bound"):
        assert rule in load_section((few,))
        assert rule in load_summary((few,))


def test_the_terminal_explains_its_columns_as_the_file_does(candidate: Candidate) -> None:
    shown = load_summary((loadgen_run(candidate, "Server", 12.3, settings={"latency_bound_s": 0.2}),))
    assert "Figure: SingleStream p90" in shown
    assert "Agrees: the largest difference" in shown


def test_a_server_that_falls_behind_is_said_to(candidate: Candidate) -> None:
    behind = streams_run(candidate, points=(point(7, 0.1, within=True), point(8, 0.15, within=False)))
    assert stream_words(behind, []).endswith("at 8: p99 150 ms, falling behind")


def test_tables_hold_every_scenario_and_fit_the_screen(candidate: Candidate) -> None:
    runs = (
        loadgen_run(candidate, "SingleStream", 0.0512),
        loadgen_run(candidate, "MultiStream", None, reason="p99 needs 662 queries, these were 220", percentiles_s={}),
        loadgen_run(candidate, "Server", 12.3, settings={"latency_bound_s": 0.2}),
        loadgen_run(candidate, "Offline", 19.2, percentiles_s={}),
        streams_run(candidate),
    )
    section = load_section(runs)
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= 100
    rows = {line.split("|")[1].strip(): line for line in lines}
    assert "51.2" in rows["SingleStream"]
    assert "clips/s" in rows["Offline"]
    assert "19.2" in rows["Offline"]
    assert "NO" in rows["MultiStream"]
    assert "98.7" in rows["Server"]
    assert "0.34 %" in rows["Server"]
    assert "p99 under 200 ms" in section
    assert "p99 needs 662 queries" in section
    assert "sustains 7 streams" in load_summary(runs)


def test_a_report_with_load_shows_it_and_one_without_has_no_section(
    golden_report: Report, candidate: Candidate
) -> None:
    loaded = golden_report.model_copy(update={"load": (streams_run(candidate),)})
    assert "## Under load" in render_markdown(loaded)
    assert "sustains 7 streams" in render_decision(loaded)
    assert "Under load" not in render_markdown(golden_report)
    assert load_section(()) == load_summary(()) == ""


def test_streams_of_are_those_of_the_same_file_in_the_same_way(candidate: Candidate) -> None:
    load = (loadgen_run(candidate, "Offline", 19.2), streams_run(candidate))
    assert streams_of(load, candidate) == 7
    assert streams_of(load, candidate.model_copy(update={"path": "elsewhere", "parity": "failed"})) == 7
    for change in ({"threads": 64}, {"artifact_sha256": "0"}, {"frames": 999}, {"variant": "compile"}):
        assert streams_of(load, candidate.model_copy(update=change)) is None


def test_streams_that_are_not_sure_are_not_given_and_none_is_a_number(candidate: Candidate) -> None:
    assert streams_of((streams_run(candidate, valid=False),), candidate) is None
    assert streams_of((streams_run(candidate, valid=False, figure=0.0),), candidate) == 0
    assert streams_of((streams_run(candidate, valid=False, figure=None),), candidate) is None


def test_runs_of_one_file_at_two_shapes_are_told_apart(golden_report: Report, candidate: Candidate) -> None:
    longer = candidate.model_copy(update={"frames": 2 * candidate.frames})
    load = (streams_run(candidate), streams_run(longer))
    found = load_section(load)
    for each in (candidate, longer):
        name = f"{each.model} on {each.backend}, 1 x {each.frames}"
        assert f"{name} sustains 7 streams" in found
        assert f"| {name} " in streams_table(load)
        assert f"{name}: camera streams" in render_html(golden_report.model_copy(update={"load": load}))
    assert f"1 x {candidate.frames}" not in load_section(load[:1])
    threads = (load[0], streams_run(candidate.model_copy(update={"threads": candidate.threads + 1})))
    assert f", threads {candidate.threads + 1} sustains 7 streams" in load_section(threads)
