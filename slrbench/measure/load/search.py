"""The highest load that still passes: doubling, then halving the interval; and whether the trials agree on it."""

from collections.abc import Callable, Sequence

Verdict = tuple[float, bool]
"""A load that was tried, and whether it passed."""

MOST_TRIALS_OF_ONE = 2
"""No load is tried more often: a result that is repeated until it pleases is none."""


def highest_count(passes: Callable[[int], bool], *, start: int, most: int, most_trials: int = 24) -> int:
    """The highest whole number from 1 to ``most`` that passes, where all below it do; 0 where none does.

    Each number is tried once at most.

    Args:
        passes: tries a number.
        start: tried first; then it is doubled until one fails, or halved until one passes.
        most: nothing above it is tried.
        most_trials: stop after so many, with the highest that passed.
    """
    good, bad = 0, most + 1
    trial = min(max(1, start), most)
    for _ in range(most_trials):
        if not good < trial < bad:
            break
        if passes(trial):
            good = trial
            trial = min(2 * trial, bad - 1) if bad > most else (good + bad) // 2
        else:
            bad = trial
            trial = trial // 2 if good == 0 else (good + bad) // 2
    return good


def highest_rate(
    passes: Callable[[float], bool], *, start: float, tolerance: float = 0.05, most_trials: int = 12
) -> float:
    """A rate that passes, no more than ``tolerance`` (relative) below one that fails; 0 where none was found.

    Args:
        passes: tries a rate.
        start: tried first; then it is doubled until one fails, or halved until one passes.
        tolerance: where to stop.
        most_trials: stop after so many, whatever was found.
    """
    good, bad = 0.0, float("inf")
    trial = start
    for _ in range(most_trials):
        if passes(trial):
            good = trial
        else:
            bad = trial
        if good > 0.0 and bad <= good * (1.0 + tolerance):
            break
        trial = 2.0 * good if bad == float("inf") else bad / 2.0 if good == 0.0 else (good * bad) ** 0.5
    return good


def contradiction(verdicts: Sequence[Verdict]) -> tuple[float, float] | None:
    """The lowest load that fails and the highest above it that passes; None where the trials agree.

    Of a load that was tried twice the second trial counts: it is the longer one, or the one that was to settle it.
    """
    standing = dict(verdicts)
    lowest = min((load for load, passed in standing.items() if not passed), default=None)
    highest = max((load for load, passed in standing.items() if passed), default=None)
    return None if lowest is None or highest is None or highest < lowest else (lowest, highest)


def to_be_retried(verdicts: Sequence[Verdict]) -> bool:
    """Whether the last load failed although a higher one passes, and may be tried once more."""
    last, passed = verdicts[-1]
    if passed or sum(load == last for load, _ in verdicts) >= MOST_TRIALS_OF_ONE:
        return False
    return any(kept and load > last for load, kept in dict(verdicts).items())


def disturbed_words(verdicts: Sequence[Verdict], found: float, unit: str) -> str:
    """That the trials contradict each other, and between what the result lies; empty where they agree."""
    pair = contradiction(verdicts)
    if pair is None:
        return ""
    failed, passed = pair
    low = min(found, failed) if found else 0.0
    return (
        f"not monotone: {failed:.4g} {unit} failed, {passed:.4g} passed, so the machine was disturbed; "
        f"the result lies between {low:.4g} and {passed:.4g}"
    )
