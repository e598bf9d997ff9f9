"""What a deployment asks for: limits, where they are asked for, and what to choose by. From options and from TOML.

Limits are in the units that people state them in, and say so in their names: ``max_p99_ms``, ``max_size_mb`` (MB of
1,000,000 bytes), ``max_wer`` (a share). :data:`LIMITS` knows, for each, the figure of a row that it is about.
"""

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from slrbench.errors import BadInputError
from slrbench.records import Record, SummaryRow
from slrbench.reporting.display import number
from slrbench.statistics.percentiles import MIN_SAMPLES

Objective = Literal["latency", "throughput", "size", "wer"]

_TOLERANCE = 1e-9  # relative: 0.04 s and 40 ms are one figure, whatever their binary fractions


class Requirements(Record):
    """What a deployment asks for; None where it does not ask."""

    max_p50_ms: float | None = None
    max_p99_ms: float | None = None
    max_size_mb: float | None = None
    max_memory_mb: float | None = None
    max_cold_start_ms: float | None = None
    max_wer: float | None = None
    min_streams: float | None = None  # asked for as a whole number
    min_throughput: float | None = None
    device: str | None = None
    batch: int | None = None
    frames: int | None = None
    objective: Objective = "latency"

    def limit(self, name: str) -> float | None:
        """The value of a limit, in its own unit; None where it is not set."""
        value = getattr(self, name)
        return None if value is None else float(value)

    def with_limit(self, name: str, value: float) -> "Requirements":
        """The same requirements with one limit at another value, which may be a fraction of a stream."""
        return self.model_copy(update={name: value})

    def stated(self) -> dict[str, float | str]:
        """What is asked for, without the objective: as it stands in a decision record."""
        given = self.model_dump(exclude_none=True, exclude={"objective"})
        return {name: value if isinstance(value, str) else float(value) for name, value in given.items()}


@dataclass(frozen=True)
class Limit:
    """A requirement that bounds a figure of a row."""

    name: str
    words: str
    """What the figure is, in a sentence."""
    unit: str
    largest: bool
    """True: the figure must be at most the limit; False: at least."""
    figure: Callable[[SummaryRow], float | None]
    """In the limit's own unit; None where it is not known."""
    unknown: Callable[[SummaryRow], str]
    """Why the figure is not known, and what would make it known."""

    def met(self, figure: float | None, limit: float) -> bool:
        """Whether the figure keeps the limit. One that is not known does not."""
        if figure is None:
            return False
        slack = _TOLERANCE * abs(limit)
        return figure <= limit + slack if self.largest else figure >= limit - slack

    def shortfall(self, figure: float | None, limit: float) -> float:
        """How far the figure is on the wrong side, as a share of the limit; 0 where it is met, infinite if unknown."""
        if self.met(figure, limit):
            return 0.0
        if figure is None or limit == 0.0:
            return math.inf
        return abs(figure - limit) / limit

    def shown(self, value: float) -> str:
        """A value of this limit for people: ``40.0 ms``, ``15.00 %``, ``4``."""
        if self.name == "max_wer":
            return f"{100 * value:.2f} %"
        if self.name == "min_streams":
            return f"{value:g}"
        return f"{number(value)} {self.unit}"

    def stated(self, value: float) -> str:
        """The limit as a condition: ``p99 at most 40 ms``."""
        shown = f"{100 * value:g} %" if self.name == "max_wer" else f"{value:g} {self.unit}".strip()
        return f"{self.words} at {'most' if self.largest else 'least'} {shown}"


def _scaled(value: float | int | None, unit: float) -> float | None:
    return None if value is None else value / unit


def memory_bytes(row: SummaryRow) -> int | None:
    """The memory that a limit is about: resident memory; on a GPU the larger of that and of device memory."""
    if row.device == "cpu":
        return row.peak_rss_bytes
    if row.peak_rss_bytes is None or row.device_memory_bytes is None:
        return None
    return max(row.peak_rss_bytes, row.device_memory_bytes)


def wer_of(row: SummaryRow) -> float | None:
    """The WER as a share; None where it was not measured."""
    return row.wer if isinstance(row.wer, float) else None


def _p99_unknown(row: SummaryRow) -> str:
    missing = max(MIN_SAMPLES[0.99] - row.samples, 1)
    return f"p99 is not known from {row.samples} samples: needs {missing} more samples"


def _not_measured(what: str, how: str) -> Callable[[SummaryRow], str]:
    return lambda row: f"{what} not measured: {how}"


