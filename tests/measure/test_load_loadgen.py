"""Real tests of MLPerf's LoadGen, short ones, and what is read out of its logs."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slrbench.errors import RunFailedError, UnavailableError
from slrbench.measure.load import loadgen
from slrbench.measure.load.candidate import Loaded
from slrbench.measure.load.loadgen import LoadTest, LoadTimes, run_test
from slrbench.measure.load.loadgen_log import SUMMARY_NAME, kept_logs, read_summary
from slrbench.measure.load.loadgen_runs import Outcome, agreement, run_scenario
from slrbench.measure.load.serving import ClipServer
from slrbench.measure.load.settings import LoadSettings
from slrbench.records import Candidate, LoadRun
from slrbench.workflows import bench_load
from slrbench.workflows.bench_load import check_load, run_load

needs_loadgen = pytest.mark.skipif(
    loadgen.find_spec("mlperf_loadgen") is None, reason="needs LoadGen: pip install -e '.[load]'"
)


class _Runner:
    """Answers at once, and goes wrong at the call that it is told to."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.calls = 0
        self.fails_at = fails_at

    def stage(self, video: Any) -> Any:
        return video

    def run(self, staged: Any) -> Any:
        self.calls += 1
        if self.calls == self.fails_at:
            raise RunFailedError("the graph refused the input")
        return staged

    def synchronize(self) -> None:
        pass

    def fetch(self, pending: Any) -> Any:
        return pending


def short(
    scenario: str, folder: Path, runner: _Runner | None = None, batch: int = 1, **more: Any
) -> tuple[LoadTimes, dict[str, Any]]:
    videos = [np.zeros((batch, 2), np.float32)] * 8
    server = ClipServer(runner or _Runner(), videos)  # type: ignore[arg-type]
    test = LoadTest(scenario=scenario, **{"seconds": 0.1, "most_seconds": 1.0, "min_queries": 20, **more})
    times = run_test(server, test, folder)
    return times, read_summary(folder / SUMMARY_NAME)


@needs_loadgen
@pytest.mark.parametrize(
    ("scenario", "more", "clips"),
    [
        ("SingleStream", {"expected_s": 2e-5}, 1),
        ("MultiStream", {"expected_s": 2e-5}, 8),
        ("Server", {"rate": 300.0, "bound_s": 5.0}, 1),
    ],
)
def test_every_query_is_timed_from_its_arrival_as_loadgen_does(
    scenario: str, more: dict[str, Any], clips: int, tmp_path: Path
) -> None:
    times, said = short(scenario, tmp_path, **more)
    assert said["Scenario"].replace(" ", "") == scenario
    assert said["errors"] == 0
    assert times.clips == clips * len(times.latencies_s)
    assert len(times.latencies_s) >= 20
    assert all(latency >= 0 for latency in times.latencies_s)
    # Between the two clocks lies the way through the callback; 50 ms leave room for a machine that is very busy.
    middle = sorted(times.latencies_s)[int(0.5 * len(times.latencies_s))]
    assert said["50.00 percentile latency (ns)"] / 1e9 == pytest.approx(middle, abs=50e-3)


@needs_loadgen
def test_offline_answers_all_clips_of_its_one_query(tmp_path: Path) -> None:
    runner = _Runner()
    times, said = short("Offline", tmp_path, runner, batch=4, rate=2000.0)
    assert len(times.latencies_s) == 1
    assert times.clips == said["parameters"]["samples_per_query"] >= 200
    assert runner.calls == -(-times.clips // 4)


@needs_loadgen
def test_the_schedule_of_server_is_known_and_another_seed_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"rate": 100.0, "bound_s": 5.0, "seconds": 0.5, "min_queries": 40, "seed": 7}
    right, _ = short("Server", tmp_path, **settings)
    wrong_schedule = loadgen.poisson_arrivals
    monkeypatch.setattr(loadgen, "poisson_arrivals", lambda n, rate, seed: wrong_schedule(n, rate=rate, seed=seed + 1))
    wrong, _ = short("Server", tmp_path, **settings)
    assert sorted(right.issue_delay_s)[20] < 0.2 * sorted(wrong.issue_delay_s)[20]


