"""How sure a decision is and where it would change, in words."""

from collections.abc import Sequence

from slrbench.records import Decision, Sensitivity, SummaryRow
from slrbench.reporting.display import megabytes, milliseconds, percent, row_name
from slrbench.reporting.requirements import LIMITS, Requirements

_SMALL = 0.005  # shares below that are not spoken of


def certainty(rows: Sequence[SummaryRow], decision: Decision, *, few: bool = False) -> list[str]:
    """How sure a decision is, a phrase each: how often it would have been the same, the runner-up, doubtful limits.

    Args:
        rows: what the decision's indices are into.
        decision: in question.
        few: there are too few rounds for the resamples to say much.
    """
    found = []
    if few:
        found.append("too few rounds for intervals of latency: bench with 6 or more; the shares are a first hint")
    if decision.recommended is not None and decision.choice_share:
        mine = decision.choice_share.get(decision.recommended, 0.0)
        others = sorted(decision.choice_share.items(), key=lambda item: (-item[1], row_name(rows[item[0]])))
        shown = [
            f"{row_name(rows[i])} in {_percent(share)}"
            for i, share in others[:4]
            if i != decision.recommended and share >= _SMALL
        ]
        chosen = f"{row_name(rows[decision.recommended])} is chosen in {_percent(mine)} of resamples"
        found.append(", ".join([chosen, *shown]))
    if decision.runner_up is not None:
        found.append(f"runner-up: {_figures(rows[decision.runner_up])}")
    return [*found, *(f"{row_name(rows[u.row])}: {u.reason}" for u in decision.uncertain)]


def front_words(rows: Sequence[SummaryRow], decision: Decision) -> str:
    """In what share of resamples rows are on the front, the surest first; empty where there are none."""
    shares = sorted(decision.front_share.items(), key=lambda item: (-item[1], row_name(rows[item[0]])))
    shown = [f"{row_name(rows[i])} in {_percent(share)}" for i, share in shares if share >= _SMALL]
    return f"on the front of resamples: {', '.join(shown)}" if shown else ""


def changes(rows: Sequence[SummaryRow], decision: Decision) -> list[str]:
    """Where each limit changes the choice, a phrase each."""
    asked = requirements_of(decision)
    return [_change(rows, found, asked) for found in decision.sensitivity]


def requirements_of(decision: Decision) -> Requirements:
    """The requirements that a decision was made under."""
    return Requirements.model_validate({**decision.requirements, "objective": decision.objective})


def _change(rows: Sequence[SummaryRow], found: Sensitivity, asked: Requirements) -> str:
    """Where a limit changes the choice, and to what: ``p99 limit under 31.0 ms (now 40.0 ms): student on ...``."""
    limit = next(limit for limit in LIMITS if limit.name == found.limit)
    now = asked.limit(found.limit)
    tighter = (found.direction == "below") == limit.largest
    value = limit.shown(found.value)
    where = f"{'under' if limit.largest else 'above'} {value}" if tighter else f"of {value}"
    stands = f"now {limit.shown(now)}" if now is not None else "now none"
    then = "nothing is feasible" if found.row is None else f"the choice is {_figures(rows[found.row])}"
    return f"{limit.words} limit {where} ({stands}): {then}"


def _figures(row: SummaryRow) -> str:
    return f"{row_name(row)}: {milliseconds(row.p50_s)} ms, WER {percent(row.wer)} %, {megabytes(row.size_bytes)} MB"


def _percent(share: float) -> str:
    """Whole percent; 100 only where it is all."""
    return f"{100 * share:.0f} %" if share in (0.0, 1.0) or share < 0.995 else "over 99 %"