LIMITS = (
    Limit("max_p50_ms", "p50", "ms", True, lambda row: row.p50_s * 1e3, _not_measured("p50 was", "bench it again")),
    Limit("max_p99_ms", "p99", "ms", True, lambda row: _scaled(row.p99_s, 1e-3), _p99_unknown),
    Limit(
        "max_size_mb", "file size", "MB", True, lambda row: row.size_bytes / 1e6, _not_measured("the size was", "bench")
    ),
    Limit(
        "max_memory_mb", "memory", "MB", True,
        lambda row: _scaled(memory_bytes(row), 1e6), _not_measured("memory was", "bench without --quick"),
    ),
    Limit(
        "max_cold_start_ms", "cold start", "ms", True,
        lambda row: _scaled(row.cold_start_s, 1e-3), _not_measured("cold start was", "bench without --quick"),
    ),
    Limit("max_wer", "WER", "", True, wer_of, _not_measured("the WER was", "bench with --wer-clips")),
    Limit(
        "min_streams", "streams", "", False,
        lambda row: _scaled(row.streams, 1), _not_measured("sustained streams were", "bench with --streams"),
    ),
    Limit(
        "min_throughput", "throughput", "clips/s", False,
        lambda row: row.throughput_clips_per_s, _not_measured("throughput was", "bench again"),
    ),
)  # fmt: skip
"""Every limit, in the order in which reasons are given."""

_COUNTS = ("min_streams", "batch", "frames")
_WORDS = ("device", "objective")


def read_requirements(path: Path | None, options: Mapping[str, Any]) -> Requirements:
    """Requirements of a TOML file with those of the command line over them.

    Args:
        path: a TOML file whose keys are the fields of :class:`Requirements`, with ``_`` or ``-``; None: there is none.
        options: the same names; None where an option was not given.

    Raises:
        BadInputError: there is no such file, it is not TOML, or a key or a value is none that is known.
    """
    given = _checked(_read_toml(path), f"{path}: ") if path is not None else {}
    given |= _checked({name: value for name, value in options.items() if value is not None}, "")
    return Requirements.model_validate(given)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInputError(f"there are no requirements at {str(path)!r}", hint="give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"{str(path)!r} is not TOML: {error}", hint="max_p99_ms = 40") from error
    found: dict[str, Any] = {}
    for key, value in document.items():
        name = key.replace("-", "_")
        if name in found:
            raise BadInputError(f"{path}: {name} stands there twice", hint="leave one of them")
        found[name] = value
    return found


def parse_wer(text: str) -> float:
    """The share from ``0.15``, ``15%`` or ``15 %``; whether it fits is for :func:`read_requirements` to say.

    Raises:
        BadInputError: it is no number.
    """
    stripped = text.strip()
    try:
        return float(stripped.removesuffix("%")) / (100.0 if stripped.endswith("%") else 1.0)
    except ValueError as error:
        raise BadInputError(f"max_wer = {text!r} is not a share", hint="for 15 % write 0.15 or 15%") from error


def _checked(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    for name, value in given.items():
        problem = _unknown(name) if name not in Requirements.model_fields else _unfit(name, value)
        if problem:
            message, hint = problem
            raise BadInputError(f"{where}{message}", hint=hint)
    return dict(given)


_Problem = tuple[str, str]  # message, hint


def _unknown(name: str) -> _Problem:
    known = list(Requirements.model_fields)
    near = get_close_matches(name, known, n=1)
    return f"unknown requirement {name!r}", f"{f'meant {near[0]}? ' if near else ''}there are {', '.join(known)}"


def _unfit(name: str, value: Any) -> _Problem | None:
    """What is wrong with the value of a requirement that is known; None where nothing is."""
    if name in _WORDS:
        return _unfit_word(name, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{name} = {value!r} is not a number", f"{name} = {_EXAMPLES[name]}"
    if not math.isfinite(value):
        return f"{name} = {value} is not a finite number", f"{name} = {_EXAMPLES[name]}"
    if name in _COUNTS:
        good = isinstance(value, int) and value >= 1
        return None if good else (f"{name} = {value!r} is not a whole number from 1", f"{name} = {_EXAMPLES[name]}")
    if name == "max_wer":
        good = 0.0 <= value <= 1.0
        return None if good else (f"max_wer = {value!r} is not a share from 0 to 1", "for 15 % write 0.15 or 15%")
    good = value > 0.0
    return None if good else (f"{name} = {value!r} is not above 0", f"{name} = {_EXAMPLES[name]}")


def _unfit_word(name: str, value: Any) -> _Problem | None:
    if not isinstance(value, str) or not value:
        return f"{name} = {value!r} is not a word", f'{name} = "{_EXAMPLES[name]}"'
    if name == "objective" and value not in get_args(Objective):
        return f"unknown objective {value!r}", f"choose among {', '.join(get_args(Objective))}"
    return None


_EXAMPLES = {
    "max_p50_ms": "30", "max_p99_ms": "40", "max_size_mb": "20", "max_memory_mb": "500", "max_cold_start_ms": "2000",
    "max_wer": "0.15", "min_streams": "4", "min_throughput": "25", "batch": "1", "frames": "32", "device": "cpu",
    "objective": "latency",
}  # fmt: skip
