"""What load is asked for."""

from dataclasses import dataclass
from typing import Literal

from slrbench.errors import BadInputError

SCENARIO_WORDS = {
    "single-stream": "SingleStream",
    "multi-stream": "MultiStream",
    "server": "Server",
    "offline": "Offline",
}
"""Words of ``--load`` to LoadGen's names of its scenarios."""

MLPERF_SECONDS = 600.0
"""What a submission to MLPerf takes at least (inference rules)."""

LONGEST = 6.0
"""A test that lacks samples goes on for at most so many times the seconds that were asked for."""


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """Which scenarios, and how much."""

    scenarios: tuple[str, ...] = ()
    """LoadGen's, by its own names."""
    streams: int | Literal["auto"] | None = None
    """Cameras at once; ``auto`` searches how many are sustained."""
    stride: int | None = None
    """Frames from one clip of a camera to its next; None: as many as a clip has, so that clips do not overlap."""
    bound_s: float = 0.2
    """Latency bound at p99, for Server and streams."""
    seconds: float = 10.0
    """Of a test, at least."""
    seed: int = 0

    @property
    def wanted(self) -> bool:
        """Whether any load is asked for."""
        return bool(self.scenarios) or self.streams is not None

    def check(self) -> None:
        """Return where the settings make sense.

        Raises:
            BadInputError: they do not.
        """
        if self.bound_s <= 0.0:
            raise BadInputError(
                f"a latency bound of {1e3 * self.bound_s:g} ms cannot be met", hint="--latency-bound-ms 200"
            )
        if self.seconds <= 0.0:
            raise BadInputError(f"a load test of {self.seconds:g} s has no queries", hint="--load-seconds 10")
        if self.streams != "auto" and self.streams is not None and self.streams < 1:
            raise BadInputError(f"{self.streams} streams are no load", hint="--streams auto")
        if self.stride is not None and self.stride < 1:
            raise BadInputError(f"a stride of {self.stride} frames never comes to an end", hint="--stride 8")


def scenario_names(words: tuple[str, ...]) -> tuple[str, ...]:
    """LoadGen's names of the scenarios.

    Raises:
        BadInputError: a word is none of ``SCENARIO_WORDS``.
    """
    for word in words:
        if word not in SCENARIO_WORDS:
            raise BadInputError(
                f"unknown load scenario {word!r}, expected of {', '.join(SCENARIO_WORDS)}",
                hint="--load server; clips of cameras are --streams",
            )
    return tuple(SCENARIO_WORDS[word] for word in words)