@needs_loadgen
def test_a_runner_that_fails_ends_the_test_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="refused the input"):
        short("SingleStream", tmp_path, _Runner(fails_at=5), expected_s=1e-3)
    times, _ = short("SingleStream", tmp_path, expected_s=1e-3)  # and the next one is as good as any
    assert times.latencies_s


@needs_loadgen
def test_a_file_of_the_current_folder_does_not_change_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "audit.config").write_text("*.SingleStream.min_query_count = 33\n*.SingleStream.mode = 2\n")
    monkeypatch.chdir(tmp_path)
    logs = tmp_path / "logs"
    logs.mkdir()
    _, said = short("SingleStream", logs, expected_s=1e-3)
    assert said["parameters"]["min_query_count"] == 20


@needs_loadgen
def test_too_many_queries_in_flight_end_a_test_of_server(tmp_path: Path) -> None:
    class Slow(_Runner):
        def synchronize(self) -> None:
            np.linalg.svd(np.ones((120, 120)))  # some milliseconds of work

    _, said = short("Server", tmp_path, Slow(), rate=5e4, bound_s=1e-6, seconds=5.0, most_waiting=10)
    assert not said["valid"]
    assert said["errors"] == 1
    assert said["Min duration satisfied"] == "NO"


# --- candidates, in workers of their own ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(
    make_candidate: Callable[..., Candidate], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[LoadRun]]:
    folder = tmp_path_factory.mktemp("report")
    settings = LoadSettings(scenarios=("SingleStream", "Server"), seconds=0.1, bound_s=0.2)
    broken = make_candidate(model="broken", artifact_sha256="0")
    runs = run_load([broken, make_candidate()], settings, folder=folder)
    return folder, list(runs)


@needs_loadgen
def test_a_candidate_that_does_not_open_is_a_record_with_a_reason(loaded: tuple[Path, list[LoadRun]]) -> None:
    broken = [run for run in loaded[1] if run.candidate.model == "broken"]
    assert [run.scenario for run in broken] == ["SingleStream", "Server"]
    for run in broken:
        assert (run.valid, run.figure, run.files) == (False, None, ())
        assert "is not the file whose parity was checked" in run.reason


@needs_loadgen
def test_logs_lie_beside_the_report_and_say_what_the_record_says(loaded: tuple[Path, list[LoadRun]]) -> None:
    folder, runs = loaded
    single, server = (run for run in runs if run.candidate.model == "tiny")
    for run in (single, server):
        assert [Path(name).name for name in run.files] == ["mlperf_log_summary.txt", "mlperf_log_detail.txt"]
        assert Path(run.files[0]).parent.parts[0::2] == ("load", run.scenario)
        said = read_summary(folder / run.files[0])
        assert run.loadgen == {**said, "agreement": run.loadgen["agreement"]}
        assert run.samples > 0
        assert run.loadgen["agreement"].keys() >= {"mean", "max", "p50", "p90", "p99"}
    assert single.figure == read_summary(folder / single.files[0])["90.0th percentile latency (ns)"] / 1e9
    assert single.valid
    if server.figure is not None:
        assert server.figure == server.loadgen["Completed samples per second"]
        assert server.settings["rate"] in [point["rate"] for point in server.points]
    assert all(point["samples"] >= 1 for point in server.points)


@needs_loadgen
def test_a_bound_that_no_rate_meets_gives_no_figure(make_candidate: Callable[..., Candidate]) -> None:
    settings = LoadSettings(scenarios=("Server",), seconds=0.02, bound_s=1e-7)
    (run,) = run_load([make_candidate()], settings, folder=None)
    assert (run.valid, run.figure, run.files) == (False, None, ())
    assert "performance constraints" in run.reason
    assert not any(point["within"] for point in run.points)


