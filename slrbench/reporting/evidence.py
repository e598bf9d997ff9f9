"""How sure the figures of rows are: resamples of latency and WER, and the ranges that limits are held against.

Latency is resampled over rounds and WER over clips. The same seed draws the same rounds and the same clips for every
row, so one resample is one benchmark that might have been, and rows can be compared within it. That holds for rows
with other rounds too, as a budget of time leaves them: the rounds that two rows share are drawn for both.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from slrbench.records import Accuracy, Measurement, SummaryRow
from slrbench.reporting.requirements import wer_of
from slrbench.statistics.bootstrap import MIN_ROUNDS, RESAMPLES, draw_medians, median_interval
from slrbench.statistics.words import draw_wer, wer_interval

Draws = NDArray[np.float64]
Range = tuple[float, float]  # low, high, in the unit of the limit


@dataclass(frozen=True)
class Evidence:
    """Resamples and ranges by index of the row; what a row does not have is not known."""

    latency: Mapping[int, Draws] = field(default_factory=dict)
    """p50 (s) of a row in each resample, ``(resamples,)``."""
    wer: Mapping[int, Draws] = field(default_factory=dict)
    """WER (a share) of a row in each resample, ``(resamples,)``."""
    ranges: Mapping[int, Mapping[str, Range]] = field(default_factory=dict)
    """Row to name of a limit to the range of the figure that it is about, in the unit of the limit."""
    few_rounds: bool = False
    """Whether some row has fewer rounds than an interval needs, so that its resamples say less than they seem to."""

    def __bool__(self) -> bool:
        """Whether anything can be resampled."""
        return bool(self.latency) or bool(self.wer)

    def figures(self, rows: Sequence[SummaryRow], indices: Sequence[int]) -> tuple[Draws, Draws]:
        """p50 (s) and WER of rows in every resample, ``(rows, resamples)`` each; a figure without draws stays as it is.

        Every row must have a WER.
        """
        latency = np.array([self.latency.get(i, np.full(RESAMPLES, rows[i].p50_s)) for i in indices])
        wer = np.array([self.wer.get(i, np.full(RESAMPLES, _known(rows[i]))) for i in indices])
        return latency, wer


def gather(rows: Sequence[SummaryRow], measurements: Sequence[Measurement], accuracies: Iterable[Accuracy]) -> Evidence:
    """What the raw samples behind rows say of how sure the rows are.

    Args:
        rows: their ``measurement`` is an index into ``measurements``, or None in older reports.
        measurements: with raw samples.
        accuracies: with the errors of each clip, where they are known.
    """
    found = {key: a for a in accuracies if a.clip_errors for key in [_evaluated(a)]}
    latency: dict[int, Draws] = {}
    wer: dict[int, Draws] = {}
    ranges: dict[int, dict[str, Range]] = {}
    few = False
    for i, row in enumerate(rows):
        ranges[i] = _stated_ranges(row)
        measurement = measurement_of(row, measurements)
        samples = () if measurement is None else samples_of(row, measurement)
        if measurement is not None and samples:
            latency[i] = draw_medians(samples, measurement.round_of, process_of=measurement.process_of)
            few = few or len(set(measurement.round_of)) < MIN_ROUNDS
            ranges[i] |= _latency_range(samples, measurement) | _cold_start_range(measurement)
        accuracy = found.get((*_way(row), row.wer_split))
        if accuracy is not None:
            wer[i] = draw_wer(accuracy.clip_errors, accuracy.clip_words)
            interval = wer_interval(accuracy.clip_errors, accuracy.clip_words)
            if interval is not None:
                ranges[i]["max_wer"] = (interval.low, interval.high)
    return Evidence(latency=latency, wer=wer, ranges=ranges, few_rounds=few)


def measurement_of(row: SummaryRow, measurements: Sequence[Measurement]) -> Measurement | None:
    """The measurement behind a row; by what the two share where the row does not say; None where there is none."""
    if row.measurement is not None:
        return measurements[row.measurement]
    return next((m for m in measurements if _same_candidate(row, m)), None)


def samples_of(row: SummaryRow, measurement: Measurement) -> tuple[float, ...]:
    """The samples (s) of the row's scope; none of pixels to glosses, of which nothing is decided."""
    if row.scope == "pixels_to_glosses":
        return ()
    return measurement.end_to_end_s if row.scope == "end_to_end" else measurement.compute_s


def accuracy_of_row(row: SummaryRow, accuracies: Iterable[Accuracy]) -> Accuracy | None:
    """The evaluation that a row's WER is of; None where there is none."""
    return next((a for a in accuracies if _evaluated(a) == (*_way(row), row.wer_split)), None)


def _same_candidate(row: SummaryRow, measurement: Measurement) -> bool:
    shape = ("threads", "batch", "frames", "height", "width")
    candidate = measurement.candidate
    return _way(row)[:6] == tuple(getattr(candidate, name) for name in _WAY) and all(
        getattr(row, name) == getattr(candidate, name) for name in (*shape, "model")
    )


_WAY = ("artifact_sha256", "backend", "precision", "variant", "device", "input_kind")
_Way = tuple[str | int | None, ...]


def _way(what: SummaryRow | Accuracy) -> _Way:
    return (*(getattr(what, name) for name in _WAY), what.height, what.width)


def _evaluated(accuracy: Accuracy) -> _Way:
    return (*_way(accuracy), accuracy.split)


def _known(row: SummaryRow) -> float:
    wer = wer_of(row)
    assert wer is not None, "only rows with a measured WER are resampled"
    return wer


def _stated_ranges(row: SummaryRow) -> dict[str, Range]:
    """Ranges that the row itself states."""
    ranges: dict[str, Range] = {}
    if row.p50_interval is not None:
        ranges["max_p50_ms"] = (row.p50_interval.low * 1e3, row.p50_interval.high * 1e3)
    if row.p99_s is not None and row.p99_bound_s is not None:
        ranges["max_p99_ms"] = (row.p99_s * 1e3, row.p99_bound_s * 1e3)
    if row.wer_interval is not None:
        ranges["max_wer"] = (row.wer_interval.low, row.wer_interval.high)
    return ranges


def _latency_range(samples: Sequence[float], measurement: Measurement) -> dict[str, Range]:
    interval = median_interval(samples, measurement.round_of, process_of=measurement.process_of)
    return {} if interval is None else {"max_p50_ms": (interval.low * 1e3, interval.high * 1e3)}


def _cold_start_range(measurement: Measurement) -> dict[str, Range]:
    """From the quickest to the slowest of the cold starts that were made."""
    starts = [sum(parts.values()) * 1e3 for parts in measurement.cold_starts if parts]
    return {"max_cold_start_ms": (min(starts), max(starts))} if len(starts) > 1 else {}
