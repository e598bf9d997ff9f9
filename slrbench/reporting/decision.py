"""Which file to ship: the Pareto front over latency, WER and size, and one recommendation with its reason.

The rule, in full:

1. Latency is ``end_to_end`` (host to host): that is what a user of the file waits for.
2. A row is feasible where parity passed for that very file and its WER was measured and is at most one half: a network
   that gets more words wrong than right is not worth shipping, however fast. Random weights never are feasible.
3. Like is compared with like: one device, one batch, one number of frames, one frame size, one number of threads. The
   decision is made at the smallest batch (1 is the live case), there on the device and at the frames, frame size and
   threads that most feasible rows share; rows at other settings are in the tables and not in the decision. Which
   machine to buy is no question that a file answers, so devices never compete; what the same rule gives on each of the
   other devices is said beside the decision. Precisions and variants compete: they are ways to run one network.
4. The front holds every row that no other row beats: at most as slow, as wrong and as large, and better in one of
   these.
5. Recommended is the fastest row whose WER is within one percentage point (absolute) of the best; the smaller file
   where two are as fast. One point, because a test set of some hundred words cannot tell less apart.

What that rule gives up is said beside it: the fastest and the smallest row of the front, with their price in WER.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from slrbench.records import Decision, Rejection, Scope, SummaryRow
from slrbench.reporting.display import megabytes, milliseconds, percent, row_name
from slrbench.reporting.statistics import UNTRAINED

WER_TOLERANCE = 0.01
"""How much worse than the best WER (absolute, a share) a row may be and still be recommended."""

LARGEST_WER = 0.5
"""The largest WER (a share) that a row may have and still be feasible: half of the words wrong."""

SMALLER_FILE = 0.9
"""How large a file may be, as a share of the recommended one, to be named as the choice where size matters."""

DECISION_SCOPE: Scope = "end_to_end"

_Setting = tuple[int, int, int, int, int, str]  # batch, frames, height, width, threads, device


def decide(rows: Sequence[SummaryRow]) -> Decision:
    """Apply the rule of this module to the rows of a report; indices are into ``rows``."""
    in_scope = [i for i, row in enumerate(rows) if row.scope == DECISION_SCOPE]
    rejected = {i: reason for i in in_scope if (reason := _infeasible(rows[i])) is not None}
    feasible = [i for i in in_scope if i not in rejected]
    if not feasible:
        return Decision(
            scope=DECISION_SCOPE,
            pareto=(),
            recommended=None,
            reason=f"Nothing can be recommended: {_why_nothing(rows, in_scope)}.",
            rejected=_rejections(rejected),
        )
    setting = _decision_setting(rows[i] for i in feasible)
    for i in feasible:
        if _setting(rows[i]) != setting:
            rejected[i] = _differing(_setting(rows[i]), setting)
    compared = [i for i in feasible if i not in rejected]
    front = pareto_front(rows, compared)
    chosen = _recommend(rows, compared)
    for i in compared:
        if i != chosen:
            rejected[i] = _why_not(rows, i, chosen, compared)
    return Decision(
        scope=DECISION_SCOPE,
        pareto=tuple(front),
        recommended=chosen,
        reason=" ".join([_reason(rows, chosen, front, compared, setting), *_on_other_devices(rows, feasible, setting)]),
        rejected=_rejections(rejected),
    )


def dominates(a: SummaryRow, b: SummaryRow) -> bool:
    """Whether ``a`` is at most as slow, as wrong and as large as ``b``, and better in at least one of these."""
    pairs = list(zip(_objectives(a), _objectives(b), strict=True))
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def pareto_front(rows: Sequence[SummaryRow], indices: Sequence[int]) -> list[int]:
    """Those of ``indices`` whose row no other of them dominates, fastest first. Every row must have a numeric WER."""
    front = [i for i in indices if not any(dominates(rows[j], rows[i]) for j in indices)]
    return sorted(front, key=lambda i: (rows[i].p50_s, i))


def _objectives(row: SummaryRow) -> tuple[float, float, int]:
    return row.p50_s, _wer(row), row.size_bytes


def _wer(row: SummaryRow) -> float:
    assert isinstance(row.wer, float), "only rows with a measured WER are compared"
    return row.wer


def _infeasible(row: SummaryRow) -> str | None:
    if row.wer == UNTRAINED:
        return "random weights, measured for speed only"
    if row.parity == "failed":
        return "parity failed: the file does not compute what the checkpoint computes"
    if row.parity == "not run":
        return "parity was not run for this file"
    if row.wer is None:
        return "the WER of this file was not measured with this input and frame size"
    if _wer(row) > LARGEST_WER:
        return f"reads too little: WER {percent(row.wer)} %"
    return None


def _why_nothing(rows: Sequence[SummaryRow], in_scope: Sequence[int]) -> str:
    proven = [row.wer for row in (rows[i] for i in in_scope) if row.parity == "passed" and isinstance(row.wer, float)]
    if not proven:
        return "no row has both a passed parity check and a measured WER"
    return f"the best WER is {percent(min(proven))} %, and above {percent(LARGEST_WER)} % a network reads too little"


def _setting(row: SummaryRow) -> _Setting:
    return row.batch, row.frames, row.height, row.width, row.threads, row.device


def _setting_words(setting: _Setting) -> str:
    return ", ".join(_setting_parts(setting))


def _setting_parts(setting: _Setting) -> list[str]:
    batch, frames, height, width, threads, device = setting
    frames_word, threads_word = ("s" if count > 1 else "" for count in (frames, threads))
    return [
        f"batch {batch}",
        f"{frames} frame{frames_word}",
        f"{height} x {width} pixels",
        f"{threads} thread{threads_word}",
        f"device {device}",
    ]


def _differing(measured: _Setting, decided: _Setting) -> str:
    pairs = list(zip(_setting_parts(measured), _setting_parts(decided), strict=True))
    found, wanted = (", ".join(pair[side] for pair in pairs if pair[0] != pair[1]) for side in (0, 1))
    return f"measured at {found}; decided at {wanted}"


def _decision_setting(rows: Iterable[SummaryRow]) -> _Setting:
    counts = Counter(_setting(row) for row in rows)
    return min(counts, key=lambda s: (s[0], -counts[s], *s[1:]))


def _on_other_devices(rows: Sequence[SummaryRow], feasible: Sequence[int], setting: _Setting) -> list[str]:
    """What the rule gives on each device that the decision is not about, a sentence each."""
    sentences = []
    for device in dict.fromkeys(rows[i].device for i in feasible if rows[i].device != setting[-1]):
        of_device = [i for i in feasible if rows[i].device == device]
        there = _decision_setting(rows[i] for i in of_device)
        row = rows[_recommend(rows, [i for i in of_device if _setting(rows[i]) == there])]
        sentences.append(
            f"On {device}, which is not compared with {setting[-1]}, the same rule gives {row_name(row)}: "
            f"{milliseconds(row.p50_s)} ms, WER {percent(_wer(row))} %, {megabytes(row.size_bytes)} MB, at "
            f"{_setting_words(there)}."
        )
    return sentences


def _within_tolerance(rows: Sequence[SummaryRow], indices: Sequence[int]) -> list[int]:
    best = min(_wer(rows[i]) for i in indices)
    return [i for i in indices if _wer(rows[i]) <= best + WER_TOLERANCE + 1e-9]


def _recommend(rows: Sequence[SummaryRow], indices: Sequence[int]) -> int:
    def preference(i: int) -> tuple[float, int, float, int]:
        return rows[i].p50_s, rows[i].size_bytes, _wer(rows[i]), i

    # Whatever dominates a row is within the tolerance where that row is, and preferred to it: so this is on the front.
    return min(_within_tolerance(rows, indices), key=preference)


def _why_not(rows: Sequence[SummaryRow], i: int, chosen: int, compared: Sequence[int]) -> str:
    row, best = rows[i], rows[chosen]
    if i not in _within_tolerance(rows, compared):
        lowest = min(_wer(rows[j]) for j in compared)
        return (
            f"WER {percent(_wer(row))} % is {percent(_wer(row) - lowest)} points above the best, "
            f"more than {percent(WER_TOLERANCE)}"
        )
    if row.p50_s > best.p50_s:
        return f"slower: {milliseconds(row.p50_s)} against {milliseconds(best.p50_s)} ms ({_times(row, best)})"
    return "as fast and as right within the tolerance, but not smaller"


def _times(row: SummaryRow, best: SummaryRow) -> str:
    return f"x{row.p50_s / best.p50_s:.2f}"


def _reason(
    rows: Sequence[SummaryRow], chosen: int, front: Sequence[int], compared: Sequence[int], setting: _Setting
) -> str:
    row = rows[chosen]
    lowest = min(_wer(rows[i]) for i in compared)
    near = len(_within_tolerance(rows, compared))
    sentences = [
        f"{row_name(row)} is the fastest of the {near} feasible file{'s' if near > 1 else ''} whose WER is within "
        f"{percent(WER_TOLERANCE)} percentage points of the best ({percent(lowest)} %): "
        f"{milliseconds(row.p50_s)} ms end to end (p50), WER {percent(_wer(row))} %, {megabytes(row.size_bytes)} MB, "
        f"at {_setting_words(setting)}."
    ]
    fastest = front[0]
    smallest = min(front, key=lambda i: (rows[i].size_bytes, rows[i].p50_s, i))
    most_accurate = min(front, key=lambda i: (_wer(rows[i]), rows[i].p50_s, i))
    gains: dict[int, list[str]] = {}  # one sentence per file, though it may be better in two ways
    if rows[fastest].p50_s < row.p50_s:
        gains.setdefault(fastest, []).append("speed")
    if rows[smallest].size_bytes <= SMALLER_FILE * row.size_bytes:
        gains.setdefault(smallest, []).append("size")
    if _wer(rows[most_accurate]) < _wer(row):
        gains.setdefault(most_accurate, []).append("accuracy")
    sentences += [_trade(row, rows[i], " and ".join(words)) for i, words in gains.items()]
    return " ".join(sentences)


def _trade(row: SummaryRow, other: SummaryRow, words: str) -> str:
    return (
        f"If {words} matter{'' if ' and ' in words else 's'} more, {row_name(other)}: {milliseconds(other.p50_s)} ms "
        f"(x{other.p50_s / row.p50_s:.2f}), WER {percent(_wer(other))} % "
        f"({100 * (_wer(other) - _wer(row)):+.2f} points), {megabytes(other.size_bytes)} MB "
        f"(x{other.size_bytes / row.size_bytes:.2f})."
    )


def _rejections(reasons: dict[int, str]) -> tuple[Rejection, ...]:
    return tuple(Rejection(row=i, reason=reasons[i]) for i in sorted(reasons))
