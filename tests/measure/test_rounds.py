"""Rounds over real worker processes that run a real file; and what happens when one of them goes wrong."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from slrbench.errors import BadInputError, RunFailedError
from slrbench.measure.process import Worker
from slrbench.measure.rounds import Infer, MeasureResult, MeasureSettings, infer_with, measure, open_in
from slrbench.records import Candidate

MakeCandidate = Callable[..., Candidate]


def workers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "slrbench.measure.worker" in p.cmdline()]


def test_every_candidate_gives_samples_in_every_round(make_candidate: MakeCandidate, brief: MeasureSettings) -> None:
    candidates = [make_candidate(model=name) for name in "ab"]
    result = measure(candidates, brief)
    assert result.skipped == ()
    assert [m.candidate for m in result.measurements] == candidates
    for m in result.measurements:
        assert m.round_of == (0,) * 5 + (1,) * 5
        assert m.process_of == (0,) * 10
        assert len(m.compute_s) == len(m.end_to_end_s) == 10
        assert all(0 < compute <= whole for compute, whole in zip(m.compute_s, m.end_to_end_s, strict=True))
        assert m.warmup_s
        assert m.throughput_calls >= 2
        assert m.throughput_s > 0
        assert m.cold_start_parts_s.keys() == {"import", "load", "first_call"}
        assert m.cold_start_s == pytest.approx(sum(m.cold_start_parts_s.values()))
        assert m.requested["threads"] == m.actual["threads"] == 1
        assert "noise" in m.actual["inputs"]
    assert workers() == []


def test_a_worker_imports_its_runtime_and_no_torch(make_candidate: MakeCandidate, brief: MeasureSettings) -> None:
    (found,) = measure([make_candidate()], replace(brief, rounds=1)).measurements
    assert found.actual["runtimes_imported"] == ["onnxruntime"]
    assert found.peak_rss_bytes is None or 20e6 < found.peak_rss_bytes < 250e6  # torch alone would be more


def test_rounds_visit_all_candidates_in_an_order_that_the_seed_fixes(
    make_candidate: MakeCandidate, brief: MeasureSettings
) -> None:
    # Candidates that fail at once, so that only the order is left.
    candidates = [make_candidate(model=str(i), artifact_sha256="0") for i in range(4)]
    settings = replace(brief, rounds=3)
    one, two = (measure(candidates, replace(settings, seed=seed)).order for seed in (1, 2))
    assert one == measure(candidates, replace(settings, seed=1)).order
    assert one != two
    assert all(sorted(order) == list(range(4)) for order in one)
    assert len(set(one)) > 1


def test_fresh_processes_are_spread_over_the_rounds() -> None:
    def starts(rounds: int, processes: int) -> list[int]:
        settings = MeasureSettings(rounds=rounds, processes=processes)
        return [r for r in range(rounds) if settings.starts_afresh(r)]

    assert starts(6, 3) == [2, 4]
    assert starts(5, 1) == []
    assert starts(2, 3) == [1]
    assert len(starts(10, 3)) == 2


def test_a_fresh_process_gives_a_cold_start_and_is_told_apart(
    make_candidate: MakeCandidate, brief: MeasureSettings
) -> None:
    (found,) = measure([make_candidate()], replace(brief, processes=2)).measurements
    assert found.process_of == (0,) * 5 + (1,) * 5


def test_no_more_processes_than_allowed_are_alive(make_candidate: MakeCandidate, brief: MeasureSettings) -> None:
    alive = []
    candidates = [make_candidate(model=name) for name in "abc"]
    settings = replace(brief, most_workers=2, rounds=1)
    result = measure(candidates, settings, on_round=lambda result, done: alive.append(len(workers())))
    assert alive == [2]
    assert len(result.measurements) == 3


def test_a_damaged_file_is_a_row_with_a_reason_and_the_others_go_on(
    make_candidate: MakeCandidate, brief: MeasureSettings, onnx_file: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(onnx_file.read_bytes()[:60])
    result = measure([make_candidate(cut, model="cut"), make_candidate(model="whole")], brief)
    assert [m.candidate.model for m in result.measurements] == ["whole"]
    (skipped,) = result.skipped
    assert (skipped.model, skipped.backend) == ("cut", "onnx")
    assert "is not an ONNX file" in skipped.reason
    assert isinstance(result.errors[0], BadInputError)


def test_a_file_that_is_not_the_one_of_the_manifest_is_not_measured(
    make_candidate: MakeCandidate, brief: MeasureSettings
) -> None:
    (skipped,) = measure([make_candidate(artifact_sha256="0" * 64)], brief).skipped
    assert "is not the file whose parity was checked" in skipped.reason


def test_a_worker_that_is_killed_is_a_row_with_a_reason_and_the_others_go_on(
    make_candidate: MakeCandidate, brief: MeasureSettings
) -> None:
    killed = []

    def kill_one(result: MeasureResult, done: int) -> None:
        if done == 1:
            killed.append(workers()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    result = measure([make_candidate(model=name) for name in "ab"], brief, on_round=kill_one)
    (skipped,) = result.skipped
    assert "was killed by SIGKILL" in skipped.reason
    (other,) = result.measurements
    assert other.candidate.model != skipped.model
    assert len(other.compute_s) == 10


def test_a_worker_that_hangs_is_ended(make_candidate: MakeCandidate) -> None:
    with Worker(threads=1) as worker:
        open_in(worker, make_candidate(), first_input=None, limit_s=60.0)
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(RunFailedError, match=r"hung: 'round' gave no answer within 0\.05 s"):
            worker.ask("round", limit_s=0.05, rule={}, settle=False)
        assert not psutil.pid_exists(worker.pid)


def test_a_worker_that_ends_says_its_last_words(make_candidate: MakeCandidate, tmp_path: Path) -> None:
    with Worker(threads=1) as worker:
        worker._process.stdin.write(b"this is not JSON\n")  # type: ignore[union-attr]
        with pytest.raises(RunFailedError, match=r"ended with code 1 in 'inputs': json.decoder.JSONDecodeError"):
            worker.ask("inputs", limit_s=60.0, path=str(tmp_path))


def test_an_error_inside_the_runtime_is_an_answer_and_the_worker_lives(
    make_candidate: MakeCandidate, tmp_path: Path
) -> None:
    with Worker(threads=1) as worker:
        open_in(worker, make_candidate(), first_input=None, limit_s=60.0)
        infer = infer_with(worker, tmp_path, limit_s=60.0)
        with pytest.raises(RunFailedError, match="ONNX Runtime failed on input"):
            infer(np.zeros((1, 3, 4, 9, 4), np.float32))
        with pytest.raises(BadInputError, match="dtype float64"):
            infer(np.zeros((1, 3, 4, 8, 4)))
        video = np.random.default_rng(0).normal(size=(2, 3, 4, 8, 4)).astype(np.float32)
        output = infer(video)
        mean = video.mean(axis=(1, 3))
        expected = (mean - np.log(np.exp(mean).sum(-1, keepdims=True))).transpose(1, 0, 2)
        np.testing.assert_allclose(output, expected, atol=1e-5)


def test_what_a_library_prints_does_not_reach_the_answers(make_candidate: MakeCandidate, tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text(
        "import os\nos.write(1, b'hello from a library\\n')\nraise ImportError('no')"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        with Worker(threads=1) as worker, pytest.raises(RunFailedError, match="ImportError: no"):
            open_in(worker, make_candidate(), first_input=None, limit_s=60.0)


def test_progress_and_results_come_round_by_round(make_candidate: MakeCandidate, brief: MeasureSettings) -> None:
    steps, rounds = [], []
    measure(
        [make_candidate()],
        brief,
        progress=lambda text, done, total: steps.append((text, done, total)),
        on_round=lambda result, done: rounds.append((done, len(result.measurements[0].compute_s), len(result.order))),
    )
    assert steps == [("measuring", done, 2) for done in (0, 0, 1, 1, 2)]
    assert rounds == [(1, 5, 1), (2, 10, 2)]


def test_workers_are_gone_after_an_interruption(make_candidate: MakeCandidate, brief: MeasureSettings) -> None:
    def interrupt(result: MeasureResult, done: int) -> None:
        assert workers()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure([make_candidate()], brief, on_round=interrupt)
    assert workers() == []


def test_what_is_handed_over_at_the_end_runs_in_the_measured_process(
    make_candidate: MakeCandidate, brief: MeasureSettings
) -> None:
    shapes = []
    result = measure(
        [make_candidate()],
        brief,
        at_end=lambda candidate, infer: shapes.append(infer(np.zeros((1, 3, 7, 8, 4), np.float32)).shape),
    )
    assert shapes == [(7, 1, 4)]
    assert len(result.measurements) == 1


def test_a_skipped_row_says_at_which_shape(make_candidate: MakeCandidate, brief: MeasureSettings) -> None:
    wrong = {"artifact_sha256": "0" * 64}
    (alone,) = measure([make_candidate(**wrong)], brief).skipped
    assert not alone.reason.startswith("batch")
    several = [make_candidate(**wrong), make_candidate(batch=2, frames=8, **wrong)]
    first, second = measure(several, brief).skipped
    assert first.reason.startswith("batch 1, frames 4: ")
    assert second.reason.startswith("batch 2, frames 8: ")


def test_a_worker_that_is_gone_says_so_at_once_however_often_it_is_asked(make_candidate: MakeCandidate) -> None:
    with Worker(threads=1) as worker:
        os.kill(worker.pid, signal.SIGKILL)
        for _ in range(3):
            with pytest.raises(RunFailedError, match="was killed by SIGKILL in 'warm_up'"):
                worker.ask("warm_up", limit_s=5.0, rule={})
        assert not worker.alive


def test_what_comes_after_the_rounds_is_no_time_of_theirs(
    make_candidate: MakeCandidate, brief: MeasureSettings
) -> None:
    def slow(_: Candidate, __: Infer) -> None:
        time.sleep(0.5)

    begin = time.perf_counter()
    result = measure([make_candidate()], brief, at_end=slow)
    assert result.spent_s <= time.perf_counter() - begin - 0.5
