"""From raw samples to the rows of the report. Pure functions; seconds and bytes; no runtime.

How each figure is made:

- ``p50_s``: the median of each round's samples, then the median over the rounds. ``p50_interval``: bootstrap over
  rounds (:mod:`slrbench.statistics.bootstrap`); None with fewer than 6 rounds, from which no 95 % interval exists.
- ``p90_s``, ``p95_s``, ``p99_s``: nearest rank over the samples of all rounds, so each is a time that was measured.
  None with fewer than 64, 130 and 662 samples (:mod:`slrbench.statistics.percentiles`). ``p90_bound_s`` and so on: the
  upper bound that MLPerf reports (:mod:`slrbench.statistics.tails`).
- ``marked_samples``: samples taken under contention of any kind. They count in every figure; ``p50_unmarked_s`` is
  ``p50_s`` without them, None where none is marked or all are.
- ``mean_s``: over the samples of all rounds.
- ``throughput_clips_per_s``: calls x batch / wall time of the throughput pass, calls back to back, each from host to
  host. Measured, never batch / latency. ``frames_per_s`` is that times the frames of a clip, ``real_time_factor`` that
  over 25 Hz. There is one pass per candidate, so both scopes' rows carry its figures.
- ``pixels_to_glosses`` rows: of calls from a video's bytes to glosses, taken once in a process and not in rounds; so
  p50 is over processes, and there is no throughput pass.
- ``joules_per_clip``: energy of calls back to back, by their clips; None where the machine does not count it.
- ``device_p50_s``: like ``p50_s``, of the time between two events on the GPU's own stream. It leaves out what the host
  spends on launching, so it is no faster ``p50_s`` and compares with nothing but other device times.

No sample is dropped.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean

from slrbench.records import Accuracy, Candidate, Measurement, PixelsToGlosses, Scope, SummaryRow
from slrbench.statistics.bootstrap import median_interval
from slrbench.statistics.percentiles import median_over_rounds, percentile_if_known
from slrbench.statistics.tails import upper_bound

VIDEO_HZ = 25.0
"""Frame rate against which real time is judged: that of the field's corpora (PHOENIX-2014, CSL-Daily)."""

UNTRAINED = "untrained"
"""Stands for the WER of a network with random weights."""


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
    for index, measurement in enumerate(measurements):
        candidate = measurement.candidate
        accuracy = known.get(_evaluated(candidate))
        scopes: tuple[tuple[Scope, tuple[float, ...]], ...] = (
            ("compute", measurement.compute_s),
            ("end_to_end", measurement.end_to_end_s),
        )
        rows += [_row(index, measurement, scope, samples, accuracy) for scope, samples in scopes if samples]
        if measurement.pixels is not None and measurement.pixels.samples_s:
            rows.append(_pixels_row(index, measurement, measurement.pixels, accuracy))
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


def marked_samples(measurement: Measurement) -> set[int]:
    """Indices of the samples that were taken under contention of any kind."""
    return {index for indices in measurement.marks.values() for index in indices}


def p50_unmarked_s(measurement: Measurement, samples: Sequence[float]) -> float | None:
    """Median over rounds of the samples that no mark is on; None where none is marked, or all are."""
    marked = marked_samples(measurement)
    left = [i for i in range(len(samples)) if i not in marked]
    if not marked or not left:
        return None
    return median_over_rounds([samples[i] for i in left], [measurement.round_of[i] for i in left])


def joules_per_clip(measurement: Measurement) -> float | None:
    """Energy of one clip; None where it was not measured, or cannot be here."""
    energy = measurement.energy
    if energy is None or energy.joules is None or energy.calls == 0:
        return None
    return energy.joules / (energy.calls * measurement.candidate.batch)


def _row(
    index: int, measurement: Measurement, scope: Scope, samples: tuple[float, ...], accuracy: Accuracy | None
) -> SummaryRow:
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
        peak_rss_bytes=_peak_rss_bytes(measurement),
        device_memory_bytes=device_memory_bytes(measurement),
        wer=wer,
        wer_split=split,
        wer_interval=accuracy.wer_interval if accuracy is not None and not candidate.untrained else None,
        measurement=index,
        p50_interval=median_interval(samples, measurement.round_of, process_of=measurement.process_of),
        p50_unmarked_s=p50_unmarked_s(measurement, samples),
        marked_samples=len(marked_samples(measurement)),
        p90_bound_s=upper_bound(samples, 0.90),
        p95_bound_s=upper_bound(samples, 0.95),
        p99_bound_s=upper_bound(samples, 0.99),
        steady_rss_bytes=measurement.steady_rss_bytes,
        joules_per_clip=joules_per_clip(measurement),
        outputs_doubt=outputs_doubt(measurement),
    )


def _pixels_row(index: int, measurement: Measurement, pixels: PixelsToGlosses, accuracy: Accuracy | None) -> SummaryRow:
    """The row of calls from a video's bytes to glosses; what was measured of the network alone is left empty."""
    alone = measurement.model_copy(
        update={
            "round_of": pixels.round_of,
            "process_of": pixels.process_of,
            "device_s": (),
            "marks": {},
            "throughput_calls": 0,
            "energy": None,
        }
    )
    return _row(index, alone, "pixels_to_glosses", pixels.samples_s, accuracy)


def _peak_rss_bytes(measurement: Measurement) -> int | None:
    """The most that was seen at any time: the start's peak is taken before the rounds, which may hold more."""
    seen = (measurement.peak_rss_bytes, measurement.steady_rss_bytes)
    return max((size for size in seen if size is not None), default=None)


def outputs_doubt(measurement: Measurement) -> str:
    """Why the times are not to be believed, seen from the outputs: they differ, or a clip that repeats is no work."""
    check = measurement.output_check
    if check is None:
        return ""
    if not check.passed:
        return f"outputs of timed calls are not those of {check.compared_with}"
    return "repeating one clip is faster by more than 10 %: something caches" if check.caches else ""


_KEY_FIELDS = set(Candidate.model_fields) & set(SummaryRow.model_fields)


def _wer(candidate: Candidate, accuracy: Accuracy | None) -> tuple[float | str | None, str | None]:
    if candidate.untrained:
        return UNTRAINED, None
    return (None, None) if accuracy is None else (accuracy.wer, accuracy.split)
