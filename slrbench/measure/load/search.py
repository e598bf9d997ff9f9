"""The highest load that still passes: doubling, then halving the interval."""

from collections.abc import Callable


def highest_count(passes: Callable[[int], bool], *, start: int, most: int) -> int:
    """The highest whole number from 1 to ``most`` that passes, where all below it do; 0 where none does.

    Each number is tried once at most.

    Args:
        passes: tries a number.
        start: tried first; then it is doubled until one fails, or halved until one passes.
        most: nothing above it is tried.
    """
    good, bad = 0, most + 1
    trial = min(max(1, start), most)
    while good < trial < bad:
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
