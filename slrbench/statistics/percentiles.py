"""Percentiles of raw samples, and the median that one disturbed round cannot move.

- A percentile is by nearest rank, so it is a time that was measured.
- It is given only from ``MIN_SAMPLES`` samples on: the smallest counts from which it is known with 99 % confidence with
  one sample above it (MLPerf inference rules, early stopping).
- ``median_over_rounds`` is the median of each round's samples, then the median over the rounds. A round that was
  disturbed as a whole (another program, a clock that dropped) then weighs as one round and not as many samples.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import TypeVar

_Key = TypeVar("_Key", int, tuple[int, int])

MIN_SAMPLES = {0.90: 64, 0.95: 130, 0.99: 662}
"""Percentile (a share) to the fewest samples from which it is given."""


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least ``share`` (0 .. 1] of all samples do not exceed (nearest rank).

    Raises:
        ValueError: there are no samples, or the share is out of range.
    """
    if not samples:
        raise ValueError("a percentile of no samples")
    return sorted(samples)[rank_of(share, len(samples)) - 1]


def rank_of(share: float, count: int) -> int:
    """Rank (1 .. count) of the nearest-rank percentile among ``count`` samples.

    Raises:
        ValueError: the share is out of range.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share {share} is not in (0, 1]")
    # 0.07 * 100 is 7.000000000000001 in binary: without the rounding its rank would be 8.
    return math.ceil(round(share * count, 9))


def percentile_if_known(samples: Sequence[float], share: float) -> float | None:
    """The percentile (a key of ``MIN_SAMPLES``), or None where there are too few samples for it."""
    return percentile(samples, share) if len(samples) >= MIN_SAMPLES[share] else None


def samples_missing(count: int, share: float) -> int:
    """How many more samples the percentile (a key of ``MIN_SAMPLES``) needs; 0 where it is known."""
    return max(0, MIN_SAMPLES[share] - count)


def median_of_each_round(samples: Sequence[float], round_of: Sequence[_Key]) -> dict[_Key, float]:
    """Round, or round and turn, to the median of its samples, in the order of their numbers.

    Raises:
        ValueError: not one round per sample.
    """
    rounds: dict[_Key, list[float]] = {}
    for sample, number in zip(samples, round_of, strict=True):
        rounds.setdefault(number, []).append(sample)
    return {number: median(rounds[number]) for number in sorted(rounds)}


def median_over_rounds(samples: Sequence[float], round_of: Sequence[int]) -> float:
    """The median over rounds of each round's median.

    With rounds of equal size at least a quarter of all samples are at or above it, and a quarter at or below.

    Raises:
        ValueError: there are no samples, or not one round per sample.
    """
    medians = median_of_each_round(samples, round_of)
    if not medians:
        raise ValueError("a median of no samples")
    return median(medians.values())
