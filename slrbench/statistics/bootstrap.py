"""Intervals by bootstrap over rounds: what would have come out had other rounds been measured.

The unit that is drawn is the round. Samples of one round share its disturbances, so drawing single samples would
promise more than was measured.

- Times of one candidate: each round is the median of its samples, the figure is the median over rounds.
- A ratio: each round is the logarithm of the ratio of the two medians in it, so what disturbed both cancels; the figure
  is the mean over rounds without the fifth of them at either end (a 20 % trimmed mean: Wilcox, Introduction to Robust
  Estimation and Hypothesis Testing). One or two disturbed rounds of ten cannot move it, and its intervals are narrower
  than a median's, by 5 % with 10 rounds and by 12 % with 30. Where the turns of a round are known, each turn is such a
  pair, and the round is the trimmed mean of its turns: a machine that changes its speed within a round changes it less
  within a turn.

Two corrections, since rounds are few:

- The quantiles are those of an expanded percentile interval (Hesterberg, What Teachers Should Know About the Bootstrap,
  The American Statistician 69, 2015): with n rounds, sqrt(n / (n - 1)) times Student's t instead of the normal z. A
  plain interval of 10 rounds covers some 93 %, this one 96 to 98 %.
- Rounds of one process resemble each other more than rounds of different processes. Where ``process_of`` is given, the
  draws are spread by the square root of the design effect, 1 + (m - 1) * rho: m rounds in a process, rho the intraclass
  correlation by analysis of variance; and the n of the expanded interval is that of the rounds over the design effect,
  between the number of processes and that of rounds. With one process only it cannot be known, and nothing is spread.
  With few it is known badly. Simulated (rounds differ by 1 %; processes by 1 % or by 5 %; 4 to 10 rounds each), an
  interval of 95 % covers 87 to 92 % with 3 processes and 94 to 97 % with 5; by the number of rounds alone it would be
  84 to 90 % and 87 to 93 %.

Below ``MIN_ROUNDS`` rounds no interval of 95 % exists: even from the lowest to the highest round covers less. The
answer is None then.

The same seed draws the same rounds for every candidate, so draws of candidates that were measured together belong
together, resample by resample. Candidates need not have the same rounds: in each resample every round of the session
comes up again and again, at times of its own (a Poisson process), and a candidate with n rounds takes the first n times
of its own rounds. So each has n rounds drawn evenly from its own, and what two have in common is drawn for both.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from slrbench.records import Interval
from slrbench.statistics.percentiles import median_of_each_round, rank_of

RESAMPLES = 2000
CONFIDENCE = 0.95

MIN_ROUNDS = 6
"""The fewest rounds from which a median has a 95 % interval: the median lies outside the range of n in 2 ** (1 - n)."""

REPEATS = 10
"""How often a resample may hold one round: more would come about in one of 10 ** 8 draws."""

CELLS = 4_000_000
"""Most numbers in one block of resamples: 32 MB."""

Draws = NDArray[np.float64]


def draw_medians(
    samples: Sequence[float],
    round_of: Sequence[int],
    *,
    process_of: Sequence[int] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Draws:
    """What the median over rounds would have been with other rounds, ``(resamples,)``.

    Args:
        samples: times, all above zero.
        round_of: the round of each.
        process_of: the process of each; empty: not known, and taken to make no difference.
        resamples: how many draws.
        seed: of the draws.

    Raises:
        ValueError: there are no samples, not one round per sample, or not one process.
    """
    medians = median_of_each_round(samples, round_of)
    if not medians:
        raise ValueError("a median of no samples")
    logs = np.log(np.array(list(medians.values())))
    processes = _process_of_rounds(round_of, process_of, len(samples))
    groups = [processes.get(number, ()) for number in medians]
    return np.exp(_spread_draws(logs, groups, _median, drawn_rounds(tuple(medians), resamples, seed)))


def draw_percentile(
    samples: Sequence[float], round_of: Sequence[int], share: float, *, resamples: int = RESAMPLES, seed: int = 0
) -> Draws:
    """What a percentile (nearest rank) of all samples would have been with other rounds, ``(resamples,)``.

    Raises:
        ValueError: there are no samples, not one round per sample, or the share is out of range.
    """
    if len(samples) != len(round_of):
        raise ValueError(f"{len(round_of)} rounds do not go with {len(samples)} samples")
    if not len(samples):
        raise ValueError("a percentile of no samples")
    rank_of(share, len(samples))  # refuses a share out of range
    values = np.asarray(samples, dtype=np.float64)
    numbers, index = np.unique(np.asarray(round_of), return_inverse=True)
    order = np.argsort(values, kind="stable")
    values, index = values[order], index[order]
    times_drawn = _counts(tuple(numbers.tolist()), resamples, seed)  # (resamples, rounds)
    found = np.empty(resamples)
    block = max(1, CELLS // len(values))
    for start in range(0, resamples, block):
        cumulated = np.cumsum(times_drawn[start : start + block, index], axis=1)
        ranks = np.ceil(np.round(share * cumulated[:, -1], 9))
        found[start : start + block] = values[np.argmax(cumulated >= ranks[:, None], axis=1)]
    return found


def median_interval(
    samples: Sequence[float],
    round_of: Sequence[int],
    *,
    process_of: Sequence[int] = (),
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """The median over rounds with its interval; None below ``MIN_ROUNDS`` rounds.

    Raises:
        ValueError: there are no samples, not one round per sample, or not one process.
    """
    medians = median_of_each_round(samples, round_of)
    draws = draw_medians(samples, round_of, process_of=process_of, resamples=resamples, seed=seed)
    if len(medians) < MIN_ROUNDS:
        return None
    processes = _process_of_rounds(round_of, process_of, len(samples))
    logs = np.log(np.array(list(medians.values())))
    units = _units(logs, [processes.get(number, ()) for number in medians])
    return interval_of(draws, float(np.median(list(medians.values()))), units, confidence)


def ratio_interval(
    a: Sequence[float],
    a_rounds: Sequence[int],
    b: Sequence[float],
    b_rounds: Sequence[int],
    *,
    a_processes: Sequence[int] = (),
    b_processes: Sequence[int] = (),
    a_turns: Sequence[int] = (),
    b_turns: Sequence[int] = (),
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Time of ``a`` over time of ``b``, paired: the trimmed mean of the rounds' ratios. Below 1: a is faster.

    Rounds that only one of the two has are left out, since nothing in them is a pair. The ratio of ``b`` over ``a`` is
    one over this one, its ends one over the ends.

    Args:
        a: samples, all above zero.
        a_rounds: the round of each.
        b: samples of the other.
        b_rounds: the round of each.
        a_processes: the process of each sample of ``a``; empty: not known, and taken to make no difference.
        b_processes: the process of each sample of ``b``.
        a_turns: the turn of each sample of ``a`` within its round; empty: not known, and rounds are paired as a whole.
        b_turns: the turn of each sample of ``b``.
        confidence: of the interval, 0 .. 1.
        resamples: how many draws.
        seed: of the draws.

    Returns:
        The ratio with its interval; None where both have fewer than ``MIN_ROUNDS`` rounds in common.

    Raises:
        ValueError: not one round, process or turn per sample.
    """
    of_turns = _logs_of_turns(a, a_rounds, a_turns, b, b_rounds, b_turns) if len(a_turns) and len(b_turns) else {}
    common, logs, groups = _paired_logs(a, a_rounds, b, b_rounds, a_processes, b_processes, of_turns)
    if len(logs) < MIN_ROUNDS:
        return None
    draws = _spread_draws(logs, groups, trimmed_mean, drawn_rounds(common, resamples, seed))
    found = interval_of(draws, float(trimmed_mean(logs)), _units(logs, groups), confidence)
    value, low, high = (math.exp(end) for end in (found.value, found.low, found.high))
    return Interval(value=value, low=low, high=high, confidence=confidence)


