"""From figures to places on a picture, and round figures to mark on an axis."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LOG_FROM = 8.0
"""Largest over smallest figure from which an axis is logarithmic, where it may be."""

_STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """Maps ``low .. high`` to ``start .. end`` (pixels), straight or by the logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where the value is, held within the picture."""
        low, high = self._place(self.low), self._place(self.high)
        value = min(max(value, self.low), self.high)
        return self.start + (self._place(value) - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """At most ``most`` round figures within the scale, smallest first."""
        return _log_ticks(self.low, self.high, most) if self.log else _straight_ticks(self.low, self.high, most)

    def _place(self, value: float) -> float:
        return math.log10(value) if self.log else value


def spanning(
    values: Iterable[float], start: float, end: float, *, log: bool | None = False, from_zero: bool = False
) -> Scale:
    """A scale on which all values have room, with a margin.

    Args:
        values: at least one.
        start: pixel of the smallest value.
        end: pixel of the largest.
        log: None takes the logarithm where all values are above zero and far apart.
        from_zero: begin at zero, unless the scale is logarithmic.

    Raises:
        ValueError: there are no values.
    """
    found = list(values)
    low, high = min(found), max(found)
    if log is None:
        log = low > 0 and high > LOG_FROM * low
    if log and low > 0:
        margin = max((high / low) ** 0.05, 1.02)
        return Scale(low / margin, high * margin, start, end, log=True)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    floor = 0.0 if from_zero or 0.0 <= low < margin else low - margin
    return Scale(min(floor, low), high + margin, start, end)


def _straight_ticks(low: float, high: float, most: int) -> list[float]:
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next((s * power for s in (*_STEPS, 20.0) if _count(low, high, s * power) <= most), 50.0 * power)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _count(low: float, high: float, step: float) -> int:
    return math.floor(high / step + 1e-9) - math.ceil(low / step - 1e-9) + 1


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    choices: Sequence[tuple[float, ...]] = ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
    ticks: list[float] = []
    for steps in choices:
        ticks = [t for power in powers for s in steps if low <= (t := float(f"{s * 10.0**power:.6g}")) <= high]
        if len(ticks) <= most:
            return ticks or _straight_ticks(low, high, most)
    return ticks[:: math.ceil(len(ticks) / most)]
