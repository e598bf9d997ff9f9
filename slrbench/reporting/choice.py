"""What is chosen among rows of one setting: who meets the limits, who reads well enough, and which of them is first."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from slrbench.records import SummaryRow
from slrbench.reporting.evidence import Draws, Evidence
from slrbench.reporting.pareto import costs
from slrbench.reporting.requirements import LIMITS, Limit, Requirements, wer_of

WER_TOLERANCE = 0.01
"""How much worse than the best WER (absolute, a share) a row may be and still be recommended, without a limit on it."""

LARGEST_WER = 0.5
"""The largest WER (a share) that a feasible row may have where none is stated: half of the words wrong."""

_SLACK = 1e-9


def violations(row: SummaryRow, requirements: Requirements) -> list[tuple[Limit, float]]:
    """The limits that the row does not keep, with their values; a figure that is not known keeps none."""
    return [
        (limit, value) for limit, value in effective_limits(requirements) if not limit.met(limit.figure(row), value)
    ]


def effective_limits(requirements: Requirements) -> list[tuple[Limit, float]]:
    """The limits that hold, with their values: those that are set, and ``LARGEST_WER`` where no WER is stated."""
    found = []
    for limit in LIMITS:
        value = requirements.limit(limit.name)
        if value is None and limit.name == "max_wer":
            value = LARGEST_WER
        if value is not None:
            found.append((limit, value))
    return found


def feasible_rows(rows: Sequence[SummaryRow], pool: Sequence[int], requirements: Requirements) -> list[int]:
    """Those of ``pool`` that keep every limit and whose objective is known."""
    return [i for i in pool if not violations(rows[i], requirements) and objective_known(rows[i], requirements)]


def objective_known(row: SummaryRow, requirements: Requirements) -> bool:
    """Whether the row has the figure that is chosen by."""
    return requirements.objective != "throughput" or row.throughput_clips_per_s is not None


def near_the_best(rows: Sequence[SummaryRow], feasible: Sequence[int], requirements: Requirements) -> list[int]:
    """Those of ``feasible`` that read well enough: all where a largest WER is stated, else those near the best."""
    if requirements.max_wer is not None or not feasible:
        return list(feasible)
    best = min(_wer(rows[i]) for i in feasible)
    return [i for i in feasible if _wer(rows[i]) <= best + WER_TOLERANCE + _SLACK]


def choose(
    rows: Sequence[SummaryRow], pool: Sequence[int], requirements: Requirements, *, without: int | None = None
) -> int | None:
    """The row of ``pool`` to recommend; None where none is feasible.

    Whatever dominates a row is feasible and near the best where that row is, and preferred to it: so the choice is on
    the front.
    """
    feasible = [i for i in feasible_rows(rows, pool, requirements) if i != without]
    near = near_the_best(rows, feasible, requirements)
    return min(near, key=lambda i: (*preference(rows[i], requirements), *identity(rows[i]), i), default=None)


def preference(row: SummaryRow, requirements: Requirements) -> tuple[float, ...]:
    """What is compared one after the other, less being better: the objective, then p50, size, WER and the rest."""
    p50, wer, size, *rest = costs(row, requirements)
    order: tuple[float, ...] = (p50, size, wer, *rest)
    match requirements.objective:
        case "latency":
            return order
        case "size":
            return (size, p50, wer, *rest)
        case "wer":
            return (wer, p50, size, *rest)
        case "throughput":
            return (-(row.throughput_clips_per_s or 0.0), *order)


def identity(row: SummaryRow) -> tuple[str, ...]:
    """What tells rows of one setting apart: decides between equals, so that their order does not."""
    return row.model, row.backend, row.precision, row.variant, row.input_kind, row.artifact_sha256


def choice_share(
    rows: Sequence[SummaryRow], pool: Sequence[int], requirements: Requirements, evidence: Evidence
) -> Mapping[int, float]:
    """Share of resamples (0 .. 1) in which each row would have been chosen; rows that never are have no entry.

    Latency and WER are resampled, and with them who meets a limit on p50 or WER; all else is as measured.
    """
    if not evidence or not pool:
        return {}
    latency, wer = evidence.figures(rows, pool)
    eligible = _eligible(rows, pool, requirements, latency, wer)
    keys = _preferences(rows, pool, requirements, latency, wer)
    order = np.lexsort(tuple(reversed(keys)), axis=0)  # (rows, resamples), the preferred row first
    first = np.take_along_axis(eligible, order, axis=0).argmax(axis=0)
    chosen = order[first, np.arange(order.shape[1])]
    some = eligible.any(axis=0)
    shares = {i: float(np.mean((chosen == position) & some)) for position, i in enumerate(pool)}
    return {i: share for i, share in shares.items() if share > 0.0}


def _eligible(
    rows: Sequence[SummaryRow], pool: Sequence[int], requirements: Requirements, latency: Draws, wer: Draws
) -> NDArray[np.bool_]:
    """Whether a row may be chosen, ``(rows, resamples)``."""
    eligible = np.ones_like(latency, dtype=bool)
    for position, i in enumerate(pool):
        if not objective_known(rows[i], requirements):
            eligible[position] = False
        for limit, value in effective_limits(requirements):
            if limit.name == "max_p50_ms":
                eligible[position] &= latency[position] * 1e3 <= value * (1.0 + _SLACK)
            elif limit.name == "max_wer":
                eligible[position] &= wer[position] <= value + _SLACK
            else:
                eligible[position] &= limit.met(limit.figure(rows[i]), value)
    if requirements.max_wer is None:
        best = np.min(np.where(eligible, wer, np.inf), axis=0)
        eligible &= wer <= best + WER_TOLERANCE + _SLACK
    return eligible


def _preferences(
    rows: Sequence[SummaryRow], pool: Sequence[int], requirements: Requirements, latency: Draws, wer: Draws
) -> list[Draws]:
    """:func:`preference` in every resample, one ``(rows, resamples)`` per place."""
    names = {i: place for place, i in enumerate(sorted(pool, key=lambda i: identity(rows[i])))}

    def column(values: Sequence[float]) -> Draws:
        return np.broadcast_to(np.array(values, dtype=np.float64)[:, None], latency.shape)

    size = column([rows[i].size_bytes for i in pool])
    order: list[Draws] = {
        "latency": [latency, size, wer],
        "size": [size, latency, wer],
        "wer": [wer, latency, size],
        "throughput": [column([-(rows[i].throughput_clips_per_s or 0.0) for i in pool]), latency, size, wer],
    }[requirements.objective]
    return [*order, column([names[i] for i in pool])]


def _wer(row: SummaryRow) -> float:
    wer = wer_of(row)
    assert wer is not None, "only rows with a measured WER are compared"
    return wer
