"""What load is asked for."""

import math
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


MOST_STREAMS = 4096
"""More are neither searched nor taken."""

_BOUND_MS = (0.001, 3_600_000.0)
_SECONDS = (0.001, 86_400.0)
"""From LoadGen's resolution to a day."""
_MOST_STRIDE = 15_000
"""Frames; at 25 fps a clip comes every ten minutes, and a trial takes several of them."""
_MOST_SEED = 2**63 - 1


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
        # The bound is a number of ms where people give it, and 1e3 * (x / 1e3) is not always x.
        _check_range("--latency-bound-ms", float(f"{1e3 * self.bound_s:.12g}"), _BOUND_MS, "ms", hint="200")
        _check_range("--load-seconds", self.seconds, _SECONDS, "s", hint="10")
        if self.streams != "auto" and self.streams is not None:
            _check_range("--streams", self.streams, (1, MOST_STREAMS), "streams, or auto", hint="auto")
        if self.stride is not None:
            _check_range("--stride", self.stride, (1, _MOST_STRIDE), "frames", hint="8")
        if self.wanted:
            _check_range("--seed", self.seed, (0, _MOST_SEED), "for a test under load", hint="0")


def _check_range(option: str, value: float, limits: tuple[float, float], unit: str, *, hint: str) -> None:
    least, most = limits
    # Said this way round, NaN is refused too.
    if not (math.isfinite(value) and least <= value <= most):
        raise BadInputError(
            f"{option} {value} cannot be used, expected is a number from {least:.15g} to {most:.15g} {unit}",
            hint=f"{option} {hint}",
        )


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
