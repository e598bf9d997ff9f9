"""Which intervals of the median stayed wider than is wanted, and why."""

from collections.abc import Callable, Sequence

from slrbench.measure.cells import half_width
from slrbench.measure.settings import LEAST_ROUNDS, TARGET
from slrbench.records import Candidate, Measurement
from slrbench.statistics.bootstrap import median_interval

FEW_ROUNDS = 10
MARKED = 0.05
"""Share of samples from which contention is named as a reason."""


def wide_intervals(measurements: Sequence[Measurement], name: Callable[[Candidate], str]) -> list[str]:
    """Notes on the end-to-end medians whose interval reaches further than ±3 %, or is not known."""
    unknown = []
    wide = []
    for measurement in measurements:
        rounds = len(set(measurement.round_of))
        interval = median_interval(measurement.end_to_end_s, measurement.round_of, process_of=measurement.process_of)
        if interval is None:
            unknown.append(rounds)
        elif (width := half_width(interval)) > TARGET:
            reasons = ", ".join(_reasons(measurement, rounds))
            wide.append(f"{name(measurement.candidate)}: ±{100 * width:.1f} % ({reasons})")
    notes = [f"intervals of the median wider than ±{100 * TARGET:.0f} %: {'; '.join(wide)}"] if wide else []
    if unknown:
        of = "" if len(unknown) == len(measurements) else f" of {len(unknown)} of them"
        notes.append(f"no interval of the median{of}: it needs {LEAST_ROUNDS} rounds, and there were {max(unknown)}")
    return notes


def _reasons(measurement: Measurement, rounds: int) -> list[str]:
    samples = len(measurement.end_to_end_s)
    reasons = []
    marked = len({index for indices in measurement.marks.values() for index in indices})
    if marked >= MARKED * samples:
        reasons.append(f"{marked} of {samples} samples under contention: {', '.join(measurement.marks)}")
    if not measurement.warmup_steady:
        reasons.append("warm-up had not settled")
    if rounds < FEW_ROUNDS:
        reasons.append(f"{rounds} rounds")
    return reasons or [f"its rounds differ that much over {rounds} rounds"]
