"""In which order candidates are visited, and which of them in the further rounds that a budget allows."""

import random
from collections.abc import Collection, Mapping, Sequence

from slrbench.measure.settings import TARGET

NEAR_WIDEST = 0.5
"""Of the intervals that are too wide, those are narrowed that are at least so wide as this share of the widest."""


def shuffled(indices: Collection[int], *, seed: int, round_: int, turn: int = 0) -> tuple[int, ...]:
    """The candidates in random order; the same for the same seed, round, turn and candidates."""
    order = sorted(indices)
    random.Random(f"{seed} {round_}" if turn == 0 else f"{seed} {round_} {turn}").shuffle(order)
    return tuple(order)


def to_narrow(
    widths: Mapping[int, float], costs_s: Mapping[int, float], left_s: float, *, always: Sequence[int]
) -> tuple[int, ...]:
    """Which candidates the next round visits: the widest first, as many as the time that is left allows.

    Args:
        widths: candidate to half the width of its interval, as a share; of those that can be visited.
        costs_s: what a visit of each takes.
        left_s: how much time there is.
        always: the baseline and its copy, which go with every round: the others are compared with them within a round.

    Returns:
        Their indices; empty where all are narrow enough, or there is no time for another round.
    """
    wide = {index: width for index, width in widths.items() if not width <= TARGET}
    if not wide:
        return ()
    together = [index for index in always if index in widths]
    left_s -= sum(costs_s[index] for index in together)
    if left_s < 0.0:
        return ()
    least = NEAR_WIDEST * max(wide.values())
    chosen = set(together) if any(index in wide for index in together) else set()
    for index in sorted(wide, key=lambda i: (-wide[i], i)):
        if index in together or wide[index] < least or costs_s[index] > left_s:
            continue
        left_s -= costs_s[index]
        chosen |= {index, *together}
    return tuple(sorted(chosen))
