"""Rendered reports against golden files, and that nothing a report can say is lost on the way."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from slrbench.measure.environment import capture_environment
from slrbench.records import Candidate, ParityWord, Report, Scope, SummaryRow
from slrbench.reporting.decision import decide
from slrbench.reporting.display import MISSING, megabytes, milliseconds, number, percent
from slrbench.reporting.markdown import free_table, table
from slrbench.reporting.render_csv import render_csv
from slrbench.reporting.render_markdown import headline, render_decision, render_markdown
from slrbench.reporting.store import report_json

Check = Callable[[str, Path], None]


def test_markdown_is_the_golden_one(golden_report: Report, golden_folder: Path, check_golden: Check) -> None:
    check_golden(render_markdown(golden_report), golden_folder / "report.md")


def test_csv_is_the_golden_one(golden_report: Report, golden_folder: Path, check_golden: Check) -> None:
    check_golden(render_csv(golden_report), golden_folder / "report.csv")


def test_json_is_the_golden_one(golden_report: Report, golden_folder: Path, check_golden: Check) -> None:
    check_golden(report_json(golden_report), golden_folder / "report.json")


def test_csv_holds_every_figure_of_the_summary(golden_report: Report) -> None:
    lines = list(csv.DictReader(io.StringIO(render_csv(golden_report))))
    assert len(lines) == len(golden_report.summary)
    for line, row in zip(lines, golden_report.summary, strict=True):
        figures = row.model_dump(mode="json")
        for name, low, high in (("p50_interval", "p50_low_s", "p50_high_s"), ("wer_interval", "wer_low", "wer_high")):
            interval = figures.pop(name) or {"low": None, "high": None}
            figures |= {low: interval["low"], high: interval["high"]}
        assert line == {name: "" if v is None else str(v) for name, v in figures.items()}
    assert "{" not in render_csv(golden_report)


NOT_COMPARED: dict[str, object] = {"baseline": None, "comparisons": (), "scaling": ()}
"""What goes with rows that are not those of the measurements."""


def _with(report: Report, **fields: object) -> Report:
    """The report with one row in its table, in which ``fields`` are different."""
    row = SummaryRow.model_validate({**report.summary[1].model_dump(), "measurement": None, **fields})
    only = {"summary": (row,), "decision": decide([row]), "measurements": (), "verdicts": {}, **NOT_COMPARED}
    return report.model_copy(update=only)


@pytest.mark.parametrize("parity", get_args(ParityWord))
def test_every_parity_word_is_in_its_row(golden_report: Report, parity: str) -> None:
    results = render_markdown(_with(golden_report, parity=parity)).split("## Results")[1].split("##")[0]
    assert f"| {parity}" in results


@pytest.mark.parametrize("backend", get_args(Candidate.model_fields["backend"].annotation))
def test_every_backend_is_in_its_row(golden_report: Report, backend: str) -> None:
    assert f"| {backend} " in render_markdown(_with(golden_report, backend=backend))


@pytest.mark.parametrize("input_kind", get_args(Candidate.model_fields["input_kind"].annotation))
def test_an_unusual_input_is_named(golden_report: Report, input_kind: str) -> None:
    shown = f"torch ({input_kind})" in render_markdown(_with(golden_report, input_kind=input_kind))
    assert shown == (input_kind != "float32")


@pytest.mark.parametrize("scope", get_args(Scope))
def test_every_scope_has_its_table_of_latencies(golden_report: Report, scope: str) -> None:
    latency = render_markdown(_with(golden_report, scope=scope)).split("## Latency in detail")[1].split("\n## ")[0]
    shown = {
        "end_to_end": "End to end, host to host",
        "compute": "Compute (run and synchronise)",
        "pixels_to_glosses": "Pixels to glosses (from a video's bytes)",
    }
    assert [words in latency for words in shown.values()] == [name == scope for name in shown]


def test_every_section_is_there_and_the_decision_is_last(golden_report: Report) -> None:
    text = render_markdown(golden_report)
    titles = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert titles[-1] == "Decision"
    assert set(golden_report.tables) < set(titles)
    assert text.splitlines()[2] == f"**{headline(golden_report)}**"


def test_an_empty_report_says_that_nothing_was_measured(golden_report: Report) -> None:
    empty = Report(title="Empty", created_at="2026-01-02", environment=golden_report.environment)
    text = render_markdown(empty)
    assert "Nothing was measured." in text
    without_wer = render_markdown(golden_report.model_copy(update={"accuracies": ()}))
    assert "No WER was measured." in without_wer
    assert text.endswith("## Decision\n\nNothing was decided.\n")
    undecidable = render_markdown(empty.model_copy(update={"decision": decide([])}))
    assert undecidable.count("Nothing can be recommended") == 2  # at the top and in the last section


def test_the_end_of_a_run_shows_the_main_table_and_the_decision_without_marks(golden_report: Report) -> None:
    text = render_decision(golden_report)
    assert golden_report.decision is not None
    assert headline(golden_report) in " ".join(text.split())
    assert golden_report.decision.reason in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100
    assert text.splitlines()[0] in render_markdown(golden_report)
    assert "| ship |" in text
    front = text[text.index("| Pareto front") :].splitlines()
    assert max(len(line) for line in front if line.startswith("|")) <= 100
    assert "**" not in text


def test_the_wer_on_signers_never_seen_stands_beside_the_other(golden_report: Report) -> None:
    text = render_markdown(golden_report)
    unseen = "(120 clips of test: recordings seen in training); 18.16 % on signers never seen."
    assert headline(golden_report).endswith(unseen)
    decision = text.split("## Decision")[1]
    assert "has a WER of 18.16 %" in decision
    assert "Unseen (%) |" in decision
    assert "Unseen: the checkpoint's WER on signers never seen." in decision
    assert "mostly single letters" in text
    without = render_markdown(
        golden_report.model_copy(
            update={"training": tuple(f.model_copy(update={"test_signers": None}) for f in golden_report.training)}
        )
    )
    assert "% (120 clips of test)." in without
    assert "never seen" not in without
    assert "single letters" not in without


def test_the_recommendation_says_on_how_many_clips_its_wer_rests(golden_report: Report) -> None:
    one = tuple(a.model_copy(update={"clips": 1}) for a in golden_report.accuracies)
    assert "% (1 clip of test" in headline(golden_report.model_copy(update={"accuracies": one}))
    # Of another file, another split or another way to run it, the count is not the row's.
    for update in ({"artifact_sha256": "0" * 64}, {"split": "dev"}, {"device": "cuda"}):
        others = tuple(a.model_copy(update=update) for a in golden_report.accuracies)
        assert "% (test" in headline(golden_report.model_copy(update={"accuracies": others}))


def test_a_failed_file_that_was_not_measured_is_named_by_its_verdict(golden_report: Report) -> None:
    sha256, verdict = next(iter(golden_report.verdicts.items()))
    known = {"model": "student-x", "format": "onnx", "input_kind": "uint8"}
    for named, shown in ((verdict, sha256[:12]), ({**verdict, **known}, "student-x"), (known, "onnx (uint8)")):
        bare = {"verdicts": {sha256: named}, "summary": (), "decision": None, **NOT_COMPARED}
        report = golden_report.model_copy(update=bare)
        assert f"| {shown} " in render_markdown(report).split("## Parity")[1]


def test_reasons_stand_in_the_parity_table_only_where_a_file_failed(golden_report: Report) -> None:
    passed = {sha256: verdict for sha256, verdict in golden_report.verdicts.items() if verdict["passed"]}
    for verdicts, because in ((golden_report.verdicts, True), (passed, False)):
        text = render_markdown(golden_report.model_copy(update={"verdicts": verdicts}))
        parity = text.split("## Parity")[1].split("## ")[0]
        assert ("Because" in parity) == because
        assert "relative one of 1e-4" in parity


def test_rows_out_for_the_same_reason_at_another_batch_are_one_line(golden_report: Report) -> None:
    one = next(row for row in golden_report.summary if row.scope == "end_to_end")
    rows = [
        one.model_copy(update={"backend": backend, "batch": batch, "model": model})
        for model in ("teacher", "student")
        for backend in ("onnx", "openvino")
        for batch in (1, 4, 8)
    ]
    other = {"summary": tuple(rows), "decision": decide(rows), **NOT_COMPARED}
    text = render_markdown(golden_report.model_copy(update=other))
    folded = [line for line in text.split("Not recommended")[1].splitlines() if "decided at batch 1" in line]
    assert len(folded) == 2
    for line, batch in zip(folded, (4, 8), strict=True):
        assert [word in line for word in ("teacher, student", "onnx, openvino", f"{batch} x 32")] == [True] * 3


def test_what_was_asked_for_and_not_given_is_said(golden_report: Report) -> None:
    assert "threads: asked for 2, got 1" in render_markdown(golden_report)


def test_skipped_candidates_keep_their_reason(golden_report: Report) -> None:
    text = render_markdown(golden_report)
    assert all(skipped.reason in text for skipped in golden_report.skipped)


def test_the_host_is_not_named(golden_report: Report) -> None:
    environment = golden_report.environment.model_copy(update={"hostname": "janes-laptop"})
    assert "janes-laptop" not in render_markdown(golden_report.model_copy(update={"environment": environment}))
    assert capture_environment().hostname == ""


def test_text_cannot_break_a_table() -> None:
    lines = table(["a", "b"], [["x|y\nz <b>", None]], left=2).splitlines()
    assert len(lines) == 3
    assert lines[2] == f"| x\\|y z \\<b> | {MISSING} |"


def test_columns_of_figures_are_right_aligned() -> None:
    rule = free_table([{"seed": 1, "what": "x", "wer": 0.5}, {"seed": 2, "wer": None, "more": "y"}]).splitlines()[1]
    assert [cell.endswith(":") for cell in rule.strip("|").split("|")] == [True, False, True, False]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, MISSING), (0.0001234, "0.123"), (0.008213, "8.21"), (0.0821, "82.1"), (1.9, "1900")]
)
def test_milliseconds(seconds: float | None, shown: str) -> None:
    assert milliseconds(seconds) == shown


def test_megabytes_percent_and_numbers() -> None:
    assert [megabytes(n) for n in (None, 4_100_000, 123_456_789)] == [MISSING, "4.10", "123"]
    assert [percent(s) for s in (None, "untrained", 0.0, 0.12345, 1.5)] == [
        MISSING,
        "untrained",
        "0.00",
        "12.35",
        "150.00",
    ]
    assert [number(n, 1e6) for n in (None, 1.5e6)] == [MISSING, "1.50"]


def test_rows_of_a_sweep_over_threads_and_sizes_are_told_apart(golden_report: Report) -> None:
    row = golden_report.summary[1]
    for fields, header, cells in (
        ({"threads": 4}, "Threads", ("2", "4")),
        ({"height": 96, "width": 96}, "Size", ("48 x 48", "96 x 96")),
    ):
        report = golden_report.model_copy(
            update={
                "summary": (row, row.model_copy(update=fields)),
                "decision": None,
                **NOT_COMPARED,
            }
        )
        text = render_markdown(report)
        for title in ("Results", "Latency in detail", "Throughput, memory and size"):
            section = text.split(f"## {title}\n")[1].split("\n## ")[0]
            lines = [line for line in section.splitlines() if line.startswith("|")]
            assert f"| {header}" in lines[0], title
            assert all(any(f"| {cell} " in line for line in lines) for cell in cells), title
    assert "| Threads" not in render_markdown(golden_report)
