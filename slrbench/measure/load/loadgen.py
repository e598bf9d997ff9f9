"""One test of MLPerf's LoadGen in this process, with a runner as the system under test.

LoadGen's C++ code runs in a thread of its own and calls back to issue queries; the thread that opened the runner serves
them, since some runtimes bind their state to it. Between two queries both threads sleep. Every query is timed here as
well, from the same intended arrival that LoadGen counts from, so that the two results can be held against each other.
"""

import queue
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slrbench.errors import UnavailableError
from slrbench.measure.clock import Clock, perf_counter_ns, seconds
from slrbench.measure.load.schedule import poisson_arrivals
from slrbench.measure.load.serving import ClipServer
from slrbench.measure.sampling import no_garbage_collection

if TYPE_CHECKING:
    import mlperf_loadgen

SCENARIOS = ("SingleStream", "MultiStream", "Server", "Offline")
"""LoadGen's names."""

HOW_TO_GET = "pip install -e '.[load]'"
_MODULE = "mlperf_loadgen"


def require_loadgen() -> None:
    """Return where LoadGen is installed.

    Raises:
        UnavailableError: it is not.
    """
    if find_spec(_MODULE) is None:
        raise UnavailableError("MLPerf's LoadGen (mlcommons-loadgen) is not installed", hint=HOW_TO_GET)


@dataclass(frozen=True, kw_only=True)
class LoadTest:
    """One test, in the units of this program."""

    scenario: str
    seconds: float
    """At least so long."""
    most_seconds: float
    """Then it ends, whatever is missing."""
    min_queries: int
    seed: int = 0
    expected_s: float = 0.0
    """SingleStream, MultiStream: what a query takes at least; from it LoadGen knows how many to prepare."""
    rate: float = 0.0
    """Server: queries per second; Offline: clips per second that are expected."""
    bound_s: float = 0.0
    """Server: latency bound at p99."""
    most_waiting: int = 0
    """Server: queries in flight at which the test ends early; 0: no limit."""


@dataclass(frozen=True, kw_only=True)
class LoadTimes:
    """Our own clock's figures of one test."""

    latencies_s: tuple[float, ...]
    """Of each query, from its intended arrival to its last clip's answer, in the order of arrival."""
    clips: int
    elapsed_s: float
    """From the first query's intended arrival to the last answer."""
    issue_delay_s: tuple[float, ...] = ()
    """Server: how much after its intended arrival each query was issued."""


def run_test(server: ClipServer, test: LoadTest, folder: Path, clock: Clock = perf_counter_ns) -> LoadTimes:
    """Run one test; LoadGen's log files are in ``folder`` afterwards, which must be there.

    Raises:
        UnavailableError: LoadGen is not installed.
        RunFailedError: the runner failed.
    """
    require_loadgen()
    import mlperf_loadgen as loadgen

    desk = _Desk(clock)
    logs = loadgen.LogSettings()
    logs.log_output.outdir = str(folder)
    sut = loadgen.ConstructSUT(desk.issue, _nothing)
    qsl = loadgen.ConstructQSL(server.clips, server.clips, _nothing, _nothing)  # every clip is in memory already
    settings = _settings(loadgen, test)

    def start() -> None:
        try:
            # No file of the current folder ("audit.config" by default) may change the settings.
            loadgen.StartTestWithLogSettings(sut, qsl, settings, logs, "")
        finally:
            desk.close()

    thread = threading.Thread(target=start, name="loadgen", daemon=True)
    with no_garbage_collection():
        thread.start()
        error = desk.serve_all(server, loadgen)
    thread.join()
    loadgen.DestroySUT(sut)
    loadgen.DestroyQSL(qsl)
    if error is not None:
        raise error
    return desk.times(test)


def _nothing(*_: Any) -> None:
    return None


def _settings(loadgen: Any, test: LoadTest) -> "mlperf_loadgen.TestSettings":
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, test.scenario)
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = round(1e3 * test.seconds)
    settings.max_duration_ms = round(1e3 * test.most_seconds)
    settings.min_query_count = test.min_queries
    for name in ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed"):
        setattr(settings, name, test.seed)
    if test.scenario == "SingleStream":
        settings.single_stream_expected_latency_ns = 1e9 * test.expected_s
    elif test.scenario == "MultiStream":
        settings.multi_stream_expected_latency_ns = 1e9 * test.expected_s
    elif test.scenario == "Server":
        settings.server_target_qps = test.rate
        settings.server_target_latency_ns = round(1e9 * test.bound_s)
        settings.server_max_async_queries = test.most_waiting
    else:
        settings.offline_expected_qps = test.rate
    return settings


class _Desk:
    """Between LoadGen's thread, which issues, and ours, which serves."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: queue.SimpleQueue[tuple[int, int, int] | None] = queue.SimpleQueue()  # query, LoadGen's id, clip
        self._issued: list[int] = []
        self._done: list[int] = []
        self._clips = 0

    def issue(self, samples: Sequence[Any]) -> None:
        """LoadGen's callback. What is raised here would end the process."""
        self._issued.append(self._clock())
        query = len(self._issued) - 1
        for sample in samples:
            self._waiting.put((query, sample.id, sample.index))

    def close(self) -> None:
        self._waiting.put(None)

    def serve_all(self, server: ClipServer, loadgen: Any) -> Exception | None:
        """Serve until LoadGen is done; after an error only answer, since LoadGen waits for every query."""
        error: Exception | None = None
        while taken := self._take(server.batch):
            if error is None:
                try:
                    server.serve([clip for _, _, clip in taken])
                except Exception as found:  # a runtime's own errors; they are raised again at the end
                    error = found
            done = self._clock()
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(identity, 0, 0) for _, identity, _ in taken])
            self._clips += len(taken)
            for query, _, _ in taken:
                self._done += [0] * (query + 1 - len(self._done))
                self._done[query] = done
        return error

    def _take(self, most: int) -> list[tuple[int, int, int]]:
        """What waits, up to ``most``; blocks while nothing does. Empty at the end."""
        first = self._waiting.get()
        if first is None:
            return []
        taken = [first]
        while len(taken) < most:
            try:
                found = self._waiting.get_nowait()
            except queue.Empty:
                break
            if found is None:
                self._waiting.put(None)
                break
            taken.append(found)
        return taken

    def times(self, test: LoadTest) -> LoadTimes:
        issued, done = np.array(self._issued, np.int64), np.array(self._done, np.int64)
        intended = issued
        delays: tuple[float, ...] = ()
        if test.scenario == "Server":
            # The start is LoadGen's secret: the query that was issued soonest after its time was issued at its time.
            arrivals = poisson_arrivals(len(issued), rate=test.rate, seed=test.seed)
            intended = arrivals + int((issued - arrivals).min())
            delays = tuple(((issued - intended) / 1e9).tolist())
        return LoadTimes(
            latencies_s=tuple(((done - intended) / 1e9).tolist()),
            clips=self._clips,
            elapsed_s=seconds(int(done.max() - intended[0])),
            issue_delay_s=delays,
        )


def run_test_here(server: ClipServer, folder: str, test: dict[str, Any]) -> dict[str, Any]:
    """:func:`run_test` as a worker's command: plain values in and out."""
    return asdict(run_test(server, LoadTest(**test), Path(folder)))
