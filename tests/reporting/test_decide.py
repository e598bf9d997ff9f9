"""Decisions within limits: properties, reasons, uncertainty, sensitivity, and the text that a person reads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slrbench.cli.app import main
from slrbench.records import Decision, Report, Sensitivity, SummaryRow
from slrbench.reporting.decision import decide
from slrbench.reporting.derive import derive
from slrbench.reporting.evidence import gather
from slrbench.reporting.pareto import pareto_front
from slrbench.reporting.requirements import LIMITS, Requirements
from slrbench.reporting.store import write_report
from tests.reporting.made_reports import FILES, STUDENT, STUDENT_ONNX, TEACHER, WRONG, File, make_report

Make = Callable[..., SummaryRow]
OBJECTIVES = ("latency", "throughput", "size", "wer")


@pytest.fixture(scope="module")
def report() -> Report:
    return make_report(*FILES)


def decided(report: Report, **asked: Any) -> Decision:
    evidence = gather(report.summary, report.measurements, report.accuracies)
    return decide(report.summary, Requirements(**asked), evidence)


def name(report: Report, index: int | None) -> str | None:
    return None if index is None else f"{report.summary[index].model} {report.summary[index].backend}"


def reason(report: Report, decision: Decision, of: str) -> str:
    return next(r.reason for r in decision.rejected if name(report, r.row) == of)


def feasible(rows: list[SummaryRow], decision: Decision) -> set[int]:
    """Rows that are not rejected for a limit: the front holds or is beaten by nothing else."""
    out = {r.row for r in decision.rejected if " is above " in r.reason or " is below " in r.reason}
    return set() if decision.recommended is None else set(range(len(rows))) - out


# --- properties -------------------------------------------------------------------------------------------------------

figures = st.fixed_dictionaries(
    {
        "p50_s": st.sampled_from([0.004, 0.005, 0.02, 0.04]),
        "wer": st.sampled_from([0.0, 0.02, 0.0301, 0.2, 0.6]),
        "size_bytes": st.sampled_from([1_000_000, 4_000_000, 9_000_000]),
        "peak_rss_bytes": st.sampled_from([None, 100_000_000, 300_000_000]),
        "throughput_clips_per_s": st.sampled_from([None, 20.0, 50.0]),
        "streams": st.sampled_from([None, 2, 5]),
        "batch": st.sampled_from([1, 1, 1, 4]),
    }
)
limits = st.fixed_dictionaries(
    {
        "max_p50_ms": st.sampled_from([None, 4.5, 25.0]),
        "max_size_mb": st.sampled_from([None, 3.0, 8.0]),
        "max_memory_mb": st.sampled_from([None, 200.0]),
        "max_wer": st.sampled_from([None, 0.0, 0.025, 0.7]),
        "min_throughput": st.sampled_from([None, 30.0]),
        "min_streams": st.sampled_from([None, 4]),
        "objective": st.sampled_from(OBJECTIVES),
    }
)
several = st.lists(figures, min_size=1, max_size=8)


def _rows(make_row: Make, values: list[dict[str, Any]]) -> list[SummaryRow]:
    return [make_row(**fields, artifact_sha256=f"{i:064x}") for i, fields in enumerate(values)]


@settings(max_examples=50)
@given(values=several, asked=limits)
def test_what_is_recommended_keeps_every_limit_and_is_on_the_front(
    make_row: Make, values: list[dict[str, Any]], asked: dict[str, Any]
) -> None:
    rows, wanted = _rows(make_row, values), Requirements(**asked)
    decision = decide(rows, wanted)
    for chosen in (decision.recommended, decision.runner_up):
        if chosen is not None:
            for limit in LIMITS:
                value = wanted.limit(limit.name)
                assert value is None or limit.met(limit.figure(rows[chosen]), value)
    if decision.recommended is not None:
        assert decision.recommended in decision.pareto
        assert set(decision.pareto) <= feasible(rows, decision)
    mentioned = [r.row for r in decision.rejected]
    assert sorted([*mentioned, *([] if decision.recommended is None else [decision.recommended])]) == list(
        range(len(rows))
    )


@settings(max_examples=50)
@given(
    values=several, asked=limits, limit=st.sampled_from([one.name for one in LIMITS[:6]]), factor=st.floats(0.2, 0.9)
)
def test_a_tighter_limit_never_lets_a_row_in(
    make_row: Make, values: list[dict[str, Any]], asked: dict[str, Any], limit: str, factor: float
) -> None:
    rows = _rows(make_row, values)
    loose = Requirements(**{"max_p50_ms": 30.0, "max_size_mb": 9.0, "max_memory_mb": 400.0, "max_wer": 0.5,
                            "objective": asked["objective"]})  # fmt: skip
    value = loose.limit(limit)
    if value is None:
        return
    tight = loose.with_limit(limit, factor * value)
    before, after = (decide(rows, one) for one in (loose, tight))
    assert feasible(rows, after) <= feasible(rows, before)
    if after.recommended is not None and before.recommended in feasible(rows, after):
        assert after.recommended == before.recommended


@settings(max_examples=50)
@given(values=several, asked=limits, data=st.data())
def test_the_order_of_rows_changes_nothing(
    make_row: Make, values: list[dict[str, Any]], asked: dict[str, Any], data: st.DataObject
) -> None:
    rows, wanted = _rows(make_row, values), Requirements(**asked)
    order = data.draw(st.permutations(range(len(rows))))
    here, there = decide(rows, wanted), decide([rows[i] for i in order], wanted)

    def back(index: int | None) -> int | None:
        return None if index is None else order[index]

    assert back(there.recommended) == here.recommended
    assert back(there.runner_up) == here.runner_up
    assert {order[i] for i in there.pareto} == set(here.pareto)
    assert {(order[r.row], r.reason) for r in there.rejected} == {(r.row, r.reason) for r in here.rejected}
    assert [(s.limit, s.value, s.direction, back(s.row)) for s in there.sensitivity] == [
        (s.limit, s.value, s.direction, s.row) for s in here.sensitivity
    ]


@settings(max_examples=50)
@given(values=several, factor=st.sampled_from([0.5, 2.0, 8.0]))
def test_scaled_times_scale_where_the_choice_changes(
    make_row: Make, values: list[dict[str, Any]], factor: float
) -> None:
    rows = _rows(make_row, values)
    slower = [row.model_copy(update={"p50_s": factor * row.p50_s}) for row in rows]
    here, there = decide(rows, Requirements(max_p50_ms=25.0)), decide(slower, Requirements(max_p50_ms=25.0 * factor))
    assert there.recommended == here.recommended

    def scaled(s: Sensitivity) -> tuple[Any, ...]:
        return s.limit, pytest.approx(s.value * (factor if s.limit == "max_p50_ms" else 1.0)), s.direction, s.row

    assert [(s.limit, s.value, s.direction, s.row) for s in there.sensitivity] == list(map(scaled, here.sensitivity))


@settings(max_examples=50)
@given(values=several, asked=limits)
def test_the_choice_is_another_beyond_each_value_and_the_same_before_it(
    make_row: Make, values: list[dict[str, Any]], asked: dict[str, Any]
) -> None:
    rows, wanted = _rows(make_row, values), Requirements(**asked)
    decision = decide(rows, wanted)
    for found in decision.sensitivity:
        limit = next(one for one in LIMITS if one.name == found.limit)
        tighter = (found.direction == "below") == limit.largest
        step = 1e-4 if limit.largest != tighter else -1e-4  # away from where the limit stands
        beyond = decide(rows, wanted.with_limit(found.limit, found.value * (1 + step) or found.value))
        assert beyond.recommended == found.row
        assert found.row != decision.recommended


# --- what is decided --------------------------------------------------------------------------------------------------


def test_the_default_decision_is_that_of_the_report_and_says_how_sure_it_is(report: Report) -> None:
    assert report.decision == decided(report)
    assert name(report, report.decision.recommended) == "teacher openvino"
    assert name(report, report.decision.runner_up) == "student openvino"
    assert set(report.decision.front_share.values()) >= {1.0}
    assert report.decision.choice_share[report.decision.recommended] > 0.9


def test_limits_change_the_choice_and_every_reason_has_figure_limit_and_unit(report: Report) -> None:
    decision = decided(report, max_p50_ms=20, max_size_mb=20)
    assert name(report, decision.recommended) == "student openvino"
    assert name(report, decision.runner_up) == "student onnx"
    assert reason(report, decision, "teacher openvino").startswith("p50 ")
    assert " ms is above 20.0 ms by " in reason(report, decision, "teacher openvino")
    assert "file size 40.0 MB is above 20.0 MB by 100 %" in reason(report, decision, "teacher openvino")
    assert "slower: " in reason(report, decision, "student onnx")
    assert decision.requirements == {"max_p50_ms": 20.0, "max_size_mb": 20.0}


def test_a_file_that_failed_parity_is_never_feasible(report: Report) -> None:
    for objective in OBJECTIVES:
        decision = decided(report, objective=objective)
        assert "student torchscript" not in {name(report, decision.recommended), name(report, decision.runner_up)}
        assert reason(report, decision, "student torchscript").startswith("parity failed")
    alone = make_report(WRONG)
    assert (decided(alone).recommended, decided(alone, max_p50_ms=1.0).nearest_miss) == (None, None)


@pytest.mark.parametrize(
    ("objective", "chosen"),
    [("latency", "student openvino"), ("size", "student onnx"), ("wer", "teacher openvino"),
     ("throughput", "student openvino")],
)  # fmt: skip
def test_every_objective_has_its_own_best(report: Report, objective: str, chosen: str) -> None:
    decision = decided(report, objective=objective, max_wer=0.2)
    assert name(report, decision.recommended) == chosen
    assert decision.recommended in decision.pareto


def test_a_p99_of_too_few_samples_meets_no_limit_and_says_how_many_are_missing() -> None:
    few = make_report(File(calls=60))  # 600 of 662
    decision = decided(few, max_p99_ms=1000)
    assert decision.recommended is None
    assert decision.rejected[0].reason == "p99 is not known from 600 samples: needs 62 more samples"
    assert (decision.nearest_miss, decision.shortfall) == (1, None)
    assert decided(make_report(File(calls=67)), max_p99_ms=1000).recommended is not None


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"min_streams": 4}, "sustained streams were not measured: bench with --streams"),
        ({"max_memory_mb": 500}, "memory was not measured"),
        ({"max_cold_start_ms": 500}, "cold start was not measured"),
    ],
)
def test_a_figure_that_was_not_measured_meets_no_limit(asked: dict[str, Any], words: str) -> None:
    decision = decided(make_report(File(rss_mb=None, cold_ms=())), **asked)
    assert decision.recommended is None
    assert words in decision.rejected[0].reason


def test_the_memory_of_a_gpu_row_is_the_larger_one_and_both_must_be_known(make_row: Make) -> None:
    row = make_row(device="cuda", peak_rss_bytes=400_000_000, device_memory_bytes=900_000_000)
    assert decide([row], Requirements(max_memory_mb=800)).recommended is None
    assert decide([row], Requirements(max_memory_mb=900)).recommended == 0
    unknown = row.model_copy(update={"device_memory_bytes": None})
    assert decide([unknown], Requirements(max_memory_mb=9000)).recommended is None


def test_streams_and_throughput_are_lower_limits(make_row: Make) -> None:
    rows = [make_row(streams=3, p50_s=0.001), make_row(streams=5, throughput_clips_per_s=30.0)]
    decision = decide(rows, Requirements(min_streams=4))
    assert decision.recommended == 1
    assert decision.rejected[0].reason == "streams 3 is below 4 by 25 %"
    (tighter,) = [s for s in decision.sensitivity if s.limit == "min_streams" and s.direction == "above"]
    (relaxed,) = [s for s in decision.sensitivity if s.limit == "min_streams" and s.direction == "below"]
    assert (tighter.value, tighter.row, relaxed.value, relaxed.row) == (5.0, None, 3.0, 0)
    assert decide(rows[1:], Requirements(min_throughput=31)).shortfall == pytest.approx(1 / 31)


def test_an_interval_that_holds_the_limit_is_said_on_both_sides_of_it() -> None:
    report = make_report(File(noise=0.05, p50_ms=10.0))
    interval = report.summary[1].p50_interval
    assert interval is not None
    for limit, word in ((interval.high * 999, "keeps"), (interval.low * 1001, "misses")):
        (said,) = decided(report, max_p50_ms=limit).uncertain
        assert word in said.reason
        assert "yet may be anything from" in said.reason
    assert decided(report, max_p50_ms=interval.high * 1001).uncertain == ()


def test_a_p99_whose_bound_is_beyond_the_limit_is_uncertain(make_row: Make) -> None:
    row = make_row(p99_s=0.038, p99_bound_s=0.043)
    evidence = gather([row.model_copy(update={"measurement": None})], [], [])
    (said,) = decide([row], Requirements(max_p99_ms=40), evidence).uncertain
    assert said.reason == "p99 38.0 ms keeps 40.0 ms, yet so few samples only prove 43.0 ms"
    assert decide([row], Requirements(max_p99_ms=44), evidence).uncertain == ()


def test_cold_starts_on_both_sides_of_the_limit_are_uncertain() -> None:
    (said,) = decided(make_report(File(cold_ms=(400.0, 450.0))), max_cold_start_ms=430).uncertain
    assert "cold start 400 ms keeps 430 ms, yet may be anything from 400 ms to 450 ms" in said.reason


def test_two_files_that_noise_cannot_tell_apart_share_front_and_choice() -> None:
    twins = make_report(File(backend="onnx", noise=0.05), File(backend="openvino", noise=0.05, p50_ms=10.05), rounds=8)
    decision = decided(twins)
    assert len(decision.choice_share) == 2
    assert all(0.02 < share < 0.98 for share in decision.choice_share.values())
    assert sum(decision.choice_share.values()) == pytest.approx(1.0)
    assert all(0.02 < share < 0.98 or share == 1.0 for share in decision.front_share.values())


def test_words_are_drawn_alike_for_files_that_read_alike() -> None:
    """A slower file that errs on the very same clips is never on the front, however few the clips."""
    same = make_report(File(backend="onnx", noise=0.001), File(backend="openvino", noise=0.001, p50_ms=20.0))
    decision = decided(same)
    assert sorted(decision.front_share.values()) == [0.0, 1.0]


def test_nothing_feasible_names_the_nearest_miss_by_its_worst_limit(report: Report) -> None:
    decision = decided(report, max_p50_ms=9, max_size_mb=1)
    assert (decision.recommended, decision.pareto, decision.runner_up) == (None, (), None)
    assert name(report, decision.nearest_miss) == "student onnx"
    assert decision.shortfall == pytest.approx(7.0)
    assert decision.reason.startswith("Nothing meets the requirements. The nearest miss is student on onnx")
    assert [s.direction for s in decision.sensitivity if s.row is not None] == []  # no single limit helps
    only = decided(report, max_size_mb=1)
    (relaxed,) = [s for s in only.sensitivity if s.limit == "max_size_mb"]
    assert (relaxed.direction, relaxed.value, name(report, relaxed.row)) == ("above", 8.0, "student onnx")


def test_the_setting_is_found_before_the_limits(make_row: Make) -> None:
    rows = [make_row(batch=1, p50_s=0.05), make_row(batch=8, p50_s=0.01)]
    decision = decide(rows, Requirements(max_p50_ms=20))
    assert decision.recommended is None
    assert decide(rows, Requirements(max_p50_ms=20, batch=8)).recommended == 1


def test_a_stated_wer_takes_the_place_of_the_tolerance(make_row: Make) -> None:
    rows = [make_row(wer=0.02, p50_s=0.05), make_row(wer=0.12, p50_s=0.01), make_row(wer=0.6, p50_s=0.001)]
    assert decide(rows).recommended == 0
    assert decide(rows, Requirements(max_wer=0.15)).recommended == 1
    assert decide(rows, Requirements(max_wer=0.7)).recommended == 2
    (budget,) = [s for s in decide(rows).sensitivity if s.limit == "max_wer" and s.direction == "above"]
    assert (budget.value, budget.row) == (0.12, 1)


def test_memory_is_weighed_where_it_is_limited(make_row: Make) -> None:
    rows = [make_row(p50_s=0.01, peak_rss_bytes=300_000_000), make_row(p50_s=0.02, peak_rss_bytes=100_000_000)]
    assert pareto_front(rows, [0, 1]) == [0]
    assert decide(rows, Requirements(max_memory_mb=400)).pareto == (0, 1)


# --- the command ------------------------------------------------------------------------------------------------------

EDGE = (
    "--max-p50-ms",
    "40",
    "--max-p99-ms",
    "35",
    "--max-size-mb",
    "20",
    "--max-memory-mb",
    "500",
    "--max-wer",
    "0.15",
)


@pytest.fixture
def folder(tmp_path: Path, report: Report) -> Path:
    write_report(tmp_path / "edge", report)
    return tmp_path / "edge"


def test_the_text_is_the_golden_one(
    folder: Path, golden_folder: Path, capsys: pytest.CaptureFixture[str], check_golden: Callable[[str, Path], None]
) -> None:
    assert main(["decide", str(folder), *EDGE]) == 0
    text = capsys.readouterr().out
    check_golden(text, golden_folder / "decide.txt")
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("Ship student on openvino (fp32, cpu): ")


def test_nothing_feasible_is_exit_code_1_with_the_golden_text(
    folder: Path, golden_folder: Path, capsys: pytest.CaptureFixture[str], check_golden: Callable[[str, Path], None]
) -> None:
    assert main(["decide", str(folder), "--max-p50-ms", "5", "--min-streams", "4"]) == 1
    captured = capsys.readouterr()
    check_golden(captured.out, golden_folder / "decide-nothing.txt")
    assert "nothing meets the requirements" in captured.err
    assert max(map(len, captured.out.splitlines())) <= 100


def test_every_column_at_once_and_long_names_fit_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "a-model-of-a-name-that-is-much-longer-than-any-table-likes"
    shape = {"precision": "fp16", "variant": "compile-max-autotune", "device": "cuda:1", "input_kind": "uint8"}
    write_report(tmp_path, make_report(File(model=long, candidate=shape), STUDENT, TEACHER))
    every = ["--min-throughput", "1", "--max-cold-start-ms", "9000", "--device", "cuda:1", "--max-memory-mb", "1"]
    assert main(["decide", str(tmp_path), *EDGE[:4], *every]) == 1
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_json_is_the_decision_record_and_goes_to_a_file(
    folder: Path, report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "decision.json"
    assert main(["decide", str(folder), "--max-p50-ms", "20", "--json", "--output", str(target)]) == 0
    assert capsys.readouterr().out == ""
    assert Decision.model_validate(json.loads(target.read_text())) == decided(report, max_p50_ms=20)


def test_toml_and_options_reach_the_decision(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edge = tmp_path / "edge.toml"
    edge.write_text('max_p50_ms = 1\nobjective = "size"\n')
    assert main(["decide", str(folder), "--requirements", str(edge), "--max-p50-ms", "50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["requirements"], found["objective"]) == ({"max_p50_ms": 50.0}, "size")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "cuda"], "nothing was measured at device cuda"),
        (["--batch", "8", "--frames", "7"], "nothing was measured at batch 8, frames 7"),
        (["--max-wer", "15"], "max_wer = 15.0 is not a share"),
        (["--max-wer", "150%"], "max_wer = 1.5 is not a share"),
        (["--max-wer", "few"], "max_wer = 'few' is not a share"),
        (["--max-p99-ms", "inf"], "max_p99_ms = inf is not a finite number"),
        (["--max-p99-ms", "nan"], "max_p99_ms = nan is not a finite number"),
        (["--max-p99-ms", "fast"], "invalid value for '--max-p99-ms'"),
        (["--objective", "beauty"], "unknown objective 'beauty'"),
        (["--requirements", "none.toml"], "there are no requirements at"),
    ],
)
def test_wrong_input_is_exit_code_2(
    folder: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decide", str(folder), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_as_output_is_named_as_it_was_given(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    assert main(["decide", str(folder), "--output", str(target)]) == 2
    assert f"error: a folder stands where a file is expected: {str(target)!r}" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["edge", "taken"]


def test_a_word_error_rate_in_percent_is_the_share(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decide", str(folder), "--max-wer", "15%", "--json"]) == 0
    assert '"max_wer": 0.15' in capsys.readouterr().out


def test_a_missing_report_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decide", str(tmp_path)]) == 2
    assert "there is no report at" in capsys.readouterr().err


def test_each_machine_gets_its_own_decision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(tmp_path / "a", make_report(STUDENT, STUDENT_ONNX))
    other = make_report(STUDENT, STUDENT_ONNX, seed=1, environment={"cpu": "Other CPU"})
    write_report(tmp_path / "b", other)
    arguments = ["decide", str(tmp_path / "a"), str(tmp_path / "b"), "--max-size-mb", "20"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "Example, 4 cores: Ship student on openvino" in " ".join(text.split())
    assert "Other, 4 cores: Ship student on openvino" in " ".join(text.split())
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [found[name]["recommended"] for name in ("Example, 4 cores", "Other, 4 cores")] == [1, 5]


@pytest.mark.parametrize(
    "doubt", ["outputs of timed calls are not those of the warm-up", "repeating one clip is faster: something caches"]
)
def test_a_file_whose_timed_outputs_are_in_doubt_is_never_recommended(
    make_row: Callable[..., SummaryRow], doubt: str
) -> None:
    rows = (make_row(p50_s=0.001, model="doubted", outputs_doubt=doubt), make_row(p50_s=0.002, model="sure"))
    decision = decide(rows)
    assert decision.recommended is not None
    assert rows[decision.recommended].model == "sure"
    assert {rejection.row: rejection.reason for rejection in decision.rejected}[0] == doubt


def test_a_p99_that_lacks_samples_is_named_with_the_rounds_that_would_give_them(
    report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = []
    for each in report.measurements:
        kept = [i for i, round_ in enumerate(each.round_of) if round_ < 6]
        columns = ("compute_s", "end_to_end_s", "round_of", "process_of")
        fields = {name: tuple(getattr(each, name)[i] for i in kept) for name in columns if getattr(each, name)}
        cut.append(each.model_copy(update=fields | {"marks": {}}))
    command = "python -m slrbench bench student --rounds 6 -o there"
    short = derive(report.model_copy(update={"command": command, "measurements": tuple(cut)}))
    path = write_report(tmp_path, short)
    samples = min(len(m.end_to_end_s) / 6 for m in cut)
    assert 0 < 6 * samples < 662
    assert main(["decide", str(path), "--max-p99-ms", "1000000"]) == 1
    error = capsys.readouterr().err
    assert "p99 takes 662 samples" in error
    assert f"python -m slrbench bench student --rounds {-(-662 // int(samples))}" in error
