"""Did a candidate's rounds differ, or the machine's? What the other candidates of a session took tells.

Rounds visit all candidates, so a machine that changes its speed (a neighbour, a clock, heat) changes the times of all
of them in the same rounds. The mean change of the others, on the logarithm, is the estimate of the machine's; what of
the candidate's variance over rounds goes when that is taken off is the share that the machine explains.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pvariance

from slrbench.statistics.bootstrap import MIN_ROUNDS

MIN_OTHERS = 2
"""Other candidates, at least: one alone may have had bad rounds of its own."""


@dataclass(frozen=True)
class Drift:
    """How the machine's speed changed over the rounds, as the other candidates saw it."""

    ratio: float
    """Time in its slowest round over time in its fastest; 1 is no change."""
    explained: float
    """Share of the candidate's variance over rounds that goes with it; below 0 where it has nothing to do with it."""


def drift_of_others(own: Mapping[int, float], others: Sequence[Mapping[int, float]]) -> Drift | None:
    """What the others say of the rounds of one candidate; None where there are too few of them, or too few rounds.

    Args:
        own: round to the median of its samples, seconds.
        others: the same of each other candidate; only rounds that all have count.
    """
    rounds = sorted(set(own).intersection(*others))
    if len(others) < MIN_OTHERS or len(rounds) < MIN_ROUNDS:
        return None
    logs = [[math.log(each[round_]) for round_ in rounds] for each in others]
    machine = [fmean(of_round) for of_round in zip(*logs, strict=True)]
    mine = [math.log(own[round_]) for round_ in rounds]
    variance = pvariance(mine)
    left = pvariance([a - b for a, b in zip(mine, machine, strict=True)])
    return Drift(
        ratio=math.exp(max(machine) - min(machine)), explained=1.0 - left / variance if variance > 0.0 else 0.0
    )
