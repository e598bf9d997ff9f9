"""At which value of a limit the choice changes: each limit tightened and relaxed until another row is recommended."""

from collections.abc import Sequence
from typing import Literal

from slrbench.records import Sensitivity, SummaryRow
from slrbench.reporting import choice
from slrbench.reporting.choice import choose, near_the_best, violations
from slrbench.reporting.requirements import LIMITS, Limit, Requirements, wer_of

_STEP = 1e-6
"""How far (a share) beyond a figure a limit is put to exclude it."""

_ASKED_ANYWAY = ("max_p50_ms", "max_size_mb", "max_memory_mb", "max_wer")
"""Limits that are tried where they are not set, too: the budgets that any objective has."""

_TIGHTER: dict[bool, Literal["below", "above"]] = {True: "below", False: "above"}
"""Which way a limit gets tighter, by whether it is the largest value that is allowed."""


def sensitivity(
    rows: Sequence[SummaryRow], pool: Sequence[int], requirements: Requirements, chosen: int | None
) -> tuple[Sensitivity, ...]:
    """Where the choice changes, nearest values first for each limit: one tightened, one relaxed, where there are any.

    The choice only changes where a limit passes the figure of some row, so those are the values that are tried, with
    all other requirements as they stand. A limit that is not set is only told of where it leads to another row.

    Args:
        rows: of the report.
        pool: rows that may be chosen: proven, and of one setting.
        requirements: as they stand.
        chosen: what is recommended under them; None: nothing is feasible.
    """
    found: list[Sensitivity] = []
    for limit in LIMITS:
        if requirements.limit(limit.name) is None and limit.name not in _ASKED_ANYWAY:
            continue
        found += _of_limit(rows, pool, requirements, chosen, limit)
    return tuple(found)


def _of_limit(
    rows: Sequence[SummaryRow], pool: Sequence[int], requirements: Requirements, chosen: int | None, limit: Limit
) -> list[Sensitivity]:
    is_set = requirements.limit(limit.name) is not None
    now = _now(rows, pool, requirements, limit)
    figures = sorted({f for i in pool if (f := limit.figure(rows[i])) is not None})
    if limit.name == "max_wer" and not is_set:
        figures = [f for f in figures if f <= choice.LARGEST_WER]
    kept = [f for f in figures if now is None or limit.met(f, now)]
    broken = [f for f in figures if f not in kept]
    # From the limit outwards: what it lets pass is excluded figure by figure, what it excludes is let in one by one.
    tightened = reversed(kept) if limit.largest else iter(kept)
    relaxed = iter(broken) if limit.largest else reversed(broken)
    found = []
    for figure in tightened:
        row = choose(rows, pool, requirements.with_limit(limit.name, _beyond(limit, figure)))
        if row != chosen:
            if is_set or row is not None:
                found.append(Sensitivity(limit=limit.name, value=figure, direction=_TIGHTER[limit.largest], row=row))
            break
    for figure in relaxed:
        row = choose(rows, pool, requirements.with_limit(limit.name, figure))
        if row != chosen:
            found.append(Sensitivity(limit=limit.name, value=figure, direction=_TIGHTER[not limit.largest], row=row))
            break
    return found


def _beyond(limit: Limit, figure: float) -> float:
    """A value of the limit that just excludes the figure."""
    return figure * (1.0 - _STEP) if limit.largest else figure * (1.0 + _STEP)


def _now(rows: Sequence[SummaryRow], pool: Sequence[int], requirements: Requirements, limit: Limit) -> float | None:
    """Where the limit stands; for a WER that is not stated, the worst that is still near enough to the best."""
    value = requirements.limit(limit.name)
    if value is not None or limit.name != "max_wer":
        return value
    feasible = [i for i in pool if not violations(rows[i], requirements)]
    near = near_the_best(rows, feasible, requirements)
    return max((wer for i in near if (wer := wer_of(rows[i])) is not None), default=choice.LARGEST_WER)
