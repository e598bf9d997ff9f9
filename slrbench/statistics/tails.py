"""An upper bound of a percentile that holds with 99 % confidence: early stopping as MLPerf's LoadGen has it.

With tolerance 0, ``t`` samples at or above the bound are allowed among ``n`` where a percentile that were in truth
above it would leave so few of them in less than 1 % of runs: P(Binomial(n, 1 - share) <= t) <= 1 - confidence. The
bound is the t-th highest sample for the largest such t, so t - 1 samples are discarded. MLPerf asks for t >= 1, whence
64, 130 and 662 samples for p90, p95 and p99 (LoadGen, ``early_stopping.cc`` and ``results.cc``).

The samples are taken to be independent. Calls in one process are not quite, so the bound is the least to reckon with.
"""

import math
from collections.abc import Sequence

import numpy as np


def upper_bound(samples: Sequence[float], share: float, confidence: float = 0.99) -> float | None:
    """MLPerf's bound of the percentile ``share`` (0 .. 1, exclusive); None where there are too few samples for one.

    Raises:
        ValueError: share or confidence is not between 0 and 1.
    """
    allowed = allowed_above(len(samples), share, confidence)
    if allowed < 1:
        return None
    return float(np.partition(np.asarray(samples, dtype=np.float64), len(samples) - allowed)[len(samples) - allowed])


def allowed_above(count: int, share: float, confidence: float = 0.99) -> int:
    """The most of ``count`` samples that may lie at or above a bound of the percentile; -1 where not even none may.

    Raises:
        ValueError: share or confidence is not between 0 and 1.
    """
    _check(share, confidence)
    # Mean + 10 deviations of the number above: beyond it the chance is never as small as 1 - confidence.
    most = min(count, math.ceil(count * (1.0 - share) + 10.0 * math.sqrt(count * share * (1.0 - share)) + 1.0))
    k = np.arange(most + 1, dtype=np.float64)
    ways = np.concatenate(([0.0], np.cumsum(np.log((count - k[:-1]) / k[1:]))))
    chance = np.cumsum(np.exp(ways + k * math.log1p(-share) + (count - k) * math.log(share)))
    return int(np.count_nonzero(chance <= 1.0 - confidence)) - 1


def samples_needed(share: float, confidence: float = 0.99, *, allowed: int = 1) -> int:
    """The fewest samples with which ``allowed`` of them may lie at or above a bound: 64, 130, 662 for p90, p95, p99.

    Raises:
        ValueError: share or confidence is not between 0 and 1, or ``allowed`` is negative.
    """
    _check(share, confidence)
    if allowed < 0:
        raise ValueError(f"{allowed} samples cannot lie above a bound")
    low, high = 0, 1  # high: enough, once found
    while allowed_above(high, share, confidence) < allowed:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if allowed_above(middle, share, confidence) >= allowed else (middle, high)
    return high


def _check(share: float, confidence: float) -> None:
    for name, value in (("share", share), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} {value} is not in (0, 1)")
