"""What a decision says: why a row is out, why one is chosen, and what the choice gives up."""

from collections.abc import Sequence

from slrbench.records import SummaryRow
from slrbench.reporting import choice
from slrbench.reporting.choice import (
    WER_TOLERANCE,
    effective_limits,
    near_the_best,
    objective_known,
    preference,
    violations,
)
from slrbench.reporting.display import megabytes, milliseconds, number, percent, row_name
from slrbench.reporting.requirements import Limit, Requirements, wer_of
from slrbench.reporting.settings import Setting
from slrbench.reporting.statistics import UNTRAINED

SMALLER_FILE = 0.9
"""How large a file may be, as a share of the recommended one, to be named as the choice where size matters."""


# --- why a row is out -------------------------------------------------------------------------------------------------


def why_unproven(row: SummaryRow, asked: Requirements) -> str | None:
    """Why the row cannot be recommended under any limit; None where it can."""
    if row.wer == UNTRAINED:
        return "random weights, measured for speed only"
    if row.parity == "failed":
        return "parity failed: the file does not compute what the checkpoint computes"
    if row.parity == "not run":
        return "parity was not run for this file"
    if row.outputs_doubt:
        return row.outputs_doubt
    wer = wer_of(row)
    if wer is None:
        return "the WER of this file was not measured with this input and frame size"
    if asked.max_wer is None and wer > choice.LARGEST_WER:
        return f"reads too little: WER {percent(wer)} %"
    return None


def not_asked_for(row: SummaryRow, asked: Requirements) -> str:
    """That the row was measured elsewhere than the decision is asked for."""
    wanted = [(name, value) for name in ("device", "batch", "frames") if (value := getattr(asked, name)) is not None]
    differ = [(name, value) for name, value in wanted if value != getattr(row, name)]
    found, asked_for = (", ".join(f"{name} {value}" for name, value in pairs) for pairs in (
        [(name, getattr(row, name)) for name, _ in differ], differ
    ))  # fmt: skip
    return f"measured at {found}; asked for at {asked_for}"


def differing(measured: Setting, decided: Setting) -> str:
    """In what two settings differ."""
    pairs = list(zip(measured.parts(), decided.parts(), strict=True))
    found, wanted = (", ".join(pair[side] for pair in pairs if pair[0] != pair[1]) for side in (0, 1))
    return f"measured at {found}; decided at {wanted}"


def why_infeasible(row: SummaryRow, asked: Requirements) -> str:
    """Every limit that the row does not keep, with its figure."""
    reasons = [_breaks(row, limit, value) for limit, value in violations(row, asked)]
    if not objective_known(row, asked):
        reasons.append("throughput is the objective and was not measured")
    return "; ".join(reasons)


def _breaks(row: SummaryRow, limit: Limit, value: float) -> str:
    figure = limit.figure(row)
    if figure is None:
        return limit.unknown(row)
    side = "above" if limit.largest else "below"
    return f"{limit.words} {limit.shown(figure)} is {side} {limit.shown(value)}{_by(limit, figure, value)}"


def _by(limit: Limit, figure: float, value: float) -> str:
    """By how much a limit is missed; empty where that cannot be said as a share."""
    share = limit.shortfall(figure, value)
    return "" if share == float("inf") else f" by {_share(share)}"


def _share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.2g} %"


def holds_limit(limit: Limit, figure: float | None, held: tuple[float, float], value: float) -> str:
    """That a limit lies inside the interval of a figure."""
    shown = limit.shown(held[0] if figure is None else figure)
    if limit.name == "max_p99_ms":
        return f"{limit.words} {shown} keeps {limit.shown(value)}, yet so few samples only prove {limit.shown(held[1])}"
    low, high = (limit.shown(end) for end in held)
    word = "keeps" if limit.met(figure, value) else "misses"
    return f"{limit.words} {shown} {word} {limit.shown(value)}, yet may be anything from {low} to {high}"


def why_not(rows: Sequence[SummaryRow], i: int, chosen: int, feasible: Sequence[int], asked: Requirements) -> str:
    """Why a feasible row is not the recommended one."""
    row, best = rows[i], rows[chosen]
    if i not in near_the_best(rows, feasible, asked):
        lowest = min(_wer(rows[j]) for j in feasible)
        return (
            f"WER {percent(_wer(row))} % is {percent(_wer(row) - lowest)} points above the best, "
            f"more than {percent(WER_TOLERANCE)}"
        )
    if preference(row, asked)[0] == preference(best, asked)[0]:
        return _TIES[asked.objective]
    match asked.objective:
        case "latency":
            times = f"x{row.p50_s / best.p50_s:.2f}"
            return f"slower: {milliseconds(row.p50_s)} against {milliseconds(best.p50_s)} ms ({times})"
        case "size":
            times = f"x{row.size_bytes / best.size_bytes:.2f}"
            return f"larger: {megabytes(row.size_bytes)} against {megabytes(best.size_bytes)} MB ({times})"
        case "wer":
            return f"reads worse: WER {percent(row.wer)} against {percent(best.wer)} %"
        case "throughput":
            less, more = (number(r.throughput_clips_per_s) for r in (row, best))
            return f"fewer clips: {less} against {more} a second"


