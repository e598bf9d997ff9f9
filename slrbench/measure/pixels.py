"""From the bytes of a video to glosses, timed whole: what a deployed recogniser does. Knows no runtime and no process.

One call decodes the first T frames of a video that lies in memory, at the network's frame rate, resizes and crops them
as evaluation does, brings them into the network's input, runs it from host to host, and decodes greedily. T is the
candidate's number of frames, so that these times stand beside those of the network alone; a video that is shorter is
read again from its beginning.
"""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.ctc import greedy_decode
from slrbench.data.batching import normalise
from slrbench.errors import BadInputError
from slrbench.measure.clock import Clock, seconds
from slrbench.measure.sampling import SamplingRule, no_garbage_collection
from slrbench.recognise.view import View
from slrbench.runners.protocol import Runner

PARTS = ("decode", "resize", "network", "ctc")
"""What a call consists of, in order; they add up to it."""

SETTLING_CALLS = 2
"""Untimed calls before: the decoder's library is loaded by then, and its buffers are there."""


@dataclass(frozen=True, kw_only=True)
class VideoInput:
    """The video, and how its frames become the network's; plain values, as a command to a worker takes them."""

    path: str
    sha256: str
    resize: tuple[int, int]
    size: tuple[int, int]
    frames: int
    frames_per_second: float

    def command(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, command: dict[str, Any]) -> "VideoInput":
        """What :meth:`command` gave."""
        sides = {name: tuple(command[name]) for name in ("resize", "size")}
        return cls(**(command | sides))


def pixel_passes(
    runner: Runner, video: VideoInput, clock: Clock, rule: SamplingRule, *, input_kind: str
) -> dict[str, Any]:
    """Time calls until there are as many as in a round and as much time has passed; the answer of a worker.

    Raises:
        BadInputError: the file is another than the one that was named, or cannot be decoded.
    """
    data = Path(video.path).read_bytes()
    if hashlib.sha256(data).hexdigest() != video.sha256:
        raise BadInputError(f"{video.path} was altered while it was being measured with", hint="measure again")
    call = _Call(runner, video, data, clock, input_kind=input_kind)
    for _ in range(SETTLING_CALLS):
        call()
    parts: dict[str, list[float]] = {name: [] for name in PARTS}
    with no_garbage_collection():
        begin = clock()
        while True:
            for name, part_s in zip(PARTS, call(), strict=True):
                parts[name].append(part_s)
            calls, elapsed = len(parts["ctc"]), seconds(clock() - begin)
            if (calls >= rule.min_calls and elapsed >= rule.min_time_s) or elapsed >= rule.max_time_s:
                break
    return {
        "samples_s": [sum(each) for each in zip(*parts.values(), strict=True)],
        "parts_s": {name: median(times) for name, times in parts.items()},
        "source_size": list(call.source_size),
        "labels": list(call.labels),
    }


class _Call:
    """The same call, again and again; each gives the seconds of its parts."""

    def __init__(self, runner: Runner, video: VideoInput, data: bytes, clock: Clock, *, input_kind: str) -> None:
        self._runner, self._video, self._data, self._clock = runner, video, data, clock
        self._view = View(resize=video.resize, size=video.size)
        self._normalise = input_kind != "uint8"
        self.source_size = (0, 0)
        self.labels: tuple[int, ...] = ()

    def __call__(self) -> tuple[float, ...]:
        clock, runner = self._clock, self._runner
        begin = clock()
        frames = self._decoded()
        decoded = clock()
        seen = np.stack([self._view.of(frame) for frame in frames])[None]
        resized = clock()
        pending = runner.run(runner.stage(normalise(seen) if self._normalise else seen))
        runner.synchronize()
        output = runner.fetch(pending)
        ran = clock()
        (self.labels,) = greedy_decode(output)
        end = clock()
        self.source_size = frames[0].shape[0], frames[0].shape[1]
        ticks = (begin, decoded, resized, ran, end)
        return tuple(seconds(b - a) for a, b in pairwise(ticks))

    def _decoded(self) -> list[NDArray[np.uint8]]:
        found: list[NDArray[np.uint8]] = []
        while len(found) < self._video.frames:
            before = len(found)
            for frame in _frames(self._data, self._video.frames_per_second):
                found.append(frame)
                if len(found) == self._video.frames:
                    break
            if len(found) == before:
                raise BadInputError(f"{self._video.path} has no frames", hint="give a video of at least one frame")
        return found


def _frames(data: bytes, rate: float) -> Iterator[NDArray[np.uint8]]:
    from slrbench.data.video import iterate_frames

    for frame, _ in iterate_frames(io.BytesIO(data), frames_per_second=rate):
        yield frame
