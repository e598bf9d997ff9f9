"""Two reports of one machine, row by row: what got faster, slower, larger, or reads worse; a gate against regressions.

The two were measured at different times, so nothing in them is a pair: rounds of each are resampled by themselves, and
the ratio is that of the two medians. What differs between two sessions on one machine (its temperature, its neighbours)
is in no session's interval. So the threshold of a verdict is the largest of the practical one and what the baseline's
two copies differed by in either session (A/A), and files that are byte by byte the same in both reports are looked at
apart: they tell how far the sessions themselves are from each other.

Verdicts over many rows are corrected by Holm's procedure (``slrbench.statistics.verdicts``), and a regression is only
what is SLOWER with its whole corrected interval beyond the share that is allowed.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from slrbench.errors import BadInputError
from slrbench.records import Accuracy, Interval, Measurement, Record, Report, Scope, SpeedVerdict, SummaryRow
from slrbench.reporting.comparisons import effective_threshold, floor_state
from slrbench.reporting.display import percent
from slrbench.reporting.evidence import accuracy_of_row, measurement_of, samples_of
from slrbench.reporting.matching import RowKey, key_of, same_report, unlike_machines, unlike_versions
from slrbench.statistics.bootstrap import MIN_ROUNDS, draw_medians, interval_of
from slrbench.statistics.verdicts import verdicts, widened
from slrbench.statistics.words import wer_difference

FAIL_IF_SLOWER = 0.05
"""How much slower (a share) a row may be before it is a regression, where nothing else is said."""

Regression = Literal["", "slower", "parity", "wer"]

_SEEDS = (0, 1)  # of the two reports: their rounds are no pairs, so they are not drawn alike


class ComparedRow(Record):
    """One row of both reports."""

    model: str
    backend: str
    precision: str
    variant: str
    device: str
    threads: int
    batch: int
    frames: int
    height: int
    width: int
    input_kind: str
    base: int = Field(description="index into the base report's summary")
    new: int = Field(description="index into the new report's summary")
    base_p50_s: float
    new_p50_s: float
    ratio: float = Field(description="time in the new report / time in the base report; below 1 is faster")
    interval: Interval | None = Field(description="of the ratio, unpaired bootstrap over rounds; null: too few rounds")
    verdict: SpeedVerdict
    more_rounds: int | None = Field(default=None, description="rounds that UNCLEAR would still need in each report")
    same_file: bool = Field(description="whether both measured the same file, byte by byte")
    wer_change: float | None = Field(default=None, description="WER in the new report minus that in the base, shares")
    wer_interval: Interval | None = Field(default=None, description="of wer_change, paired over the same clips")
    size_change_bytes: int
    parity: str = Field(description="verdict in the new report; both where they differ, such as ``passed -> failed``")
    regression: Regression = Field(
        default="",
        description="``slower``, ``wer``: the whole interval is beyond what is allowed; ``parity``: no longer passed",
    )

    @property
    def name(self) -> str:
        """Like ``student on onnx (fp32, cpu), 1 x 32, 64 x 64, 2 threads``."""
        return str(RowKey(scope="", **{name: getattr(self, name) for name in RowKey._fields if name != "scope"}))


class ComparedReports(Record):
    """What changed from one report to another."""

    base: str
    new: str
    scope: Scope
    fail_if_slower: float = Field(description="a share: how much slower is still allowed")
    fail_if_wer_above: float = Field(default=0.0, description="a share: how much the WER may rise")
    threshold: float = Field(description="a share: differences below it are none")
    rows: tuple[ComparedRow, ...]
    only_base: tuple[str, ...] = Field(description="rows that the new report does not have, with the reason if it says")
    only_new: tuple[str, ...]
    unlike: tuple[str, ...] = Field(description="in what machines and versions differ; only with --allow-unlike")
    notes: tuple[str, ...] = ()

    @property
    def regressions(self) -> tuple[ComparedRow, ...]:
        """Rows that got worse for sure."""
        return tuple(row for row in self.rows if row.regression)

    @property
    def unseen(self) -> float | None:
        """The largest slowdown (a share) that the noisiest row could have had without being a regression for sure.

        Its interval, moved so that its lower end is at what is allowed. None where a row has no interval: then nothing
        is known of it.
        """
        if any(row.interval is None for row in self.rows) or not self.rows:
            return None
        return max(
            (1.0 + self.fail_if_slower) * row.interval.value / row.interval.low - 1.0
            for row in self.rows
            if row.interval is not None
        )

    @property
    def inconclusive(self) -> tuple[ComparedRow, ...]:
        """Rows of which it is not known whether they are slower than is allowed."""
        most = 1.0 + self.fail_if_slower
        return tuple(
            row for row in self.rows if not row.regression and (row.interval is None or row.interval.high > most)
        )


def compare_reports(
    base: Report,
    new: Report,
    *,
    fail_if_slower: float = FAIL_IF_SLOWER,
    allow_wer: float = 0.0,
    scope: Scope = "end_to_end",
    allow_unlike: bool = False,
) -> ComparedReports:
    """Every row that both reports have, with its verdict.

    Args:
        base: what was.
        new: what is.
        fail_if_slower: a share; a row is a regression where its whole interval is beyond it.
        allow_wer: a share; a row is a regression where the whole interval of its WER's change is above it.
        scope: which times are compared.
        allow_unlike: compare though machines or versions differ.

    Raises:
        BadInputError: machines or versions differ, a report is merged from several, or no row is in both.
    """
    for report in (base, new):
        if report.machines:
            raise BadInputError(
                f"{report.title!r} is merged from several reports", hint="compare the reports that it was made of"
            )
    if same_report(base, new):
        raise BadInputError("both are the same report", hint="give the report of what was and that of what is")
    old_rows, new_rows = (_rows(report, scope) for report in (base, new))
    common = [key for key in old_rows if key in new_rows]
    if not common:
        raise BadInputError(
            "no row is in both reports",
            hint="rows are matched by model, backend, precision, variant, device, threads, shape and input",
        )
    unlike = _unlike(base, new, {key.backend for key in common}, allow_unlike)
    limit = max(effective_threshold(report.noise_floor) for report in (base, new))
    pairs = [(old_rows[key], new_rows[key]) for key in common]
    intervals = [_ratio(base, new, pair) for pair in pairs]
    judged = _judged(intervals, limit)
    rows = []
    for key, (i, k), (interval, rounds), (word, more, claimed) in zip(common, pairs, intervals, judged, strict=True):
        wer_change, wer_interval = _wer_change(base, new, i, k)
        rows.append(
            ComparedRow(
                **{name: value for name, value in key._asdict().items() if name != "scope"},
                base=i,
                new=k,
                base_p50_s=base.summary[i].p50_s,
                new_p50_s=new.summary[k].p50_s,
                ratio=new.summary[k].p50_s / base.summary[i].p50_s,
                interval=interval,
                verdict=word,
                more_rounds=more if interval is not None else MIN_ROUNDS - rounds,
                same_file=base.summary[i].artifact_sha256 == new.summary[k].artifact_sha256,
                wer_change=wer_change,
                wer_interval=wer_interval,
                size_change_bytes=new.summary[k].size_bytes - base.summary[i].size_bytes,
                parity=_parity(base.summary[i], new.summary[k]),
                regression=_parity_or_wer(base.summary[i], new.summary[k], wer_interval, allow_wer)
                or _slower(claimed, word, fail_if_slower),
            )
        )
    return ComparedReports(
        base=f"{base.title}, {base.created_at}",
        new=f"{new.title}, {new.created_at}",
        scope=scope,
        fail_if_slower=fail_if_slower,
        fail_if_wer_above=allow_wer,
        threshold=limit,
        rows=tuple(rows),
        only_base=tuple(_missing(key, new) for key in old_rows if key not in new_rows),
        only_new=tuple(str(key) for key in new_rows if key not in old_rows),
        unlike=tuple(unlike),
        notes=tuple(_notes(base, new, rows, limit)),
    )


def parse_share(text: str, *, option: str = "--fail-if-slower", zero: bool = False) -> float:
    """A share above 0 (or 0, where that is allowed) and below 1 from ``5%``, ``5 %`` or ``0.05``.

    Raises:
        BadInputError: it is none.
    """
    stripped = text.strip()
    try:
        share = float(stripped.removesuffix("%")) / (100.0 if stripped.endswith("%") else 1.0)
    except ValueError:
        share = math.nan
    if not (0.0 < share < 1.0 or (zero and share == 0.0)):
        least = "of 0 % or more" if zero else "above 0 %"
        raise BadInputError(f"{text!r} is not a share {least} and below 100 %", hint=f"{option} 5%")
    return share


def _rows(report: Report, scope: Scope) -> dict[RowKey, int]:
    found: dict[RowKey, int] = {}
    for i, row in enumerate(report.summary):
        if row.scope == scope:
            found.setdefault(key_of(row), i)
    return found


def _unlike(base: Report, new: Report, backends: set[str], allowed: bool) -> list[str]:
    machines = unlike_machines(base.environment, new.environment)
    versions = unlike_versions(base.environment, new.environment, backends)
    if not allowed and (machines or versions):
        what = "machines" if machines else "versions of runtimes"
        raise BadInputError(
            f"the reports are of unlike {what}: {'; '.join([*machines, *versions])}",
            hint="measure both on one machine with the same versions, or --allow-unlike to compare all the same",
        )
    return [*machines, *versions]


def _ratio(base: Report, new: Report, pair: tuple[int, int]) -> tuple[Interval | None, int]:
    """Time in ``new`` over time in ``base``, and on how many rounds it rests; None with too few rounds."""
    draws, rounds = [], []
    for report, i, seed in zip((base, new), pair, _SEEDS, strict=True):
        row = report.summary[i]
        measurement = measurement_of(row, report.measurements)
        samples = () if measurement is None else samples_of(row, measurement)
        if measurement is None or not samples:
            return None, 0
        draws.append(_draws(samples, measurement, seed))
        rounds.append(len(set(measurement.round_of)))
    fewest = min(rounds)
    if fewest < MIN_ROUNDS:
        return None, fewest
    value = new.summary[pair[1]].p50_s / base.summary[pair[0]].p50_s
    return interval_of(np.exp(draws[1] - draws[0]), value, fewest), fewest


def _draws(samples: Sequence[float], measurement: Measurement, seed: int) -> NDArray[np.float64]:
    return np.log(draw_medians(samples, measurement.round_of, process_of=measurement.process_of, seed=seed))


_Judged = tuple[SpeedVerdict, int | None, Interval | None]  # verdict, more rounds, interval as corrected where claimed


def _judged(intervals: Sequence[tuple[Interval | None, int]], limit: float) -> list[_Judged]:
    """Verdict of each row; rows without an interval are unclear and take no part in the correction."""
    known = [(interval, rounds) for interval, rounds in intervals if interval is not None]
    found = iter(verdicts([interval for interval, _ in known], limit, [rounds for _, rounds in known]))
    judged: list[_Judged] = []
    for interval, _ in intervals:
        if interval is None:
            judged.append(("UNCLEAR", None, None))
            continue
        one = next(found)
        judged.append((one.word, one.more_rounds, widened(interval, len(known))))
    return judged


def _parity_or_wer(base: SummaryRow, new: SummaryRow, wer_change: Interval | None, allowed: float) -> Regression:
    if base.parity == "passed" and new.parity == "failed":
        return "parity"
    return "wer" if wer_change is not None and wer_change.low > allowed else ""


def _slower(interval: Interval | None, word: SpeedVerdict, allowed: float) -> Regression:
    return "slower" if interval is not None and word == "SLOWER" and interval.low > 1.0 + allowed else ""


def _wer_change(base: Report, new: Report, i: int, k: int) -> tuple[float | None, Interval | None]:
    """How much the WER changed on the same clips; None where it was not measured on the same data in both."""
    before, after = accuracy_of_row(base.summary[i], base.accuracies), accuracy_of_row(new.summary[k], new.accuracies)
    if before is None or after is None or not _same_clips(before, after):
        return None, None
    known = bool(before.clip_errors and after.clip_errors)
    interval = wer_difference(after.clip_errors, before.clip_errors, after.clip_words) if known else None
    return after.wer - before.wer, interval


def _same_clips(a: Accuracy, b: Accuracy) -> bool:
    same = (a.split, a.data_fingerprint, a.clips) == (b.split, b.data_fingerprint, b.clips)
    counted = (a.decoder, a.scoring, a.alignment) == (b.decoder, b.scoring, b.alignment)
    return same and counted and a.clip_words == b.clip_words


def _parity(base: SummaryRow, new: SummaryRow) -> str:
    return new.parity if base.parity == new.parity else f"{base.parity} -> {new.parity}"


def _missing(key: RowKey, new: Report) -> str:
    """A row that the new report does not have, with the reason where it gives one."""
    way = (key.model, key.backend, key.precision, key.variant, key.device)
    reasons = [s.reason for s in new.skipped if (s.model, s.backend, s.precision, s.variant, s.device) == way]
    return f"{key}: {reasons[0]}" if reasons else str(key)


def _notes(base: Report, new: Report, rows: Sequence[ComparedRow], limit: float) -> list[str]:
    notes = []
    for name, report in (("base", base), ("new", new)):
        if floor_state(report.noise_floor) == "invalid":
            notes.append(f"the {name} report's session is not valid: its baseline differs from its own second copy")
        if floor_state(report.noise_floor) == "unresolved":
            notes.append(f"the {name} report's session cannot tell small differences: its baseline varies too much")
        if report.noise_floor is None:
            notes.append(f"the {name} report has no A/A control: its noise floor is not known")
    same = [row.ratio for row in rows if row.same_file]
    drift = median(same) if len(same) >= 2 else 1.0
    if abs(math.log(drift)) > math.log1p(limit):
        differ = f"files that did not change differ by {percent(abs(drift - 1.0))} % (median of {len(same)} rows): "
        if len(same) < len(rows):
            notes.append(f"{differ}the sessions themselves differ, so look at the others relative to that")
        elif all(abs(math.log(ratio)) > math.log1p(limit) and (ratio > 1.0) == (drift > 1.0) for ratio in same):
            notes.append(f"{differ}what did is the machine, its load or slrbench, for no file of any row changed")
    settings = [report.measuring.get("settings") for report in (base, new)]
    if settings[0] != settings[1]:
        notes.append("the two were measured with different settings (rounds, calls, processes)")
    return notes
