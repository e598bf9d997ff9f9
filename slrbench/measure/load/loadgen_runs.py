"""LoadGen's scenarios for one candidate, driven from the parent: settings, the search of Server, the record."""

import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from slrbench.measure.load.candidate import Loaded, known_percentiles
from slrbench.measure.load.loadgen import LoadTest
from slrbench.measure.load.loadgen_log import SUMMARY_NAME, kept_logs, read_summary
from slrbench.measure.load.search import disturbed_words, highest_rate, to_be_retried
from slrbench.measure.load.settings import LONGEST, MLPERF_SECONDS, LoadSettings
from slrbench.records import LoadRun
from slrbench.statistics.percentiles import MIN_SAMPLES, percentile, percentile_if_known

SHARES = {"SingleStream": 0.90, "MultiStream": 0.99, "Server": 0.99}
"""The percentile that each scenario is about (MLPerf inference rules)."""

CLIPS_PER_QUERY = 8
"""Of MultiStream."""

RATE_TOLERANCE = 0.05
"""The search of Server ends where a rate that passes is so close to one that fails."""

_LEAST_QUERIES = 100
"""LoadGen's own default."""
_STEPS_DOWN = (0.05, 0.1, 0.2, 0.4)
"""By how much less is tried where a long test of Server fails at what short ones found."""
_SAFETY = 2.0
"""By so much more queries are prepared than the time should take: where LoadGen runs out of them, a test is void."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A test that was run: LoadGen's result, our times and where the logs are."""

    test: LoadTest
    loadgen: dict[str, Any]
    latencies_s: list[float]
    clips: int
    elapsed_s: float
    issue_delay_s: list[float]
    logs: Path

    @property
    def within(self) -> bool:
        """Server: whether the bound holds for these queries, however few they are, and the test went to its end."""
        said = self.loadgen
        return all(said[f"{what} satisfied"] == "Yes" for what in ("Performance constraints", "Min duration"))

    def point(self) -> dict[str, float]:
        """As a point of the search."""
        latencies = self.latencies_s
        p99_s = percentile_if_known(latencies, 0.99)
        return {
            "rate": self.test.rate,
            "samples": float(len(latencies)),
            "p50_s": percentile(latencies, 0.5),
            **({} if p99_s is None else {"p99_s": p99_s}),
            "max_s": max(latencies),
            "within": float(self.within),
            "sure": float(bool(self.loadgen["valid"])),
            "issue_delay_p50_s": percentile(self.issue_delay_s, 0.5),
            "issue_delay_max_s": max(self.issue_delay_s),
        }


def run_scenario(
    loaded: Loaded, scenario: str, settings: LoadSettings, kept: Path, progress: Callable[[str], None]
) -> LoadRun:
    """One scenario; the log files of the test that gives the figure are put into the folder ``kept``.

    Raises:
        SlrbenchError: the worker or LoadGen failed.
    """
    with tempfile.TemporaryDirectory(prefix="slrbench-load-") as scratch:
        run = _Scenario(loaded, settings, Path(scratch), progress)
        points: list[Outcome] = []
        if scenario == "Server":
            outcome, points = run.server()
        elif scenario == "Offline":
            outcome = run.offline()
        else:
            outcome = run.stream(scenario)
        files = _keep(outcome.logs, kept)
    return _record(loaded, scenario, settings, outcome, points, files)


