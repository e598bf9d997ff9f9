"""What ``slrbench decide`` shows: the answer in one sentence, the table behind it, reasons, where it would change."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from slrbench.records import Decision, Rejection, SummaryRow
from slrbench.reporting.certainty import certainty, changes, requirements_of
from slrbench.reporting.choice import feasible_rows, preference, violations
from slrbench.reporting.decision import DECISION_SCOPE
from slrbench.reporting.decision_words import why_unproven
from slrbench.reporting.display import MISSING, backend_on, megabytes, milliseconds, number, percent, row_name
from slrbench.reporting.plain_text import WIDTH, listed, plain_table, wrapped
from slrbench.reporting.requirements import LIMITS, Requirements, memory_bytes
from slrbench.reporting.settings import setting_of

_NAMED = 3  # so many rows with one reason are named, of more than that their number is given


def render_decide(
    rows: Sequence[SummaryRow], decision: Decision, *, doubts: Sequence[str] = (), machine: str = "", few: bool = False
) -> str:
    """A decision as text of at most 100 columns.

    Args:
        rows: what the decision's indices are into.
        decision: to show.
        doubts: what speaks against deciding on these figures, a sentence each.
        machine: its name, where there are several.
        few: there are too few rounds for the resamples to say much.
    """
    asked = requirements_of(decision)
    parts = [
        wrapped(f"{machine}: {answer(rows, decision, doubts)}" if machine else answer(rows, decision, doubts)),
        wrapped(_asked_for(asked)),
        _table(rows, decision, asked),
        "" if decision.recommended is None else wrapped(f"Why: {decision.reason}"),
        listed("How sure:", certainty(rows, decision, few=few)),
        listed("If a limit changes:", changes(rows, decision)),
        *_reasons(rows, decision, asked),
        listed("What speaks against deciding on these figures:", doubts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def answer(rows: Sequence[SummaryRow], decision: Decision, doubts: Sequence[str] = ()) -> str:
    """The decision in one sentence."""
    if decision.recommended is None:
        return decision.reason
    row = rows[decision.recommended]
    ship = "First impression, not a decision: ship" if doubts else "Ship"
    clips = "a clip" if row.batch == 1 else f"{row.batch} clips"
    return (
        f"{ship} {row_name(row)}: {milliseconds(row.p50_s)} ms for {clips} of {row.frames} frames, "
        f"{megabytes(row.size_bytes)} MB, WER {percent(row.wer)} %."
    )


def _asked_for(asked: Requirements) -> str:
    stated = [limit.stated(value) for limit in LIMITS if (value := asked.limit(limit.name)) is not None]
    wanted = {name: getattr(asked, name) for name in ("device", "batch", "frames")}
    places = [f"{name} {value}" for name, value in wanted.items() if value is not None]
    limits = ", ".join([*stated, *places]) or "no limits"
    return f"Asked for: {limits}; objective {asked.objective}."


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Column:
    header: str
    cell: Callable[[int], str]
    shown: bool = True


def _table(rows: Sequence[SummaryRow], decision: Decision, asked: Requirements) -> str:
    """Every row of the decision's setting, the recommended one first; rows without a proof are left to the reasons."""
    anchor = decision.recommended if decision.recommended is not None else decision.nearest_miss
    if anchor is None:
        return ""
    setting = setting_of(rows[anchor])
    pool = [
        i
        for i, row in enumerate(rows)
        if row.scope == DECISION_SCOPE and setting_of(row) == setting and why_unproven(row, asked) is None
    ]
    feasible = set(feasible_rows(rows, pool, asked))

    def place(i: int) -> tuple[bool, bool, bool, tuple[float, ...]]:
        return i != decision.recommended, i != decision.runner_up, i not in feasible, preference(rows[i], asked)

    order = sorted(pool, key=place)
    columns = [column for column in _columns(rows, decision, asked, feasible) if column.shown]
    while True:
        cells = [[column.cell(i) for column in columns] for i in order]
        text = plain_table([column.header for column in columns], cells, names=(1, 2), left=3)
        if max(map(len, text.splitlines())) <= WIDTH or len(columns) <= _ALWAYS:
            break
        columns.pop()
    p99 = ", p99 in ms" if asked.max_p99_ms is not None else ""
    front = "; front: share of resamples with the row on the Pareto front" if decision.front_share else ""
    note = f"At {setting}. Times: end to end{p99}{front}."
    return f"{text}\n{wrapped(note)}"


