"""The worker's commands for load: ``load_test`` (one test of LoadGen) and ``load_point`` (one point of streams)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from slrbench.measure.load.loadgen import run_test_here
from slrbench.measure.load.schedule import stream_arrivals
from slrbench.measure.load.serving import ClipServer
from slrbench.measure.load.streams import queue_limit, run_point
from slrbench.measure.sampling import no_garbage_collection
from slrbench.runners.protocol import Runner

Operation = Callable[..., dict[str, Any]]


def load_operations(runner: Callable[[], Runner], inputs: Callable[[], Sequence[NDArray[Any]]]) -> dict[str, Operation]:
    """The commands, over the worker's runner and inputs as they are when a command comes."""

    def load_test(*, folder: str, test: dict[str, Any]) -> dict[str, Any]:
        return run_test_here(ClipServer(runner(), inputs()), folder, test)

    def load_point(*, streams: int, period_s: float, seconds: float, seed: int, bound_s: float) -> dict[str, Any]:
        server = ClipServer(runner(), inputs())
        arrivals = stream_arrivals(streams, period_s=period_s, seconds=seconds, seed=seed)
        most = queue_limit(streams, period_s=period_s, bound_s=bound_s, batch=server.batch)
        with no_garbage_collection():
            point = run_point(
                server.serve, arrivals, batch=server.batch, bound_s=bound_s, period_s=period_s, most_waiting=most
            )
        return asdict(point)

    return {"load_test": load_test, "load_point": load_point}