class _Scenario:
    def __init__(self, loaded: Loaded, settings: LoadSettings, scratch: Path, progress: Callable[[str], None]) -> None:
        self._loaded = loaded
        self._settings = settings
        self._scratch = scratch
        self._progress = progress
        self._tests = 0

    def _run(self, test: LoadTest, what: str) -> Outcome:
        self._progress(what)
        self._tests += 1
        logs = self._scratch / str(self._tests)
        logs.mkdir()
        # Where a machine slows down, LoadGen waits for what is in flight.
        answer = self._loaded.ask("load_test", takes_s=4.0 * test.most_seconds, folder=str(logs), test=asdict(test))
        return Outcome(
            test=test,
            loadgen=read_summary(logs / SUMMARY_NAME),
            latencies_s=list(answer["latencies_s"]),
            clips=answer["clips"],
            elapsed_s=answer["elapsed_s"],
            issue_delay_s=list(answer["issue_delay_s"]),
            logs=logs,
        )

    def _test(self, scenario: str, **more: Any) -> LoadTest:
        seconds = self._settings.seconds
        return LoadTest(
            **{
                "scenario": scenario,
                "seconds": seconds,
                "most_seconds": LONGEST * seconds,
                "min_queries": _LEAST_QUERIES,
                "seed": self._settings.seed,
                **more,
            }
        )

    def stream(self, scenario: str) -> Outcome:
        """SingleStream or MultiStream: the next query comes when the last one is answered."""
        clips = CLIPS_PER_QUERY if scenario == "MultiStream" else 1
        calls = -(-clips // self._loaded.candidate.batch)
        expected = calls * self._loaded.fast_call_s / _SAFETY
        least = max(_LEAST_QUERIES, MIN_SAMPLES[SHARES[scenario]])
        return self._run(self._test(scenario, expected_s=expected, min_queries=least), scenario)

    def offline(self) -> Outcome:
        """All clips at once, as many as the time takes; once more with more of them where they were too few."""
        rate = 1.1 * self._loaded.capacity
        outcome = self._run(self._test("Offline", rate=rate), "Offline")
        if outcome.loadgen["Min duration satisfied"] != "Yes":
            rate = 1.1 * max(rate, outcome.clips / outcome.elapsed_s)
            outcome = self._run(self._test("Offline", rate=rate), "Offline, with more clips")
        return outcome

    def server(self) -> tuple[Outcome, list[Outcome]]:
        """The highest rate of Poisson arrivals within the bound: short tests to find it, a long one to be sure."""
        bound_s = self._settings.bound_s
        loaded = self._loaded
        # More in flight than can be answered within twice the bound is an overload: the test need not go on.
        most = 2 * loaded.candidate.batch + int(2.0 * bound_s / loaded.fast_call_s * loaded.candidate.batch)
        tried: list[Outcome] = []

        def run(rate: float, **more: Any) -> Outcome:
            test = self._test("Server", rate=rate, bound_s=bound_s, most_waiting=most, **more)
            tried.append(self._run(test, f"Server, {rate:.3g} clips per second"))
            return tried[-1]

        rate = highest_rate(
            lambda rate: run(rate, min_queries=1).within, start=0.7 * loaded.capacity, tolerance=RATE_TOLERANCE
        )
        if rate == 0.0:
            return tried[-1], tried
        outcome = next(o for o in reversed(tried) if o.test.rate == rate)
        least = MIN_SAMPLES[SHARES["Server"]]
        for step in (0.0, *_STEPS_DOWN):
            if outcome.loadgen["valid"]:
                break
            rate *= 1.0 - step
            outcome = run(rate, min_queries=least)
            if to_be_retried(_verdicts(tried)):
                outcome = run(rate, min_queries=least)
            if outcome.within and len(outcome.latencies_s) < least:
                break  # the time was up
        return outcome, tried


def _keep(logs: Path, kept: Path) -> tuple[Path, ...]:
    paths = kept_logs(logs)
    kept.mkdir(parents=True, exist_ok=True)
    return tuple(Path(shutil.copyfile(path, kept / path.name)) for path in paths)


def _record(
    loaded: Loaded,
    scenario: str,
    settings: LoadSettings,
    outcome: Outcome,
    points: Sequence[Outcome],
    files: tuple[Path, ...],
) -> LoadRun:
    said = outcome.loadgen
    latencies = [] if scenario == "Offline" else outcome.latencies_s
    figure = _figure(scenario, outcome)
    test = outcome.test
    reasons = [
        "" if said["valid"] and figure is not None else _why(scenario, outcome),
        disturbed_words(_verdicts(points), test.rate if outcome.within else 0.0, "clips/s") if points else "",
    ]
    return LoadRun.model_validate(
        {
            "candidate": loaded.candidate,
            "scenario": scenario,
            "settings": {
                "seconds": settings.seconds,
                "mlperf_seconds": MLPERF_SECONDS,
                "seed": settings.seed,
                "inputs": loaded.source,
                **({"percentile": SHARES[scenario]} if scenario in SHARES else {}),
                **({"latency_bound_s": test.bound_s, "rate": test.rate} if scenario == "Server" else {}),
            },
            "valid": bool(said["valid"]) and figure is not None,
            "figure": figure,
            "percentiles_s": known_percentiles(latencies),
            "samples": outcome.clips if scenario == "Offline" else len(outcome.latencies_s),
            "loadgen": {**said, "agreement": agreement(scenario, outcome)},
            "files": tuple(str(path) for path in files),
            "points": tuple(point.point() for point in points),
            "reason": "; ".join(filter(None, reasons)),
        }
    )


def _verdicts(points: Sequence[Outcome]) -> list[tuple[float, bool]]:
    return [(point.test.rate, point.within) for point in points]


def _figure(scenario: str, outcome: Outcome) -> float | None:
    """LoadGen's own; None where there are too few samples for it, or Server never came under its bound."""
    said = outcome.loadgen
    if scenario == "Offline":
        return float(said["Samples per second"])
    if scenario == "Server":
        return float(said["Completed samples per second"]) if outcome.within else None
    share = SHARES[scenario]
    if len(outcome.latencies_s) < MIN_SAMPLES[share]:
        return None
    return float(said[f"{100 * share:.1f}th percentile latency (ns)"]) / 1e9


def _why(scenario: str, outcome: Outcome) -> str:
    said = outcome.loadgen
    failed = [
        name.removesuffix(" satisfied").lower()
        for name, value in said.items()
        if name.endswith(" satisfied") and value != "Yes"
    ]
    words = f"by LoadGen not satisfied: {', '.join(failed)}" if failed else "no figure"
    share = SHARES.get(scenario)
    queries = len(outcome.latencies_s)
    if share is not None and queries < MIN_SAMPLES[share]:
        needed = math.ceil(outcome.test.seconds * MIN_SAMPLES[share] / queries)
        words += f"; p{round(100 * share)} needs {MIN_SAMPLES[share]} queries, these were {queries}"
        words += f": --load-seconds {max(needed, math.ceil(outcome.test.seconds) + 1)}"
    return words


def agreement(scenario: str, outcome: Outcome) -> dict[str, float]:
    """What LoadGen says over what our own clock says of the same queries, figure by figure; 1 is the same.

    LoadGen's percentile is the sample at index ``floor(share * n)`` of the sorted ones: ours is taken alike here.
    """
    said = outcome.loadgen
    if scenario == "Offline":
        return {"clips_per_s": float(said["Samples per second"]) / (outcome.clips / outcome.elapsed_s)}
    ordered = sorted(outcome.latencies_s)
    ours = {"Mean latency (ns)": fmean(ordered), "Max latency (ns)": ordered[-1]}
    for share in (0.50, 0.90, 0.99):
        ours[f"{100 * share:.2f} percentile latency (ns)"] = ordered[int(len(ordered) * share)]
    names = {"Mean latency (ns)": "mean", "Max latency (ns)": "max"}
    found = {
        names.get(name, f"p{name[:2]}"): float(said[name]) / 1e9 / value for name, value in ours.items() if value > 0.0
    }
    if scenario == "Server":
        completed = (len(ordered) - 1) / outcome.elapsed_s
        found["clips_per_s"] = float(said["Completed samples per second"]) / completed
    return found


def with_relative_files(run: LoadRun, folder: Path) -> LoadRun:
    """The record with its log files as seen from the report's folder."""
    return run.model_copy(update={"files": tuple(Path(f).relative_to(folder).as_posix() for f in run.files)})
