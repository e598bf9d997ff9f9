"""Outputs of timed calls, kept in the worker for a comparison after the round; and one clip over and over.

A benchmark that never looks at what comes out may time a network that computes nothing, or that answers from a store.
MLPerf's compliance tests ask the same two questions (TEST01: are the outputs of the timed run those of the accuracy
run; TEST04: is one sample over and over faster than different ones).
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.measure.clock import Clock, seconds
from slrbench.measure.sampling import no_garbage_collection, timed_call
from slrbench.runners.protocol import Runner

KEPT_CALLS = 4
"""Timed calls of a round whose output is kept."""

BLOCK_CALLS = 4
"""Calls in a row with one clip, and as many with clips never seen; the first of each block is not counted."""
LEAST_BLOCKS = 2
"""Pairs of blocks in each process, one in each order: three processes give six, and a slow network is not held long."""
MOST_BLOCKS = 12
CACHES_BELOW = 0.9
"""Ratio of times, repeated / never seen, below which something answers from a store."""


@dataclass
class KeptOutputs:
    """Some of the outputs of a round's timed calls, each call with the same chance, whatever their number will be."""

    seed: int
    most: int = KEPT_CALLS
    calls: list[int] = field(default_factory=list)
    outputs: list[NDArray[np.float32]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the choice."""
        self._random = random.Random(self.seed)

    def __call__(self, call: int, output: NDArray[Any]) -> None:
        """Copy the output or leave it (reservoir sampling)."""
        if len(self.calls) < self.most:
            self.calls.append(call)
            self.outputs.append(np.array(output))
        elif (place := self._random.randrange(call + 1)) < self.most:
            self.calls[place], self.outputs[place] = call, np.array(output)


@dataclass
class OwnOutputs:
    """What this process gave for each input in an untimed call, by the input's number."""

    inputs: int
    outputs: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def __call__(self, call: int, output: NDArray[Any]) -> None:
        """Keep the first output of each input; calls go round the inputs."""
        if call < self.inputs:
            self.outputs[call] = np.array(output)

    def complete(self, runner: Runner, inputs: Sequence[NDArray[Any]], wanted: Sequence[int]) -> None:
        """Call the runner for those of the wanted inputs that are missing."""
        for index in set(wanted) - set(self.outputs):
            pending = runner.run(runner.stage(inputs[index]))
            runner.synchronize()
            self.outputs[index] = np.array(runner.fetch(pending))


def write_outputs(path: Path, kept: KeptOutputs, own: OwnOutputs) -> None:
    """One file: each kept output as ``timed-<call>``, and ``own-<input>`` of every input that is known."""
    arrays = {f"timed-{call}": output for call, output in zip(kept.calls, kept.outputs, strict=True)}
    arrays |= {f"own-{index}": output for index, output in own.outputs.items()}
    np.savez(path, **arrays)  # type: ignore[arg-type]  # its other keyword is allow_pickle


def repeated_ratios(runner: Runner, inputs: Sequence[NDArray[Any]], clock: Clock, *, most_time_s: float) -> list[float]:
    """Time with one clip over and over / with clips that were never seen before, of several pairs of blocks.

    The clips never seen are dimmed copies, each by another amount: a store that holds all of ``inputs`` by now is
    found out, too. Blocks of both take turns, with the order changed each time, so that a slow second of the machine
    meets both. The first call of a block is left out: before it was another clip. Of the others the shortest counts:
    what disturbs a call makes it longer, and an answer from a store stays short. Ratios that would count as caching are
    measured once more.
    """
    fresh = _never_seen(inputs)
    ratios = _pairs(runner, inputs[0], fresh, clock, most_time_s)
    return ratios + _pairs(runner, inputs[0], fresh, clock, most_time_s) if caches(ratios) else ratios


def caches(ratios: Sequence[float]) -> bool:
    """Whether one clip over and over is faster by more than 10 %: at the median, and in three of four pairs.

    The second keeps a noisy machine, where the median of few pairs is soon off by 10 %, from raising the alarm.
    """
    below = sum(ratio < CACHES_BELOW for ratio in ratios)
    return bool(ratios) and median(ratios) < CACHES_BELOW and below >= 0.75 * len(ratios)


def _pairs(
    runner: Runner, clip: NDArray[Any], fresh: Iterator[NDArray[Any]], clock: Clock, most_time_s: float
) -> list[float]:
    ratios: list[float] = []
    with no_garbage_collection():
        begin = clock()
        while len(ratios) < MOST_BLOCKS:
            first_repeats = bool(len(ratios) % 2)
            times = {}
            for repeats in (first_repeats, not first_repeats):
                videos = [clip] * BLOCK_CALLS if repeats else list(islice(fresh, BLOCK_CALLS))
                times[repeats] = min([timed_call(runner, video, clock)[1] for video in videos][1:])
            ratios.append(times[True] / times[False] if times[False] > 0 else 1.0)
            if len(ratios) >= LEAST_BLOCKS and seconds(clock() - begin) >= most_time_s:
                break
    return ratios


def _never_seen(inputs: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Copies of the inputs, each unlike all before it; values stay in the input's range."""
    for number in count(1):
        video = inputs[number % len(inputs)]
        if video.dtype == np.uint8:
            yield video ^ np.uint8(number % 255 + 1)
        else:
            yield video * np.float32(1 - number % 997 / 1000)