_ALWAYS = 6  # columns that are never left out for want of room


def _columns(rows: Sequence[SummaryRow], decision: Decision, asked: Requirements, feasible: set[int]) -> list[_Column]:
    """The columns, the most important first: where all do not fit, the last ones go."""
    limited = {limit.name for limit in LIMITS if asked.limit(limit.name) is not None}

    def mark(i: int) -> str:
        if i == decision.recommended:
            return "ship"
        if i == decision.runner_up:
            return "2nd"
        if i not in feasible:
            return "out"
        return "front" if i in decision.pareto else "ok"

    def share(i: int) -> str:
        value = decision.front_share.get(i)
        return MISSING if value is None else f"{100 * value:.0f} %"

    throughput = "min_throughput" in limited or asked.objective == "throughput"
    return [
        _Column("", mark),
        _Column("Model", lambda i: rows[i].model),
        _Column("Backend", lambda i: backend_on(rows[i])),
        _Column("p50 (ms)", lambda i: _with_interval(rows[i])),
        _Column("WER (%)", lambda i: percent(rows[i].wer)),
        _Column("MB", lambda i: megabytes(rows[i].size_bytes)),
        _Column("p99", lambda i: milliseconds(rows[i].p99_s), "max_p99_ms" in limited),
        _Column("RAM (MB)", lambda i: megabytes(memory_bytes(rows[i])), "max_memory_mb" in limited),
        _Column("Streams", lambda i: number(rows[i].streams), "min_streams" in limited),
        _Column("Clips/s", lambda i: number(rows[i].throughput_clips_per_s), throughput),
        _Column("Cold (ms)", lambda i: milliseconds(rows[i].cold_start_s), "max_cold_start_ms" in limited),
        _Column("Front", share, bool(decision.front_share)),
    ]


def _with_interval(row: SummaryRow) -> str:
    """The median, with half the width of its interval in percent."""
    interval = row.p50_interval
    if interval is None:
        return milliseconds(row.p50_s)
    half = (interval.high - interval.low) / 2.0 / row.p50_s
    return f"{milliseconds(row.p50_s)} ±{100 * half:.1f} %"


# --- reasons ----------------------------------------------------------------------------------------------------------


def _reasons(rows: Sequence[SummaryRow], decision: Decision, asked: Requirements) -> list[str]:
    """Why each row is not the recommended one: those that could be, and those that cannot."""
    anchor = decision.recommended if decision.recommended is not None else decision.nearest_miss

    def feasible(rejection: Rejection) -> bool:
        row = rows[rejection.row]
        same = anchor is not None and setting_of(row) == setting_of(rows[anchor])
        return same and why_unproven(row, asked) is None and not violations(row, asked)

    could = [r for r in decision.rejected if feasible(r)]
    cannot = [r for r in decision.rejected if r not in could]
    return [
        listed("Feasible, but not chosen:", _folded(rows, could)),
        listed("Rejected:", _folded(rows, cannot)),
    ]


def _folded(rows: Sequence[SummaryRow], rejections: Iterable[Rejection]) -> list[str]:
    """One line per reason."""
    by_reason: dict[str, list[str]] = {}
    for rejection in rejections:
        by_reason.setdefault(rejection.reason, []).append(row_name(rows[rejection.row]))
    lines = []
    for reason, names in by_reason.items():
        distinct = list(dict.fromkeys(names))
        who = ", ".join(distinct) if len(distinct) <= _NAMED else f"{len(names)} rows"
        lines.append(f"{who}: {reason}")
    return lines
