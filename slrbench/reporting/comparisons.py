"""Rows against the baseline, paired by turn or by round, and the noise floor below which no difference is believed.

A row is compared with the baseline's row of the same scope and shape (batch, frames, frame size, threads); where the
baseline was not measured at that shape, there is no comparison. FASTER and SLOWER are corrected for as many rows as are
compared in the same scope (:mod:`slrbench.statistics.verdicts`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slrbench.records import (
    Candidate,
    Comparison,
    FloorState,
    Interval,
    Measurement,
    NoiseFloor,
    Report,
    Scope,
    SummaryRow,
)
from slrbench.statistics.bootstrap import common_rounds, ratio_interval, ratio_range
from slrbench.statistics.verdicts import PRACTICAL_THRESHOLD, session_state, threshold, verdicts

_IDENTITY = ("model", "backend", "format", "precision", "variant", "device", "input_kind", "artifact_sha256")
_SHAPE = ("batch", "frames", "height", "width", "threads")


def samples_of(measurement: Measurement, scope: Scope) -> tuple[float, ...]:
    """The samples (s) of one scope; none of pixels to glosses, which is not paired."""
    if scope == "pixels_to_glosses":
        return ()
    return measurement.end_to_end_s if scope == "end_to_end" else measurement.compute_s


def paired_by(report: Report) -> str:
    """What comparisons pair: turns, rounds where the two took no turns with each other, or some of both."""
    found = {how for a, b in _compared(report) for how in _pairing(a, b)}
    if found == {"turn", "round"}:
        return "turn, or by round where two took no turns with each other"
    return "turn" if "turn" in found else "round"


def _compared(report: Report) -> Iterator[tuple[Measurement, Measurement]]:
    """The measurements behind every comparison."""
    for c in report.comparisons:
        ours, theirs = (_measurement(report, report.summary[index]) for index in (c.row, c.baseline))
        if ours is not None and theirs is not None:
            yield ours, theirs


def _pairing(a: Measurement, b: Measurement) -> set[str]:
    """How the rounds that both have are paired, as :func:`slrbench.statistics.bootstrap.ratio_interval` does it."""
    of_a, of_b = (set(zip(m.round_of, m.turn_of, strict=True)) if m.turn_of else set() for m in (a, b))
    with_turns = {round_ for round_, _ in of_a & of_b}
    return {"turn" if round_ in with_turns else "round" for round_ in set(a.round_of) & set(b.round_of)}


def noise_floor(report: Report, *, practical: float = PRACTICAL_THRESHOLD) -> NoiseFloor | None:
    """The baseline's second copy over its first, end to end; None where it was not measured twice.

    Args:
        report: with ``baseline`` and ``control``.
        practical: a difference, as a share, that matters.
    """
    if report.baseline is None or report.control is None:
        return None
    ratio = _ratio(report.control, report.measurements[report.baseline], "end_to_end")
    if ratio is None:
        return None
    state = session_state(ratio, practical)
    valid = None if state == "unknown" else state in ("good", "coarse")
    rounds = common_rounds(report.control.round_of, report.measurements[report.baseline].round_of)
    return NoiseFloor(ratio=ratio, threshold=practical, valid=valid, state=state, rounds=rounds)


def floor_state(floor: NoiseFloor | None) -> FloorState:
    """What the session can tell; reports of before states have it from their A/A interval."""
    if floor is None:
        return "unknown"
    return floor.state or session_state(floor.ratio, floor.threshold)


def effective_threshold(floor: NoiseFloor | None) -> float:
    """From which difference on, as a share, this report tells candidates apart."""
    if floor is None:
        return PRACTICAL_THRESHOLD
    return threshold(None if _few(floor.ratio) else floor.ratio, floor.threshold)


def compare(report: Report, rows: Sequence[SummaryRow], floor: NoiseFloor | None) -> tuple[Comparison, ...]:
    """Every row against the baseline's row of its scope and shape, in the order of the rows."""
    if report.baseline is None:
        return ()
    baseline = report.measurements[report.baseline].candidate
    pairs = [pair for pair in _pairs(rows, baseline) if pair is not None]
    found: list[_Pair] = []
    for row, base in pairs:
        ours, theirs = (_measurement(report, rows[index]) for index in (row, base))
        if ours is None or theirs is None:
            continue
        ratio = _ratio(ours, theirs, rows[row].scope)
        if ratio is not None:
            found.append(_Pair(row, base, rows[row].scope, ratio, common_rounds(ours.round_of, theirs.round_of)))
    limit = effective_threshold(floor)
    scopes = dict.fromkeys(pair.scope for pair in found)
    compared = [c for scope in scopes for c in _judged([pair for pair in found if pair.scope == scope], limit)]
    return tuple(sorted(compared, key=lambda c: c.row))


@dataclass(frozen=True)
class _Pair:
    row: int
    baseline: int
    scope: Scope
    ratio: Interval
    rounds: int


def _judged(pairs: Sequence[_Pair], limit: float) -> list[Comparison]:
    words = verdicts([pair.ratio for pair in pairs], limit, [pair.rounds for pair in pairs])
    return [
        Comparison(row=p.row, baseline=p.baseline, ratio=p.ratio, verdict=v.word, more_rounds=v.more_rounds)
        for p, v in zip(pairs, words, strict=True)
    ]


def _pairs(rows: Sequence[SummaryRow], baseline: Candidate) -> list[tuple[int, int] | None]:
    """Indices of every row and of the baseline's row that it is compared with."""
    of_baseline = {
        (row.scope, *_values(row, _SHAPE)): index
        for index, row in enumerate(rows)
        if _values(row, _IDENTITY) == _values(baseline, _IDENTITY)
    }
    found: list[tuple[int, int] | None] = []
    for index, row in enumerate(rows):
        base = of_baseline.get((row.scope, *_values(row, _SHAPE)))
        found.append(None if base is None or base == index else (index, base))
    return found


def _values(what: SummaryRow | Candidate, names: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(what, name) for name in names)


def _measurement(report: Report, row: SummaryRow) -> Measurement | None:
    return None if row.measurement is None else report.measurements[row.measurement]


def _ratio(ours: Measurement, theirs: Measurement, scope: Scope) -> Interval | None:
    """The interval where there are rounds enough for one, the range of the rounds where there are not."""
    a, b = samples_of(ours, scope), samples_of(theirs, scope)
    if not a or not b:
        return None
    found = ratio_interval(
        a,
        ours.round_of,
        b,
        theirs.round_of,
        a_processes=ours.process_of,
        b_processes=theirs.process_of,
        a_turns=ours.turn_of,
        b_turns=theirs.turn_of,
    )
    if found is not None:
        return found
    return ratio_range(a, ours.round_of, b, theirs.round_of, a_turns=ours.turn_of, b_turns=theirs.turn_of)


def _few(ratio: Interval) -> bool:
    """Whether it is but the range of a few rounds."""
    return ratio.confidence < 0.95