def ratio_range(
    a: Sequence[float],
    a_rounds: Sequence[int],
    b: Sequence[float],
    b_rounds: Sequence[int],
    *,
    a_turns: Sequence[int] = (),
    b_turns: Sequence[int] = (),
) -> Interval | None:
    """What is known of the ratio from fewer rounds than an interval needs: from the lowest to the highest round's.

    Its confidence is what such a range has, 1 - 2 ** (1 - n) with n rounds: 0 with one, 0.94 with five. Paired as in
    :func:`ratio_interval`, which says what the arguments are.

    Returns:
        The range; None where no round is common to both.

    Raises:
        ValueError: not one round or turn per sample.
    """
    of_turns = _logs_of_turns(a, a_rounds, a_turns, b, b_rounds, b_turns) if len(a_turns) and len(b_turns) else {}
    _, logs, _ = _paired_logs(a, a_rounds, b, b_rounds, (), (), of_turns)
    if not len(logs):
        return None
    value, low, high = (math.exp(float(f(logs))) for f in (trimmed_mean, np.min, np.max))
    return Interval(value=value, low=low, high=high, confidence=1.0 - 2.0 ** (1 - len(logs)))


def common_rounds(a_rounds: Sequence[int], b_rounds: Sequence[int]) -> int:
    """In how many rounds both were measured."""
    return len(set(a_rounds) & set(b_rounds))