def test_streams_need_no_loadgen(make_candidate: Callable[..., Candidate], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loadgen, "find_spec", lambda name: None)
    check_load(LoadSettings(streams=2))
    settings = LoadSettings(streams=2, seconds=0.1, bound_s=30.0)
    (run,) = run_load([make_candidate()], settings, folder=None)
    assert run.scenario == "streams"
    assert run.figure == 2.0
    assert run.settings["stride"] == 4
    assert run.points[0]["streams"] == 2.0
    assert {"wake_p50_s", "wake_max_s", "max_s", "busy_share"} <= run.points[0].keys()
    assert not run.valid  # a handful of clips is not enough to be sure of p99
    assert "99 % confidence takes" in run.reason


def test_a_worker_that_dies_in_a_scenario_spoils_that_one_only(
    make_candidate: Callable[..., Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []

    def kill(loaded: Loaded, name: str, *_: Any) -> LoadRun:
        pids.append(loaded.worker.pid)
        os.kill(loaded.worker.pid, signal.SIGKILL)
        loaded.worker.ask("warm_up", limit_s=20.0, rule={})
        raise AssertionError("it answered")

    monkeypatch.setattr(bench_load, "run_scenario", kill)
    settings = LoadSettings(scenarios=("SingleStream", "Server"), streams=2, seconds=0.1, bound_s=30.0)
    single, server, streams = run_load([make_candidate()], settings, folder=None)
    assert len(set(pids)) == 2
    for run in (single, server):
        assert (run.valid, run.figure) == (False, None)
        assert "was killed by SIGKILL" in run.reason
    assert (streams.scenario, streams.figure) == ("streams", 2.0)


def test_a_single_call_beyond_the_bound_sustains_no_stream(make_candidate: Callable[..., Candidate]) -> None:
    (run,) = run_load([make_candidate()], LoadSettings(streams="auto", bound_s=1e-7), folder=None)
    assert (run.figure, run.points) == (0.0, ())
    assert "a single call takes" in run.reason


def test_without_loadgen_its_scenarios_are_refused_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loadgen, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError) as caught:
        check_load(LoadSettings(scenarios=("Server",)))
    assert caught.value.hint == "pip install -e '.[load]'"


# --- logs -------------------------------------------------------------------------------------------------------------

SUMMARY = """\
================================================
MLPerf Results Summary
================================================
Scenario : Server
Completed samples per second    : 121.85
Result is : INVALID
  Performance constraints satisfied : NO
Recommendations:
 * Reduce target QPS to improve latency.
Early Stopping Result:
 * Run unsuccessful.

================================================
Additional Stats
================================================
50.00 percentile latency (ns)   : 4357743

================================================
Test Parameters Used
================================================
target_qps : 120

1 warning encountered. See detailed log.
2 ERRORS encountered. See detailed log.
"""


def test_a_summary_is_read_by_its_own_names(tmp_path: Path) -> None:
    path = tmp_path / SUMMARY_NAME
    path.write_text(SUMMARY)
    assert read_summary(path) == {
        "valid": False,
        "parameters": {"target_qps": 120},
        "recommendations": ["Reduce target QPS to improve latency.", "Run unsuccessful."],
        "Scenario": "Server",
        "Completed samples per second": 121.85,
        "Result is": "INVALID",
        "Performance constraints satisfied": "NO",
        "50.00 percentile latency (ns)": 4357743,
        "warnings": 1,
        "errors": 2,
    }


@pytest.mark.parametrize("text", [None, "", SUMMARY.partition("Result is")[0]])
def test_a_summary_without_a_verdict_is_a_failure(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / SUMMARY_NAME
    if text is not None:
        path.write_text(text)
    with pytest.raises(RunFailedError):
        read_summary(path)


def test_empty_logs_are_not_kept(tmp_path: Path) -> None:
    (tmp_path / SUMMARY_NAME).write_text(SUMMARY)
    (tmp_path / "mlperf_log_accuracy.json").write_text("[\n]\n")
    (tmp_path / "mlperf_log_trace.json").write_text("")
    assert [path.name for path in kept_logs(tmp_path)] == [SUMMARY_NAME]


@pytest.mark.parametrize(("clock", "ratio"), [(1.0, 1.0), (2.0, 0.5)])
def test_agreement_is_what_loadgen_says_over_what_our_clock_says(clock: float, ratio: float, tmp_path: Path) -> None:
    names = ("Mean latency", "Max latency", "50.00 percentile latency", "90.00 percentile latency")
    said = {f"{name} (ns)": 4_000_000 for name in (*names, "99.00 percentile latency")}
    outcome = Outcome(
        test=LoadTest(scenario="SingleStream", seconds=1.0, most_seconds=6.0, min_queries=1), loadgen=said,
        latencies_s=[0.004 * clock] * 20, clips=20, elapsed_s=1.0, issue_delay_s=[], logs=tmp_path,
    )  # fmt: skip
    found = agreement("SingleStream", outcome)
    assert found == pytest.approx(dict.fromkeys(("mean", "max", "p50", "p90", "p99"), ratio))


# --- the search of Server ---------------------------------------------------------------------------------------------


class _ToldWorker:
    """Answers each test of Server as it is told: the n-th, whether it was within the bound."""

    def __init__(self, answers: list[bool]) -> None:
        self.answers = answers
        self.rates: list[float] = []

    def ask(self, op: str, *, limit_s: float, folder: str, test: dict[str, Any]) -> dict[str, Any]:
        within = self.answers[len(self.rates)] if len(self.rates) < len(self.answers) else True
        self.rates.append(test["rate"])
        said = {"Performance constraints satisfied": within, "Min duration satisfied": True}
        # Only the longer tests, which ask for many queries, are valid.
        lines = [f"{name} : {'Yes' if value else 'NO'}" for name, value in said.items()]
        lines += [f"Result is : {'VALID' if within and test['min_queries'] > 1 else 'INVALID'}"]
        lines += [f"{name} (ns) : 1000000" for name in ("Mean latency", "Max latency")]
        lines += [f"{share:.2f} percentile latency (ns) : 1000000" for share in (50, 90, 99)]
        lines += [f"Completed samples per second : {test['rate']}"]
        Path(folder, SUMMARY_NAME).write_text("\n".join(lines))
        return {"latencies_s": [0.001] * 700, "clips": 700, "elapsed_s": 10.0, "issue_delay_s": [0.0] * 700}


def server_run(candidate: Candidate, answers: list[bool], tmp_path: Path, said: list[str]) -> LoadRun:
    loaded = Loaded(
        candidate=candidate, worker=_ToldWorker(answers), clips=8, source="noise", call_s=0.01,  # type: ignore[arg-type]
        fast_call_s=0.01, limit_s=1.0,
    )  # fmt: skip
    return run_scenario(loaded, "Server", LoadSettings(scenarios=("Server",)), tmp_path / "kept", said.append)


# 70 passes, 140 fails, 99 passes, three between fail: then the long tests begin, of 99, 94, 85, 68, 41.
_SHORT = [True, False, True, False, False, False]


def test_a_lower_rate_that_fails_is_tried_once_more_and_the_contradiction_is_said(
    make_candidate: Callable[..., Candidate], tmp_path: Path
) -> None:
    run = server_run(make_candidate(), [*_SHORT, False, False, False, False, False, True], tmp_path, [])
    rates = [round(point["rate"]) for point in run.points[len(_SHORT) :]]
    assert rates == [99, 94, 85, 68, 68, 41]  # 70 stands above 68 alone
    assert run.valid
    assert run.reason == (
        "not monotone: 67.71 clips/s failed, 70 passed, so the machine was disturbed; "
        "the result lies between 40.63 and 70"
    )


def test_a_rate_that_passes_the_second_time_is_the_result_and_nothing_contradicts_it(
    make_candidate: Callable[..., Candidate], tmp_path: Path
) -> None:
    run = server_run(make_candidate(), [*_SHORT, False, False, False, False, True], tmp_path, [])
    assert [round(point["rate"]) for point in run.points[-2:]] == [68, 68]
    assert run.valid
    assert run.reason == ""
