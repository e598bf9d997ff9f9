"""FASTER, SLOWER, SAME or UNCLEAR, from the interval of a ratio of times.

With a threshold of 2 %, a candidate is

- SAME where the whole interval lies within 1 / 1.02 .. 1.02: whatever the truth is, it does not matter;
- FASTER or SLOWER where the whole interval lies outside of it, on one side;
- UNCLEAR otherwise, with an estimate of how many more rounds would tell.

The threshold is the larger of the practical one and what two copies of the baseline differed by (A/A), since no
difference between candidates can be trusted below that. Noise from round to round is in every interval already.

Many candidates: the more are compared, the likelier it is that noise alone puts one beyond the threshold. So FASTER
and SLOWER are claimed by Holm's procedure: the clearest of m comparisons must hold at a confidence of 1 - 0.05 / m, the
next one at 1 - 0.05 / (m - 1), and so on until one does not. Intervals are widened to those confidences as a normal
distribution of the logarithm would have it. SAME needs no correction: to be called the same, both ends must be inside,
which in the worst case is wrong in 2.5 % of the cases each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from slrbench.records import FloorState, Interval, SpeedVerdict
from slrbench.statistics.bootstrap import CONFIDENCE, MIN_ROUNDS

PRACTICAL_THRESHOLD = 0.02
"""A difference in time, as a share, below which nobody would choose another file."""

FINE, COARSE = 0.05, 0.10
"""Up to which resolution, a share, a session is good, and up to which it can tell anything but large differences."""

MOST_ROUNDS = 1000
"""Where more rounds than that would be needed, no number is given: the ratio is at the threshold itself."""


@dataclass(frozen=True)
class Verdict:
    """What a ratio says, and what it would take to say more."""

    word: SpeedVerdict
    more_rounds: int | None = None
    """Rounds that UNCLEAR would still need, estimated; None with another word, or where too many would be needed."""


def threshold(control: Interval | None, practical: float = PRACTICAL_THRESHOLD) -> float:
    """From which difference on two candidates differ: the practical one, or what the baseline's two copies differ by.

    Raises:
        ValueError: the practical threshold is not above zero.
    """
    if practical <= 0.0:
        raise ValueError(f"a threshold of {practical} is none: noise alone would be a difference")
    return practical if control is None else max(practical, math.expm1(abs(math.log(control.value))))


def session_state(control: Interval, practical: float = PRACTICAL_THRESHOLD) -> FloorState:
    """What a session can tell, from the ratio of two copies of one thing (A/A).

    That they do not differ for sure is no evidence that they agree: an interval wide enough holds 1 too.
    """
    if control.confidence < CONFIDENCE:
        return "unknown"
    if _side(control, practical) in ("FASTER", "SLOWER"):
        return "invalid"
    found = resolution(control)
    return "unresolved" if found > COARSE else "coarse" if found > FINE else "good"


def resolution(control: Interval) -> float:
    """How far, as a share, two copies of one thing may be apart: no smaller difference can be told."""
    return max(1.0 / control.low, control.high) - 1.0


def rounds_to_resolve(control: Interval, rounds: int) -> int | None:
    """With how many rounds about the copies would agree to ``COARSE``; None where there would be too many.

    Intervals shrink with the square root of the rounds.
    """
    needed = math.ceil(rounds * (math.log1p(resolution(control)) / math.log1p(COARSE)) ** 2)
    return needed if needed <= MOST_ROUNDS else None


def verdict(ratio: Interval, limit: float, rounds: int, *, comparisons: int = 1) -> Verdict:
    """The verdict over one ratio as one of ``comparisons``, each corrected as the clearest of them would be.

    Args:
        ratio: time of the candidate / time of the baseline.
        limit: the threshold, a share such as 0.02.
        rounds: how many rounds the ratio rests on.
        comparisons: among how many ratios this one is looked at.
    """
    if ratio.confidence < CONFIDENCE or rounds < MIN_ROUNDS:
        return Verdict("UNCLEAR", max(1, MIN_ROUNDS - rounds))
    word = _side(ratio, limit)
    if word == "SAME" or (word is not None and _side(widened(ratio, comparisons), limit) == word):
        return Verdict(word)
    return Verdict("UNCLEAR", _more_rounds(widened(ratio, comparisons), limit, rounds))


def verdicts(ratios: Sequence[Interval], limit: float, rounds: Sequence[int]) -> list[Verdict]:
    """The verdicts over several ratios, FASTER and SLOWER by Holm's procedure, in the order of the ratios.

    Raises:
        ValueError: not one number of rounds per ratio.
    """
    if len(ratios) != len(rounds):
        raise ValueError(f"{len(rounds)} numbers of rounds do not go with {len(ratios)} ratios")
    clearest = sorted(range(len(ratios)), key=lambda i: _clearness(ratios[i], limit), reverse=True)
    found: dict[int, Verdict] = {}
    left = len(ratios)
    for i in clearest:
        found[i] = verdict(ratios[i], limit, rounds[i], comparisons=left)
        if found[i].word in ("FASTER", "SLOWER"):
            left -= 1  # Holm steps on only where a claim was made; else all that remain are held to the same
    return [found[i] for i in range(len(ratios))]


def widened(ratio: Interval, comparisons: int) -> Interval:
    """The interval at a confidence of 1 - (1 - its own) / comparisons.

    Raises:
        ValueError: there is not at least one comparison.
    """
    if comparisons < 1:
        raise ValueError(f"one of {comparisons} comparisons cannot be")
    normal = NormalDist()
    outside = 1.0 - ratio.confidence
    factor = normal.inv_cdf(1.0 - outside / (2.0 * comparisons)) / normal.inv_cdf(1.0 - outside / 2.0)
    value = math.log(ratio.value)
    low, high = (math.exp(value + factor * (math.log(end) - value)) for end in (ratio.low, ratio.high))
    return Interval(value=ratio.value, low=low, high=high, confidence=1.0 - outside / comparisons)


def _side(ratio: Interval, limit: float) -> SpeedVerdict | None:
    """Where the whole interval lies; None where it crosses a limit."""
    upper = 1.0 + limit
    if ratio.high < 1.0 / upper:
        return "FASTER"
    if ratio.low > upper:
        return "SLOWER"
    return "SAME" if ratio.low >= 1.0 / upper and ratio.high <= upper else None


def _clearness(ratio: Interval, limit: float) -> float:
    """How far beyond the threshold the ratio is, in half widths of its interval towards 1."""
    distance = abs(math.log(ratio.value)) - math.log1p(limit)
    towards = math.log(ratio.value / ratio.low) if ratio.value > 1.0 else math.log(ratio.high / ratio.value)
    return distance / max(towards, 1e-12)


def _more_rounds(ratio: Interval, limit: float, rounds: int) -> int | None:
    """Half widths shrink with the square root of the rounds, down to the distance between the ratio and the limit."""
    half = math.log(ratio.high / ratio.low) / 2.0
    distance = abs(abs(math.log(ratio.value)) - math.log1p(limit))
    if half >= distance * math.sqrt(MOST_ROUNDS):
        return None
    more = max(1, math.ceil(rounds * (half / distance) ** 2) - rounds)
    return more if more <= MOST_ROUNDS else None
