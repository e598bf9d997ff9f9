"""Rounds over real workers: the baseline twice, the journal, the budget, and candidates that end badly."""

import gc
import json
import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations, count, pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import pytest

from slrbench.errors import BadInputError, RunFailedError
from slrbench.measure import order as order_module
from slrbench.measure import process as process_module
from slrbench.measure import session as session_module
from slrbench.measure import worker as worker_module
from slrbench.measure.journal import Journal
from slrbench.measure.process import Worker
from slrbench.measure.rounds import MeasureSettings, Status, infer_with, measure, open_in
from slrbench.measure.timing_inputs import TimingInputs, noise_inputs
from slrbench.records import Candidate, Measurement

MakeCandidate = Callable[..., Candidate]
SESSION = {"any": "session"}


class WorkerHere:
    """A worker in this process: the same commands on the same runtime, without the seconds that a start takes."""

    rounds: ClassVar[list[int]] = []
    """Which worker answered each round that was really measured."""
    numbers: ClassVar[Iterator[int]] = count(1_000_000)

    def __init__(self, *, threads: int) -> None:
        self._worker = worker_module._Worker()
        self.pid = next(self.numbers)

    def ask(self, op: str, *, limit_s: float, **arguments: Any) -> dict[str, Any]:
        answer = worker_module._answer(self._worker, {"op": op, **json.loads(json.dumps(arguments))})
        if "error" in answer:
            raise process_module._error_of(answer["error"])
        if op == "round":
            self.rounds.append(self.pid)
        found: dict[str, Any] = json.loads(json.dumps(answer["ok"]))
        return found

    def close(self, *, at_once: bool = False) -> None:
        pass


