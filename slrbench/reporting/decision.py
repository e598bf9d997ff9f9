"""Which file to ship: the feasible rows, the Pareto front, one recommendation, and how sure all that is.

The rule, in full:

1. Latency is ``end_to_end`` (host to host): that is what a user of the file waits for.
2. A row is proven where parity passed for that very file and its WER was measured. Only proven rows are feasible, and
   only where they keep every limit that is asked for. A figure that is not known keeps no limit. Where no largest WER
   is asked for it is one half: a network that gets more words wrong than right is not worth shipping, however fast.
   Random weights never are feasible.
3. Like is compared with like: one device, one batch, one number of frames, one frame size, one number of threads. The
   decision is made at the device, batch and frames that are asked for; where they are not, at the smallest batch (1 is
   the live case), there on the device and at the frames, frame size and threads that most proven rows share, whatever
   the limits. Rows at other settings are in the tables and not in the decision. Which machine to buy is no question
   that a file answers, so devices never compete; what the same rule gives on each of the other devices is said beside
   the decision. Precisions and variants compete: they are ways to run one network.
4. The front holds every row that no other row beats: at most as slow, as wrong and as large (and as hungry for memory,
   where that is limited), and better in one of these.
5. Recommended is the best row by the objective, which is the fastest unless another one is asked for. Where no largest
   WER is asked for, it is chosen among the rows whose WER is within one percentage point (absolute) of the best: a test
   set of some hundred words cannot tell less apart. The smaller file wins where two are as fast.
6. Rounds and clips are resampled: how often a row is on the front, and how often it is what is recommended, stands
   beside it. Where the interval of a figure holds a limit, that is said.

What that rule gives up is said beside it: the fastest and the smallest row of the front, with their price in WER, and
at which value of each limit the choice changes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from slrbench.errors import BadInputError
from slrbench.records import Decision, Rejection, Scope, SummaryRow
from slrbench.reporting import choice
from slrbench.reporting import decision_words as words
from slrbench.reporting.choice import (
    choice_share,
    choose,
    feasible_rows,
    objective_known,
    preference,
    violations,
)
from slrbench.reporting.evidence import Evidence
from slrbench.reporting.pareto import front_share, pareto_front
from slrbench.reporting.requirements import LIMITS, Requirements, wer_of
from slrbench.reporting.sensitivity import sensitivity
from slrbench.reporting.settings import Setting, setting_of

DECISION_SCOPE: Scope = "end_to_end"


def decide(
    rows: Sequence[SummaryRow], requirements: Requirements | None = None, evidence: Evidence | None = None
) -> Decision:
    """Apply the rule of this module to the rows of a report.

    Args:
        rows: of the report; indices of the decision are into them.
        requirements: what is asked for; None: nothing beyond the rule.
        evidence: resamples of the rows' figures; None: none, and nothing is said of how sure the decision is.
    """
    asked = requirements or Requirements()
    sure = Evidence() if evidence is None else evidence
    in_scope = [i for i, row in enumerate(rows) if row.scope == DECISION_SCOPE]
    rejected = {i: reason for i in in_scope if (reason := words.why_unproven(rows[i], asked)) is not None}
    proven = [i for i in in_scope if i not in rejected]
    there = [i for i in proven if _asked_for(rows[i], asked)]
    rejected |= {i: words.not_asked_for(rows[i], asked) for i in proven if i not in there}
    if not there:
        reason = f"Nothing can be recommended: {words.why_nothing(rows, in_scope, asked)}."
        return _nothing(reason, rejected, asked)
    setting = _decision_setting(rows[i] for i in _readable(rows, there))
    rejected |= {i: words.differing(setting_of(rows[i]), setting) for i in there if setting_of(rows[i]) != setting}
    pool = [i for i in there if i not in rejected]
    feasible = feasible_rows(rows, pool, asked)
    rejected |= {i: words.why_infeasible(rows[i], asked) for i in pool if i not in feasible}
    chosen = choose(rows, pool, asked)
    common: dict[str, Any] = {
        "sensitivity": sensitivity(rows, pool, asked, chosen),
        "uncertain": _uncertain(rows, pool, asked, sure),
        "choice_share": choice_share(rows, pool, asked, sure),
    }
    if chosen is None:
        return _nothing_feasible(rows, pool, rejected, asked, setting, common)
    rejected |= {i: words.why_not(rows, i, chosen, feasible, asked) for i in feasible if i != chosen}
    front = pareto_front(rows, feasible, asked)
    return Decision(
        scope=DECISION_SCOPE,
        pareto=tuple(front),
        recommended=chosen,
        reason=" ".join(
            [
                words.reason(rows, chosen, front, feasible, setting, asked),
                *_on_other_devices(rows, proven, setting, asked),
            ]
        ),
        rejected=_rejections(rejected),
        requirements=asked.stated(),
        objective=asked.objective,
        runner_up=choose(rows, pool, asked, without=chosen),
        front_share=dict(front_share(rows, feasible, sure, asked)),
        **common,
    )


def require_measured(rows: Sequence[SummaryRow], requirements: Requirements) -> None:
    """Return where some row was measured at the device, the batch and the frames that are asked for.

    Raises:
        BadInputError: none was, so that nothing could be decided whatever the limits.
    """
    in_scope = [row for row in rows if row.scope == DECISION_SCOPE]
    if not in_scope:
        raise BadInputError("nothing was measured, so nothing can be decided", hint="run bench again")
    if any(_asked_for(row, requirements) for row in in_scope):
        return
    asked = {name: value for name in _PLACE if (value := getattr(requirements, name)) is not None}
    shown = ", ".join(f"{name} {value}" for name, value in asked.items())
    measured = sorted({", ".join(f"{name} {getattr(row, name)}" for name in asked) for row in in_scope})
    raise BadInputError(f"nothing was measured at {shown}", hint=f"there is {'; '.join(measured)}")


_PLACE = ("device", "batch", "frames")


def _asked_for(row: SummaryRow, requirements: Requirements) -> bool:
    return all(getattr(requirements, name) in (None, getattr(row, name)) for name in _PLACE)


def _readable(rows: Sequence[SummaryRow], indices: Sequence[int]) -> list[int]:
    """Rows by which the setting is found: those that read enough words, or all where none does."""
    return [i for i in indices if (wer_of(rows[i]) or 0.0) <= choice.LARGEST_WER] or list(indices)


def _decision_setting(rows: Iterable[SummaryRow]) -> Setting:
    counts = Counter(setting_of(row) for row in rows)
    return min(counts, key=lambda s: (s.batch, -counts[s], s))


def _on_other_devices(
    rows: Sequence[SummaryRow], proven: Sequence[int], setting: Setting, asked: Requirements
) -> list[str]:
    """What the rule gives on each device that the decision is not about, a sentence each; none where one is asked."""
    if asked.device is not None:
        return []
    sentences = []
    for device in sorted({rows[i].device for i in proven} - {setting.device}):
        of_device = [i for i in proven if rows[i].device == device]
        there = _decision_setting(rows[i] for i in _readable(rows, of_device))
        chosen = choose(rows, [i for i in of_device if setting_of(rows[i]) == there], asked)
        if chosen is not None:
            sentences.append(words.on_other_device(rows[chosen], setting, there))
    return sentences


def _nothing(reason: str, rejected: Mapping[int, str], asked: Requirements, **more: Any) -> Decision:
    return Decision(
        scope=DECISION_SCOPE,
        pareto=(),
        recommended=None,
        reason=reason,
        rejected=_rejections(rejected),
        requirements=asked.stated(),
        objective=asked.objective,
        **more,
    )


def _nothing_feasible(
    rows: Sequence[SummaryRow],
    pool: Sequence[int],
    rejected: Mapping[int, str],
    asked: Requirements,
    setting: Setting,
    common: Mapping[str, Any],
) -> Decision:
    def miss(i: int) -> tuple[int, float, tuple[float, ...], int]:
        worst = [limit.shortfall(limit.figure(rows[i]), value) for limit, value in violations(rows[i], asked)]
        known = [share for share in worst if share != float("inf")]
        unknown = len(worst) - len(known) + (not objective_known(rows[i], asked))
        return unknown, max(known, default=0.0), preference(rows[i], asked), i

    nearest = min(pool, key=miss)
    unknown, shortfall, *_ = miss(nearest)
    return _nothing(
        words.nothing_meets(rows[nearest], asked, setting),
        rejected,
        asked,
        nearest_miss=nearest,
        shortfall=None if unknown else shortfall,
        **common,
    )


def _uncertain(
    rows: Sequence[SummaryRow], pool: Sequence[int], asked: Requirements, sure: Evidence
) -> tuple[Rejection, ...]:
    """Rows whose interval holds a limit, with a sentence for each limit."""
    found = []
    for i in pool:
        for limit in LIMITS:
            value, held = asked.limit(limit.name), sure.ranges.get(i, {}).get(limit.name)
            if value is not None and held is not None and limit.met(held[0], value) != limit.met(held[1], value):
                found.append(Rejection(row=i, reason=words.holds_limit(limit, limit.figure(rows[i]), held, value)))
    return tuple(found)


def _rejections(reasons: Mapping[int, str]) -> tuple[Rejection, ...]:
    return tuple(Rejection(row=i, reason=reasons[i]) for i in sorted(reasons))
