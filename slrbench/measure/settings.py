"""How much is measured. Loads no runtime."""

from dataclasses import dataclass, field

from slrbench.measure.sampling import SamplingRule

LEAST_ROUNDS = 6
"""Fewer rounds give no 95 % interval of a median: the whole range of five covers it with 94 %."""

TARGET = 0.03
"""Half the width of a median's interval, as a share of the median, that is narrow enough."""


@dataclass(frozen=True, kw_only=True)
class PixelSettings:
    """The video of ``pixels_to_glosses``, and how each network wants its frames."""

    path: str
    sha256: str
    resize: dict[str, tuple[int, int]]
    """Model to the height and width to which frames are brought before the crop; their own where it is not named."""
    frames_per_second: float = 25.0


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """How much is measured."""

    rounds: int = 10
    """Rounds that visit every candidate."""
    processes: int = 3
    """Fresh processes per candidate over these rounds; each gives a cold start."""
    turns: int = 14
    """Turns of each candidate in a round, so that the calls that are compared lie close in time: ``SamplingRule`` asks
    for as many calls, so that a candidate whose calls are long takes one in each."""
    seed: int = 0
    """Of the order within rounds."""
    sampling: SamplingRule = field(default_factory=SamplingRule)
    limit_s: float = 300.0
    """A worker that does not answer a command in this time is ended."""
    most_workers: int = 16
    """Processes alive at a time; beyond it the one that rested longest is ended, and started anew in its next round."""
    video: PixelSettings | None = None
    """The video that is timed from its bytes to glosses, once in the life of a process; None: none is."""
    budget_s: float | None = None
    """Seconds for all rounds: once every candidate had its ``rounds``, further ones visit those whose interval is
    widest, until all are narrow enough or the time is spent. None: there are no further rounds."""

    @classmethod
    def quick(cls, *, seed: int = 0) -> "MeasureSettings":
        """Enough for a first table with p50 and p90: 3 rounds of at least 22 calls (66 samples), one process each."""
        sampling = SamplingRule(min_calls=22, min_time_s=0.25, throughput_time_s=0.25, warmup_cap_s=2.0, max_time_s=5.0)
        return cls(rounds=3, processes=1, turns=8, seed=seed, sampling=sampling)

    def starts_afresh(self, round_: int) -> bool:
        """Whether every candidate gets a new process in this round (counted from 0, one of ``rounds``)."""
        processes = min(self.processes, self.rounds)
        return round_ > 0 and round_ * processes // self.rounds != (round_ - 1) * processes // self.rounds

    @property
    def rounds_of_a_process(self) -> int:
        """After so many a candidate gets a new process in the further rounds that a budget allows."""
        return max(1, self.rounds // self.processes)
