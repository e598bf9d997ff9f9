"""The decision: properties of the Pareto front, and which row is recommended and why the others are not."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slrbench.records import Report, SummaryRow
from slrbench.reporting.choice import LARGEST_WER, WER_TOLERANCE
from slrbench.reporting.decision import decide
from slrbench.reporting.evidence import gather
from slrbench.reporting.pareto import dominates, pareto_front

Make = Callable[..., SummaryRow]

objectives = st.tuples(
    st.sampled_from([0.004, 0.005, 0.02, 0.04]),
    st.sampled_from([0.0, 0.02, 0.03, 0.0301, 0.2]),
    st.sampled_from([1_000_000, 4_000_000, 9_000_000]),
)


def _rows(make_row: Make, values: list[tuple[float, float, int]]) -> list[SummaryRow]:
    return [make_row(p50_s=p50, wer=wer, size_bytes=size) for p50, wer, size in values]


@given(values=st.lists(objectives, min_size=1, max_size=12))
def test_nothing_on_the_front_is_dominated_and_everything_off_it_is(
    make_row: Make, values: list[tuple[float, float, int]]
) -> None:
    rows = _rows(make_row, values)
    everything = range(len(rows))
    front = pareto_front(rows, everything)
    assert front
    assert not any(dominates(rows[j], rows[i]) for i in front for j in everything)
    assert all(any(dominates(rows[j], rows[i]) for j in front) for i in everything if i not in front)


@given(values=st.lists(objectives, min_size=1, max_size=12))
def test_the_recommended_row_is_on_the_front_within_the_tolerance_and_the_fastest_there(
    make_row: Make, values: list[tuple[float, float, int]]
) -> None:
    rows = _rows(make_row, values)
    decision = decide(rows)
    assert decision.recommended in decision.pareto
    chosen = rows[decision.recommended]
    limit = min(row.wer for row in rows) + WER_TOLERANCE + 1e-9
    assert chosen.wer <= limit
    assert all(chosen.p50_s <= row.p50_s for row in rows if row.wer <= limit)
    assert sorted([decision.recommended, *(r.row for r in decision.rejected)]) == list(range(len(rows)))


def test_the_golden_decision_follows_from_its_summary(golden_report: Report) -> None:
    rows = golden_report.summary
    evidence = gather(rows, golden_report.measurements, golden_report.accuracies)
    assert decide(rows, None, evidence) == golden_report.decision


def _reason(rows: list[SummaryRow], index: int) -> str:
    return next(r.reason for r in decide(rows).rejected if r.row == index)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"parity": "failed"}, "parity failed"),
        ({"parity": "not run"}, "parity was not run"),
        ({"wer": None, "wer_split": None}, "WER of this file was not measured"),
        ({"wer": "untrained", "wer_split": None}, "random weights"),
    ],
)
def test_a_row_that_is_not_proven_never_wins(make_row: Make, fields: dict[str, object], reason: str) -> None:
    fast = make_row(p50_s=1e-6, size_bytes=1, **fields)
    assert decide([fast, make_row()]).recommended == 1
    assert reason in _reason([fast, make_row()], 0)
    alone = decide([fast])
    assert (alone.recommended, alone.pareto) == (None, ())
    assert "Nothing can be recommended" in alone.reason


def test_a_network_that_reads_too_little_never_wins(make_row: Make) -> None:
    useless = make_row(p50_s=1e-6, wer=0.8966)
    assert decide([useless, make_row()]).recommended == 1
    assert _reason([useless, make_row()], 0) == "reads too little: WER 89.66 %"
    alone = decide([make_row(wer=0.95), useless, make_row(wer=0.6, parity="failed")])
    assert (alone.recommended, alone.pareto) == (None, ())
    assert alone.reason == (
        "Nothing can be recommended: the best WER is 89.66 %, and above 50.00 % a network reads too little."
    )


def test_half_of_the_words_wrong_is_the_limit(make_row: Make) -> None:
    assert decide([make_row(wer=LARGEST_WER)]).recommended == 0
    assert decide([make_row(wer=LARGEST_WER + 0.001)]).recommended is None


def test_a_small_difference_in_wer_buys_speed_and_a_large_one_does_not(make_row: Make) -> None:
    right = make_row(wer=0.02, p50_s=0.02)
    near = make_row(wer=0.02 + WER_TOLERANCE, p50_s=0.01)
    far = make_row(wer=0.02 + WER_TOLERANCE + 0.001, p50_s=0.005)
    assert decide([right, near, far]).recommended == 1
    assert "more than 1.00" in _reason([right, near, far], 2)
    assert "slower: 20.0 against 10.0 ms (x2.00)" in _reason([right, near, far], 0)


def test_the_smaller_file_wins_between_equally_fast_ones(make_row: Make) -> None:
    rows = [make_row(size_bytes=5_000_000), make_row(size_bytes=4_000_000)]
    assert decide(rows).recommended == 1
    assert "not smaller" in _reason(rows, 0)


def test_the_price_of_the_choice_is_said(make_row: Make) -> None:
    teacher = make_row(model="teacher", wer=0.02, p50_s=0.05, size_bytes=40_000_000)
    student = make_row(model="student", wer=0.06, p50_s=0.01, size_bytes=8_000_000)
    decision = decide([teacher, student])
    assert decision.recommended == 0
    assert decision.pareto == (1, 0)
    assert "If speed and size matter more, student on" in decision.reason
    assert "10.0 ms (x0.20), WER 6.00 % (+4.00 points), 8.00 MB (x0.20)" in decision.reason


@pytest.mark.parametrize(("size", "named"), [(9_000_000, True), (9_100_000, False)])
def test_a_file_is_named_for_its_size_where_it_is_a_tenth_smaller(make_row: Make, size: int, named: bool) -> None:
    decision = decide([make_row(p50_s=0.01, size_bytes=10_000_000), make_row(p50_s=0.02, size_bytes=size)])
    assert decision.recommended == 0
    assert ("If size matters more" in decision.reason) == named


def test_other_batches_frames_and_threads_are_not_compared(make_row: Make) -> None:
    rows = [
        make_row(batch=1, frames=32, p50_s=0.02),
        make_row(batch=1, frames=32, p50_s=0.03),
        make_row(batch=1, frames=16, p50_s=0.01),
        make_row(batch=8, frames=32, p50_s=0.001),
        make_row(batch=1, frames=32, threads=4, p50_s=0.001),
    ]
    decision = decide(rows)
    assert (decision.recommended, decision.pareto) == (0, (0,))
    assert _reason(rows, 3) == "measured at batch 8; decided at batch 1"
    assert _reason(rows, 4) == "measured at 4 threads; decided at 2 threads"


def test_other_frame_sizes_are_not_compared(make_row: Make) -> None:
    rows = [
        make_row(height=48, width=48, p50_s=0.02),
        make_row(height=48, width=48, p50_s=0.03),
        make_row(height=24, width=24, p50_s=0.001),
    ]
    decision = decide(rows)
    assert (decision.recommended, decision.pareto) == (0, (0,))
    assert _reason(rows, 2) == "measured at 24 x 24 pixels; decided at 48 x 48 pixels"


def test_compute_rows_do_not_enter(make_row: Make) -> None:
    rows = [make_row(scope="compute", p50_s=1e-6), make_row()]
    decision = decide(rows)
    assert (decision.scope, decision.recommended, decision.rejected) == ("end_to_end", 1, ())


def test_no_rows_give_no_recommendation() -> None:
    assert decide([]).recommended is None


def test_devices_are_never_compared(make_row: Make) -> None:
    rows = [
        make_row(device="cpu", p50_s=0.02),
        make_row(device="cuda", p50_s=0.001),
        make_row(device="cpu", p50_s=0.03, size_bytes=9),
    ]
    decision = decide(rows)
    assert (decision.recommended, decision.pareto) == (0, (0, 2))
    assert _reason(rows, 1) == "measured at device cuda; decided at device cpu"
    assert "On cuda, which is not compared with cpu, the same rule gives" in decision.reason
    assert "1.00 ms" in decision.reason


def test_the_decision_is_about_the_device_with_the_most_rows(make_row: Make) -> None:
    rows = [make_row(device="cpu"), make_row(device="cuda:1", p50_s=0.5), make_row(device="cuda:1", p50_s=0.4)]
    assert decide(rows).recommended == 2


def test_a_device_without_a_feasible_row_is_not_spoken_of(make_row: Make) -> None:
    assert "cuda" not in decide([make_row(), make_row(device="cuda", parity="not run")]).reason


def test_precisions_and_variants_compete_on_a_device(make_row: Make) -> None:
    rows = [
        make_row(device="cuda", precision="fp32", p50_s=0.02),
        make_row(device="cuda", precision="fp16", p50_s=0.01),
        make_row(device="cuda", precision="fp16", variant="cuda-graph", p50_s=0.005),
    ]
    decision = decide(rows)
    assert decision.recommended == 2
    assert "slower: 20.0 against 5.00 ms" in _reason(rows, 0)
    assert "(cuda-graph) (fp16, cuda)" in decision.reason


def test_an_engine_without_a_verdict_is_never_recommended(make_row: Make) -> None:
    engine = make_row(backend="trt", format="trt", device="cuda", precision="fp16", p50_s=1e-6, parity="not run")
    assert decide([engine, make_row(device="cuda")]).recommended == 1
    assert decide([engine]).recommended is None
