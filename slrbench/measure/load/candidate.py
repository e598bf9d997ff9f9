"""A candidate under load, seen from the parent: its opened worker, and what one of its calls takes."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from slrbench.measure.process import Worker
from slrbench.records import Candidate
from slrbench.statistics.percentiles import MIN_SAMPLES, percentile


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A candidate whose worker is open, has its inputs and is warm."""

    candidate: Candidate
    worker: Worker
    clips: int
    """Clips in memory."""
    source: str
    """Where they come from, in words."""
    call_s: float
    """Median of the last warm-up calls."""
    fast_call_s: float
    """The fastest warm-up call."""
    limit_s: float
    """The worker's time for one command, beyond what the command is meant to take."""

    @property
    def capacity(self) -> float:
        """Clips per second, roughly, of calls back to back."""
        return self.candidate.batch / self.call_s

    def ask(self, op: str, *, takes_s: float, **arguments: Any) -> dict[str, Any]:
        """A command to the worker that is meant to take ``takes_s``.

        Raises:
            SlrbenchError: the worker failed, died or hangs.
        """
        return self.worker.ask(op, limit_s=self.limit_s + takes_s, **arguments)


def call_seconds(warm_up_s: list[float]) -> tuple[float, float]:
    """Median of the later half of the warm-up calls, and the fastest of all."""
    return median(warm_up_s[len(warm_up_s) // 2 :]), min(warm_up_s)


def known_percentiles(latencies_s: list[float]) -> dict[str, float]:
    """p50, and p90, p95, p99 where there are enough samples for them."""
    if not latencies_s:
        return {}
    found = {"p50": percentile(latencies_s, 0.50)}
    for share, least in MIN_SAMPLES.items():
        if len(latencies_s) >= least:
            found[f"p{round(100 * share)}"] = percentile(latencies_s, share)
    return found