def interval_of(draws: Draws, value: float, units: float, confidence: float = CONFIDENCE) -> Interval:
    """The interval of a figure from its draws.

    ``units`` (2 or more) is how many rounds or clips were drawn from, or as how many independent ones they count.
    The figure itself lies in it always.
    """
    outside = tail_share(units, confidence)
    low, high = np.quantile(draws, [outside, 1.0 - outside])
    return Interval(value=value, low=min(value, float(low)), high=max(value, float(high)), confidence=confidence)


def tail_share(units: float, confidence: float = CONFIDENCE) -> float:
    """Share of the draws to leave out at each end, which is less than (1 - confidence) / 2 where units are few."""
    normal = NormalDist()
    z = normal.inv_cdf(0.5 + confidence / 2.0)
    return normal.cdf(-math.sqrt(units / (units - 1)) * _student(z, units - 1))


def _student(z: float, degrees: float) -> float:
    """Quantile of Student's t from that of the normal distribution (Cornish and Fisher; 3 digits from 5 degrees on)."""
    return (
        z
        + (z**3 + z) / (4.0 * degrees)
        + (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / (96.0 * degrees**2)
        + (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / (384.0 * degrees**3)
    )


@lru_cache(maxsize=64)
def drawn_rounds(numbers: tuple[int, ...], resamples: int, seed: int) -> NDArray[np.intp]:
    """Which of these rounds each resample holds, as indices into ``numbers``, ``(resamples, rounds)``, in no order.

    Other rounds drawn with the same seed are drawn with these: a round comes up at the same times for all.

    Args:
        numbers: of the rounds, each once, none negative.
        resamples: how many draws.
        seed: of the draws.
    """
    times = np.stack([_times_of(number, resamples, seed) for number in numbers], axis=1).reshape(resamples, -1)
    first = np.argpartition(times, len(numbers) - 1, axis=1)[:, : len(numbers)]
    drawn = first // REPEATS
    drawn.flags.writeable = False
    return drawn


def _times_of(number: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """When a round comes up in each resample, ``(resamples, REPEATS)``, once in a unit of time on average."""
    random = np.random.default_rng([seed, number])
    return np.cumsum(random.standard_exponential((resamples, REPEATS), dtype=np.float32), axis=1)


def _counts(numbers: tuple[int, ...], resamples: int, seed: int) -> NDArray[np.int64]:
    """How often each resample holds each round, ``(resamples, rounds)``."""
    rounds = len(numbers)
    flat = drawn_rounds(numbers, resamples, seed) + rounds * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * rounds).reshape(resamples, rounds)


def trimmed_mean(values: Draws) -> Draws:
    """Mean over the last axis without the lowest and the highest fifth (rounded down)."""
    count = values.shape[-1]
    cut = count // 5
    return np.asarray(np.sort(values, axis=-1)[..., cut : count - cut].mean(axis=-1))


def _median(values: Draws) -> Draws:
    return np.asarray(np.median(values, axis=-1))


def _spread_draws(
    values: Draws, groups: Sequence[tuple[int, ...]], centre: Callable[[Draws], Draws], drawn: NDArray[np.intp]
) -> Draws:
    """Centres of resampled values, spread about that of all by what processes add."""
    draws = centre(values[drawn])
    spread = math.sqrt(_design_effect(values, groups))
    if spread == 1.0:
        return draws
    middle = float(centre(values))
    return middle + spread * (draws - middle)


def _design_effect(values: Draws, groups: Sequence[tuple[int, ...]]) -> float:
    """How much less the rounds say than as many rounds in processes of their own would, at least 1."""
    labels = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    index = np.array([labels[group] for group in groups])
    sizes = np.bincount(index)
    count, processes = len(values), len(sizes)
    if not 1 < processes < count:
        return 1.0
    means = np.bincount(index, weights=values) / sizes
    between = float(np.sum(sizes * (means - values.mean()) ** 2)) / (processes - 1)
    within = float(np.sum((values - means[index]) ** 2)) / (count - processes)
    size = (count - float(np.sum(sizes.astype(np.float64) ** 2)) / count) / (processes - 1)
    if between <= within:
        return 1.0
    return size * between / (between + (size - 1.0) * within)


def _units(values: Draws, groups: Sequence[tuple[int, ...]]) -> float:
    """As how many independent rounds the rounds count: from the number of processes to that of rounds."""
    return len(values) / _design_effect(values, groups)


def _process_of_rounds(round_of: Sequence[int], process_of: Sequence[int], count: int) -> dict[int, tuple[int, ...]]:
    """Round to the processes that measured in it, nearly always one; empty where they are not known."""
    if not len(process_of):
        return {}
    if len(process_of) != count:
        raise ValueError(f"{len(process_of)} processes do not go with {count} samples")
    found: dict[int, set[int]] = {}
    for number, process in zip(round_of, process_of, strict=True):
        found.setdefault(number, set()).add(process)
    return {number: tuple(sorted(of_round)) for number, of_round in found.items()}


def _paired_logs(
    a: Sequence[float],
    a_rounds: Sequence[int],
    b: Sequence[float],
    b_rounds: Sequence[int],
    a_processes: Sequence[int],
    b_processes: Sequence[int],
    of_turns: Mapping[int, float],
) -> tuple[tuple[int, ...], Draws, list[tuple[int, ...]]]:
    """The common rounds, the logarithm of each one's ratio, and the pair of processes that it is of.

    A round in ``of_turns`` has its logarithm from there, any other from the medians of the whole round.
    """
    of_a, of_b = median_of_each_round(a, a_rounds), median_of_each_round(b, b_rounds)
    common = tuple(number for number in of_a if number in of_b)
    in_a = _process_of_rounds(a_rounds, a_processes, len(a))
    in_b = _process_of_rounds(b_rounds, b_processes, len(b))
    logs = np.array(
        [of_turns[n] if n in of_turns else math.log(of_a[n]) - math.log(of_b[n]) for n in common], dtype=np.float64
    )
    return common, logs, [(*in_a.get(number, ()), -1, *in_b.get(number, ())) for number in common]


def _logs_of_turns(
    a: Sequence[float],
    a_rounds: Sequence[int],
    a_turns: Sequence[int],
    b: Sequence[float],
    b_rounds: Sequence[int],
    b_turns: Sequence[int],
) -> dict[int, float]:
    """Round to the trimmed mean of its turns' logarithms of a over b; only rounds in which the two share turns."""
    of_a = median_of_each_round(a, list(zip(a_rounds, a_turns, strict=True)))
    of_b = median_of_each_round(b, list(zip(b_rounds, b_turns, strict=True)))
    found: dict[int, list[float]] = {}
    for turn, value in of_a.items():
        if turn in of_b:
            found.setdefault(turn[0], []).append(math.log(value) - math.log(of_b[turn]))
    return {number: float(trimmed_mean(np.array(logs))) for number, logs in found.items()}
