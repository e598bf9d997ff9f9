"""From raw samples to the rows of the report. Pure functions; seconds and bytes; no runtime.

How each figure is made:

- ``p50_s``: the median of each round's samples, then the median over the rounds. A round that was disturbed as a whole
  (another program, a clock that dropped) then weighs as one round and not as many samples.
- ``p90_s``, ``p95_s``, ``p99_s``: nearest rank over the samples of all rounds, so each is a time that was measured.
  None with fewer than 64, 130 and 662 samples: the smallest counts from which a percentile is known with 99 %
  confidence with one sample above it (MLPerf inference rules, early stopping).
- ``mean_s``: over the samples of all rounds.
- ``throughput_clips_per_s``: calls x batch / wall time of the throughput pass, calls back to back, each from host to
  host. Measured, never batch / latency. ``frames_per_s`` is that times the frames of a clip, ``real_time_factor`` that
  over 25 Hz. There is one pass per candidate, so both scopes' rows carry its figures.
- ``device_p50_s``: like ``p50_s``, of the time between two events on the GPU's own stream. It leaves out what the host
  spends on launching, so it is no faster ``p50_s`` and compares with nothing but other device times.

No sample is dropped.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median

from slrbench.records import Accuracy, Candidate, Measurement, Scope, SummaryRow

VIDEO_HZ = 25.0
"""Frame rate against which real time is judged: that of the field's corpora (PHOENIX-2014, CSL-Daily)."""

MIN_SAMPLES = {0.90: 64, 0.95: 130, 0.99: 662}
"""Percentile (a share) to the fewest samples from which it is given."""

UNTRAINED = "untrained"
"""Stands for the WER of a network with random weights."""


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least ``share`` (0 .. 1] of all samples do not exceed (nearest rank).

    Raises:
        ValueError: there are no samples, or the share is out of range.
    """
    if not samples:
        raise ValueError("a percentile of no samples")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share {share} is not in (0, 1]")
    # 0.07 * 100 is 7.000000000000001 in binary: without the rounding its rank would be 8.
    rank = math.ceil(round(share * len(samples), 9))
    return sorted(samples)[rank - 1]


def percentile_if_known(samples: Sequence[float], share: float) -> float | None:
    """The percentile (a key of ``MIN_SAMPLES``), or None where there are too few samples for it."""
    return percentile(samples, share) if len(samples) >= MIN_SAMPLES[share] else None


def median_over_rounds(samples: Sequence[float], round_of: Sequence[int]) -> float:
    """The median over rounds of each round's median.

    With rounds of equal size at least a quarter of all samples are at or above it, and a quarter at or below.

    Raises:
        ValueError: there are no samples, or not one round per sample.
    """
    rounds: dict[int, list[float]] = {}
    for sample, number in zip(samples, round_of, strict=True):
        rounds.setdefault(number, []).append(sample)
    if not rounds:
        raise ValueError("a median of no samples")
    return median(median(of_round) for of_round in rounds.values())


def throughput_clips_per_s(measurement: Measurement) -> float | None:
    """Clips per second of the throughput pass; None where it was not run."""
    if measurement.throughput_calls == 0 or measurement.throughput_s <= 0.0:
        return None
    return measurement.throughput_calls * measurement.candidate.batch / measurement.throughput_s


def summarise(measurements: Iterable[Measurement], accuracies: Iterable[Accuracy]) -> tuple[SummaryRow, ...]:
    """One row per measurement and scope that has samples, in the order of the measurements.

    A row's WER is that of its very file, on its backend and device, in its precision and variant, with its kind of
    input and its frame size: on ``test`` where that was evaluated, else on the first split.
    """
    known: dict[_Evaluated, Accuracy] = {}
    for found in accuracies:
        key = _evaluated(found)
        if key not in known or (found.split == "test" and known[key].split != "test"):
            known[key] = found
    rows = []
    for measurement in measurements:
        candidate = measurement.candidate
        accuracy = known.get(_evaluated(candidate))
        scopes: tuple[tuple[Scope, tuple[float, ...]], ...] = (
            ("compute", measurement.compute_s),
            ("end_to_end", measurement.end_to_end_s),
        )
        rows += [_row(measurement, scope, samples, accuracy) for scope, samples in scopes if samples]
    return tuple(rows)


_Evaluated = tuple[str, str, str, str, str, str, int | None, int | None]


def _evaluated(what: Accuracy | Candidate) -> _Evaluated:
    """What must be the same for a WER to be a row's."""
    way = (what.artifact_sha256, what.backend, what.precision, what.variant, what.device, what.input_kind)
    return *way, what.height, what.width


def device_p50_s(measurement: Measurement) -> float | None:
    """Median device time by events, over rounds as ``p50_s``; None where there are no events, as on a CPU."""
    if not measurement.device_s:
        return None
    return median_over_rounds(measurement.device_s, measurement.round_of)


def device_memory_bytes(measurement: Measurement) -> int | None:
    """What the process held of the GPU, which every runtime has; the runtime's own peak where only that is known."""
    held = measurement.device_memory_bytes
    return held.get("process", held.get("peak"))


def _row(measurement: Measurement, scope: Scope, samples: tuple[float, ...], accuracy: Accuracy | None) -> SummaryRow:
    candidate = measurement.candidate
    clips_per_s = throughput_clips_per_s(measurement)
    frames_per_s = None if clips_per_s is None else clips_per_s * candidate.frames
    wer, split = _wer(candidate, accuracy)
    return SummaryRow(
        **candidate.model_dump(include=_KEY_FIELDS),
        scope=scope,
        p50_s=median_over_rounds(samples, measurement.round_of),
        p90_s=percentile_if_known(samples, 0.90),
        p95_s=percentile_if_known(samples, 0.95),
        p99_s=percentile_if_known(samples, 0.99),
        mean_s=fmean(samples),
        device_p50_s=device_p50_s(measurement),
        samples=len(samples),
        throughput_clips_per_s=clips_per_s,
        frames_per_s=frames_per_s,
        real_time_factor=None if frames_per_s is None else frames_per_s / VIDEO_HZ,
        cold_start_s=measurement.cold_start_s,
        peak_rss_bytes=measurement.peak_rss_bytes,
        device_memory_bytes=device_memory_bytes(measurement),
        wer=wer,
        wer_split=split,
    )


_KEY_FIELDS = set(Candidate.model_fields) & set(SummaryRow.model_fields)


def _wer(candidate: Candidate, accuracy: Accuracy | None) -> tuple[float | str | None, str | None]:
    if candidate.untrained:
        return UNTRAINED, None
    return (None, None) if accuracy is None else (accuracy.wer, accuracy.split)
