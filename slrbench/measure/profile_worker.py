"""The worker's command that profiles: time per operator, and what a call takes with and without the profiler."""

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.measure.clock import perf_counter_ns
from slrbench.measure.sampling import timed_call
from slrbench.runners.profiling import open_profiler
from slrbench.runners.protocol import Runner

WARMING_CALLS = 3


def profile_operators(
    *,
    backend: str,
    path: str,
    device: str,
    threads: int,
    input_kind: str,
    precision: str,
    inputs: str,
    calls: int,
) -> dict[str, Any]:
    """Profile an artifact on the videos ``(N, ...)`` in the file ``inputs``, in rotation."""
    profiler = open_profiler(
        backend, Path(path), device=device, threads=threads, input_kind=input_kind, precision=precision
    )
    try:
        videos = list(np.load(inputs))
        rotation = [videos[i % len(videos)] for i in range(calls)]
        plain = _median_s(profiler.plain, rotation)
        for video in rotation[:WARMING_CALLS]:
            timed_call(profiler.profiled, video, perf_counter_ns)
        times: list[float] = []

        def call(runner: Runner, video: NDArray[Any]) -> None:
            times.append(timed_call(runner, video, perf_counter_ns)[1])

        operators = profiler.operators(rotation, call)
        return {
            "operators": [operator.model_dump() for operator in operators],
            "plain_s": plain,
            "profiled_s": median(times),
            "profiler": profiler.source,
        }
    finally:
        profiler.close()


def _median_s(runner: Runner, videos: list[Any]) -> float:
    for video in videos[:WARMING_CALLS]:
        timed_call(runner, video, perf_counter_ns)
    return median(timed_call(runner, video, perf_counter_ns)[1] for video in videos)