_TIES = {
    "latency": "as fast and as right within the tolerance, but not smaller",
    "size": "as small, but not faster",
    "wer": "reads as well, but not faster",
    "throughput": "as many clips a second, but not faster",
}


# --- why nothing ------------------------------------------------------------------------------------------------------


def why_nothing(rows: Sequence[SummaryRow], in_scope: Sequence[int], asked: Requirements) -> str:
    """Why no row can be recommended under any limit."""
    proven = [row.wer for row in (rows[i] for i in in_scope) if row.parity == "passed" and isinstance(row.wer, float)]
    if not proven:
        return "no row has both a passed parity check and a measured WER"
    limit = choice.LARGEST_WER
    if asked.max_wer is None and min(proven) > limit:
        return f"the best WER is {percent(min(proven))} %, and above {percent(limit)} % a network reads too little"
    return "no row with a passed parity check and a measured WER is at the setting that is asked for"


def nothing_meets(nearest: SummaryRow, asked: Requirements, setting: Setting) -> str:
    """That nothing is feasible, and which row misses least by how much."""
    return (
        f"Nothing meets the requirements. The nearest miss is {row_name(nearest)}: {why_infeasible(nearest, asked)}; "
        f"at {setting}."
    )


# --- why this one -----------------------------------------------------------------------------------------------------

_BEST = {
    "latency": "the fastest",
    "size": "the smallest",
    "wer": "the best reader",
    "throughput": "the most productive",
}


def reason(
    rows: Sequence[SummaryRow],
    chosen: int,
    front: Sequence[int],
    feasible: Sequence[int],
    setting: Setting,
    asked: Requirements,
) -> str:
    """Why this row is recommended, with its figures, and what it gives up."""
    row = rows[chosen]
    near = len(near_the_best(rows, feasible, asked))
    of = f"the {near} feasible file{'s' if near > 1 else ''}{_which(rows, feasible, asked)}"
    sentences = [
        f"{row_name(row)} is {_BEST[asked.objective]} of {of}: "
        f"{milliseconds(row.p50_s)} ms end to end (p50), WER {percent(row.wer)} %, {megabytes(row.size_bytes)} MB, "
        f"at {setting}."
    ]
    return " ".join([*sentences, *_trades(rows, row, front)])


def _which(rows: Sequence[SummaryRow], feasible: Sequence[int], asked: Requirements) -> str:
    """Which files the recommended one is the best of."""
    limits = [limit.stated(value) for limit, value in effective_limits(asked) if asked.limit(limit.name) is not None]
    kept = f" with {_listed(limits)}" if limits else ""
    if asked.max_wer is not None:
        return kept
    lowest = min(_wer(rows[i]) for i in feasible)
    return (
        f"{kept}{' and' if kept else ' whose'} WER {'' if kept else 'is '}within {percent(WER_TOLERANCE)} percentage "
        f"points of the best ({percent(lowest)} %)"
    )


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts)


def _trades(rows: Sequence[SummaryRow], row: SummaryRow, front: Sequence[int]) -> list[str]:
    """A sentence for each row of the front that is faster, much smaller or reads better than the chosen one."""
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
    return [_trade(row, rows[i], " and ".join(gained)) for i, gained in gains.items()]


def _trade(row: SummaryRow, other: SummaryRow, gained: str) -> str:
    return (
        f"If {gained} matter{'' if ' and ' in gained else 's'} more, {row_name(other)}: {milliseconds(other.p50_s)} ms "
        f"(x{other.p50_s / row.p50_s:.2f}), WER {percent(_wer(other))} % "
        f"({100 * (_wer(other) - _wer(row)):+.2f} points), {megabytes(other.size_bytes)} MB "
        f"(x{other.size_bytes / row.size_bytes:.2f})."
    )


def on_other_device(row: SummaryRow, setting: Setting, there: Setting) -> str:
    """What the same rule gives on a device that the decision is not about."""
    return (
        f"On {row.device}, which is not compared with {setting.device}, the same rule gives {row_name(row)}: "
        f"{milliseconds(row.p50_s)} ms, WER {percent(row.wer)} %, {megabytes(row.size_bytes)} MB, at {there}."
    )


def _wer(row: SummaryRow) -> float:
    wer = wer_of(row)
    assert wer is not None, "only rows with a measured WER are compared"
    return wer