@pytest.fixture
def rounds_asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Workers are in this process; the one that answered each round that was really measured."""
    monkeypatch.setattr(session_module, "Worker", WorkerHere)
    monkeypatch.setattr(WorkerHere, "rounds", [])
    gc.freeze()  # every round collects garbage, and the tests' process is large
    yield WorkerHere.rounds
    gc.unfreeze()


@pytest.fixture
def brief(brief: MeasureSettings) -> MeasureSettings:
    """Without a warm-up that waits until a busy machine has settled."""
    return replace(brief, sampling=replace(brief.sampling, warmup_cap_s=0.0))


def test_the_baseline_is_measured_twice_in_processes_of_its_own(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int]
) -> None:
    candidates = [make_candidate(model=name) for name in "ab"]
    result = measure(candidates, brief, baseline=1)
    assert result.baseline == 1
    assert result.control is not None
    assert result.control.candidate == candidates[1]
    assert result.control.round_of == result.measurements[1].round_of
    assert result.control.end_to_end_s != result.measurements[1].end_to_end_s
    assert all(sorted(order) == [0, 1, 2] for order in result.order)
    assert sorted(Counter(rounds_asked).values()) == [2, 2, 2]
    assert len(result.measurements) == 2
    assert result.ended == "all rounds were measured"


def test_a_baseline_that_fails_is_none(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int]
) -> None:
    candidates = [make_candidate(model="a"), make_candidate(model="b", artifact_sha256="0")]
    result = measure(candidates, replace(brief, rounds=1), baseline=1)
    assert (result.baseline, result.control) == (None, None)
    assert result.control_error is not None
    assert len(result.skipped) == 1
    second = measure(candidates[::-1], replace(brief, rounds=1), baseline=1)
    assert second.baseline == 0
    assert second.measurements[0].candidate.model == "a"


def test_every_process_gives_a_cold_start(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int]
) -> None:
    (found,) = measure([make_candidate()], replace(brief, rounds=3, processes=3)).measurements
    assert len(found.cold_starts) == 3
    assert found.cold_start_parts_s in found.cold_starts
    assert found.process_of == (0,) * 5 + (1,) * 5 + (2,) * 5


def test_processes_start_together_while_scattered_memory_is_set_aside_and_before_anything_is_timed(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    ask = WorkerHere.ask

    def note(self: WorkerHere, op: str, *, limit_s: float, **arguments: Any) -> dict[str, Any]:
        events.append(op)
        return ask(self, op, limit_s=limit_s, **arguments)

    @contextmanager
    def set_aside() -> Iterator[int]:
        events.append("hold")
        yield 1
        events.append("let go")

    monkeypatch.setattr(WorkerHere, "ask", note)
    monkeypatch.setattr(session_module, "set_aside", set_aside)
    measure([make_candidate()], replace(brief, rounds=3, processes=2, turns=1), baseline=0)
    starts, measured = ["hold", *["open", "inputs", "warm_up"] * 2, "let go"], ["turn"] * 2 + ["round"] * 2
    found = [event for event in events if event not in ("extras", "infer")]
    assert found in (starts + measured * 2 + starts + measured, starts + measured + starts + measured * 2)


def test_no_process_starts_between_turns_where_more_are_wanted_than_may_live(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    started_in: list[bool] = []
    ended_in: list[bool] = []
    held: list[int] = []
    start = WorkerHere.__init__

    def note(self: WorkerHere, **arguments: Any) -> None:
        started_in.append(bool(held))
        start(self, **arguments)

    @contextmanager
    def set_aside() -> Iterator[int]:
        held.append(1)
        yield 1
        held.pop()

    monkeypatch.setattr(WorkerHere, "__init__", note)
    monkeypatch.setattr(WorkerHere, "close", lambda self, at_once=False: ended_in.append(bool(held)))
    monkeypatch.setattr(session_module, "set_aside", set_aside)
    candidates = [make_candidate(model=name) for name in "abcde"]
    result = measure(candidates, replace(brief, rounds=6, processes=1, most_workers=3, turns=2))
    assert all(started_in)
    assert not any(ended_in), "what an ended process leaves is set aside, too"
    # Two groups of three and two, and room for three: the last three of a round live on, and those of them that are in
    # the first group of the next are not started again.
    goes_on = sum(len(set(last[2:]) & set(first[:3])) for last, first in pairwise(result.order))
    assert goes_on > 0
    assert len(started_in) == 6 * 5 - goes_on
    for a, b in combinations(result.measurements, 2):
        in_first = [{_index(a) in order[:3], _index(b) in order[:3]} for order in result.order]
        together = {round_ for round_, where in enumerate(in_first) if len(where) == 1}
        turns = [set(zip(each.round_of, each.turn_of, strict=True)) for each in (a, b)]
        assert {round_ for round_, _ in turns[0] & turns[1]} == together, "turns of other groups are no pairs"
        assert len(turns[0]) == 6 * 2


def _index(measurement: Measurement) -> int:
    return "abcde".index(measurement.candidate.model)


def test_turns_on_both_sides_of_an_interruption_are_no_pairs(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int]
) -> None:
    candidates = [make_candidate(model=name) for name in "ab"]
    journal = Journal()

    def interrupt(_: str, done: int, __: int) -> None:
        if done == 3:  # one of the second round is kept, the other is not
            raise KeyboardInterrupt

    settings = replace(brief, rounds=3, turns=2)
    with pytest.raises(KeyboardInterrupt):
        measure(candidates, settings, journal=journal, progress=interrupt)
    a, b = measure(candidates, settings, journal=journal).measurements
    turns = [set(zip(each.round_of, each.turn_of, strict=True)) for each in (a, b)]
    assert [len(each) for each in turns] == [6, 6]
    assert {round_ for round_, _ in turns[0] & turns[1]} == {0, 2}


def test_turns_that_an_earlier_version_has_not_kept_are_not_made_up(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal.begin(path, SESSION) as journal:
        (whole,) = measure([make_candidate()], brief, journal=journal).measurements
    assert len(whole.turn_of) == len(whole.compute_s)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line.get("of", [""])[0] == "visit" and line["of"][-1] == 0:
            del line["value"]["answer"]["turn_of"]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    with Journal.resume(path, SESSION) as journal:
        (found,) = measure([make_candidate()], brief, journal=journal).measurements
    assert found.compute_s == whole.compute_s
    assert found.turn_of == ()


@pytest.mark.parametrize("stop_at", range(1, 6))
def test_an_interrupted_run_goes_on_and_measures_nothing_twice(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int], tmp_path: Path, stop_at: int
) -> None:
    candidates = [make_candidate(model=name) for name in "ab"]

    def interrupt(_: str, done: int, __: int) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    path = tmp_path / "journal.jsonl"
    with Journal.begin(path, SESSION) as journal, pytest.raises(KeyboardInterrupt):
        measure(candidates, brief, baseline=0, journal=journal, progress=interrupt)
    assert len(rounds_asked) == stop_at
    with Journal.resume(path, SESSION) as journal:
        result = measure(candidates, brief, baseline=0, journal=journal)
    assert len(rounds_asked) == 6
    assert result.order == measure(candidates, brief, baseline=0).order
    for found in (*result.measurements, result.control):
        assert found is not None
        assert found.round_of == (0,) * 5 + (1,) * 5
        assert len(found.cold_starts) == max(found.process_of) + 1  # some may have been interrupted in their first turn


def test_a_complete_journal_is_a_result_without_a_process(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal()
    cut = make_candidate(model="cut", artifact_sha256="0")
    first = measure([make_candidate(), cut], brief, baseline=0, journal=journal)

    def start(*_: Any, **__: Any) -> Worker:
        raise AssertionError("a process was started")

    monkeypatch.setattr(session_module, "Worker", start)
    handed: list[str] = []
    again = measure(
        [make_candidate(), cut], brief, baseline=0, journal=journal, at_end=lambda c, infer: handed.append(c.model)
    )
    assert again.measurements == first.measurements
    assert (again.control, again.skipped, again.order) == (first.control, first.skipped, first.order)
    assert handed == ["tiny"]


def test_cells_of_another_file_or_shape_are_not_taken(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int], tmp_path: Path, onnx_file: Path
) -> None:
    journal = Journal()
    measure([make_candidate()], brief, journal=journal)
    assert len(rounds_asked) == 2
    elsewhere = tmp_path / "elsewhere.onnx"
    elsewhere.write_bytes(onnx_file.read_bytes())
    measure([make_candidate(elsewhere)], brief, journal=journal)
    assert len(rounds_asked) == 2
    measure([make_candidate(frames=8)], brief, journal=journal)
    assert len(rounds_asked) == 4


def test_other_inputs_than_before_are_refused(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int]
) -> None:
    journal = Journal()
    measure([make_candidate()], replace(brief, rounds=1), journal=journal)

    def others(candidate: Candidate) -> TimingInputs:
        return noise_inputs(candidate, seed=1)

    with pytest.raises(BadInputError, match="would be timed on other inputs than before the interruption"):
        measure([make_candidate()], brief, journal=journal, inputs=others)


def test_a_worker_that_is_killed_in_a_round_is_a_row_and_is_tried_again_on_resume(
    make_candidate: MakeCandidate, brief: MeasureSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Worker.ask
    killed: list[int] = []

    def ask(self: Worker, op: str, **arguments: Any) -> dict[str, Any]:
        if op == "round" and not killed:
            killed.append(self.pid)
            os.kill(self.pid, signal.SIGSTOP)  # it has the command and has not answered
            os.kill(self.pid, signal.SIGKILL)
        return real(self, op, **arguments)

    monkeypatch.setattr(Worker, "ask", ask)
    journal = Journal()
    candidates = [make_candidate(model=name) for name in "ab"]
    result = measure(candidates, brief, journal=journal)
    (row,) = result.skipped
    assert "the worker was killed by SIGKILL in 'round' (the system does this when memory runs out)" in row.reason
    assert len(result.measurements) == 1
    again = measure(candidates, brief, journal=journal)
    assert again.skipped == ()
    assert [len(m.compute_s) for m in again.measurements] == [10, 10]


def test_what_failed_by_itself_is_not_tried_again(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal()
    wrong = [make_candidate(artifact_sha256="0")]
    first = measure(wrong, brief, journal=journal)
    monkeypatch.setattr(session_module, "Worker", None)
    again = measure(wrong, brief, journal=journal)
    assert again.skipped == first.skipped
    assert type(again.errors[0]) is type(first.errors[0])
    assert again.errors[0].hint == first.errors[0].hint


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of another process")
def test_a_worker_whose_memory_runs_out_says_so(make_candidate: MakeCandidate, tmp_path: Path) -> None:
    with Worker(threads=1) as worker:
        open_in(worker, make_candidate(), first_input=None, limit_s=60.0)
        infer = infer_with(worker, tmp_path, limit_s=60.0)
        used = psutil.Process(worker.pid).memory_info().vms
        resource.prlimit(worker.pid, resource.RLIMIT_AS, (used + (32 << 20), resource.RLIM_INFINITY))
        with pytest.raises(RunFailedError, match=r"^out of memory") as caught:
            infer(np.zeros((1, 3, 1 << 18, 8, 4), np.float32))
        assert caught.value.hint is not None
        assert "smaller batch" in caught.value.hint


def test_inputs_that_no_memory_holds_are_a_row_and_the_others_go_on(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int]
) -> None:
    candidates = [make_candidate(batch=1 << 20, frames=1 << 12), make_candidate()]
    result = measure(candidates, replace(brief, rounds=1))
    assert [m.candidate.batch for m in result.measurements] == [1]
    (row,) = result.skipped
    assert "out of memory: the inputs of one call have 1649.3 GB" in row.reason


def test_a_budget_visits_what_is_widest_until_the_time_is_spent(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(session_module.Session, "spent_s", lambda self: clock[0])
    monkeypatch.setattr(order_module, "TARGET", 0.0)
    visited: list[tuple[int, str, bool]] = []

    def on_visit(status: Status) -> None:
        if not status.starting:
            visited.append((status.round, status.candidate.model, status.second_copy))
        assert status.rounds is None
        if status.round == 9:
            clock[0] = 1e9

    candidates = [make_candidate(model=name) for name in "abc"]
    settings = replace(brief, rounds=6, processes=3, budget_s=1e6)
    result = measure(candidates, settings, baseline=0, on_visit=on_visit)
    assert result.ended == "the time was spent"
    assert len(result.order) == 9
    assert all(sorted(order) == [0, 1, 2, 3] for order in result.order[:6])
    for order in result.order[6:]:
        assert {0, 3} <= set(order)
    assert [len(v) for v in result.order] == [len([w for w in visited if w[0] == r + 1]) for r in range(9)]
    assert result.control is not None
    assert set(result.control.round_of) == set(range(9)) == set(result.measurements[0].round_of)
    assert max(result.control.process_of) == 4  # two rounds in each of 3 processes, then again


def test_a_budget_ends_where_all_intervals_are_narrow(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_module, "TARGET", 1e9)
    monkeypatch.setattr(session_module, "TARGET", 1e9)
    result = measure([make_candidate()], replace(brief, rounds=6, budget_s=1e6), baseline=0)
    assert len(result.order) == 6
    assert result.ended.startswith("every interval is within")


def test_a_budget_that_is_too_short_still_gives_the_least_rounds(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int]
) -> None:
    result = measure([make_candidate()], replace(brief, rounds=6, budget_s=1e-3))
    assert (len(result.order), result.ended) == (6, "the time was spent")


def test_an_interrupted_budget_keeps_the_rounds_that_were_begun(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_module, "TARGET", 0.0)
    journal = Journal()
    settings = replace(brief, rounds=6, budget_s=1e6)
    orders: list[tuple[int, ...]] = []

    def stop(status: Status) -> None:
        if status.round == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(
            [make_candidate(model=n) for n in "ab"],
            settings,
            baseline=0,
            journal=journal,
            on_visit=stop,
            on_round=lambda result, done: orders.extend(result.order[len(orders) :]),
        )
    monkeypatch.setattr(session_module.Session, "spent_s", lambda self: 2e6)
    result = measure([make_candidate(model=n) for n in "ab"], settings, baseline=0, journal=journal)
    assert list(result.order[:7]) == orders
    assert len(result.order) == 8


def test_the_status_says_what_is_known_and_how_long_it_takes(
    make_candidate: MakeCandidate, brief: MeasureSettings, rounds_asked: list[int]
) -> None:
    told: list[Status] = []
    measure([make_candidate()], replace(brief, rounds=7), on_visit=told.append)
    assert [status.starting for status in told] == [True, *[False] * 7]
    told = told[1:]
    assert [status.round for status in told] == [1, 2, 3, 4, 5, 6, 7]
    assert told[0].left_s is None
    assert told[0].estimate is told[5].estimate is None
    last = told[6].estimate
    assert last is not None
    assert 0 < last.low <= last.value <= last.high
    assert all((status.left_s or 0.0) > 0.0 for status in told[1:])
