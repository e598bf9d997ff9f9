"""From the answers of workers to fields of the record; and the worker itself, with real files."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from slrbench.measure.contention import RUN_QUEUE, STEAL
from slrbench.measure.gathered import (
    FOREIGN_GPU,
    THROTTLED,
    actual_of,
    energy_of,
    gpu_marks,
    joined,
    marks_of,
    parallel_runs,
    warnings_of,
)
from slrbench.measure.process import Worker
from slrbench.measure.rounds import MeasureSettings, measure, open_in
from slrbench.records import Candidate, Energy, ParallelRun

MakeCandidate = Callable[..., Candidate]


def answer(samples: int, **values: Any) -> dict[str, Any]:
    return {"compute_s": [0.1] * samples, **values}


def test_marks_of_several_rounds_point_into_all_samples() -> None:
    rounds = [answer(3, marks={STEAL: [0]}), answer(2, marks={}), answer(4, marks={STEAL: [3], RUN_QUEUE: [0, 1]})]
    assert marks_of(rounds) == {STEAL: [0, 8], RUN_QUEUE: [5, 6]}
    assert joined({STEAL: [4, 0]}, {STEAL: [0, 2]}, {}) == {STEAL: (0, 2, 4)}


def test_a_round_in_which_the_gpu_was_held_back_or_shared_is_marked_whole() -> None:
    def state(*reasons: str, foreign: int | None = 0) -> dict[str, Any]:
        return {"throttle_reasons": list(reasons), "foreign_processes": foreign}

    gpu = {
        "rounds": [
            {"round": 0, "before": state("power limit"), "after": state("idle")},
            {"round": 1, "before": state(foreign=1), "after": state("power limit", foreign=None)},
        ]
    }
    assert gpu_marks(gpu, [0, 0, 1, 1, 2]) == {THROTTLED: [2, 3], FOREIGN_GPU: [2, 3]}
    assert gpu_marks({}, [0, 1]) == {}


def test_passes_of_several_processes_are_summed_by_requests() -> None:
    passes = [{"requests": 1, "calls": 4, "seconds": 1.0}, {"requests": 2, "calls": 6, "seconds": 1.1}]
    rounds = [answer(1), answer(1, extras={"parallel": passes}), answer(1, extras={"parallel": passes[:1]})]
    one, two = parallel_runs(rounds)
    assert one == ParallelRun(requests=1, calls=8, seconds=2.0)
    assert two == ParallelRun(requests=2, calls=6, seconds=1.1)


def test_energy_is_summed_or_it_is_said_why_there_is_none() -> None:
    got = {"source": "NVML", "joules": 3.0, "calls": 2, "seconds": 1.0, "unavailable": ""}
    none = {"source": "", "joules": None, "calls": 0, "seconds": 0.0, "unavailable": "not available here: no"}
    assert energy_of([answer(1, energy=got), answer(1, energy=none), answer(1, energy=got)]) == Energy(
        source="NVML", joules=6.0, calls=4, seconds=2.0
    )
    assert energy_of([answer(1, energy=none)]) == Energy(unavailable="not available here: no")
    assert energy_of([answer(1)]) is None


def test_few_inputs_and_failed_extras_are_warned_of() -> None:
    rounds = [answer(1, inputs={"inputs": 8, "different": 3}), answer(1, extras={"failed": "it hung"})]
    assert warnings_of(rounds) == [
        "only 3 different inputs were in rotation, 8 are usual",
        "throughput with several requests was not measured: it hung",
    ]
    assert actual_of(rounds) == {"inputs_in_rotation": 8, "different_inputs": 3}
    assert warnings_of([answer(1, inputs={"inputs": 8, "different": 8})]) == []


def test_a_real_run_fills_the_record(make_candidate: MakeCandidate, brief: MeasureSettings) -> None:
    (found,) = measure([make_candidate(threads=2)], replace(brief, processes=2)).measurements
    assert len(found.cold_starts) == 2
    assert all(parts.keys() == {"import", "load", "first_call"} for parts in found.cold_starts)
    assert found.steady_rss_bytes is None or 20e6 < found.steady_rss_bytes < 250e6
    assert found.energy is not None
    assert found.energy.joules is not None or found.energy.unavailable.startswith("not available here: ")
    assert [run.requests for run in found.parallel] == [1, 2]
    assert all(run.calls >= run.requests and run.seconds > 0 for run in found.parallel)
    check = found.output_check
    assert check is not None
    assert check.passed
    assert check.decoded_alike
    assert check.calls == 8
    assert check.repeated_ratio is not None
    assert found.actual["different_inputs"] == found.actual["inputs_in_rotation"] == 8
    assert set(found.actual["contention_read"]) | set(found.actual["contention_not_read"]) >= {"steal", "pressure"}
    assert all(0 <= index < 10 for indices in found.marks.values() for index in indices)
    assert found.actual["runtimes_imported"] == ["onnxruntime"]


def test_a_worker_that_fails_in_its_extras_loses_nothing_that_was_timed(
    make_candidate: MakeCandidate, brief: MeasureSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Worker.ask

    def killed_in_extras(self: Worker, op: str, **arguments: Any) -> dict[str, Any]:
        if op == "extras":
            os.kill(self.pid, signal.SIGKILL)
        return asked(self, op, **arguments)

    monkeypatch.setattr(Worker, "ask", killed_in_extras)
    shapes = []
    result = measure(
        [make_candidate()], brief, at_end=lambda candidate, infer: shapes.append(infer(_video(candidate)).shape)
    )
    assert result.skipped == ()
    (found,) = result.measurements
    assert len(found.compute_s) == 10
    assert found.parallel == ()
    assert any("several requests was not measured: the worker was killed" in w for w in found.warnings)
    assert shapes == [(4, 1, 4)]  # in a new process


def _video(candidate: Candidate) -> Any:
    from slrbench.measure.timing_inputs import noise_inputs

    return noise_inputs(candidate).videos[0]


@pytest.fixture(scope="session")
def openvino_file(onnx_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from exporters.to_openvino import openvino_from_onnx

    path = tmp_path_factory.mktemp("ir") / "model.xml"
    openvino_from_onnx(onnx_file, path, metadata={})
    return path


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="CPU times of threads as Linux counts them")
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_the_threads_of_an_idle_worker_do_not_spin_while_another_is_timed(
    make_candidate: MakeCandidate, brief: MeasureSettings, openvino_file: Path, onnx_file: Path, tmp_path: Path,
    backend: str,
) -> None:  # fmt: skip
    import numpy as np

    candidate = make_candidate(openvino_file if backend == "openvino" else onnx_file, backend=backend, threads=2)
    np.save(tmp_path / "inputs.npy", np.zeros((8, 1, 3, 4, 8, 4), np.float32))
    rule = {"min_calls": 5, "min_time_s": 0.0, "throughput_time_s": 0.05}
    timed = {"min_calls": 5, "min_time_s": 1.0, "throughput_time_s": 0.0}
    with Worker(threads=2) as idle, Worker(threads=1) as busy:
        for worker, asked in ((idle, rule), (busy, rule), (busy, timed)):
            if asked is rule:
                open_in(worker, candidate, first_input=None, limit_s=60.0)
                worker.ask("inputs", limit_s=60.0, path=str(tmp_path / "inputs.npy"))
            before = psutil.Process(idle.pid).cpu_times()
            worker.ask("round", limit_s=60.0, rule=asked, settle=False)
        after = psutil.Process(idle.pid).cpu_times()
    spent = after.user + after.system - before.user - before.system
    assert spent <= 0.05  # of 1 s; one spinning thread would take it all, or a third of it on a crowded machine
