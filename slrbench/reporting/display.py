"""How figures look to people: ms, MB and percent. The only place where seconds, bytes and shares are converted."""

from collections.abc import Iterable
from dataclasses import dataclass

from slrbench.records import Candidate, Interval, Skipped, SummaryRow

MISSING = "–"
"""Stands for a figure that is not known."""


def milliseconds(seconds: float | None) -> str:
    """Milliseconds with the digits that can matter: ``0.123``, ``8.21``, ``82.1``, ``821``."""
    if seconds is None:
        return MISSING
    value = seconds * 1e3
    return f"{value:.{_decimals(value)}f}"


@dataclass(frozen=True)
class TimeUnit:
    """The unit of every time in one table."""

    name: str
    per_second: float

    def __call__(self, seconds: float | None) -> str:
        """The time without its unit, which stands in the header."""
        return number(seconds, 1.0 / self.per_second)

    def with_interval(self, seconds: float | None, interval: Interval | None) -> str:
        """``12.3 [11.9, 13.4]``; the time alone where it has no interval."""
        if seconds is None or interval is None:
            return self(seconds)
        return f"{self(seconds)} {self.ends(interval)}"

    def ends(self, interval: Interval) -> str:
        """``[11.9, 13.4]``: both ends of an interval, since it reaches as far as it does on either side."""
        return f"[{self(interval.low)}, {self(interval.high)}]"


TIME_UNITS = (TimeUnit("s", 1.0), TimeUnit("ms", 1e3), TimeUnit("us", 1e6))


def time_unit(times_s: Iterable[float | None]) -> TimeUnit:
    """The largest unit in which the shortest time is at least 0.1; ms where none is known."""
    shortest = min((abs(t) for t in times_s if t), default=0.001)
    return next((unit for unit in TIME_UNITS if shortest * unit.per_second >= 0.1), TIME_UNITS[-1])


def off_percent(interval: Interval, value: float) -> str:
    """``-9 %/+40 %``: how far either end of an interval lies from its figure."""
    low, high = (100 * (end / value - 1.0) for end in (interval.low, interval.high))
    return f"{low:+.1f} %/{high:+.1f} %"


def megabytes(count: int | None) -> str:
    """MB of 1,000,000 bytes: ``0.123``, ``8.21``, ``82.1``, ``821``."""
    if count is None:
        return MISSING
    value = count / 1e6
    return f"{value:.{_decimals(value)}f}"


def percent(share: float | str | None) -> str:
    """A share as percent with two decimals, without the sign; words are left as they are."""
    if share is None:
        return MISSING
    return share if isinstance(share, str) else f"{100 * share:.2f}"


def number(value: float | None, scale: float = 1.0) -> str:
    """``value / scale`` with the digits that can matter."""
    if value is None:
        return MISSING
    return f"{value / scale:.{_decimals(value / scale)}f}"


def backend_name(row: SummaryRow) -> str:
    """The backend; with the variant, and with the input's kind where that is not float32."""
    return with_input(row.backend, row.input_kind, row.variant)


def with_input(backend: str, input_kind: str, variant: str = "") -> str:
    """``onnx``, ``onnx (uint8)`` or ``torch (compile, uint8)``; ``compile-max-autotune`` is ``max-autotune`` here."""
    words = [
        *([variant.removeprefix("compile-")] if variant else []),
        *([input_kind] if input_kind != "float32" else []),
    ]
    return f"{backend} ({', '.join(words)})" if words else backend


def backend_on(what: SummaryRow | Candidate | Skipped) -> str:
    """The backend in one cell, with precision and device where they are not fp32 and cpu."""
    input_kind = "float32" if isinstance(what, Skipped) else what.input_kind  # a skipped row's reason says of which
    parts = [with_input(what.backend, input_kind, what.variant)]
    parts += [what.precision] if what.precision != "fp32" else []
    parts += [what.device] if what.device != "cpu" else []
    return " ".join(parts)


def row_name(row: SummaryRow) -> str:
    """The row in a sentence: ``student on onnx (fp32, cpu)``."""
    return f"{row.model} on {backend_name(row)} ({row.precision}, {row.device})"


def _decimals(value: float) -> int:
    for decimals, below in ((3, 1.0), (2, 10.0), (1, 100.0)):
        if abs(value) < below:
            return decimals
    return 0
