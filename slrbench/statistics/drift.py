"""Did a candidate's rounds differ, its processes, or the machine? What the others of a session took tells the last.

Rounds visit all candidates, so a machine that changes its speed (a neighbour, a clock, heat) changes the times of all
of them in the same rounds. The median change of the others, on the logarithm, is the estimate of the machine's: a few
that had bad rounds of their own do not move it. What of the candidate's variance over rounds goes when that is taken
off is the share that the machine explains.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, pvariance

from slrbench.statistics.bootstrap import MIN_ROUNDS

MIN_OTHERS = 3
"""Other candidates in a round, at least: of two, one may have had a bad round of its own."""


@dataclass(frozen=True)
class Drift:
    """How the machine's speed changed over the rounds, as the other candidates saw it."""

    ratio: float
    """Time in its slowest round over time in its fastest; 1 is no change."""
    explained: float
    """Share of the candidate's variance over rounds that goes with it; below 0 where it has nothing to do with it."""


def between_processes(own: Mapping[int, float], process_of: Mapping[int, int]) -> float:
    """Share of a candidate's variance over rounds that lies between its processes, 0 .. 1 (eta squared).

    Ten rounds dealt at random to three processes have 0.22 of it on average, and 0.7 or more in one case of 68.

    Args:
        own: round to the median of its samples, seconds.
        process_of: round to the process that measured it.
    """
    logs = {round_: math.log(value) for round_, value in own.items()}
    of_process: dict[int, list[float]] = {}
    for round_, value in logs.items():
        of_process.setdefault(process_of[round_], []).append(value)
    variance = pvariance(logs.values())
    if variance == 0.0:
        return 0.0
    within = sum(len(values) * pvariance(values) for values in of_process.values())
    return 1.0 - within / (len(logs) * variance)


def drift_of_others(own: Mapping[int, float], others: Sequence[Mapping[int, float]]) -> Drift | None:
    """What the others say of the rounds of one candidate; None where there are too few of them, or too few rounds.

    Args:
        own: round to the median of its samples, seconds.
        others: the same of each other candidate; those with few rounds of ``own`` do not count.
    """
    changes: dict[int, list[float]] = {}
    for other in others:
        common = own.keys() & other.keys()
        if len(common) >= MIN_ROUNDS:
            usual = median(math.log(other[round_]) for round_ in common)
            for round_ in common:
                changes.setdefault(round_, []).append(math.log(other[round_]) - usual)
    machine = {round_: median(found) for round_, found in changes.items() if len(found) >= MIN_OTHERS}
    if len(machine) < MIN_ROUNDS:
        return None
    variance = pvariance([math.log(own[round_]) for round_ in machine])
    left = pvariance([math.log(own[round_]) - change for round_, change in machine.items()])
    return Drift(
        ratio=math.exp(max(machine.values()) - min(machine.values())),
        explained=1.0 - left / variance if variance > 0.0 else 0.0,
    )
